"""Tests of pose sets: choosing subjects, pose files that are wrong, and the cache of poses read from records."""

import re

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.data import poses, records
from pose_tf.data.poses import PoseSet
from pose_tf.errors import UserError


@pytest.fixture
def pose_set():
    """Nine poses of subjects 1, 5 and 7, numbered in every array."""
    subject = np.array([1, 5, 7, 1, 1, 7, 5, 1, 7])
    number = np.arange(9, dtype=np.float32)
    pose2d = np.broadcast_to(number[:, None, None], (9, 17, 2))
    return PoseSet(pose2d, np.broadcast_to(100 * number[:, None, None], (9, 17, 3)), subject, 2 + np.arange(9), "FILE")


def numbers(chosen):
    """The numbers of the poses in a set whose arrays belong together."""
    found = chosen.pose2d[:, 0, 0].astype(int)
    np.testing.assert_array_equal(chosen.pose3d[:, 16, 2], 100 * found)
    np.testing.assert_array_equal(chosen.action, 2 + found)
    assert len(chosen) == len(found) == len(chosen.subject)
    return found.tolist()


# ------------------------------------------------------------------------------------------------------------ pose sets


@pytest.mark.parametrize(
    ("subjects", "expected"),
    [([1], [0, 3, 4, 7]), ((7, 5), [1, 2, 5, 6, 8]), ({1, 5, 7}, list(range(9))), (np.array([5]), [1, 6])],
)
def test_select_keeps_the_poses_of_subjects_in_order(pose_set, subjects, expected):
    chosen = pose_set.select(subjects)
    assert numbers(chosen) == expected
    assert chosen.source == "FILE" and set(chosen.subject) == set(subjects)


def test_split_divides_all_poses(pose_set):
    training, validation = pose_set.split((5,))
    assert numbers(training) == [0, 2, 3, 4, 5, 7, 8] and numbers(validation) == [1, 6]
    training, validation = pose_set.split([7, 1])
    assert numbers(training) == [1, 6] and numbers(validation) == [0, 2, 3, 4, 5, 7, 8]


@pytest.mark.parametrize(
    ("method", "subjects", "message"),
    [
        ("select", (1, 8), "FILE has no sample of subject 8; it has 1, 5, 7"),
        ("select", (9, 8, 1), "FILE has no sample of subject 8, 9; it has 1, 5, 7"),
        ("split", (6,), "FILE has no sample of subject 6; it has 1, 5, 7"),
        ("split", (7, 5, 1), "FILE has only subject 1, 5, 7, which is held out for validation"),
    ],
)
def test_a_subject_without_poses_is_named(pose_set, method, subjects, message):
    with pytest.raises(UserError) as caught:
        getattr(pose_set, method)(subjects)
    assert str(caught.value) == message


@pytest.mark.parametrize("none", [(), [], set()])
def test_split_without_held_out_subjects_gives_all_poses_twice(pose_set, none):
    training, validation = pose_set.split(none)
    assert numbers(training) == numbers(validation) == list(range(9))


# ----------------------------------------------------------------------------------------------------------- pose files


@pytest.mark.parametrize(
    ("factor", "unit"),
    [(0.001, "meters"), (0.01, "decimeters"), (0.1, "centimeters"), (1 / 25.4, "inches"), (1 / 304.8, "feet")],
)
def test_poses_in_other_units_than_millimeters_are_refused(rng, factor, unit):
    pose3d = rng.normal(0, 300, (20, 17, 3)) + [0, 0, 5000]
    pose2d = rng.uniform(0, 256, (20, 17, 2))
    poses.check_units(pose2d, pose3d, "FILE")
    poses.check_units(pose2d, pose3d * 0.4, "FILE")  # small children
    with pytest.raises(UserError, match=rf"FILE: 'pose3d' must be in millimeters, but .* are these {unit}\?"):
        poses.check_units(pose2d, pose3d * factor, "FILE")
    for nonsense in (pose3d * 0, pose3d * 1000):
        with pytest.raises(UserError, match="FILE: 'pose3d' must be in millimeters, but .* in the median$"):
            poses.check_units(pose2d, nonsense, "FILE")


