"""Tests of writing records in random order."""

import collections
import itertools
import os
import shutil
import types
import zlib

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import files
from pose_tf.data import records, shuffling
from pose_tf.data.shuffling import shuffle_records
from pose_tf.errors import UserError
from pose_tf.skeleton import find_skeleton
from tests.data.damage import FILE_FAULTS

PHOTOS = 30


@pytest.fixture(scope="module")
def both(people, tmp_path_factory):
    """Path of a copy of `people`, 28 records in ten files, with 30 photographs in four files."""
    folder = tmp_path_factory.mktemp("both")
    shutil.copytree(os.path.join(people.data_dir, "h36"), folder / "h36")
    jpeg = tf.io.encode_jpeg(np.zeros((40, 30, 3), np.uint8)).numpy()
    photos = [
        {"image": jpeg, "pose2d": np.full((16, 2), number, np.float32), "visibility": np.ones((1, 16), np.int64)}
        for number in range(PHOTOS)
    ]
    for number in range(4):
        records.write(str(folder / "mpii" / f"{number}.tfrecord"), photos[number::4], records.MPII)
    return folder


def stored(data_dir, kind):
    """The serialized examples of all files in order, read as training does."""
    shards = records.list_shards(str(data_dir), kind)
    return [data for shard in shards for data in records.read_serialized(shard, records.KINDS[kind])]


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_records_are_the_same(both, tmp_path):
    assert shuffle_records(str(both), str(tmp_path / "out"), shards=3) == {"h36": 28, "mpii": PHOTOS}
    for kind in ("h36", "mpii"):
        before, after = (collections.Counter(stored(folder, kind)) for folder in (both, tmp_path / "out"))
        assert before == after
        assert [path.name for path in sorted((tmp_path / "out" / kind).iterdir())] == [
            f"shuffled_{number:05d}-of-00003.tfrecord" for number in range(3)
        ]
    assert sorted(os.listdir(tmp_path / "out")) == ["h36", "mpii"]


def test_the_files_are_one_zlib_stream_each(both, tmp_path):
    shuffle_records(str(both), str(tmp_path), shards=1)
    (path,) = (tmp_path / "h36").iterdir()
    whole = zlib.decompress(path.read_bytes())
    assert len(whole) == sum(len(data) + records.FRAME_BYTES for data in stored(both, "h36"))
    assert path.stat().st_size < len(whole) / 10
    assert [data for data in records.inflate(str(path), lambda size: None)] == stored(tmp_path, "h36")


def test_the_seed_gives_the_order_and_the_files_do_not_change_it(both, tmp_path):
    for name, options in {"a": {}, "b": {}, "c": {"seed": 1}, "d": {"shards": 5}}.items():
        shuffle_records(str(both), str(tmp_path / name), **{"shards": 2} | options)
    assert content(tmp_path / "a") == content(tmp_path / "b")
    for kind in ("h36", "mpii"):
        assert stored(tmp_path / "a", kind) == stored(tmp_path / "d", kind)
        assert stored(tmp_path / "a", kind) != stored(tmp_path / "c", kind)


def test_every_order_is_equally_likely():
    """Three records in two files: each of the six orders comes up in a sixth of 600 seeds, within 4 deviations."""
    counts = collections.Counter()
    for seed in range(600):
        drawn = [shuffling._random_numbers(seed, file) for file in range(2)]
        counts[tuple(np.argsort([next(drawn[0]), next(drawn[0]), next(drawn[1])]).tolist())] += 1
    assert counts.keys() == set(itertools.permutations(range(3)))
    assert all(abs(count - 100) < 4 * np.sqrt(600 / 6 * 5 / 6) for count in counts.values())


