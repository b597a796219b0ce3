"""Tests of the pipelines: order and content of samples, resuming, shares of hosts, and damage."""

import functools
import itertools
import os
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.data import pipeline, records
from pose_tf.data.pipeline import Share
from pose_tf.data.poses import PoseSet
from pose_tf.data.record_index import index_records
from pose_tf.errors import UserError
from tests.data.damage import FILE_FAULTS, RECORD_FAULTS, drop

BATCH = 4
EVERYBODY = (1, 5, 6)
SHARDS = 10  # sample n is in shard n % 10, where it is record n // 10


def wanted(people, subjects):
    """The numbers of the samples of some subjects."""
    return [number for number, sample in enumerate(people.samples) if sample["subject"] in subjects]


def detector_batches(index, subjects=(1, 5), batch_size=BATCH, **options):
    return pipeline.detector_batches(index, subjects, batch_size, **({"seed": 0} | options))


def numbers(people, batch, key):
    """The numbers of the samples in a batch; checks that images and poses equal the written ones to the bit."""
    found = batch["image"][:, 0, 0, 0].tolist()  # the gray of the image
    for number, image, pose2d in zip(found, batch["image"], batch[key], strict=True):
        np.testing.assert_array_equal(image, people.samples[number]["image"])
        np.testing.assert_array_equal(pose2d, people.samples[number]["pose2d_crop"])
    return found


def take(people, dataset, steps):
    return [numbers(people, batch, "pose2d_crop") for batch in dataset.take(steps).as_numpy_iterator()]


def take_samples(people, index, count, subjects=EVERYBODY, **options):
    """The first samples, and the number of samples skipped before each."""
    batches = detector_batches(index, subjects, 1, **options).take(count).as_numpy_iterator()
    found = [(*numbers(people, batch, "pose2d_crop"), *batch["skipped"].tolist()) for batch in batches]
    return [number for number, _ in found], [skipped for _, skipped in found]


def cut(stream, sizes):
    """Splits a stream of all subjects' samples into chunks of whole shards; `sizes` are their numbers of shards."""
    chunks, stream = [], list(stream)
    for size in sizes:
        shards = list(dict.fromkeys(number % SHARDS for number in stream))[:size]
        count = sum(len(range(shard, 28, SHARDS)) for shard in shards)
        chunks.append(stream[:count])
        assert sorted(chunks[-1]) == sorted(itertools.chain(*(range(shard, 28, SHARDS) for shard in shards)))
        del stream[:count]
    return chunks


@pytest.fixture
def four_open(monkeypatch):
    """Opens at most four shards at a time, so that an epoch has three chunks."""
    monkeypatch.setattr(pipeline, "OPEN_SHARDS", 4)


# ----------------------------------------------------------------------------------------------------- detector batches


def test_detector_batches_are_bytes_of_images_and_their_joints(index):
    spec = detector_batches(index).element_spec
    assert spec["image"] == tf.TensorSpec((BATCH, 256, 256, 3), tf.uint8)
    assert spec["pose2d_crop"] == tf.TensorSpec((BATCH, 17, 2), tf.float32)
    assert spec["skipped"] == tf.TensorSpec((BATCH,), tf.int64)
    assert sorted(spec) == ["image", "pose2d_crop", "skipped"]


