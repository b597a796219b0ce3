"""Poses without images, in memory: what lifters train on, and what tells how many samples there are."""

import concurrent.futures
import dataclasses
import json
import os
import zipfile
import zlib

import numpy as np
import tensorflow as tf
import tqdm

from pose_tf import files
from pose_tf.data import records
from pose_tf.errors import UserError


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
        """(training, validation): all subjects but those held out, and those.

        Raises:
            UserError: a subject held out has no pose, or none is left to train on.
        """
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
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ("pose2d_crop", "pose3d", "subject", "action") if key in file}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except Exception as error:  # zipfile, zlib and NumPy each raise their own
        raise UserError(f"{path} cannot be read as an .npz file of poses: {error}") from None
    for key in ("subject", "pose2d_crop", "pose3d"):
        if key not in arrays:
            raise UserError(f"{path} has no array '{key}'")
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
    return PoseSet(
        arrays["pose2d_crop"].astype(np.float32),
        arrays["pose3d"].astype(np.float32),
        arrays["subject"].astype(np.int64),
        arrays.get("action", np.full(count, -1)).astype(np.int64),
        path,
    )


def read_record_poses(data_dir: str, cache_dir: str | None = None) -> PoseSet:
    """Reads the poses of all labelled records.

    This inflates every image on the way, so the result is kept in `cache_dir` and used again while the files keep
    their names and sizes.

    Args:
        data_dir: directory with `h36/*`.
        cache_dir: where `poses.npz` is kept; None for no cache.

    Raises:
        UserError: no records, or a damaged one.
    """
    shards = records.list_shards(data_dir)
    fingerprint = json.dumps([[os.path.basename(shard), os.path.getsize(shard)] for shard in shards])
    cache = os.path.join(cache_dir, "poses.npz") if cache_dir else None
    cached = _read_cache(cache, fingerprint) if cache else None
    if cached:
        return PoseSet(*cached, data_dir)
    keys = ("pose2d_crop", "pose3d", "subject", "action")
    dataset = (
        tf.data.Dataset.from_tensor_slices(shards)
        .interleave(
            lambda shard: tf.data.TFRecordDataset(shard, compression_type=records.H36M.compression),
            cycle_length=8,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .map(lambda serialized: records.parse(serialized, records.H36M, keys), num_parallel_calls=tf.data.AUTOTUNE)
        .batch(256)
        .prefetch(2)
    )
    batches = []
    with records.named_errors(shards, records.H36M), tqdm.tqdm(desc=f"poses of {data_dir}", unit=" records") as bar:
        for batch in dataset.as_numpy_iterator():
            batches.append(batch)
            bar.update(len(batch["subject"]))
    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(lambda shard: records.check_end(shard, records.H36M), shards))
    if not batches:
        raise UserError(f"{os.path.join(data_dir, 'h36')} holds no records")
    pose2d, pose3d, subject, action = (np.concatenate([batch[key] for batch in batches]) for key in keys)
    if cache:
        with files.replacing(cache) as temporary, open(temporary, "wb") as file:
            np.savez(file, pose2d=pose2d, pose3d=pose3d, subject=subject, action=action, fingerprint=fingerprint)
    return PoseSet(pose2d, pose3d, subject, action, data_dir)


def _read_cache(path, fingerprint):
    """The four arrays of a `PoseSet`; None if there is no cache, it is of other records, or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["fingerprint"]) == fingerprint:
                return [file[key] for key in ("pose2d", "pose3d", "subject", "action")]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return None
