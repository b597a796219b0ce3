"""Motions of people: the results of a video as files that animators and biomechanists open."""

import csv
import dataclasses
import os
import warnings
from collections.abc import Sequence

import numpy as np

from pose_tf import files, skeleton
from pose_tf.errors import UserError

H36M = skeleton.H36M
NAMES = [name.split("/")[0] for name in H36M.joints]
"""Names of the joints in files: Neck/Nose is Neck."""
WHAT = "a JSON file of pose-tf predict"
ROUNDING_S = 1e-4  # of the times in the file
SLOWEST_FPS, FASTEST_FPS = 0.1, 1000.0
MOST_C3D_POINTS = 255
LONGEST_GAP_S = 0.5
"""Gaps up to this are filled by interpolation; longer ones stay empty where a format allows that."""
UP = np.array([1.0, -1.0, -1.0])
"""From the camera's frame, y down and z away, to that of the files, y up and z toward the camera."""


@dataclasses.dataclass(frozen=True)
class Motion:
    """A person's motion at a constant frame rate.

    Attributes:
        person: number of the person.
        fps: frames per second.
        start: seconds from the beginning of the video to the first frame.
        joints: float64 [T, 17, 3] mm, y up, z toward the camera; interpolated where a joint was not seen. A joint that
            never was seen is at the hip.
        known: bool [T, 17]: whether the joint was seen, or a gap was filled that is not longer than `LONGEST_GAP_S`.
    """

    person: int
    fps: float
    start: float
    joints: np.ndarray
    known: np.ndarray


def read_motions(path: str, fps: float | None = None) -> list[Motion]:
    """Reads the motions in a JSON file that `pose-tf predict` has written.

    Args:
        path: the file.
        fps: frame rate of the motions; None for that of the video, or the median rate if it varies.

    Raises:
        UserError: the file is missing, damaged or of another kind, or nobody is in it.
    """
    content = files.read_json(path, WHAT)
    try:
        names = content["joints"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("its joints are no list of names")
        own = skeleton.Skeleton(path, tuple(names), ())
        if missing := own.missing(*H36M.joints):
            raise ValueError(f"its poses lack {', '.join(missing)}; motions need the joints of Human3.6M")
        order = [own.find(joint) for joint in H36M.joints]
        times = np.float64([float(frame["time_s"]) for frame in content["frames"]])
        if not np.isfinite(times).all() or (np.diff(times) < 0).any():
            raise ValueError("its times do not increase")
        seen = {}
        for time, frame in zip(times, content["frames"]):
            for person in frame["people"]:
                joints = _array(person["pose3d_mm"], (len(names), 3))[order]
                root = _array([person.get("root3d_mm")], (1, 3))
                seen.setdefault(int(person["person"]), []).append((time, joints, root))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} is not {WHAT}: {error}") from None
    if not seen:
        raise UserError(f"{path} contains no people")
    fps = fps or _rate(times, content.get("fps"))
    if not SLOWEST_FPS <= fps <= FASTEST_FPS:
        raise UserError(f"{path} has {fps:g} frames per second; give --fps={SLOWEST_FPS:g} to {FASTEST_FPS:g}")
    return [_resampled(person, fps, samples) for person, samples in sorted(seen.items())]


def _rate(times, claimed):
    """The frame rate of a video: the one that it claims if its times fit, else the median rate."""
    if isinstance(claimed, int | float) and claimed > 0:
        off = times - times[0] - np.arange(len(times)) / claimed
        if np.abs(off).max() < ROUNDING_S + 0.1 / claimed:
            return float(claimed)
    steps = np.diff(times)
    return round(float(1 / np.median(steps[steps > 0])), 3) if (steps > 0).any() else 25.0


def _array(values, shape):
    """Numbers, with NaN in the places of null."""
    rows = [[np.nan] * shape[1] if row is None else row for row in values]
    array = np.float64(rows)
    if array.shape != shape:
        raise ValueError(f"an array is {list(array.shape)}, expected {list(shape)}")
    return array


