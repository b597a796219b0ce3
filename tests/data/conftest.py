"""Small labeled records for the tests of this folder."""

import gc
import os
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.data import records
from pose_tf.data.record_index import index_records
from tests.data.damage import RECORD_FAULTS

INTRINSICS = np.array([[1145.0, 512.5, 1143.8, 515.5]], np.float32)  # fx, cx, fy, cy
SUBJECTS = (1, 5, 6)


def _make_sample(number, noise=12):
    """A consistent sample. The image has gray level `number` and a square of noise, which keeps its file small."""
    rng = np.random.default_rng(number)
    image = np.full(records.IMAGE_SHAPE, number, np.uint8)
    image[-noise:, -noise:] = rng.integers(0, 256, (noise, noise, 3))
    pose3d = rng.normal(0, 400, (17, 3)) + (0, 0, 4000)
    fx, cx, fy, cy = INTRINSICS[0].astype(float)
    x, y, z = pose3d.T
    pose2d = np.stack([fx * x / z + cx, fy * y / z + cy], axis=-1)
    offset = pose2d.min(axis=0) - 20
    scale = 250 / np.ptp(pose2d, axis=0).max()
    return {
        "image": image,
        "offset": np.float32(offset),
        "scale": np.float32(scale),
        "intrinsics": INTRINSICS,
        "intrinsics_univ": INTRINSICS + 1,
        "camera": number % 4,
        "subject": SUBJECTS[number % len(SUBJECTS)],
        "action": 2 + number % 15,
        "subaction": 1 + number % 2,
        "pose2d_crop": np.float32((pose2d - offset) * scale),
        "pose2d": np.float32(pose2d),
        "pose3d": np.float32(pose3d),
        "pose3d_univ": np.float32(pose3d * 1.1),
        "framd_id": number,
    }


@pytest.fixture(scope="session")
def make_sample():
    """make_sample(number, noise=12): a labeled sample whose values are consistent."""
    return _make_sample


@pytest.fixture(scope="session")
def same():
    """same(samples, others): the two lists hold the same keys, types and bits."""

    def compare(samples, others):
        def bits(sample):
            arrays = {key: np.asarray(value) for key, value in sample.items()}
            return {key: (array.dtype, array.shape, array.tobytes()) for key, array in arrays.items()}

        return [bits(sample) for sample in samples] == [bits(sample) for sample in others]

    return compare


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    """28 labeled samples in ten shards: `.data_dir`, `.shards`, `.samples` by number."""
    data_dir = tmp_path_factory.mktemp("people")
    samples = [_make_sample(number) for number in range(28)]
    for shard in range(10):
        records.write(str(data_dir / "h36" / f"{shard:02d}.tfrecord"), samples[shard::10], records.H36M)
    return types.SimpleNamespace(data_dir=str(data_dir), shards=records.list_shards(str(data_dir)), samples=samples)


def _rewrite(path, schema, change, samples):
    """Writes samples after `change(number, example)`, which edits a tf.train.Example or returns bytes to replace it."""
    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type=schema.compression)) as writer:
        for number, sample in enumerate(samples):
            example = tf.train.Example.FromString(records.encode(sample, schema))
            writer.write(change(number, example) or example.SerializeToString())


@pytest.fixture(scope="session")
def rewrite():
    """rewrite(path, schema, change, samples): writes a file of records, some of them invalid."""
    return _rewrite


@pytest.fixture(scope="module")
def index(people):
    """The index of `people`."""
    return index_records(people.data_dir)


@pytest.fixture
def service():
    """start(number) -> address of a tf.data service with that many workers."""
    running = []

    def start(workers):
        running.append(tf.data.experimental.service.DispatchServer())
        address = running[0].target.removeprefix("grpc://")
        config = tf.data.experimental.service.WorkerConfig(dispatcher_address=address)
        running.extend(tf.data.experimental.service.WorkerServer(config) for _ in range(workers))
        return address

    yield start
    while running:
        running.pop()


@pytest.fixture
def damage(tmp_path, people, rewrite):
    """damage({number: fault}): a copy of the records with damaged samples; `.data_dir`, `.paths`."""

    def make(faults):
        folder = tmp_path / "h36"
        shutil.copytree(os.path.join(people.data_dir, "h36"), folder, dirs_exist_ok=True)
        paths = [folder / os.path.basename(shard) for shard in people.shards]
        for shard in {number % len(paths) for number in faults}:

            def change(place, example, shard=shard):
                fault = faults.get(place * len(paths) + shard)
                return RECORD_FAULTS[fault][0](example) if fault else None

            rewrite(paths[shard], records.H36M, change, people.samples[shard :: len(paths)])
        return types.SimpleNamespace(data_dir=str(tmp_path), paths=paths)

    return make


@pytest.fixture(autouse=True)
def no_iterators_left(frozen_heap):
    """Frees tf.data iterators that tracebacks still hold. Freeing them during a later trace can block it."""
    yield
    gc.collect()