@pytest.mark.parametrize(
    ("change", "unit"),
    [
        (lambda px: px / 128 - 1, "normalized"),
        (lambda px: px / 256, "normalized"),
        (lambda px: px * 5, "pixels of"),
        (lambda px: px + 300, "pixels of"),
        (lambda px: px - 128, "pixels of"),
    ],
)
def test_2d_poses_in_other_units_than_pixels_of_the_crop_are_refused(rng, change, unit):
    pose3d = rng.normal(0, 300, (20, 17, 3))
    pose2d = rng.uniform(0, 256, (20, 17, 2))
    with pytest.raises(
        UserError, match=rf"FILE: 'pose2d_crop' must be in pixels of the 256x256 crop.* are these {unit}"
    ):
        poses.check_units(change(pose2d), pose3d, "FILE")


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "pose2d_crop": rng.uniform(0, 256, (4, 17, 2)),
        "pose3d": rng.normal(0, 500, (4, 17, 3)),
        "subject": np.array([1, 1, 5, 8], np.int32),
        "action": np.array([2, 3, 16, 9], np.int16),
    }


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_pose_file_is_read(tmp_path, arrays, save):
    path = str(tmp_path / "poses.npz")
    save(path, clip=np.zeros(3), **arrays)
    read = poses.read_pose_file(path)
    assert read.source == path and len(read) == 4
    assert (read.pose2d.dtype, read.pose3d.dtype) == (np.float32, np.float32)
    assert (read.subject.dtype, read.action.dtype) == (np.int64, np.int64)
    np.testing.assert_array_equal(read.pose2d, arrays["pose2d_crop"].astype(np.float32))
    np.testing.assert_array_equal(read.pose3d, arrays["pose3d"].astype(np.float32))
    np.testing.assert_array_equal(read.subject, [1, 1, 5, 8])
    np.testing.assert_array_equal(read.action, [2, 3, 16, 9])


def test_action_is_minus_one_where_unknown(tmp_path, arrays):
    del arrays["action"]
    np.savez(tmp_path / "poses.npz", **arrays)
    assert poses.read_pose_file(str(tmp_path / "poses.npz")).action.tolist() == [-1] * 4


def spoiled(key, place, value):
    def change(arrays):
        arrays[key] = arrays[key].astype(float)
        arrays[key][place] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda arrays: arrays.pop("subject"), "has no array 'subject'"),
        (lambda arrays: arrays.pop("pose3d"), "has no array 'pose3d'"),
        (lambda arrays: arrays.pop("pose2d_crop"), "has no array 'pose2d_crop'"),
        (lambda arrays: arrays.clear(), "has no array '"),
        (lambda arrays: arrays.update(pose3d=np.zeros((4, 16, 3))), r"'pose3d' has shape \(4, 16, 3\), .*\(4, 17, 3\)"),
        (lambda arrays: arrays.update(pose3d=np.zeros((3, 17, 3))), r"'pose3d' has shape \(3, 17, 3\), .*\(4, 17, 3\)"),
        (lambda arrays: arrays.update(pose2d_crop=np.zeros((4, 34))), r"'pose2d_crop' has shape \(4, 34\)"),
        (lambda arrays: arrays.update(subject=np.zeros((4, 1))), r"'subject' has shape \(4, 1\)"),
        (lambda arrays: arrays.update(subject=np.array(1)), r"'subject' has shape \(\)"),
        (lambda arrays: arrays.update(action=np.zeros(5)), r"'action' has shape \(5,\)"),
        (lambda arrays: arrays.update(subject=np.array(["S1"] * 4)), "'subject'"),
        (lambda arrays: arrays.update({key: value[:0] for key, value in arrays.items()}), "holds no poses"),
        (spoiled("pose2d_crop", (2, 5, 1), np.nan), r"poses.npz pose 2: 'pose2d_crop' holds NaN or infinity"),
        (spoiled("pose3d", (3, 0, 0), -np.inf), r"poses.npz pose 3: 'pose3d' holds NaN or infinity"),
        (spoiled("subject", 1, np.nan), r"poses.npz pose 1: 'subject' holds NaN or infinity"),
        (lambda arrays: arrays.update(subject=np.array([1, 1, 5, 8], object)), "[Oo]bject"),
        (lambda arrays: arrays.update(pose3d=arrays["pose3d"].astype(object)), "[Oo]bject"),
    ],
)
def test_a_wrong_pose_file_is_refused_with_the_reason(tmp_path, arrays, change, words):
    path = tmp_path / "poses.npz"
    change(arrays)
    np.savez(path, **arrays)
    message = refusal(path)
    assert re.search(words, message)


def refusal(path):
    with pytest.raises(UserError) as caught:
        poses.read_pose_file(str(path))
    assert str(path) in str(caught.value)
    return str(caught.value)


class Trap:
    def __reduce__(self):
        return pytest.fail, ("a pickle was loaded",)


def test_no_pickle_is_loaded(tmp_path, arrays):
    arrays["subject"] = np.array([Trap()] * 4, object)
    np.savez(tmp_path / "poses.npz", **arrays)
    refusal(tmp_path / "poses.npz")
    np.save(tmp_path / "poses.npy", arrays["subject"])
    refusal(tmp_path / "poses.npy")


def test_files_that_are_no_pose_files(tmp_path, arrays):
    assert refusal(tmp_path / "gone.npz") == f"{tmp_path / 'gone.npz'} does not exist"
    refusal(tmp_path)
    np.savez(tmp_path / "poses.npz", **arrays)
    data = (tmp_path / "poses.npz").read_bytes()
    for name, content in {
        "text": b"x, y, z\n1, 2, 3\n",
        "empty": b"",
        "cut": data[:900],
        "flip": flip(data, 600),
    }.items():
        (tmp_path / name).write_bytes(content)
        refusal(tmp_path / name)
    np.save(tmp_path / "one.npy", arrays["pose3d"])
    refusal(tmp_path / "one.npy")


