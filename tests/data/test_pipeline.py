"""Tests of the pipelines: which samples come when, that they are the ones written, and faults by name."""

import itertools
import re
import zlib

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.data import pipeline, records
from pose_tf.data.poses import PoseSet, read_record_poses
from pose_tf.errors import UserError

BATCH = 4


def wanted(people, subjects):
    """The numbers of the samples of some subjects."""
    return [number for number, sample in enumerate(people.samples) if sample["subject"] in subjects]


def detector_batches(people, subjects=(1, 5), batch_size=BATCH, *, seed=0, start_step=0):
    count = len(wanted(people, subjects)) // batch_size
    return pipeline.detector_batches(
        people.shards, subjects, batch_size, seed=seed, start_step=start_step, steps_per_epoch=count
    )


def numbers(people, batch, key):
    """The numbers of the samples in a batch, whose images and poses must be those written, to the bit."""
    found = batch["image"][:, 0, 0, 0].tolist()  # the grey of the image
    for number, image, pose2d in zip(found, batch["image"], batch[key], strict=True):
        np.testing.assert_array_equal(image, people.samples[number]["image"])
        np.testing.assert_array_equal(pose2d, people.samples[number]["pose2d_crop"])
    return found


def take(people, dataset, steps):
    return [numbers(people, batch, "pose2d") for batch in dataset.take(steps).as_numpy_iterator()]


# ----------------------------------------------------------------------------------------------------- detector batches


def test_detector_batches_are_bytes_of_images_and_their_joints(people):
    spec = detector_batches(people).element_spec
    assert spec["image"] == tf.TensorSpec((BATCH, 256, 256, 3), tf.uint8)
    assert spec["pose2d"] == tf.TensorSpec((BATCH, 17, 2), tf.float32)
    assert sorted(spec) == ["image", "pose2d"]


@pytest.mark.parametrize("subjects", [(1,), (5, 6), (1, 5, 6), np.array([6, 1])])
def test_an_epoch_visits_every_sample_of_the_subjects_once(people, subjects):
    expected = wanted(people, subjects)
    steps = len(expected) // BATCH
    batches = take(people, detector_batches(people, subjects), 3 * steps)
    epochs = [sum(batches[epoch * steps : (epoch + 1) * steps], []) for epoch in range(3)]
    for epoch in epochs:
        assert len(set(epoch)) == len(epoch) == steps * BATCH
        assert set(epoch) <= set(expected)
    assert len({tuple(epoch) for epoch in epochs}) == 3, "epochs repeat their order"
    assert all(epoch != sorted(epoch) for epoch in epochs)


@pytest.mark.parametrize(("num_shards", "window"), [(1, 1024), (10, 1)], ids=["images alone", "shards alone"])
def test_images_and_shards_are_both_shuffled_in_every_epoch(people, monkeypatch, num_shards, window):
    monkeypatch.setattr(pipeline, "SHUFFLE_IMAGES", window)
    shards = people.shards[:num_shards]
    steps = 3 if num_shards == 1 else 28
    batches = pipeline.detector_batches(shards, (1, 5, 6), 1, seed=0, start_step=0, steps_per_epoch=steps)
    order = sum(take(people, batches, 5 * steps), [])
    assert len({tuple(order[start : start + steps]) for start in range(0, 5 * steps, steps)}) > 1


def test_a_batch_size_that_divides_drops_nothing(people):
    (epoch,) = [sum(take(people, detector_batches(people, (1, 5, 6), 7), 4), [])]
    assert sorted(epoch) == list(range(28))


def test_detector_batches_depend_on_the_seed_alone(people):
    first = take(people, detector_batches(people, seed=3), 6)
    assert take(people, detector_batches(people, seed=3), 6) == first
    others = [take(people, detector_batches(people, seed=seed), 6) for seed in (0, 4, 1_000_003)]
    assert all(other != first for other in others)


@pytest.mark.parametrize("global_seed", [0, 17])
def test_a_global_seed_changes_nothing(people, global_seed):
    first = take(people, detector_batches(people), 4)
    tf.random.set_seed(global_seed)
    try:
        assert take(people, detector_batches(people), 4) == first
    finally:
        tf.random.set_seed(None)


@pytest.mark.parametrize("start_step", [1, 3, 4, 5, 8, 11])
def test_detector_batches_continue_as_if_never_stopped(people, start_step):
    """Four steps are an epoch."""
    assert len(wanted(people, (1, 5))) // BATCH == 4
    whole = take(people, detector_batches(people, seed=9), start_step + 6)
    assert take(people, detector_batches(people, seed=9, start_step=start_step), 6) == whole[start_step:]


