"""The people found in a photo or a video, and the files that hold their poses."""

import csv
import dataclasses
import json
import os
import struct
import zlib
from typing import NamedTuple

import numpy as np

from pose_tf import files, images, skeleton

COLUMNS = ("frame", "time_s", "person", "joint", "x_px", "y_px", "x_mm", "y_mm", "z_mm", "confidence")
_SOFTWARE = b"tEXtSoftware\0pose_tf"
PNG_MARK = struct.pack(">I", len(_SOFTWARE) - 4) + _SOFTWARE + struct.pack(">I", zlib.crc32(_SOFTWARE))
"""The first chunk after the header of PNG files that `predict` writes, by which it recognizes them."""
VIDEO_MARK = struct.pack(">I4s7s", 15, b"free", b"pose_tf")
"""The last box of MP4 files, likewise. Players skip it."""
BEGINNINGS = (
    b'{"source": ',
    ",".join(COLUMNS).encode(),
    b'<!doctype html>\n<html lang="en">\n<head>\n<meta name="generator" content="pose_tf">\n',
)
"""Of JSON, CSV and HTML files, likewise."""


@dataclasses.dataclass(frozen=True)
class Person:
    """One person in one image.

    Attributes:
        box: float32 [4]: x, y, width, height in pixels of the image.
        pose2d: float32 [17, 2] px of the image.
        pose3d: float32 [17, 3] mm, relative to the hip; x right, y down, z away from the camera.
        confidence: float32 [17] in 0…1.
        number: from 1; in a video the same person has the same number throughout.
    """

    box: np.ndarray
    pose2d: np.ndarray
    pose3d: np.ndarray
    confidence: np.ndarray
    number: int


@dataclasses.dataclass(frozen=True)
class Frame:
    """The people in a photo, or in one frame of a video.

    Attributes:
        time: seconds since the first frame; 0 for a photo.
        people: everyone found in it.
    """

    time: float
    people: tuple[Person, ...]


@dataclasses.dataclass
class Poses:
    """Everything found in one photo or video; `frames` grows while a video is read.

    Attributes:
        source: the file.
        width: of the frames in pixels.
        height: of the frames in pixels.
        fps: frames per second, on average if the rate varies; None for a photo.
        frames: one for each frame.
    """

    source: str
    width: int
    height: int
    fps: float | None
    frames: list[Frame] = dataclasses.field(default_factory=list)


class Digits(NamedTuple):
    """How many decimals JSON has of each number."""

    time_s: int
    box_px: int
    pose2d_px: int
    pose3d_mm: int
    confidence: int


IN_FILE = Digits(time_s=4, box_px=2, pose2d_px=3, pose3d_mm=3, confidence=4)


def is_result(path: str) -> bool:
    """Whether `predict` has written a file: it may be replaced, and is not a photo or video of the user's."""
    try:
        with open(path, "rb") as file:
            head = file.read(256)
            file.seek(max(os.path.getsize(path) - len(VIDEO_MARK), 0))
            tail = file.read()
    except OSError:
        return False
    in_archive, in_png = head[30:39], head[images.PNG_HEADER :]
    return (
        head.startswith(BEGINNINGS)
        or (head.startswith(b"PK") and in_archive == b"frame.npy")
        or in_png.startswith(PNG_MARK)
        or tail == VIDEO_MARK
    )


def header_json(poses: Poses) -> dict:
    """What the JSON of a result says before its frames."""
    return {
        "source": poses.source,
        "width": poses.width,
        "height": poses.height,
        "fps": poses.fps,
        "joints": skeleton.H36M.joints,
        "bones": skeleton.H36M.bones,
    }


def frame_json(number: int, frame: Frame, digits: Digits) -> dict:
    """A frame as JSON: numbers have units in their names; a joint whose coordinates are not finite is null."""
    return {
        "frame": number,
        "time_s": round(frame.time, digits.time_s),
        "people": [
            {
                "person": person.number,
                "box_px": _rounded(np.nan_to_num(person.box), digits.box_px),
                "pose2d_px": [_rounded(joint, digits.pose2d_px) for joint in person.pose2d],
                "pose3d_mm": [_rounded(joint, digits.pose3d_mm) for joint in person.pose3d],
                "confidence": _rounded(np.nan_to_num(person.confidence), digits.confidence),
            }
            for person in frame.people
        ],
    }


def _rounded(values, digits):
    return np.round(np.float64(values), digits).tolist() if np.isfinite(values).all() else None


def write_json(path: str, poses: Poses) -> None:
    """Everything, with names and units; each frame is a line of its own."""
    with files.replacing(path) as temporary, open(temporary, "w") as file:
        file.write(f'{json.dumps(header_json(poses))[:-1]}, "frames": [')
        for number, frame in enumerate(poses.frames):
            file.write(",\n" if number else "\n")
            json.dump(frame_json(number, frame, IN_FILE), file, allow_nan=False)
        file.write("\n]}\n")


def write_csv(path: str, poses: Poses) -> None:
    """A line for each joint: frame, time, person, joint, its place in the image and in space, confidence."""
    with files.replacing(path) as temporary, open(temporary, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for number, frame in enumerate(poses.frames):
            for person in frame.people:
                for joint, px, mm, confidence in zip(
                    skeleton.H36M.joints, person.pose2d, person.pose3d, person.confidence, strict=True
                ):
                    numbers = [*(f"{value:.2f}" for value in (*px, *mm)), f"{confidence:.3f}"]
                    table.writerow([number, f"{frame.time:.4f}", person.number, joint, *numbers])


def write_npz(path: str, poses: Poses) -> None:
    """Arrays over the N people in all frames: frame, time_s, person, box_px, pose2d_px, pose3d_mm, confidence."""
    rows = [(number, frame.time, person) for number, frame in enumerate(poses.frames) for person in frame.people]
    people = [person for *_, person in rows]
    joints = len(skeleton.H36M.joints)
    arrays = {
        "frame": np.int64([number for number, *_ in rows]),
        "time_s": np.float64([time for _, time, _ in rows]),
        "person": np.int64([person.number for person in people]),
        "box_px": np.float32([person.box for person in people]).reshape(-1, 4),
        "pose2d_px": np.float32([person.pose2d for person in people]).reshape(-1, joints, 2),
        "pose3d_mm": np.float32([person.pose3d for person in people]).reshape(-1, joints, 3),
        "confidence": np.float32([person.confidence for person in people]).reshape(-1, joints),
        "joints": np.array(skeleton.H36M.joints),
    }
    files.write_npz(path, compress=True, **arrays)