def _resampled(person, fps, samples):
    """A motion with linear interpolation between the times at which each joint was seen."""
    seen = np.float64([time for time, *_ in samples])
    poses, roots = (np.stack(arrays) for arrays in list(zip(*samples))[1:])
    poses = poses + (roots if np.isfinite(roots).any() else 0.0)  # earlier versions did not write positions
    count = max(int(np.floor((seen[-1] - seen[0]) * fps + 0.05)) + 1, 1)
    times = seen[0] + np.arange(count) / fps
    joints, known = np.zeros((count, *poses.shape[1:])), np.zeros((count, poses.shape[1]), bool)
    longest = max(LONGEST_GAP_S, 1.5 * float(np.median(np.diff(seen))) if len(seen) > 1 else 0.0)
    for joint in range(poses.shape[1]):
        finite = np.isfinite(poses[:, joint]).all(axis=-1)
        if not finite.any():
            joints[:, joint] = joints[:, 0]
            continue
        there = seen[finite]
        for axis in range(3):
            joints[:, joint, axis] = np.interp(times, there, poses[finite, joint, axis])
        after = there[np.clip(np.searchsorted(there, times - ROUNDING_S), 0, len(there) - 1)]
        before = there[np.clip(np.searchsorted(there, times + ROUNDING_S, side="right") - 1, 0, len(there) - 1)]
        near = np.minimum(np.abs(times - before), np.abs(after - times)) <= longest
        known[:, joint] = (after - before <= longest) & near
    return Motion(person, fps, float(seen[0]), UP * joints, known)


def write_trc(path: str, motions: Sequence[Motion]) -> None:
    """Writes a TRC file, which OpenSim reads: markers in mm, y up; of several people with prefixes: 1_Hip, 2_Hip, …"""
    names, times, points = _merged(motions)
    fps = motions[0].fps
    with files.replacing(path) as temporary, open(temporary, "w", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["PathFileType", 4, "(X/Y/Z)", os.path.basename(path)])
        keys = "DataRate CameraRate NumFrames NumMarkers Units OrigDataRate OrigDataStartFrame OrigNumFrames"
        table.writerow(keys.split())
        table.writerow([f"{fps:g}", f"{fps:g}", len(times), len(names), "mm", f"{fps:g}", 1, len(times)])
        table.writerow(["Frame#", "Time", *(cell for name in names for cell in (name, "", ""))])
        table.writerow(["", "", *(f"{axis}{i}" for i in range(1, len(names) + 1) for axis in "XYZ"), ""])
        table.writerow([])
        for number, (time, frame) in enumerate(zip(times, points), 1):
            cells = ["" if np.isnan(value) else f"{value:.3f}" for value in frame.ravel()]
            table.writerow([number, f"{time:.6f}", *cells])


def write_c3d(path: str, motions: Sequence[Motion]) -> None:
    """Writes a C3D file: points in mm, y up; those of people who are not seen are marked as missing.

    Raises:
        UserError: the package c3d is not installed, there are too many people, or the file cannot be written.
    """
    c3d = import_c3d()
    names, _, points = _merged(motions)
    if len(names) > MOST_C3D_POINTS:
        people = MOST_C3D_POINTS // len(NAMES)
        raise UserError(f"{path}: a C3D file has room for {people} people, not for {len(motions)}; write TRC instead")
    writer = c3d.Writer(point_rate=motions[0].fps)
    writer.set_point_labels(names)
    writer.set_screen_axis("+X", "+Y")
    for frame in points:
        missing = np.isnan(frame).any(axis=-1)
        rows = np.zeros((len(frame), 5), np.float32)
        rows[:, :3], rows[:, 3] = np.where(missing[:, None], 0, frame), np.where(missing, -1, 0)
        writer.add_frames((rows, np.zeros((0, 0), np.float32)))
    with files.replacing(path) as temporary, open(temporary, "wb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no analog data
        writer.write(file)


def import_c3d():
    """The package c3d. UserError if it is not installed."""
    try:
        import c3d
    except ImportError:
        raise UserError("C3D files need the package c3d: pip install 'pose_tf[motion]'") from None
    return c3d


def _merged(motions):
    """Names of the markers of all people, times [T] and positions [T, markers, 3] mm, NaN where unknown."""
    fps = motions[0].fps
    start = min(motion.start for motion in motions)
    firsts = [round((motion.start - start) * fps) for motion in motions]
    count = max(first + len(motion.joints) for first, motion in zip(firsts, motions))
    points = np.full((count, len(motions), len(NAMES), 3), np.nan)
    for i, (first, motion) in enumerate(zip(firsts, motions)):
        points[first : first + len(motion.joints), i] = np.where(motion.known[..., None], motion.joints, np.nan)
    prefixes = [f"{motion.person}_" if len(motions) > 1 else "" for motion in motions]
    names = [prefix + name for prefix in prefixes for name in NAMES]
    return names, start + np.arange(count) / fps, points.reshape(count, -1, 3)
