"""Poses of the people in a photo or a video, and the JSON, CSV and NPZ files that hold them."""

import csv
import dataclasses
import json
import os
import struct
import zlib
from typing import NamedTuple

import numpy as np

from pose_tf import coco_results, files, images
from pose_tf.predict.camera import Camera
from pose_tf.skeleton import H36M, Skeleton

COLUMNS = (
    *("frame", "time_s", "person", "joint", "x_px", "y_px", "x_mm", "y_mm", "z_mm", "confidence"),
    *("camera_x_mm", "camera_y_mm", "camera_z_mm"),
)
_SOFTWARE = b"tEXtSoftware\0pose_tf"
PNG_MARK = struct.pack(">I", len(_SOFTWARE) - 4) + _SOFTWARE + struct.pack(">I", zlib.crc32(_SOFTWARE))
"""First chunk after the header of PNG files that `predict` writes. It recognizes its own files by this chunk."""
VIDEO_MARK = struct.pack(">I4s7s", 15, b"free", b"pose_tf")
"""Last box of MP4 files that `predict` writes, for the same purpose. Players skip it."""
BEGINNINGS = (
    b'{"source": ',
    ",".join(COLUMNS[:10]).encode(),  # earlier versions had only these columns
    b'<!doctype html>\n<html lang="en">\n<head>\n<meta name="generator" content="pose_tf">\n',
    coco_results.MARK,
)
"""First bytes of the JSON, CSV, HTML and COCO files that `predict` writes, for the same purpose."""


@dataclasses.dataclass(frozen=True)
class Person:
    """One person in one image.

    Attributes:
        box: float32 [4]: x, y, width, height in pixels of the image.
        pose2d: float32 [J, 2] px of the image.
        pose3d: float32 [J, 3] mm, relative to the hip; x right, y down, z away from the camera.
        confidence: float32 [J] in 0…1.
        number: number of the person, from 1; the same in all frames of a video.
        root3d: float32 [3] mm: position of the hip in the frame of the camera, so that `root3d + pose3d` are the joints
            of all people in one space. As good as what is known of the camera; NaN if all joints are in one place.
    """

    box: np.ndarray
    pose2d: np.ndarray
    pose3d: np.ndarray
    confidence: np.ndarray
    number: int
    root3d: np.ndarray


@dataclasses.dataclass(frozen=True)
class Frame:
    """The people in a photo, or in one frame of a video.

    Attributes:
        time: seconds since the first frame; 0 for a photo.
        people: all people in the image.
    """

    time: float
    people: tuple[Person, ...]


@dataclasses.dataclass
class Poses:
    """All poses in one photo or video. `frames` grows while a video is read.

    Attributes:
        source: path of the file.
        width: width of the frames in pixels.
        height: height of the frames in pixels.
        fps: frames per second, on average if the rate varies; None for a photo.
        camera: the camera of the file.
        frames: the frames in order; one for a photo.
        skeleton: of the poses.
    """

    source: str
    width: int
    height: int
    fps: float | None
    camera: Camera
    frames: list[Frame] = dataclasses.field(default_factory=list)
    skeleton: Skeleton = H36M


class Digits(NamedTuple):
    """Number of decimals of each quantity in JSON."""

    time_s: int
    box_px: int
    pose2d_px: int
    pose3d_mm: int
    confidence: int


IN_FILE = Digits(time_s=4, box_px=2, pose2d_px=3, pose3d_mm=3, confidence=4)


def is_result(path: str) -> bool:
    """Whether `predict` wrote a file. Such a file may be replaced, and is not an input."""
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
    """The part of a result's JSON before its frames."""
    return {
        "source": poses.source,
        "width": poses.width,
        "height": poses.height,
        "fps": poses.fps,
        "camera": {"intrinsics_px": np.round(poses.camera.intrinsics, 3).tolist(), "from": poses.camera.origin},
        "joints": poses.skeleton.joints,
        "bones": poses.skeleton.bones,
    }


