"""Poses without images, in memory: what lifters train on, and what tells how many samples lie where."""

import concurrent.futures
import dataclasses
import itertools
import json
import os
import sys
import threading
import zipfile
import zlib

import numpy as np
import tensorflow as tf
import tqdm

from pose_tf import files, geometry
from pose_tf.data import records
from pose_tf.data.fingerprint import of_records
from pose_tf.errors import UserError
from pose_tf.geometry import CROP_SIZE

REACH_MM = (200.0, 3000.0)
"""From the hip to the farthest joint, in the median over the poses: between a baby's and what no body has."""
TYPICAL_REACH_MM = 800.0
UNITS_MM = {"meters": 1000.0, "feet": 304.8, "decimeters": 100.0, "inches": 25.4, "centimeters": 10.0}
LEAST_EXTENT_PX = 8.0
"""Longest side of the box around the joints, in the median over the poses."""
LEAST_INSIDE = 0.5
"""Share of a pose's joints that lie in the crop, in the median over the poses."""
RECORD_KEYS = ("pose2d_crop", "pose3d", "subject", "action")  # what is read of records beside the image


@dataclasses.dataclass(frozen=True)
class PoseSet:
    """N labelled poses.

    Attributes:
        pose2d: float32 [N, 17, 2] crop pixels.
        pose3d: float32 [N, 17, 3] mm in the camera frame, absolute.
        subject: int64 [N].
        action: int64 [N]; −1 where unknown.
        source: what messages call it.
    """

    pose2d: np.ndarray
    pose3d: np.ndarray
    subject: np.ndarray
    action: np.ndarray
    source: str

    def __len__(self) -> int:
        return len(self.subject)

    def select(self, subjects) -> "PoseSet":
        """The poses of some subjects.

        Raises:
            UserError: a subject has no pose.
        """
        present = np.unique(self.subject).tolist()
        missing = sorted(set(subjects) - set(present))
        if missing:
            raise UserError(f"{self.source} has no sample of subject {_join(missing)}; it has {_join(present)}")
        keep = np.isin(self.subject, list(subjects))
        return PoseSet(self.pose2d[keep], self.pose3d[keep], self.subject[keep], self.action[keep], self.source)

    def split(self, held_out) -> tuple["PoseSet", "PoseSet"]:
        """(training, validation): all subjects but those held out, and those. If none is held out, all poses are both.

        Raises:
            UserError: a subject held out has no pose, or none is left to train on.
        """
        if not held_out:
            return self, self
        training = set(np.unique(self.subject).tolist()) - set(held_out)
        if not training:
            raise UserError(f"{self.source} has only subject {_join(held_out)}, which is held out for validation")
        return self.select(training), self.select(held_out)


def _join(numbers):
    return ", ".join(str(number) for number in sorted(numbers))


def read_pose_file(path: str) -> PoseSet:
    """Reads an .npz with `pose2d_crop` [N,17,2] px, `pose3d` [N,17,3] mm, `subject` [N] and, if known, `action` [N].

    Raises:
        UserError: the file is missing or damaged, or an array is missing, of another shape or not finite.
    """
    arrays = files.read_npz(path, "an .npz file of poses", ("subject", "pose2d_crop", "pose3d"), optional=("action",))
    count = arrays["subject"].size
    if not count:
        raise UserError(f"{path} holds no poses")
    shapes = {"subject": (count,), "pose2d_crop": (count, 17, 2), "pose3d": (count, 17, 3), "action": (count,)}
    for key, shape in shapes.items():
        array = arrays.get(key, np.zeros(shape))
        if array.shape != shape:
            raise UserError(f"{path}: '{key}' has shape {array.shape}, expected {shape}")
        if array.dtype.kind not in "iuf":
            raise UserError(f"{path}: '{key}' holds {array.dtype}, expected numbers")
        bad = np.flatnonzero(~np.isfinite(array).reshape(count, -1).all(axis=1))
        if len(bad):
            raise UserError(f"{path} pose {bad[0]}: '{key}' holds NaN or infinity")
    check_units(arrays["pose2d_crop"], arrays["pose3d"], path)
    return PoseSet(
        arrays["pose2d_crop"].astype(np.float32),
        arrays["pose3d"].astype(np.float32),
        arrays["subject"].astype(np.int64),
        arrays.get("action", np.full(count, -1)).astype(np.int64),
        path,
    )


