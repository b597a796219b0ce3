"""Tests of pose sets: selection of subjects, and invalid pose files."""

import re

import numpy as np
import pytest

from pose_tf.data import poses
from pose_tf.data.poses import PoseSet
from pose_tf.errors import UserError
from pose_tf.skeleton import Skeleton


@pytest.fixture
def pose_set():
    """Nine poses of subjects 1, 5 and 7 whose arrays hold their numbers."""
    subject = np.array([1, 5, 7, 1, 1, 7, 5, 1, 7])
    number = np.arange(9, dtype=np.float32)
    pose2d = np.broadcast_to(number[:, None, None], (9, 17, 2))
    return PoseSet(pose2d, np.broadcast_to(100 * number[:, None, None], (9, 17, 3)), subject, 2 + np.arange(9), "FILE")


def numbers(chosen):
    """The numbers of the poses in a set; checks that all its arrays agree."""
    found = chosen.pose2d_crop[:, 0, 0].astype(int)
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


def test_the_units_of_few_joints_are_judged_by_what_they_can_show(tmp_path):
    """Hip joints are 130 mm from the hip, and a few pixels if seen from the side."""
    pose3d = np.float32([[[-130, 0, 4000], [130, 0, 4000]]] * 5)  # the hip is derived
    pose2d = np.float32([[[120, 128], [124, 128]]] * 5)
    pelvis = Skeleton("pelvis", ("Hip", "LHip", "RHip"), ((1, 0), (2, 0)))

    def read(pose2d, pose3d):
        arrays = {"pose2d_crop": pose2d, "pose3d": pose3d, "subject": np.zeros(5, int)}
        np.savez(tmp_path / "poses.npz", joints=np.array(["LHip", "RHip"]), **arrays)
        return poses.read_pose_file(f"{tmp_path}/poses.npz", pelvis)

    np.testing.assert_array_equal(read(pose2d, pose3d).pose3d[0], [[0, 0, 4000], [-130, 0, 4000], [130, 0, 4000]])
    with pytest.raises(UserError, match="'pose3d' must be in millimeters, but its joints reach 0.13 from the hip in t"):
        read(pose2d, pose3d / 1000)
    with pytest.raises(UserError, match="'pose2d_crop' must be in pixels of the 256x256 crop.* 0.0312 wide or high"):
        read(pose2d / 128 - 1, pose3d)


def test_units_are_judged_by_all_joints_of_a_file(tmp_path, rng):
    """The pelvis alone is smaller than a body in decimeters, and its joints are near each other."""
    pose3d = rng.normal(0, 300, (20, 17, 3)) + [0, 0, 5000]
    pose3d[:, [1, 4]] = pose3d[:, :1] + [[[-130, 0, 0], [130, 0, 0]]]
    pose2d = rng.uniform(0, 256, (20, 17, 2))
    pose2d[:, [0, 1, 4]] = [[128, 128], [126, 128], [130, 128]]
    np.savez(tmp_path / "poses.npz", pose2d_crop=pose2d, pose3d=pose3d, subject=np.zeros(20, int))
    pelvis = Skeleton("pelvis", ("Hip", "LHip", "RHip"), ((1, 0), (2, 0)))
    assert poses.read_pose_file(f"{tmp_path}/poses.npz", pelvis).pose3d.shape == (20, 3, 3)
    np.savez(tmp_path / "poses.npz", pose2d_crop=pose2d, pose3d=pose3d / 10, subject=np.zeros(20, int))
    with pytest.raises(UserError, match=r"are these centimeters\?"):
        poses.read_pose_file(f"{tmp_path}/poses.npz", pelvis)


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
    assert (read.pose2d_crop.dtype, read.pose3d.dtype) == (np.float32, np.float32)
    assert (read.subject.dtype, read.action.dtype) == (np.int64, np.int64)
    np.testing.assert_array_equal(read.pose2d_crop, arrays["pose2d_crop"].astype(np.float32))
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
        (lambda arrays: arrays.update({key: value[:0] for key, value in arrays.items()}), "contains no poses"),
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