@pytest.fixture(scope="module")
def numbered(make_sample, tmp_path_factory):
    """Path of 600 records in two files, in the order of their frames' numbers."""
    folder, base = tmp_path_factory.mktemp("numbered"), make_sample(0, noise=1)
    for part in range(2):
        samples = (base | {"framd_id": number} for number in range(300 * part, 300 * part + 300))
        records.write(str(folder / "h36" / f"{part}.tfrecord"), samples, records.H36M)
    return folder


def test_records_of_all_files_are_mixed(numbered, tmp_path):
    shuffle_records(str(numbered), str(tmp_path), shards=4)
    order = []
    for shard in records.list_shards(str(tmp_path)):
        frames = [int(sample["framd_id"]) for sample in records.read(shard, records.H36M)]
        assert 90 < len(frames) < 210
        assert 0.35 < np.mean(np.array(frames) < 300) < 0.65
        order += frames
    assert sorted(order) == list(range(600))
    assert abs(np.corrcoef(order, range(600))[0, 1]) < 0.15


def test_the_names_of_joints_come_along(both, tmp_path):
    shutil.copytree(both / "mpii", tmp_path / "in" / "mpii")
    files.write_json(str(tmp_path / "in" / "mpii" / "skeleton.json"), find_skeleton("mpii_16", "").to_json())
    shuffle_records(str(tmp_path / "in"), str(tmp_path / "out"))
    names = [tmp_path / folder / "mpii" / "skeleton.json" for folder in ("in", "out")]
    assert names[0].read_bytes() == names[1].read_bytes()
    assert not (tmp_path / "out" / "h36").exists()


def test_files_without_records_are_left_out(both, tmp_path):
    shuffle_records(str(both), str(tmp_path), shards=1000)
    names = sorted(os.listdir(tmp_path / "mpii"))
    assert (
        PHOTOS - 3 <= len(names) <= PHOTOS
        and names[-1] == f"shuffled_{len(names) - 1:05d}-of-{len(names):05d}.tfrecord"
    )
    assert collections.Counter(stored(tmp_path, "mpii")) == collections.Counter(stored(both, "mpii"))


class Killed(BaseException):
    pass


@pytest.mark.parametrize("count", range(5))
def test_a_call_that_was_stopped_in_pass_2_continues_there(both, tmp_path, monkeypatch, count):
    shuffle_records(str(both), str(tmp_path / "whole"), shards=4)
    monkeypatch.setattr(shuffling, "WRITERS", 1)
    write, written = shuffling._Job._write_shard, []

    def write_some(self, number):
        if len(written) == count:
            raise Killed
        written.append(number)
        write(self, number)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(shuffling._Job, "_write_shard", write_some)
        shuffle_records(str(both), str(tmp_path / "out"), shards=4)
    assert os.listdir(tmp_path / "out") == [".partial-shuffled"]
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("h36/complete/*")}
    assert len(times) == min(count, 4)
    (tmp_path / "out" / ".partial-shuffled" / "h36" / "complete" / ".partial-0123").write_text("of a killed process")
    with monkeypatch.context() as patch:
        patch.setattr(shuffling, "in_parallel", only_writing(shuffling.in_parallel))
        shuffle_records(str(both), str(tmp_path / "out"), shards=4)
    assert content(tmp_path / "out") == content(tmp_path / "whole")
    assert {name: (tmp_path / "out" / "h36" / name).stat().st_mtime_ns for name in times} == times


def only_writing(in_parallel):
    """`in_parallel` that allows reading photographs only, which come after the kill."""

    def run(function, items, stop, threads=None):
        assert threads or len(items) == 4, "the records of h36 are read again"
        in_parallel(function, items, stop, threads)

    return run


