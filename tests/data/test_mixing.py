"""Tests of the estimate how well batches mix, against the batches themselves."""

import time
import types

import numpy as np
import pytest

from pose_tf.data import pipeline, records
from pose_tf.data.mixing import mixing
from pose_tf.data.record_index import index_records

SUBJECTS, ACTIONS, BATCH = (1, 5, 6), (2, 3, 4, 5), 16
SCENES = [(subject, action) for subject in SUBJECTS for action in ACTIONS]


@pytest.fixture
def index_of(tmp_path, make_sample):
    """A function that writes files of scenes, each given as a list of numbers, and returns their index."""
    base = make_sample(0, noise=1)

    def make(*files):
        for number, scenes in enumerate(files):
            samples = (base | dict(zip(("subject", "action"), SCENES[scene])) for scene in scenes)
            records.write(f"{tmp_path}/h36/{number:04d}.tfrecord", samples, records.H36M)
        return index_records(str(tmp_path))

    return make


@pytest.fixture(autouse=True)
def small_window(monkeypatch):
    monkeypatch.setattr(pipeline, "SHUFFLE_IMAGES", 16)


def scenes_in_batches(index):
    """The mean number of scenes in the batches of an epoch."""
    dataset = pipeline.detector_batches(index, SUBJECTS, BATCH, seed=1, labels=("subject", "action"))
    batches = dataset.take(len(index.poses) // BATCH).as_numpy_iterator()
    return np.mean([len(set(zip(batch["subject"].tolist(), batch["action"].tolist()))) for batch in batches])


def in_order(num_files, length):
    return np.array_split(np.repeat(np.arange(len(SCENES)), length), num_files)


def test_files_with_one_scene_after_the_other_mix_badly(index_of):
    index = index_of(*in_order(2, 40))
    found = mixing(index, SUBJECTS, BATCH)
    assert found.expected == pytest.approx(scenes_in_batches(index), rel=0.15)
    assert found.uniform == pytest.approx(12 * (1 - (11 / 12) ** 16))
    assert found.expected < 0.6 * found.uniform
    assert str(found) == (
        f"batches of 16 will show about {found.expected:.0f} different scenes (a subject's action) instead of 9, "
        "because few large files hold one video after the other; pose-tf shuffle writes the records in random order"
    )


def test_shuffled_files_mix_well(index_of, rng):
    index = index_of(*np.array_split(rng.permutation(np.concatenate(in_order(1, 40))), 2))
    found = mixing(index, SUBJECTS, BATCH)
    assert found.expected == pytest.approx(scenes_in_batches(index), rel=0.15)
    assert found.expected == pytest.approx(found.uniform, rel=0.1)
    assert str(found) == ""


def test_files_of_one_image_mix_well(index_of):
    index = index_of(*in_order(len(SCENES) * 8, 8))
    found = mixing(index, SUBJECTS, BATCH)
    assert found.expected == pytest.approx(scenes_in_batches(index), rel=0.15)
    assert str(found) == ""


def test_more_files_than_can_be_open_are_read_in_parts(index_of, monkeypatch):
    monkeypatch.setattr(pipeline, "OPEN_SHARDS", 4)
    index = index_of(*in_order(len(SCENES), 40))
    found = mixing(index, SUBJECTS, BATCH)
    assert found.expected == pytest.approx(scenes_in_batches(index), rel=0.15)
    assert found.expected < 0.8 * found.uniform


def test_only_the_given_subjects_count(index_of):
    index = index_of(*in_order(2, 10))
    found = mixing(index, [5], BATCH)
    assert found.uniform == pytest.approx(4 * (1 - (3 / 4) ** 16))
    assert mixing(index, [5], 10**4).expected <= 4


def test_an_index_of_the_size_of_human36m_takes_less_than_a_second():
    count = 636_724
    number = np.arange(count)
    poses = types.SimpleNamespace(subject=np.repeat(number[:5], -(-count // 5))[:count], action=number // 10_000 % 15)
    index = types.SimpleNamespace(shard=number // 32_000, poses=poses)
    start = time.process_time()
    found = mixing(index, range(5), 64)
    assert time.process_time() - start < 1
    assert found.expected < 0.8 * found.uniform
