"""The index of labeled records: their poses, and the number of records in each file. It is made once for the data.

Making it reads every record, so it is stored beside the data as `DATA/.pose_tf/index.npz` (`index-mpii.npz` for MPII's
records), or, if that is not writable, in the user's cache directory as `$XDG_CACHE_HOME/pose_tf/index-KEY.npz`
(`~/.cache` by default). Runs and evaluations read it from there as long as the records keep their names, sizes and
checksums; KEY is a hash of these.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
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

from pose_tf import files
from pose_tf.data import records
from pose_tf.data.fingerprint import of_records
from pose_tf.data.poses import PoseSet, check_units
from pose_tf.data.sources import KEYS, Source, source_of
from pose_tf.errors import UserError

POSE_KEYS = tuple(key for key in KEYS if key != "image")
"""The fields of each record that the index stores."""
HERE = "{h36}"
"""Stands for the records' directory in the messages of an index, which may move with its data."""


@dataclasses.dataclass(frozen=True)
class RecordIndex:
    """The poses of labeled records, and their files.

    Attributes:
        source: the kind of the records.
        shards: paths of the S files.
        lengths: int64 [S]: number of reachable records in each file, including damaged ones.
        shard: int64 [N]: number of the file of each pose.
        poses: the N undamaged poses.
    """

    source: Source
    shards: list[str]
    lengths: np.ndarray
    shard: np.ndarray
    poses: PoseSet

    def counts(self, subjects) -> np.ndarray:
        """Number of undamaged samples of some subjects in each file: int64 [S]."""
        wanted = np.isin(self.poses.subject, list(subjects))
        return np.bincount(self.shard[wanted], minlength=len(self.shards))


def index_records(data_dir: str, on_damage: str = "stop", kind: str = "h36") -> RecordIndex:
    """The index of all labeled records of a kind: the stored one, or a new one, which is then stored.

    Args:
        data_dir: directory with `h36/*` or `mpii/*`.
        on_damage: `stop`: a damaged record raises an error. `skip`: it is left out and reported on standard error.
        kind: `h36` or `mpii`, the name of the records' folder.

    Raises:
        UserError: the directory contains no records, or a damaged one, or a damaged file that names their joints.
    """
    shards, folder = records.list_shards(data_dir, kind), os.path.join(data_dir, kind)
    source, fingerprint = source_of(data_dir, kind), json.dumps(of_records(data_dir, kind))
    places = _places(data_dir, fingerprint, source)
    arrays = _find(places, fingerprint, len(shards), source.fields)
    if arrays is None or (on_damage == "stop" and len(arrays["skipped"])):
        arrays = _read_shards(shards, data_dir, on_damage, source)
        if not len(arrays["subject"]):
            raise UserError(f"{folder} contains no records")
        _keep(places, fingerprint=fingerprint, **arrays)
    for message in arrays["skipped"].tolist():
        print(message.replace(HERE, folder), file=sys.stderr)
    check_units(arrays["pose2d_crop"], arrays["pose3d"], folder, source.key_2d, source.skeleton)
    poses = PoseSet(*(arrays[key] for key in POSE_KEYS), data_dir, skeleton=source.skeleton)
    return RecordIndex(source, shards, arrays["lengths"], arrays["shard"], poses)


# ---- storing it


def _places(data_dir, fingerprint, source):
    """Possible paths of the index, the preferred one first."""
    key = hashlib.sha256(fingerprint.encode()).hexdigest()[:16]
    name = "index.npz" if source.has_pose3d else f"index-{source.name}.npz"
    return os.path.join(data_dir, ".pose_tf", name), os.path.join(files.cache_folder(), f"index-{key}.npz")


def _keep(places, **arrays):
    """Writes an index to the first writable path. Without a stored index, the next command only takes longer."""
    for path in places:
        with contextlib.suppress(UserError):
            return files.write_npz(path, **arrays)


def _find(places, fingerprint, num_shards, fields):
    """The arrays of the stored index; None if it is missing or damaged, or belongs to other records."""
    for path in places:
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            with np.load(path, allow_pickle=False) as file:
                arrays = {key: file[key] for key in (*POSE_KEYS, "shard", "lengths", "skipped")}
                known = str(file["fingerprint"])
            if known == fingerprint and _is_consistent(arrays, num_shards, fields):
                return arrays
    return None


def _is_consistent(arrays, num_shards, fields):
    count = len(arrays["subject"])
    shapes = {key: (count, *fields[key].shape) for key in POSE_KEYS}
    shapes |= {"shard": (count,), "lengths": (num_shards,), "skipped": arrays["skipped"].shape[:1]}
    return count > 0 and all(arrays[key].shape == shape for key, shape in shapes.items())


# ---- making it


def _read_shards(shards, data_dir, on_damage, source):
    """The arrays of an index, read in parallel."""
    stopped, lock = threading.Event(), threading.Lock()
    size = sum(os.path.getsize(shard) for shard in shards)
    with tqdm.tqdm(total=size, desc=f"poses of {data_dir}", unit="B", unit_scale=True) as bar:

        def advance(size):
            if stopped.is_set():
                raise concurrent.futures.CancelledError
            with lock:
                bar.update(size)

        with concurrent.futures.ThreadPoolExecutor() as pool:
            parts = [pool.submit(_read_shard, shard, on_damage, source, advance) for shard in shards]
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
    counts = [len(part["subject"]) for part in poses]
    order = _take_turns(np.array(counts))
    arrays = {key: np.concatenate([part[key] for part in poses])[order] for key in POSE_KEYS}
    arrays["shard"] = np.repeat(np.arange(len(shards)), counts)[order]
    messages = [message.replace(os.path.dirname(shards[0]), HERE) for message in itertools.chain(*skipped)]
    return arrays | {"lengths": np.array(lengths), "skipped": np.array(messages, dtype=str)}


def _read_shard(shard, on_damage, source, advance):
    """The poses of a file, its number of reachable records, and messages about skipped ones.

    One pass reads the file, decodes every record, and checks the end of the stream and its checksum.
    """
    samples, length, skipped = [], 0, []

    def add(serialized):
        sample = source.decode(serialized, f"{shard} record {length}")
        samples.append([sample[key] for key in POSE_KEYS])

    try:
        for serialized in _stored(shard, source.schema, advance):
            add(serialized)
            length += 1
    except UserError:  # the slower reader finds the damaged record and the cause
        samples.clear()
        length = 0
        try:
            for serialized in records.read_serialized(shard, source.schema):
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
    columns, fields = zip(*samples) if samples else [()] * len(POSE_KEYS), source.fields
    arrays = {
        key: np.array(column, fields[key].dtype).reshape(-1, *fields[key].shape)
        for key, column in zip(POSE_KEYS, columns)
    }
    return arrays, length, skipped


def _stored(shard, schema, advance):
    """The serialized examples of a file."""
    if schema.compression:
        yield from records.inflate(shard, advance)
        return
    for serialized in records.read_serialized(shard, schema):
        advance(len(serialized) + records.FRAME_BYTES)
        yield serialized


def _take_turns(counts):
    """The order of poses in an index: eight files at a time, one pose of each in turn. [S] -> permutation [N]."""
    ends = np.cumsum(counts)
    dataset = tf.data.Dataset.from_tensor_slices((ends - counts, ends)).interleave(
        tf.data.Dataset.range, cycle_length=8, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return np.concatenate([np.zeros(0, np.int64), *dataset.batch(8192).as_numpy_iterator()])