def test_a_call_that_was_stopped_between_two_kinds_continues_there(both, tmp_path, monkeypatch):
    shuffle_records(str(both), str(tmp_path / "whole"))
    publish = shuffling._Job.publish

    def publish_first(self):
        if self.kind == "mpii":
            raise Killed
        publish(self)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(shuffling._Job, "publish", publish_first)
        shuffle_records(str(both), str(tmp_path / "out"))
    assert sorted(os.listdir(tmp_path / "out")) == [".partial-shuffled", "h36"]
    shuffle_records(str(both), str(tmp_path / "out"))
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.parametrize("lost", ["00001.bucket", "complete"])
def test_a_call_starts_again_if_something_is_lost(both, tmp_path, monkeypatch, lost):
    def stop(self, number):
        raise Killed

    shuffle_records(str(both), str(tmp_path / "whole"), shards=3)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(shuffling._Job, "_write_shard", stop)
        shuffle_records(str(both), str(tmp_path / "out"), shards=3)
    os.rename(tmp_path / "out" / ".partial-shuffled" / "h36" / lost, tmp_path / "lost")
    shuffle_records(str(both), str(tmp_path / "out"), shards=3)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_other_arguments_start_again(both, tmp_path, monkeypatch):
    def stop(self):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(shuffling._Job, "publish", stop)
        shuffle_records(str(both), str(tmp_path / "out"), seed=1)
    shuffle_records(str(both), str(tmp_path / "out"), seed=2)
    shuffle_records(str(both), str(tmp_path / "whole"), seed=2)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


@pytest.mark.parametrize("fault", sorted(FILE_FAULTS.keys() - {"gone"}))
@pytest.mark.parametrize("kind", ["h36", "mpii"])
def test_damaged_files_are_named_and_nothing_is_left(both, tmp_path, kind, fault):
    shutil.copytree(both, tmp_path / "in")
    path = tmp_path / "in" / kind / {"h36": "03.tfrecord", "mpii": "3.tfrecord"}[kind]
    FILE_FAULTS[fault](path)
    with pytest.raises(UserError) as expected:
        list(records.read_serialized(str(path), records.KINDS[kind]))
    with pytest.raises(UserError) as raised:
        shuffle_records(str(tmp_path / "in"), str(tmp_path / "out"))
    assert str(raised.value) == str(expected.value)
    assert str(path) in str(raised.value)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix == ".tfrecord" and path.parts[-2] == kind]
    assert not (tmp_path / "out" / kind).exists()


def test_directories_that_are_refused(both, tmp_path):
    shutil.copytree(both / "mpii", tmp_path / "in" / "mpii")
    (tmp_path / "link").symlink_to("in")
    for target in ("in", "link", ".", "in/mpii", "in/mpii/new"):
        with pytest.raises(UserError, match="must not contain the records to shuffle"):
            shuffle_records(str(tmp_path / "in"), str(tmp_path / target))
    with pytest.raises(UserError, match="empty contains no records"):
        shuffle_records(str(tmp_path / "empty"), str(tmp_path / "out"))
    shuffle_records(str(tmp_path / "in"), str(tmp_path / "out"))
    with pytest.raises(UserError, match="out/mpii exists already; give another --output_dir"):
        shuffle_records(str(tmp_path / "in"), str(tmp_path / "out"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="file cannot be written"):
        shuffle_records(str(tmp_path / "in"), str(tmp_path / "file"))


def test_two_calls_at_a_time_are_refused(both, tmp_path):
    with (
        files.locked(str(tmp_path)),
        pytest.raises(UserError, match="another process is shuffling records to"),
    ):
        shuffle_records(str(both), str(tmp_path))


def test_a_disk_that_is_too_small_is_named_before_anything_is_read(both, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=1000))
    with pytest.raises(UserError, match=r"has 0\.0 GB of free space, but shuffling needs up to"):
        shuffle_records(str(both), str(tmp_path))
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("sizes", [(0, 5), (5, 0), (70_000, 3), (1, 200_000)])
def test_checksums_of_parts_are_joined(rng, sizes):
    first, second = (rng.integers(0, 256, size, np.uint8).tobytes() for size in sizes)
    joined = shuffling._join_checksums(zlib.adler32(first), zlib.adler32(second), len(second))
    assert joined == zlib.adler32(first + second)