def flip(data, place):
    return data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


# ---------------------------------------------------------------------------------------------------- poses of records


@pytest.fixture
def data_dir(tmp_path, people):
    """Two shards with samples 0 to 3 and 4 to 6."""
    records.write(str(tmp_path / "data" / "h36" / "a"), people.samples[:4], records.H36M)
    records.write(str(tmp_path / "data" / "h36" / "b"), people.samples[4:7], records.H36M)
    return tmp_path / "data"


def test_poses_of_records_are_those_written(people):
    read = poses.index_records(people.data_dir).poses
    assert read.source == people.data_dir and len(read) == 28
    samples = {sample["pose3d"].tobytes(): sample for sample in people.samples}
    assert {pose3d.tobytes() for pose3d in read.pose3d} == set(samples)
    for pose2d, pose3d, subject, action in zip(read.pose2d, read.pose3d, read.subject, read.action, strict=True):
        sample = samples[pose3d.tobytes()]
        np.testing.assert_array_equal(pose2d, sample["pose2d_crop"])
        assert (subject, action) == (sample["subject"], sample["action"])


def test_poses_of_records_keep_one_order(people, data_dir):
    first, again = poses.index_records(people.data_dir).poses, poses.index_records(people.data_dir).poses
    np.testing.assert_array_equal(first.pose3d, again.pose3d)
    np.testing.assert_array_equal(
        np.sort(poses.index_records(str(data_dir)).poses.pose3d, axis=0),
        np.sort([sample["pose3d"] for sample in people.samples[:7]], axis=0),
    )


def test_the_cache_is_used_while_the_records_stay(tmp_path, data_dir, monkeypatch):
    first = poses.index_records(str(data_dir), str(tmp_path)).poses
    assert (tmp_path / "index.npz").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"index.npz", "data"}
    monkeypatch.setattr(tf.data, "TFRecordDataset", lambda *_, **__: pytest.fail("the records were read again"))
    again = poses.index_records(str(data_dir), str(tmp_path)).poses
    for name in ("pose2d", "pose3d", "subject", "action", "source"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        if name != "source":
            assert getattr(first, name).dtype == getattr(again, name).dtype


def test_without_a_cache_nothing_is_written(data_dir, tmp_path):
    assert len(poses.index_records(str(data_dir)).poses) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda folder, samples: records.write(str(folder / "c"), samples[9:10], records.H36M), 8),
        (lambda folder, samples: records.write(str(folder / "b"), samples[:6], records.H36M), 10),
        (lambda folder, samples: (folder / "b").unlink(), 4),
    ],
    ids=["another shard", "a longer shard", "a shard less"],
)
def test_the_cache_is_not_used_when_the_records_change(tmp_path, data_dir, people, change, expected):
    assert len(poses.index_records(str(data_dir), str(tmp_path)).poses) == 7
    change(data_dir / "h36", people.samples)
    for _ in range(2):
        assert len(poses.index_records(str(data_dir), str(tmp_path)).poses) == expected


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not a zip file"),
        lambda path: path.write_bytes(path.read_bytes()[:-500]),
        lambda path: path.write_bytes(path.read_bytes()[:500]),
        lambda path: path.write_bytes(flip(path.read_bytes(), 700)),
        lambda path: np.savez(path, pose2d=np.zeros((7, 17, 2))),
        lambda path: np.savez(path, **(dict(np.load(path)) | {"fingerprint": np.array([{}], object)})),
    ],
    ids=["empty", "text", "cut", "cut early", "flipped bit", "no fingerprint", "pickle"],
)
def test_a_damaged_cache_is_made_again(tmp_path, data_dir, spoil):
    first = poses.index_records(str(data_dir), str(tmp_path)).poses
    spoil(tmp_path / "index.npz")
    for _ in range(2):
        again = poses.index_records(str(data_dir), str(tmp_path)).poses
        np.testing.assert_array_equal(again.pose2d, first.pose2d)
        np.testing.assert_array_equal(again.pose3d, first.pose3d)
    with np.load(tmp_path / "index.npz") as cache:
        assert len(cache["subject"]) == 7


def test_damaged_records_leave_no_cache(tmp_path, data_dir):
    (data_dir / "h36" / "b").write_bytes((data_dir / "h36" / "b").read_bytes()[:-1000])
    with pytest.raises(UserError, match=re.escape(str(data_dir / "h36" / "b"))):
        poses.index_records(str(data_dir), str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_no_records(tmp_path):
    with pytest.raises(UserError, match=re.escape(str(tmp_path / "h36"))):
        poses.index_records(str(tmp_path))
    records.write(str(tmp_path / "h36" / "a"), [], records.H36M)
    with pytest.raises(UserError, match="holds no records"):
        poses.index_records(str(tmp_path))