def test_the_window_of_shuffling_keeps_order_and_continuation(people, monkeypatch):
    monkeypatch.setattr(pipeline, "SHUFFLE_IMAGES", 5)
    monkeypatch.setattr(pipeline, "READERS", 3)
    whole = take(people, detector_batches(people), 9)
    assert take(people, detector_batches(people, start_step=6), 3) == whole[6:]
    assert len(set(sum(whole[:4], []))) == 16


# ------------------------------------------------------------------------------------------------------ labelled images


@pytest.mark.parametrize("subjects", [(1,), (5, 6), (1, 5, 6)])
def test_labelled_images_pass_once_over_all_samples(people, subjects):
    batches = list(pipeline.labelled_images(people.shards, subjects, 6).as_numpy_iterator())
    found = sum((numbers(people, batch, "pose2d_crop") for batch in batches), [])
    assert sorted(found) == wanted(people, subjects)
    assert {len(batch["image"]) for batch in batches[:-1]} <= {6}
    again = pipeline.labelled_images(people.shards, subjects, 6).as_numpy_iterator()
    assert sum((numbers(people, batch, "pose2d_crop") for batch in again), []) == found
    for batch in batches:
        assert sorted(batch) == ["action", "image", "pose2d_crop", "pose3d"] and batch["image"].dtype == np.uint8
        for number, pose3d, action in zip(batch["image"][:, 0, 0, 0], batch["pose3d"], batch["action"], strict=True):
            np.testing.assert_array_equal(pose3d, people.samples[number]["pose3d"])
            assert action == people.samples[number]["action"]


@pytest.mark.parametrize("every", [1, 2, 3, 7, 100])
def test_every_keeps_one_of_so_many(people, every):
    def order(every):
        batches = pipeline.labelled_images(people.shards, (1, 5), 3, every).as_numpy_iterator()
        return sum((numbers(people, batch, "pose2d_crop") for batch in batches), [])

    assert order(every) == order(1)[::every]


def test_images_of_the_test_set_come_in_record_order(tmp_path, people):
    path = str(tmp_path / "test_set.tfrecords")
    unlabelled = [{key: sample[key] for key in records.H36M_TEST.fields} for sample in people.samples[5:18]]
    records.write(path, unlabelled, records.H36M_TEST)
    batches = list(pipeline.test_images(path, 5).as_numpy_iterator())
    assert [batch.shape for batch in batches] == [(5, 256, 256, 3), (5, 256, 256, 3), (3, 256, 256, 3)]
    np.testing.assert_array_equal(np.concatenate(batches), [sample["image"] for sample in unlabelled])


# ------------------------------------------------------------------------------------------------------- lifter batches


@pytest.fixture
def pose_set():
    """23 poses; the 2D and the 3D one carry the same number."""
    number = np.arange(23, dtype=np.float32)[:, None, None]
    return PoseSet(number * np.ones((1, 17, 2), np.float32), -number * np.ones((1, 17, 3), np.float32), *[None] * 3)


@pytest.fixture(autouse=True)
def length_of_pose_sets_without_subjects(monkeypatch):
    monkeypatch.setattr(PoseSet, "__len__", lambda self: len(self.pose2d))


def lift(pose_set, steps, batch_size=BATCH, **options):
    batches = pipeline.lifter_batches(pose_set, batch_size, **({"seed": 0, "start_step": 0} | options))
    found = []
    for batch in batches.take(steps).as_numpy_iterator():
        assert batch["pose2d"].shape == (batch_size, 17, 2) and batch["pose3d"].shape == (batch_size, 17, 3)
        assert batch["pose2d"].dtype == batch["pose3d"].dtype == np.float32
        assert np.ptp(batch["pose2d"], axis=(1, 2)).max() == np.ptp(batch["pose3d"], axis=(1, 2)).max() == 0
        np.testing.assert_array_equal(batch["pose2d"][:, 0, 0], -batch["pose3d"][:, 0, 0])
        found.append(batch["pose2d"][:, 0, 0].astype(int).tolist())
    return found


@pytest.mark.parametrize("batch_size", [1, 4, 12, 23])
def test_an_epoch_of_the_lifter_visits_every_pose_once(pose_set, batch_size):
    steps = 23 // batch_size
    batches = lift(pose_set, 3 * steps, batch_size)
    epochs = [sum(batches[epoch * steps : (epoch + 1) * steps], []) for epoch in range(3)]
    for epoch in epochs:
        assert len(set(epoch)) == len(epoch) == steps * batch_size and set(epoch) <= set(range(23))
        assert epoch != sorted(epoch)
    assert len({tuple(epoch) for epoch in epochs}) == 3, "epochs repeat their order"


def test_every_pose_has_its_turn(pose_set):
    assert set(itertools.chain(*lift(pose_set, 60))) == set(range(23))