def frame_json(number: int, frame: Frame, digits: Digits) -> dict:
    """A frame as JSON. Keys end in the unit; a joint with coordinates that are not finite becomes null."""
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
                "root3d_mm": _rounded(person.root3d, digits.pose3d_mm),
            }
            for person in frame.people
        ],
    }


def _rounded(values, digits):
    return np.round(np.float64(values), digits).tolist() if np.isfinite(values).all() else None


def write_json(path: str, poses: Poses) -> None:
    """Writes a JSON file of all poses, with names and units. Each frame has its own line."""
    with files.replacing(path) as temporary, open(temporary, "w") as file:
        file.write(f'{json.dumps(header_json(poses))[:-1]}, "frames": [')
        for number, frame in enumerate(poses.frames):
            file.write(",\n" if number else "\n")
            json.dump(frame_json(number, frame, IN_FILE), file, allow_nan=False)
        file.write("\n]}\n")


def write_csv(path: str, poses: Poses) -> None:
    """Writes a CSV file with one line per joint: frame, time, person, joint, pixels, mm relative to the hip,
    confidence, and mm in the frame of the camera (see `COLUMNS`)."""
    with files.replacing(path) as temporary, open(temporary, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for number, frame in enumerate(poses.frames):
            for person in frame.people:
                for joint, px, mm, confidence in zip(
                    poses.skeleton.joints, person.pose2d, person.pose3d, person.confidence, strict=True
                ):
                    numbers = [*(f"{value:.2f}" for value in (*px, *mm)), f"{confidence:.3f}"]
                    numbers += [f"{value:.2f}" for value in mm + person.root3d]
                    table.writerow([number, f"{frame.time:.4f}", person.number, joint, *numbers])


def write_npz(path: str, poses: Poses) -> None:
    """Writes an .npz file of arrays over the N poses of all frames.

    frame [N], time_s [N], person [N], box_px [N, 4], pose2d_px [N, J, 2], pose3d_mm [N, J, 3], confidence [N, J],
    root3d_mm [N, 3], joints [J], their names, and intrinsics_px [4]: fx, cx, fy, cy.
    """
    rows = [(number, frame.time, person) for number, frame in enumerate(poses.frames) for person in frame.people]
    people = [person for *_, person in rows]
    joints = len(poses.skeleton.joints)
    arrays = {
        "frame": np.int64([number for number, *_ in rows]),
        "time_s": np.float64([time for _, time, _ in rows]),
        "person": np.int64([person.number for person in people]),
        "box_px": np.float32([person.box for person in people]).reshape(-1, 4),
        "pose2d_px": np.float32([person.pose2d for person in people]).reshape(-1, joints, 2),
        "pose3d_mm": np.float32([person.pose3d for person in people]).reshape(-1, joints, 3),
        "confidence": np.float32([person.confidence for person in people]).reshape(-1, joints),
        "root3d_mm": np.float32([person.root3d for person in people]).reshape(-1, 3),
        "joints": np.array(poses.skeleton.joints),
        "intrinsics_px": np.float32(poses.camera.intrinsics),
    }
    files.write_npz(path, compress=True, **arrays)


def write_coco(path: str, poses: Poses) -> None:
    """Writes people as COCO's results, see `coco_results.entry`.

    The `image_id` of a photo is the number that is its name, as in `000000000139.jpg`, or else its name without the
    ending. That of a frame of a video is its number, from 0.
    """
    name = os.path.splitext(os.path.basename(poses.source))[0]
    of_photo = int(name) if name.isascii() and name.isdecimal() else name
    entries = (
        coco_results.entry(
            of_photo if poses.fps is None else number,
            person.pose2d,
            person.confidence,
            person.box,
            skeleton=poses.skeleton,
        )
        for number, frame in enumerate(poses.frames)
        for person in frame.people
    )
    coco_results.write(path, entries)