def check_units(pose2d: np.ndarray, pose3d: np.ndarray, source: str) -> None:
    """Checks that poses are as large as people are in millimeters, and in the pixels of a crop.

    Args:
        pose2d: float [N, J, 2].
        pose3d: float [N, J, 3].
        source: what the message calls them.

    Raises:
        UserError: they are not; names the unit that they seem to have.
    """
    reach = np.median(np.linalg.norm(geometry.hip_relative(pose3d), axis=-1).max(axis=-1))
    if not REACH_MM[0] <= reach <= REACH_MM[1]:
        likely = [unit for unit, size in UNITS_MM.items() if REACH_MM[0] <= reach * size <= REACH_MM[1]]
        guess = min(likely, key=lambda unit: abs(np.log(reach * UNITS_MM[unit] / TYPICAL_REACH_MM)), default=None)
        raise UserError(
            f"{source}: 'pose3d' must be in millimeters, but its joints reach {reach:.3g} from the hip in the median"
            + (f"; are these {guess}?" if guess else "")
        )
    must = f"{source}: 'pose2d_crop' must be in pixels of the {CROP_SIZE}x{CROP_SIZE} crop, but in the median"
    extent = np.median(np.ptp(pose2d, axis=1).max(axis=-1))
    if extent < LEAST_EXTENT_PX:
        raise UserError(f"{must} its poses are {extent:.3g} wide or high; are these normalized coordinates?")
    inside = np.median(np.mean(geometry.inside_crop(pose2d), axis=-1))
    if inside < LEAST_INSIDE:
        raise UserError(f"{must} {inside:.0%} of their joints lie there; are these pixels of the whole image?")


@dataclasses.dataclass(frozen=True)
class RecordIndex:
    """What lies where in labelled records, apart from the images.

    Attributes:
        shards: paths of the S files.
        lengths: int64 [S]: records that can be reached in each, damaged ones among them.
        shard: int64 [N]: number of the file that each pose is from.
        poses: the N poses that are sound.
    """

    shards: list[str]
    lengths: np.ndarray
    shard: np.ndarray
    poses: PoseSet

    def counts(self, subjects) -> np.ndarray:
        """Sound samples of some subjects in each file: int64 [S]."""
        wanted = np.isin(self.poses.subject, list(subjects))
        return np.bincount(self.shard[wanted], minlength=len(self.shards))


def index_records(data_dir: str, cache_dir: str | None = None, on_damage: str = "stop") -> RecordIndex:
    """Reads the poses of all labelled records, and looks at the size of every image.

    This inflates every image on the way, so the result is kept in `cache_dir` and used again while the files keep
    their names, sizes and checksums.

    Args:
        data_dir: directory with `h36/*`.
        cache_dir: where `index.npz` is kept; None for no cache.
        on_damage: `stop`, or `skip`: damaged records are left out, and named on standard error.

    Raises:
        UserError: no records, a damaged one, or an unknown `on_damage`.
    """
    if on_damage not in ("stop", "skip"):
        raise UserError(f"config.data.on_damage is '{on_damage}'; it can be stop or skip")
    shards = records.list_shards(data_dir)
    fingerprint = json.dumps(of_records(data_dir))
    cache = os.path.join(cache_dir, "index.npz") if cache_dir else None
    arrays = _read_cache(cache, fingerprint) if cache else None
    if arrays is None or (on_damage == "stop" and arrays["damaged"]):
        arrays = _read_shards(shards, data_dir, on_damage)
        if not len(arrays["subject"]):
            raise UserError(f"{os.path.join(data_dir, 'h36')} holds no records")
        if cache:
            files.write_npz(cache, fingerprint=fingerprint, **arrays)
    check_units(arrays["pose2d_crop"], arrays["pose3d"], os.path.join(data_dir, "h36"))
    poses = PoseSet(*(arrays[key] for key in RECORD_KEYS), data_dir)
    return RecordIndex(shards, arrays["lengths"], arrays["shard"], poses)


