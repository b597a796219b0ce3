"""What is known of the people in a photo or a video, and the files that tell it."""

import csv
import dataclasses
import json
import os
import struct
import zlib

import numpy as np

from pose_tf import files, images, skeleton

COLUMNS = ("frame", "time_s", "person", "joint", "x_px", "y_px", "x_mm", "y_mm", "z_mm", "confidence")
_SOFTWARE = b"tEXtSoftware\0pose_tf"
PNG_MARK = struct.pack(">I", len(_SOFTWARE) - 4) + _SOFTWARE + struct.pack(">I", zlib.crc32(_SOFTWARE))
"""The first chunk after the header of PNG files that `predict` writes, by which they are known."""
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
    """One person in one picture.

    Attributes:
        number: from 1; in a video the same person has the same number throughout.
        box: float [4]: x, y, width, height in pixels of the picture.
        pose2d: float [17, 2] px of the picture.
        pose3d: float [17, 3] mm, relative to the hip; x right, y down, z away from the camera.
        confidence: float [17] in 0…1.
    """

    number: int
    box: np.ndarray
    pose2d: np.ndarray
    pose3d: np.ndarray
    confidence: np.ndarray


@dataclasses.dataclass(frozen=True)
class Frame:
    """A photo, or a picture of a video.

    Attributes:
        time: seconds since the video began; 0 for a photo.
        people: those found in it.
    """

    time: float
    people: tuple[Person, ...]


@dataclasses.dataclass(frozen=True)
class Poses:
    """All that was found in one photo or video.

    Attributes:
        source: the file.
        width: of the pictures in pixels.
        height: of the pictures in pixels.
        fps: pictures a second, on average if their rate varies; None for a photo.
        frames: one for each picture.
    """

    source: str
    width: int
    height: int
    fps: float | None
    frames: tuple[Frame, ...]


def is_result(path: str) -> bool:
    """Whether a file is one that `predict` writes: it may be replaced, and it is no photo or video of the user's."""
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


def write_json(path: str, poses: Poses) -> None:
    """Everything, with names and units; each frame is a line of its own."""
    about = {"source": poses.source, "width": poses.width, "height": poses.height, "fps": poses.fps}
    about |= {"joints": skeleton.H36M.joints, "bones": skeleton.H36M.bones}
    with files.replacing(path) as temporary, open(temporary, "w") as file:
        file.write(f'{json.dumps(about)[:-1]}, "frames": [')
        for number, frame in enumerate(poses.frames):
            people = [
                {
                    "person": person.number,
                    "box_px": np.round(np.float64(person.box), 2).tolist(),
                    "pose2d_px": np.round(np.float64(person.pose2d), 3).tolist(),
                    "pose3d_mm": np.round(np.float64(person.pose3d), 3).tolist(),
                    "confidence": np.round(np.float64(person.confidence), 4).tolist(),
                }
                for person in frame.people
            ]
            file.write(",\n" if number else "\n")
            json.dump({"frame": number, "time_s": round(frame.time, 4), "people": people}, file)
        file.write("\n]}\n")


def write_csv(path: str, poses: Poses) -> None:
    """A line for each joint: frame, time, person, joint, its place in the picture and in space, confidence."""
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
