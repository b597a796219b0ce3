"""Tests of the index of records: its content equals that of the records, and it is tied to the data."""

import concurrent.futures
import os
import re
import shutil

import numpy as np
import pytest

from pose_tf.data import records
from pose_tf.data.fingerprint import of_records
from pose_tf.data.inspection import inspect
from pose_tf.data.record_index import index_records
from pose_tf.data.sources import H36M, MPII
from pose_tf.errors import UserError
from tests.data.hidden import hide_files
from tests.data.photos import write_photos


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache directory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pose_tf"


@pytest.fixture
def data_dir(tmp_path, people):
    """Two shards with samples 0 to 3 and 4 to 6."""
    records.write(str(tmp_path / "data" / "h36" / "a"), people.samples[:4], records.H36M)
    records.write(str(tmp_path / "data" / "h36" / "b"), people.samples[4:7], records.H36M)
    return tmp_path / "data"


@pytest.fixture
def unread(monkeypatch):
    """unread(): from now on, the test fails if records are inflated."""

    def forbid():
        for name in ("inflate", "read_serialized"):
            monkeypatch.setattr(records, name, lambda *_: pytest.fail("the records were read again"))

    return forbid


def kept(folder):
    """Paths of the files in a directory, relative to it."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def assert_same(index, other):
    assert index.shards == other.shards
    for name in ("lengths", "shard"):
        np.testing.assert_array_equal(getattr(index, name), getattr(other, name))
    for name in ("pose2d_crop", "pose3d", "subject", "action"):
        ours, theirs = getattr(index.poses, name), getattr(other.poses, name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_poses_of_records_are_those_written(people):
    read = index_records(people.data_dir).poses
    assert read.source == people.data_dir and len(read) == 28
    samples = {sample["pose3d"].tobytes(): sample for sample in people.samples}
    assert {pose3d.tobytes() for pose3d in read.pose3d} == set(samples)
    for pose2d, pose3d, subject, action in zip(read.pose2d_crop, read.pose3d, read.subject, read.action, strict=True):
        sample = samples[pose3d.tobytes()]
        np.testing.assert_array_equal(pose2d, sample["pose2d_crop"])
        assert (subject, action) == (sample["subject"], sample["action"])


def test_poses_of_records_keep_one_order(people, data_dir):
    first = index_records(people.data_dir)
    shutil.rmtree(os.path.join(people.data_dir, ".pose_tf"))
    assert_same(index_records(people.data_dir), first)
    np.testing.assert_array_equal(
        np.sort(index_records(str(data_dir)).poses.pose3d, axis=0),
        np.sort([sample["pose3d"] for sample in people.samples[:7]], axis=0),
    )


def test_records_are_read_once_for_all_runs_and_evaluations(data_dir, unread, cache):
    first = index_records(str(data_dir))
    assert kept(data_dir) == {"h36/a", "h36/b", ".pose_tf/index.npz"}
    assert not cache.exists()
    unread()
    for on_damage in ("stop", "skip"):
        assert_same(index_records(str(data_dir), on_damage), first)


@pytest.mark.parametrize("source", [H36M, MPII], ids=lambda source: source.name)
def test_indexing_shows_on_standard_error_how_many_of_the_bytes_are_read(data_dir, capsys, source):
    write_photos(data_dir, 6, 2)
    size = sum(path.stat().st_size for path in (data_dir / source.name).iterdir())
    index_records(str(data_dir), kind=source.name)
    output = capsys.readouterr()
    assert output.out == ""
    shown = output.err.strip().split("\r")
    assert all(line.startswith(f"poses of {data_dir}: ") and line.endswith("B/s]") for line in shown if line.strip())
    assert shown[-1].startswith(f"poses of {data_dir}: 100%|")
    done, total = re.search(r"\| ([\d.]+)k/([\d.]+)k \[", shown[-1]).groups()
    assert done == total and float(total) == pytest.approx(size / 1000, rel=0.01)


def test_a_stored_index_is_read_in_silence(data_dir, capsys):
    index_records(str(data_dir))
    capsys.readouterr()
    index_records(str(data_dir))
    assert capsys.readouterr() == ("", "")


def test_each_record_is_inflated_once_to_be_indexed(data_dir, monkeypatch):
    inflated = []
    inflate = records.inflate
    monkeypatch.setattr(records, "inflate", lambda path, advance: inflated.append(path) or inflate(path, advance))
    monkeypatch.setattr(records, "check_end", lambda *_: pytest.fail("inflated a second time"))
    monkeypatch.setattr(records, "read_serialized", lambda *_: pytest.fail("inflated a second time"))
    assert len(index_records(str(data_dir)).poses) == 7
    assert sorted(inflated) == [str(data_dir / "h36" / "a"), str(data_dir / "h36" / "b")]


def test_an_index_is_not_taken_for_records(data_dir):
    before = inspect(str(data_dir))
    index = index_records(str(data_dir))
    assert index.shards == records.list_shards(str(data_dir)) == [str(data_dir / "h36" / name) for name in "ab"]
    after = inspect(str(data_dir))
    assert after.samples == before.samples == {"h36": 7} and not after.faults


def test_hidden_files_beside_the_records_are_no_damage_and_no_other_data(data_dir, unread):
    before, first = of_records(str(data_dir)), index_records(str(data_dir))
    hide_files(data_dir / "h36", "a")
    found = inspect(str(data_dir))
    assert found.samples == {"h36": 7} and not found.faults
    assert of_records(str(data_dir)) == before
    unread()
    assert_same(index_records(str(data_dir)), first)


def test_an_index_moves_with_its_data(tmp_path, data_dir, unread):
    index_records(str(data_dir))
    shutil.move(data_dir, tmp_path / "moved")
    unread()
    moved = index_records(str(tmp_path / "moved"))
    assert moved.shards == [f"{tmp_path}/moved/h36/a", f"{tmp_path}/moved/h36/b"]
    assert moved.poses.source == f"{tmp_path}/moved" and len(moved.poses) == 7


@pytest.fixture
def unwritable(data_dir):
    """Data in a directory that cannot be written. Permissions alone do not stop an administrator."""
    (data_dir / ".pose_tf").write_text("")
    return data_dir


def test_the_index_of_data_that_cannot_be_written_is_in_the_users_cache_directory(unwritable, people, cache, unread):
    first = index_records(str(unwritable))
    (name,) = kept(cache)
    assert re.fullmatch("index-[0-9a-f]{16}.npz", name)
    records.write(str(unwritable / "h36" / "b"), people.samples[4:6], records.H36M)
    assert len(index_records(str(unwritable)).poses) == 6
    assert len(kept(cache)) == 2
    records.write(str(unwritable / "h36" / "b"), people.samples[4:7], records.H36M)
    unread()
    assert_same(index_records(str(unwritable)), first)


def test_where_nothing_can_be_kept_the_records_are_read_every_time(unwritable, cache, tmp_path):
    (tmp_path / "cache").write_text("")
    for _ in range(2):
        assert len(index_records(str(unwritable)).poses) == 7
    assert kept(unwritable) == {"h36/a", "h36/b", ".pose_tf"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder, samples: records.write(str(folder / "c"), samples[9:10], records.H36M), 8),
        (lambda folder, samples: records.write(str(folder / "b"), samples[:6], records.H36M), 10),
        (lambda folder, samples: (folder / "b").unlink(), 4),
        (lambda folder, samples: (folder / "b").rename(folder / "c"), 7),
    ],
    ids=["another shard", "a longer shard", "a shard less", "another name"],
)
def test_an_index_is_not_used_when_the_records_change(data_dir, people, change, expected):
    assert len(index_records(str(data_dir)).poses) == 7
    change(data_dir / "h36", people.samples)
    for _ in range(2):
        index = index_records(str(data_dir))
        assert len(index.poses) == sum(index.lengths) == expected
        assert index.shards == records.list_shards(str(data_dir))


def flip(data, place):
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


def rewrite(**changes):
    def spoil(path):
        with np.load(path) as file:
            arrays = dict(file)
        np.savez(path, **{key: value for key, value in (arrays | changes).items() if value is not None})

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a zip file"),
        lambda path: path.write_bytes(path.read_bytes()[:-500]),
        lambda path: path.write_bytes(path.read_bytes()[:500]),
        lambda path: path.write_bytes(flip(path.read_bytes(), 700)),
        lambda path: np.savez(path, pose2d=np.zeros((7, 17, 2))),
        rewrite(fingerprint=np.array([{}], object)),
        rewrite(pose3d=np.zeros((7, 16, 3), np.float32)),
        rewrite(lengths=np.array([7])),
        rewrite(subject=None),
    ],
    ids=["empty", "text", "cut", "cut early", "flipped bit", "no fingerprint", "pickle", "shape", "length", "missing"],
)
def test_a_damaged_index_is_made_again(data_dir, spoil, capsys):
    first = index_records(str(data_dir))
    spoil(data_dir / ".pose_tf" / "index.npz")
    capsys.readouterr()
    for _ in range(2):
        assert_same(index_records(str(data_dir)), first)
    assert "error" not in capsys.readouterr().err.lower()
    with np.load(data_dir / ".pose_tf" / "index.npz") as file:
        assert len(file["subject"]) == 7


def test_several_may_index_at_once(data_dir):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(index_records, [str(data_dir)] * 8))
    for index in found:
        assert_same(index, found[0])
    assert kept(data_dir) == {"h36/a", "h36/b", ".pose_tf/index.npz"}


def test_damaged_records_leave_no_index(data_dir):
    (data_dir / "h36" / "b").write_bytes((data_dir / "h36" / "b").read_bytes()[:-1000])
    with pytest.raises(UserError, match=re.escape(str(data_dir / "h36" / "b"))):
        index_records(str(data_dir))
    assert kept(data_dir) == {"h36/a", "h36/b"}


def test_damaged_records_are_named_each_time_and_stop_who_does_not_skip_them(tmp_path, data_dir, people, capsys):
    """The index without these samples is stored, too."""
    bad = people.samples[5] | {"pose3d": np.full((17, 3), np.nan, np.float32)}
    records.write(str(data_dir / "h36" / "b"), [people.samples[4], bad, people.samples[6]], records.H36M)
    first = index_records(str(data_dir), "skip")
    words = "h36/b record 1: 'pose3d' holds NaN or infinity"
    assert f"skipping {data_dir}/{words}" in capsys.readouterr().err
    assert first.lengths.tolist() == [4, 3] and len(first.poses) == 6
    with pytest.raises(UserError, match=re.escape(f"{data_dir}/{words}")):
        index_records(str(data_dir))
    shutil.move(data_dir, tmp_path / "moved")
    capsys.readouterr()
    again = index_records(str(tmp_path / "moved"), "skip")
    assert capsys.readouterr().err == f"skipping {tmp_path}/moved/{words}\n"
    np.testing.assert_array_equal(again.poses.pose3d, first.poses.pose3d)


def test_no_records(tmp_path):
    with pytest.raises(UserError, match=re.escape(str(tmp_path / "h36"))):
        index_records(str(tmp_path))
    records.write(str(tmp_path / "h36" / "a"), [], records.H36M)
    with pytest.raises(UserError, match="contains no records"):
        index_records(str(tmp_path))