def _read_shards(shards, data_dir, on_damage):
    """The arrays of an index, read in parallel; what is skipped is printed."""
    stopped, lock = threading.Event(), threading.Lock()
    size = sum(os.path.getsize(shard) for shard in shards)
    with tqdm.tqdm(total=size, desc=f"poses of {data_dir}", unit="B", unit_scale=True) as bar:

        def advance(size):
            if stopped.is_set():
                raise concurrent.futures.CancelledError
            with lock:
                bar.update(size)

        with concurrent.futures.ThreadPoolExecutor() as pool:
            parts = [pool.submit(_read_shard, shard, on_damage, advance) for shard in shards]
            try:
                concurrent.futures.wait(parts, return_when=concurrent.futures.FIRST_EXCEPTION)
                for part in parts:
                    if part.done():
                        part.result()
            except BaseException:
                stopped.set()
                pool.shutdown(cancel_futures=True)
                raise
    poses, lengths, skipped = zip(*(part.result() for part in parts))
    for message in itertools.chain(*skipped):
        print(message, file=sys.stderr)
    order = _take_turns(np.array([len(part["subject"]) for part in poses]))
    arrays = {key: np.concatenate([part[key] for part in poses])[order] for key in RECORD_KEYS}
    shard = np.repeat(np.arange(len(shards)), [len(part["subject"]) for part in poses])[order]
    return arrays | {"shard": shard, "lengths": np.array(lengths), "damaged": any(skipped)}


def _read_shard(shard, on_damage, advance):
    """The poses of a file, how many records can be reached, and sentences about what is skipped."""
    fields = {key: records.H36M.fields[key] for key in ("image", *RECORD_KEYS)}
    schema = dataclasses.replace(records.H36M, fields=fields)  # the rest may be damaged, as nothing reads it
    samples, length, skipped = [], 0, []

    def add(serialized):
        sample = records.decode(serialized, schema, f"{shard} record {length}")
        samples.append([sample[key] for key in RECORD_KEYS])

    try:
        for serialized in records.inflate(shard, advance):
            add(serialized)
            length += 1
    except UserError:  # the thorough reader says what is wrong, and where
        samples.clear()
        length = 0
        try:
            for serialized in records.read_serialized(shard, records.H36M):
                advance(0)
                try:
                    add(serialized)
                except UserError as error:
                    if on_damage == "stop":
                        raise
                    skipped.append(f"skipping {error}")
                length += 1
        except UserError as error:
            if on_damage == "stop":
                raise
            skipped.append(f"skipping the rest of a file: {error}")
    columns = zip(*samples) if samples else [()] * len(RECORD_KEYS)
    arrays = {
        key: np.array(column, fields[key].dtype).reshape(-1, *fields[key].shape)
        for key, column in zip(RECORD_KEYS, columns)
    }
    return arrays, length, skipped


def _take_turns(counts):
    """The order of poses in an index: eight files at a time are read in turns. [S] -> permutation [N]."""
    ends = np.cumsum(counts)
    dataset = tf.data.Dataset.from_tensor_slices((ends - counts, ends)).interleave(
        tf.data.Dataset.range, cycle_length=8, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return np.concatenate([np.zeros(0, np.int64), *dataset.batch(8192).as_numpy_iterator()])


def _read_cache(path, fingerprint):
    """The arrays of an index; None if there is no cache, it is of other records, or it is damaged."""
    keys = (*RECORD_KEYS, "shard", "lengths", "damaged")
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["fingerprint"]) == fingerprint:
                return {key: file[key] for key in keys}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return None