@pytest.mark.parametrize("subjects", [(1,), (5, 6), (1, 5, 6), np.array([6, 1])])
def test_an_epoch_visits_every_sample_of_the_subjects_once(people, index, subjects):
    """Batches continue across epochs: ten, nineteen and 28 samples are not multiples of three."""
    expected = wanted(people, subjects)
    order = sum(take(people, detector_batches(index, subjects, 3), len(expected)), [])
    epochs = [order[start : start + len(expected)] for start in range(0, len(order), len(expected))]
    assert len(epochs) == 3
    assert all(sorted(epoch) == expected for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3, "epochs repeat their order"
    assert all(epoch != sorted(epoch) for epoch in epochs)


def test_a_batch_may_be_larger_than_an_epoch(people, index):
    batches = take(people, detector_batches(index, (1,), 25), 2)
    assert [len(batch) for batch in batches] == [25, 25]
    order = sum(batches, [])
    assert all(sorted(order[start : start + 10]) == wanted(people, (1,)) for start in range(0, 50, 10))


def test_every_epoch_puts_the_shards_into_other_chunks(people, index, four_open):
    chunks = cut(take_samples(people, index, 4 * 28)[0], 4 * [4, 3, 3])
    shards = [frozenset(number % SHARDS for number in chunk) for chunk in chunks]
    assert [len(members) for members in shards] == 4 * [4, 3, 3]
    assert len(set(shards)) > 9
    for epoch in range(4):
        assert set.union(*map(set, shards[3 * epoch : 3 * epoch + 3])) == set(range(SHARDS))


@pytest.mark.parametrize(("num_shards", "window"), [(1, 1024), (10, 1)], ids=["images alone", "shards alone"])
def test_images_and_shards_are_both_shuffled_in_every_epoch(tmp_path, people, monkeypatch, num_shards, window):
    monkeypatch.setattr(pipeline, "SHUFFLE_IMAGES", window)
    (tmp_path / "h36").mkdir()
    for shard in people.shards[:num_shards]:
        os.symlink(shard, tmp_path / "h36" / os.path.basename(shard))
    size = 3 if num_shards == 1 else 28
    order, _ = take_samples(people, index_records(str(tmp_path)), 5 * size)
    assert len({tuple(order[start : start + size]) for start in range(0, 5 * size, size)}) > 1


def test_detector_batches_depend_on_the_seed_alone(people, index):
    first = take(people, detector_batches(index, seed=3), 6)
    assert take(people, detector_batches(index, seed=3), 6) == first
    others = [take(people, detector_batches(index, seed=seed), 6) for seed in (0, 4, 1_000_003)]
    assert all(other != first for other in others)


@pytest.mark.parametrize("global_seed", [0, 17])
def test_a_global_seed_changes_nothing(people, index, global_seed):
    first = take(people, detector_batches(index), 4)
    tf.random.set_seed(global_seed)
    try:
        assert take(people, detector_batches(index), 4) == first
    finally:
        tf.random.set_seed(None)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """60 files like videos: 5 to 36 frames of one subject and one action. The gray level is the number of the video."""
    folder = tmp_path_factory.mktemp("videos")
    sample = _frame()
    for video in range(60):
        image = np.full(records.IMAGE_SHAPE, video, np.uint8)
        frames = [
            sample | {"image": image, "subject": EVERYBODY[video % 3], "action": 2 + video % 15, "framd_id": frame}
            for frame in range(5 + video * 32 // 60)
        ]
        records.write(str(folder / "h36" / f"{video:02d}.tfrecord"), frames, records.H36M)
    return index_records(str(folder))


def _frame():
    sample = {key: np.zeros(field.shape, field.dtype) for key, field in records.H36M.fields.items()}
    rng = np.random.default_rng(0)
    pose3d, pose2d = rng.normal(0, 300, (17, 3)) + [0, 0, 5000], rng.uniform(0, 256, (17, 2))
    return sample | {"pose3d": np.float32(pose3d), "pose2d_crop": np.float32(pose2d)}


def test_batches_mix_videos_as_a_uniform_shuffle_does(videos):
    """In any 5 batches of 16 in two epochs: 80 draws from 60 videos, weighted by length, hit 40 videos on average."""
    total = len(videos.poses)
    batches = detector_batches(videos, EVERYBODY, 16).take(2 * total // 16).as_numpy_iterator()
    drawn = np.concatenate([batch["image"][:, 0, 0, 0] for batch in batches])
    windows = [len(set(drawn[start : start + 80])) for start in range(0, len(drawn) - 80, 16)]
    lengths = np.bincount(videos.shard)
    rng = np.random.default_rng(0)
    shuffled = [len(set(rng.permutation(np.repeat(np.arange(60), lengths))[:80])) for _ in range(500)]
    assert abs(np.mean(windows) - np.mean(shuffled)) < 1.0
    assert min(windows) >= min(shuffled) - 2
    # No drift either: every tenth of an epoch has its share of short and of long videos.
    for tenth in np.array_split(drawn[:total], 10):
        np.testing.assert_allclose(lengths[tenth].mean(), (lengths**2).sum() / total, rtol=0.12)


def test_what_reads_a_shard_is_not_in_the_graph_for_each(videos, people, index):
    """With 1,000 shards the graph would take minutes to build and to start."""

    def operations(index):
        graph = detector_batches(index, EVERYBODY, 2)._as_serialized_graph().numpy()
        return len(tf.compat.v1.GraphDef.FromString(graph).library.function)

    assert operations(videos) == operations(index)


# ------------------------------------------------------------------------------------------------- detector: continuing


@pytest.fixture(scope="module")
def nineteen(people, index):
    """The first 40 batches of 19 samples an epoch."""
    assert len(wanted(people, (1, 5))) == 19
    return take(people, detector_batches(index, seed=9), 40)


@pytest.mark.parametrize("start_step", [0, 1, 2, 3, 4, 5, 9, 19, 34])
def test_detector_batches_continue_as_if_never_stopped(people, index, nineteen, start_step):
    """An epoch has 4.75 steps."""
    assert take(people, detector_batches(index, seed=9, start_step=start_step), 6) == nineteen[start_step:][:6]


@pytest.mark.parametrize("start_step", [1, 2, 3])
def test_large_batches_continue_as_if_never_stopped(people, index, start_step):
    whole = take(people, detector_batches(index, (6,), 20), 4)
    assert take(people, detector_batches(index, (6,), 20, start_step=start_step), 4 - start_step) == whole[start_step:]


def test_the_window_of_shuffling_keeps_order_and_continuation(people, index, monkeypatch):
    monkeypatch.setattr(pipeline, "SHUFFLE_IMAGES", 5)
    whole = take(people, detector_batches(index), 9)
    assert take(people, detector_batches(index, start_step=6), 3) == whole[6:]
    assert sorted(sum(whole, [])[:19]) == wanted(people, (1, 5))


def test_a_far_step_is_found_without_reading(people, index):
    """Sample 7 * 10**6 of ten an epoch: the first one of an epoch."""
    order, _ = take_samples(people, index, 10, subjects=(1,), start_step=10**4)
    assert sorted(order) == wanted(people, (1,))


def spoil(path):
    with open(path, "wb") as file:
        file.write(b"Dear reader,\n")


def test_shards_without_a_sample_of_the_subjects_are_not_opened(tmp_path, people):
    """The data has samples neither for training nor for validation."""
    shutil.copytree(people.data_dir, tmp_path, dirs_exist_ok=True)
    index = index_records(str(tmp_path))
    order, found = take_samples(people, index, 10, subjects=(1,))[0], labeled_images(people, index, (1,), 3)[0]
    others = [shard for shard, count in zip(index.shards, index.counts((1,)), strict=True) if not count]
    assert not others  # every file has one, so far
    records.write(str(tmp_path / "h36" / "05a.tfrecord"), people.samples[1::3], records.H36M)
    index = index_records(str(tmp_path))
    spoil(tmp_path / "h36" / "05a.tfrecord")
    assert labeled_images(people, index, (1,), 3)[0] == found
    assert sorted(take_samples(people, index, 10, subjects=(1,))[0]) == sorted(order) == wanted(people, (1,))


@pytest.mark.parametrize("done", [1, 2])
def test_chunks_that_are_done_are_not_opened(tmp_path, people, four_open, done):
    shutil.copytree(people.data_dir, tmp_path, dirs_exist_ok=True)
    index = index_records(str(tmp_path))
    order, _ = take_samples(people, index, 28)
    chunks = cut(order, [4, 3, 3])
    start = sum(map(len, chunks[:done]))
    for number in sum(chunks[:done], []):
        spoil(index.shards[number % SHARDS])
    assert take_samples(people, index, 28 - start, start_step=start)[0] == order[start:]
    with pytest.raises(tf.errors.InvalidArgumentError, match="damaged record"):  # the chunk before has to be read
        take_samples(people, index, 1, start_step=start - 1)


# ----------------------------------------------------------------------------------------------------- detector: shares


@pytest.mark.parametrize("start_step", [0, 3])
@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_of_one_host_get_the_parts_of_the_global_batch_in_turn(people, index, replicas, start_step):
    whole = take(people, detector_batches(index, batch_size=8, start_step=start_step), 5)
    share = Share(0, replicas, replicas)
    parts = take(people, detector_batches(index, batch_size=8, start_step=start_step, share=share), 5 * replicas)
    assert {len(part) for part in parts} == {8 // replicas}
    assert [sum(parts[step : step + replicas], []) for step in range(0, len(parts), replicas)] == whole


@pytest.mark.parametrize(
    ("most", "sizes"),
    [(1000, [[5], [5]]), (1000, [[4], [3], [3]]), (1000, [[3], [3], [2], [2]]), (4, [[3, 2], [3, 2]])],
)
def test_hosts_share_the_shards_of_every_epoch(people, index, monkeypatch, most, sizes):
    """`sizes`: the number of shards that each host has open in the first, second, … chunk of an epoch."""
    monkeypatch.setattr(pipeline, "OPEN_SHARDS", most)
    epochs = []
    for host, of_epoch in enumerate(sizes):
        batches = detector_batches(index, EVERYBODY, len(sizes), share=Share(host, 1, len(sizes)))  # one sample each
        stream = sum(take(people, batches, 3 * 3 * sum(of_epoch)), [])
        chunks = cut(stream, 3 * of_epoch)
        epochs.append([sum(chunks[i : i + len(of_epoch)], []) for i in range(0, len(chunks), len(of_epoch))])
    for parts in zip(*epochs, strict=True):
        assert sorted(sum(parts, [])) == list(range(28))
    assert len({frozenset(part) for part in epochs[0]}) > 1, "a host always gets the same shards"


@pytest.mark.parametrize("start_step", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("first", [0, 2])
def test_each_host_continues_as_if_never_stopped(people, index, first, start_step):
    """Two hosts with two replicas each. A host takes eight samples per step; an epoch has 28."""
    batches = functools.partial(detector_batches, index, EVERYBODY, 16, share=Share(first, 2, 4), seed=2)
    whole = take(people, batches(), 2 * (start_step + 3))
    assert {len(batch) for batch in whole} == {4}
    assert take(people, batches(start_step=start_step), 6) == whole[2 * start_step :]


@pytest.mark.parametrize(
    ("share", "host", "hosts"),
    [(Share(), 0, 1), (Share(0, 8, 8), 0, 1), (Share(0, 4, 8), 0, 2), (Share(4, 4, 8), 1, 2), (Share(2, 1, 3), 2, 3)],
)
def test_hosts_are_numbered(share, host, hosts):
    assert (share.host, share.hosts) == (host, hosts)


def test_a_service_reads_in_the_place_of_the_host(people, index):
    dispatcher = tf.data.experimental.service.DispatchServer()
    address = dispatcher.target.removeprefix("grpc://")
    worker = tf.data.experimental.service.WorkerServer(
        tf.data.experimental.service.WorkerConfig(dispatcher_address=address)
    )
    order = sum(take(people, detector_batches(index, EVERYBODY, 7, service=address, job="job"), 8), [])
    assert sorted(order[:28]) == sorted(order[28:]) == list(range(28))
    del worker, dispatcher


def test_workers_of_a_service_share_the_shards_of_every_epoch(people, index, monkeypatch, service):
    """Each worker takes the next part when it has finished one. Here one worker takes all parts of two."""
    monkeypatch.setattr(pipeline, "_await_workers", lambda _: 2)
    order = sum(take(people, detector_batches(index, EVERYBODY, 1, service=service(1), job="two"), 2 * 28), [])
    cut(order, [5, 5, 5, 5])


@pytest.mark.parametrize("address", ["localhost:1", "localhost", "nowhere.invalid:5050"])
def test_a_service_that_does_not_answer_is_named(index, address):
    with pytest.raises(UserError, match=f"config.data.service={address} "):
        detector_batches(index, service=address)


@pytest.mark.parametrize("limit", ["soft", "hard"])
def test_open_files_are_allowed_or_refused(index, monkeypatch, limit):
    limits = {"soft": (1024, 20000), "hard": (1024, 1024)}[limit]
    calls = []
    monkeypatch.setattr(pipeline.resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(pipeline.resource, "setrlimit", lambda _, values: calls.append(values))
    pipeline.allow_open_files(100)
    assert not calls
    if limit == "soft":
        pipeline.allow_open_files(1000)
        assert calls == [(2500, 20000)]
    else:
        with pytest.raises(UserError, match="1000 shards must be open.* 1024 files"):
            pipeline.allow_open_files(1000)


# ------------------------------------------------------------------------------------------------------ labeled images


def labeled_images(people, index, subjects, batch_size, *options):
    batches = list(pipeline.labeled_images(index, subjects, batch_size, *options).as_numpy_iterator())
    return sum((numbers(people, batch, "pose2d_crop") for batch in batches), []), batches


@pytest.mark.parametrize("subjects", [(1,), (5, 6), (1, 5, 6)])
def test_labeled_images_pass_once_over_all_samples(people, index, subjects):
    found, batches = labeled_images(people, index, subjects, 6)
    assert sorted(found) == wanted(people, subjects)
    assert {len(batch["image"]) for batch in batches[:-1]} <= {6}
    assert labeled_images(people, index, subjects, 6)[0] == found
    for batch in batches:
        assert (
            sorted(batch) == ["action", "image", "pose2d_crop", "pose3d", "subject"]
            and batch["image"].dtype == np.uint8
        )
        for number, pose3d, action in zip(batch["image"][:, 0, 0, 0], batch["pose3d"], batch["action"], strict=True):
            np.testing.assert_array_equal(pose3d, people.samples[number]["pose3d"])
            assert action == people.samples[number]["action"]


@pytest.mark.parametrize("every", [1, 2, 3, 7, 100])
def test_every_keeps_one_of_so_many(people, index, every):
    whole, _ = labeled_images(people, index, (1, 5), 3)
    assert labeled_images(people, index, (1, 5), 3, every)[0] == whole[::every]


def test_images_of_the_test_set_come_in_record_order(tmp_path, people):
    path = str(tmp_path / "test_set.tfrecords")
    unlabeled = [{key: sample[key] for key in records.H36M_TEST.fields} for sample in people.samples[5:18]]
    records.write(path, unlabeled, records.H36M_TEST)
    images, offsets = zip(*pipeline.test_samples(path, 5, ("image", "offset")))
    assert [batch.shape for batch in images] == [(5, 256, 256, 3), (5, 256, 256, 3), (3, 256, 256, 3)]
    np.testing.assert_array_equal(np.concatenate(images), [sample["image"] for sample in unlabeled])
    np.testing.assert_array_equal(np.concatenate(offsets), [sample["offset"] for sample in unlabeled])


# ------------------------------------------------------------------------------------------------------- lifter batches


@pytest.fixture
def pose_set():
    """23 poses; the 2D and the 3D pose carry the same number."""
    number = np.arange(23, dtype=np.float32)[:, None, None]
    return PoseSet(number * np.ones((1, 17, 2), np.float32), -number * np.ones((1, 17, 3), np.float32), *[[0] * 23] * 3)


def lift(pose_set, count, batch_size=BATCH, **options):
    batches = pipeline.lifter_batches(pose_set, batch_size, **({"seed": 0} | options))
    size = batch_size // options.get("share", Share()).total
    found = []
    for batch in batches.take(count).as_numpy_iterator():
        assert batch["pose2d_crop"].shape == (size, 17, 2) and batch["pose3d"].shape == (size, 17, 3)
        assert batch["pose2d_crop"].dtype == batch["pose3d"].dtype == np.float32
        assert np.ptp(batch["pose2d_crop"], axis=(1, 2)).max() == np.ptp(batch["pose3d"], axis=(1, 2)).max() == 0
        np.testing.assert_array_equal(batch["pose2d_crop"][:, 0, 0], -batch["pose3d"][:, 0, 0])
        found.append(batch["pose2d_crop"][:, 0, 0].astype(int).tolist())
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


@pytest.mark.parametrize("start_step", [0, 1, 2, 7])
@pytest.mark.parametrize("count", [1, 2, 4], ids=["four hosts", "two hosts", "one host"])
def test_hosts_and_replicas_of_the_lifter_get_the_parts_of_the_global_batch_in_turn(pose_set, count, start_step):
    """Two steps are an epoch."""
    whole = lift(pose_set, 5, 8, start_step=start_step)
    parts = [[] for _ in whole]
    for first in range(0, 4, count):
        batches = lift(pose_set, 5 * count, 8, start_step=start_step, share=Share(first, count, 4))
        for step in range(5):
            parts[step] += sum(batches[step * count : (step + 1) * count], [])
    assert parts == whole


# ------------------------------------------------------------------------------------------------ damage: it is skipped


def without(order, damaged):
    """The remaining samples of a stream, and the number of samples missing right before each."""
    found, missing, pending = [], [], 0
    for number in order:
        if number in damaged:
            pending += 1
        else:
            found.append(number)
            missing.append(pending)
            pending = 0
    return found, missing


def skipped_records(text):
    """The numbers of the skipped samples, from standard error."""
    found = re.findall(r'skipping a damaged record: "?\S*/h36/(\d+)\.tfrecord"? record (\d+)$', text, re.MULTILINE)
    return {int(shard) + SHARDS * int(place) for shard, place in found}


@pytest.mark.parametrize("fault", RECORD_FAULTS)
def test_damaged_records_are_left_out_counted_and_named(people, index, damage, capfd, fault):
    """The other samples keep the order that they have without damage."""
    damaged = {3: fault, 13: fault, 17: fault, 20: fault, 27: fault}
    now = index_records(damage(damaged).data_dir, on_damage="skip")
    np.testing.assert_array_equal(now.lengths, 8 * [3] + [2, 2])
    np.testing.assert_array_equal(now.counts(EVERYBODY), [2, 3, 3, 1, 3, 3, 3, 1, 2, 2])
    found, missing = without(take_samples(people, index, 2 * 28)[0], damaged)
    assert len(found) == 2 * 23
    capfd.readouterr()
    assert take_samples(people, now, 2 * 23, on_damage="skip") == (found, missing)
    assert skipped_records(capfd.readouterr().err) == set(damaged)


@pytest.mark.parametrize("start_step", [1, 9, 20, 23, 31])
def test_damaged_records_do_not_hinder_continuing(people, damage, start_step):
    """An epoch has 23 samples left. A start at a chunk boundary does not see the damage before it."""
    now = index_records(damage(dict.fromkeys((3, 13, 17, 20, 27), "image size")).data_dir, on_damage="skip")
    found, missing = take_samples(people, now, start_step + 12, on_damage="skip")
    again = take_samples(people, now, 12, on_damage="skip", start_step=start_step)
    assert again[0] == found[start_step:]
    assert again[1][1:] == missing[start_step + 1 :]


@pytest.mark.parametrize(
    ("fault", "lost"),
    [("cut", [13, 23]), ("flipped", [13, 23]), ("text", [3, 13, 23]), ("empty", [3, 13, 23]), ("gone", [3, 13, 23])],
)
def test_the_rest_of_a_file_that_breaks_off_is_one_damaged_record(people, index, damage, capfd, fault, lost):
    """The index was made before the damage."""
    copy = damage({})
    before = index_records(copy.data_dir)
    FILE_FAULTS[fault](copy.paths[3])
    left = sorted(set(range(28)) - set(lost))
    found, skipped = take_samples(people, before, 2 * len(left) + 1, on_damage="skip")
    assert sorted(found[: len(left)]) == sorted(found[len(left) : -1]) == left
    assert sum(skipped[:-1]) <= 2 <= sum(skipped)  # one of each epoch; the last may come at the beginning of the third
    assert skipped_records(capfd.readouterr().err) == {lost[0]}


@pytest.mark.parametrize(
    ("fault", "length", "words"),
    [
        ("cut", 1, " record 1: the file ends in the middle of it"),
        ("flipped", 1, " record 1: its bytes are damaged"),
        ("text", 0, ": expected TFRecords with ZLIB compression, but the file has no compression"),
        ("empty", 0, " is empty"),
    ],
)
def test_an_index_of_a_file_that_breaks_off_counts_what_can_be_reached(people, damage, capfd, fault, length, words):
    """Therefore nothing is skipped later, and resuming is exact."""
    copy = damage({})
    FILE_FAULTS[fault](copy.paths[3])
    now = index_records(copy.data_dir, on_damage="skip")
    assert now.lengths[3] == now.counts(EVERYBODY)[3] == length
    assert f"skipping the rest of a file: {copy.paths[3]}{words}" in capfd.readouterr().err
    left = sorted(set(range(28)) - {3, 13, 23} | set([3][:length]))
    found, skipped = take_samples(people, now, 2 * len(left), on_damage="skip")
    assert sorted(found[: len(left)]) == sorted(found[len(left) :]) == left
    assert not any(skipped) and not skipped_records(capfd.readouterr().err)
    assert take_samples(people, now, 9, on_damage="skip", start_step=30)[0] == found[30:39]


def test_damage_where_nothing_is_read_is_no_damage(people, damage, rewrite):
    """The sample is missing in the index and in the batches: both have to agree."""
    copy = damage({13: "image size"})
    rewrite(copy.paths[4], records.H36M, lambda place, example: drop("camera")(example), people.samples[4::SHARDS])
    now = index_records(copy.data_dir, on_damage="skip")
    np.testing.assert_array_equal(now.counts(EVERYBODY), [3, 3, 3, 2, 3, 3, 3, 3, 2, 2])
    found, _ = take_samples(people, now, 27, on_damage="skip")
    assert sorted(found) == sorted(set(range(28)) - {13})


@pytest.mark.parametrize(("subjects", "met"), [(EVERYBODY, {3, 23, 20, 8}), ((5,), {3, 23, 20})])
def test_labeled_images_leave_damage_out(people, index, damage, capfd, subjects, met):
    """The file of sample 8 has no samples of subject 5, so it is not opened."""
    whole, _ = labeled_images(people, index, subjects, 6)
    copy = damage({3: "image size", 23: "no Example", 20: "NaN joints", 8: "missing action"})
    now = index_records(copy.data_dir, on_damage="skip")
    capfd.readouterr()
    found, batches = labeled_images(people, now, subjects, 6, 1, "skip")
    assert found == [number for number in whole if number not in (3, 23, 20, 8)]
    assert {tuple(sorted(batch)) for batch in batches} == {("action", "image", "pose2d_crop", "pose3d", "subject")}
    assert skipped_records(capfd.readouterr().err) == met
    every = labeled_images(people, now, subjects, 6, 3, "skip")[0]
    assert every == found[::3]


def test_labeled_images_go_on_after_a_file_that_breaks_off(people, damage, capfd):
    copy = damage({})
    before = index_records(copy.data_dir)
    FILE_FAULTS["flipped"](copy.paths[6])
    found, _ = labeled_images(people, before, EVERYBODY, 6, 1, "skip")
    assert sorted(found) == sorted(set(range(28)) - {16, 26})
    assert skipped_records(capfd.readouterr().err) == {16}


@pytest.mark.parametrize("round_", range(6))
def test_random_damage(people, damage, round_):
    """Damage of any kind, anywhere: each sound sample comes once per epoch, and any step can be the first.

    Files without a sound sample of the subjects are not opened, so their damage does not count.
    """
    rng = np.random.default_rng(round_)
    damaged = {int(n): str(rng.choice(sorted(RECORD_FAULTS))) for n in rng.permutation(28)[: rng.integers(1, 15)]}
    subjects = tuple(rng.permutation(EVERYBODY)[: rng.integers(1, 4)].tolist())
    options = {"subjects": subjects, "on_damage": "skip", "seed": int(rng.integers(100))}
    copy = damage(damaged)
    lost = set(damaged)
    if round_ % 2:
        shard = int(rng.integers(SHARDS))
        data = copy.paths[shard].read_bytes()
        copy.paths[shard].write_bytes(data[: rng.integers(2, len(data) - 4)])
    now = index_records(copy.data_dir, on_damage="skip")
    unreachable = set()
    if round_ % 2:
        unreachable = set(range(shard, 28, SHARDS)) - set(range(shard, 28, SHARDS)[: now.lengths[shard]])
        assert unreachable, "a cut file has lost nothing"
    sound = [number for number in wanted(people, subjects) if number not in lost | unreachable]
    expected = np.bincount([number % SHARDS for number in sound], minlength=SHARDS)
    np.testing.assert_array_equal(now.counts(subjects), expected)
    found, skipped = take_samples(people, now, 2 * len(sound) + 1, **options)
    assert sorted(found[: len(sound)]) == sorted(found[len(sound) : -1]) == sound
    met = [number for number in lost - unreachable if expected[number % SHARDS]]
    assert sum(skipped[:-1]) <= 2 * len(met) <= sum(skipped)
    start = int(rng.integers(2 * len(sound)))
    assert take_samples(people, now, 2 * len(sound) + 1 - start, start_step=start, **options)[0] == found[start:]