def test_lifter_batches_depend_on_the_seed_alone(pose_set):
    first = lift(pose_set, 12, seed=5)
    tf.random.set_seed(17)
    try:
        assert lift(pose_set, 12, seed=5) == first
    finally:
        tf.random.set_seed(None)
    assert lift(pose_set, 12, seed=6) != first


@pytest.mark.parametrize("start_step", [1, 4, 5, 6, 10, 1234])
def test_lifter_batches_continue_as_if_never_stopped(pose_set, start_step):
    """Five steps are an epoch."""
    whole = lift(pose_set, start_step + 8, seed=2)
    assert lift(pose_set, 8, seed=2, start_step=start_step) == whole[start_step:]


# --------------------------------------------------------------------------------------------------------------- faults


def all_labelled(shards):
    list(pipeline.labelled_images(shards, (1, 5, 6), 2))


def some_batches(shards):
    list(pipeline.detector_batches(shards, (1, 5, 6), 2, seed=0, start_step=0, steps_per_epoch=3).take(8))


def poses_of(shards):
    read_record_poses(str(shards[0]).rsplit("/h36/", 1)[0])


def put(key, data):
    return lambda example: example.features.feature[key].bytes_list.value.__setitem__(slice(None), [data])


NAN = np.full((17, 2), np.nan, np.float32).tobytes()
CONSUMERS = {"detector_batches": some_batches, "labelled_images": all_labelled, "read_record_poses": poses_of}
RECORD_FAULTS = {
    "missing key": (
        lambda example: example.features.feature.__delitem__("pose2d_crop"),
        "key 'pose2d_crop' is missing",
    ),
    "missing subject": (lambda example: example.features.feature.__delitem__("subject"), "key 'subject' is missing"),
    "NaN joints": (put("pose2d_crop", NAN), "'pose2d_crop' holds NaN or infinity"),
    "16 joints": (put("pose2d_crop", NAN[:128]), "'pose2d_crop' has 128 bytes, expected 136"),
    "image size": (put("image", bytes(128 * 128 * 3)), "'image' has 49152 bytes, expected 196608"),
    "no Example": (lambda example: b"\xff" * 40, "not a tf.train.Example"),
}


@pytest.fixture
def two_shards(tmp_path, people):
    """Paths of a good shard and of one to be damaged, and the samples in each."""
    good, bad = tmp_path / "h36" / "0", tmp_path / "h36" / "1"
    records.write(str(good), people.samples[:3], records.H36M)
    records.write(str(bad), people.samples[3:6], records.H36M)
    return good, bad


def refusal(consumer, shards):
    shards = [str(shard) for shard in shards]
    with pytest.raises(UserError) as caught, records.named_errors(shards, records.H36M):
        CONSUMERS[consumer](shards)
    return str(caught.value)


@pytest.mark.parametrize(
    ("fault", "consumer"),  # poses are read without looking at images
    sorted(set(itertools.product(RECORD_FAULTS, CONSUMERS)) - {("image size", "read_record_poses")}),
)
def test_a_bad_record_is_named(people, two_shards, rewrite, fault, consumer):
    spoil, words = RECORD_FAULTS[fault]
    _, bad = two_shards
    rewrite(bad, records.H36M, lambda number, example: spoil(example) if number == 1 else None, people.samples[3:6])
    assert refusal(consumer, two_shards).startswith(f"{bad} record 1: {words}")


def flip_middle(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 255, data[middle + 1] ^ 255]) + data[middle + 2 :]


@pytest.mark.parametrize("consumer", CONSUMERS)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data[: len(data) // 2], " record 1: the file ends"),
        (flip_middle, " record 1: its bytes are damaged"),
        (lambda data: zlib.decompress(data), ": expected TFRecords with ZLIB compression"),
        (lambda data: b"Dear reader,\n" * 99, ""),
    ],
    ids=["cut", "flipped", "not compressed", "text"],
)
def test_a_bad_file_is_named(two_shards, spoil, words, consumer):
    _, bad = two_shards
    bad.write_bytes(spoil(bad.read_bytes()))
    assert re.match(re.escape(f"{bad}{words}"), refusal(consumer, two_shards))


@pytest.mark.parametrize("consumer", ["detector_batches", "labelled_images"])
def test_a_file_that_vanishes_is_named(two_shards, consumer):
    two_shards[1].unlink()
    assert refusal(consumer, two_shards) == f"{two_shards[1]} does not exist"


@pytest.mark.parametrize(
    "cut", [lambda data: data[:-1], lambda data: data[:-4], lambda data: data[:2], lambda data: b""]
)
def test_a_shard_cut_between_records_is_not_taken_for_a_shorter_one(two_shards, cut):
    _, bad = two_shards
    bad.write_bytes(cut(bad.read_bytes()))
    assert str(bad) in refusal("read_record_poses", two_shards)
