"""Tests of pose statistics against direct float64 computations."""

import json

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.geometry import to_camera
from pose_tf.models import statistics
from pose_tf.models.statistics import PoseStatistics, in_frame


@pytest.fixture
def pose3d():
    """Poses as in records: absolute, some meters away."""
    rng = np.random.default_rng(0)
    spread = rng.uniform(50, 400, (17, 3))
    return np.float32(rng.normal(0, spread, (1000, 17, 3)) + rng.normal(0, 300, (17, 3)) + (200, -100, 5000))


@pytest.mark.parametrize("chunk", [7, 250, 999, 1000, 100_000])
def test_statistics_are_those_of_hip_relative_poses(pose3d, monkeypatch, chunk):
    monkeypatch.setattr(statistics, "CHUNK", chunk)
    relative = pose3d.astype(np.float64) - pose3d[:, :1].astype(np.float64)
    computed = PoseStatistics.of(pose3d)
    assert (computed.mean.dtype, computed.std.dtype) == (np.float32, np.float32)
    assert computed.mean.shape == computed.std.shape == (17, 3)
    np.testing.assert_allclose(computed.mean, relative.mean(axis=0), rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(computed.std[1:], relative.std(axis=0)[1:], rtol=1e-6)


def test_statistics_by_hand():
    """Joint 1 is 10 and 30 mm beside the hip, wherever the hip is. Joint 2 never moves."""
    hip = np.array([[1000.0, 0, 4000], [-7, 3, 9000]])
    pose3d = np.stack([hip, hip + [[10, 0, 0], [30, 0, 0]], hip + [0, -400, 0]], axis=1)
    computed = PoseStatistics.of(pose3d)
    np.testing.assert_allclose(computed.mean, [[0, 0, 0], [20, 0, 0], [0, -400, 0]], atol=1e-6)
    np.testing.assert_allclose(computed.std, [[1, 1, 1], [10, 1, 1], [1, 1, 1]])


def test_the_margin_is_kept():
    computed = PoseStatistics.of(np.zeros((3, 2, 3)), 1.5)
    assert computed.margin == PoseStatistics.from_json(computed.to_json()).margin == 1.5


def test_statistics_of_earlier_versions_have_the_usual_margin():
    values = {"mean_mm": [[0, 0, 0]], "std_mm": [[1, 1, 1]]}
    assert PoseStatistics.from_json(values).margin == 1.25


def test_the_hip_can_be_divided_by(pose3d):
    computed = PoseStatistics.of(pose3d)
    np.testing.assert_array_equal(computed.mean[0], 0)
    np.testing.assert_array_equal(computed.std[0], statistics.MIN_STD_MM)


def test_absolute_and_relative_poses_have_the_same_statistics(pose3d):
    absolute, relative = PoseStatistics.of(pose3d), PoseStatistics.of(pose3d - pose3d[:, :1])
    np.testing.assert_allclose(absolute.mean, relative.mean, atol=1e-3)
    np.testing.assert_allclose(absolute.std, relative.std, rtol=1e-6)


def test_sums_do_not_lose_small_spreads():
    """A spread of 2 mm about 1000 mm over 200,000 poses: float32 sums of squares would lose it."""
    pose3d = np.zeros((200_000, 2, 3), np.float32)
    pose3d[:, 1] = 1000
    pose3d[::2, 1] += 4
    computed = PoseStatistics.of(pose3d)
    np.testing.assert_allclose(computed.mean[1], 1002, rtol=1e-7)
    np.testing.assert_allclose(computed.std[1], 2, rtol=1e-5)


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3)])
def test_standardize_and_restore_are_inverse(pose3d, shape):
    computed = PoseStatistics.of(pose3d)
    relative = np.resize(pose3d - pose3d[:, :1], (*shape, 17, 3))
    standardized = computed.standardize(tf.constant(relative))
    assert standardized.shape == relative.shape and standardized.dtype == tf.float32
    np.testing.assert_allclose(standardized, (relative - computed.mean) / computed.std, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(computed.restore(standardized), relative, atol=1e-3)


def test_training_poses_have_mean_zero_and_deviation_one(pose3d):
    standardized = np.asarray(PoseStatistics.of(pose3d).standardize(pose3d - pose3d[:, :1]))
    np.testing.assert_allclose(standardized.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(standardized.std(axis=0)[1:], 1, atol=1e-4)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16])
def test_restore_computes_in_float32(pose3d, dtype):
    computed = PoseStatistics.of(pose3d)
    half = tf.cast(tf.random.stateless_normal((3, 17, 3), (0, 1)), dtype)
    restored = computed.restore(half)
    assert restored.dtype == tf.float32
    np.testing.assert_allclose(restored, tf.cast(half, tf.float32) * computed.std + computed.mean, atol=1e-3)


def test_json_round_trip_is_exact(pose3d):
    computed = PoseStatistics.of(pose3d)
    text = json.dumps(computed.to_json())
    again = PoseStatistics.from_json(json.loads(text))
    assert sorted(json.loads(text)) == ["crop_margin", "frame", "mean_mm", "std_mm"]
    for name in ("mean", "std"):
        assert getattr(again, name).dtype == np.float32
        np.testing.assert_array_equal(getattr(again, name), getattr(computed, name))


def test_a_camera_that_looks_at_the_hip_by_hand():
    """A person who stands 45 degrees to the right, and another straight ahead and 30 degrees above the axis. Both are
    seen from the front: the left hip is to the right of the right one, at the same distance."""
    side = 100 / np.sqrt(2)
    to_the_right = [[3000, 0, 3000], [3000 - side, 0, 3000 + side], [3000 + side, 0, 3000 - side]]
    above = [[0, -1000, 1000 * np.sqrt(3)], [0, -1000 - 100 * np.sqrt(3) / 2, 1000 * np.sqrt(3) - 50]]
    np.testing.assert_allclose(
        in_frame(np.array(to_the_right), "sight"),
        [[0, 0, 3000 * np.sqrt(2)], [-100, 0, 3000 * np.sqrt(2)], [100, 0, 3000 * np.sqrt(2)]],
        atol=1e-9,
    )
    np.testing.assert_allclose(in_frame(np.array(above), "sight"), [[0, 0, 2000], [0, -100, 2000]], atol=1e-9)
    np.testing.assert_array_equal(in_frame(np.array(above), "camera"), above)


def test_poses_return_from_the_line_of_sight_to_the_camera(rng):
    """Wherever they are in the image; the direction comes from the hip's pixels."""
    pose3d = rng.normal(0, 300, (50, 17, 3)) + rng.uniform([-2000, -1500, 3000], [2000, 1500, 6000], (50, 1, 3))
    intrinsics = np.tile([[1150.0, 512.0, 1140.0, 508.0]], (50, 1))
    pose2d = pose3d[..., :2] / pose3d[..., 2:] * [1150, 1140] + [512, 508]
    seen = in_frame(pose3d, "sight")
    relative = np.asarray(seen - seen[:, :1])
    assert np.abs(relative - (pose3d - pose3d[:, :1])).max() > 100
    found = to_camera(relative, pose2d, intrinsics, "sight")
    np.testing.assert_allclose(found, pose3d - pose3d[:, :1], atol=1e-6)
    np.testing.assert_array_equal(to_camera(relative, pose2d, intrinsics, "camera"), relative)


def test_people_are_turned_alike_wherever_they_stand(rng):
    """The same person, who faces the camera, at any place: the pose in the frame of the line of sight is the same."""
    body = rng.normal(0, 300, (17, 3))
    body -= body[0]
    for angle in np.radians([-30, 0, 10, 25]):
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        pose3d = (body + [0, 0, 4000]) @ turn.T
        np.testing.assert_allclose(in_frame(pose3d[None], "sight")[0], body + [0, 0, 4000], atol=1e-6)


def test_statistics_are_those_of_the_frame(pose3d):
    computed = PoseStatistics.of(pose3d, frame="sight")
    seen = np.asarray(in_frame(np.float64(pose3d), "sight"))
    np.testing.assert_allclose(computed.mean, (seen - seen[:, :1]).mean(axis=0), rtol=1e-5, atol=1e-3)
    assert PoseStatistics.from_json(computed.to_json()).frame == "sight"
    assert PoseStatistics.from_json({"mean_mm": [[0, 0, 0]], "std_mm": [[1, 1, 1]]}).frame == "camera"
    with pytest.raises(ValueError, match="frame is 'world'; it can be camera, sight"):
        PoseStatistics.from_json(computed.to_json() | {"frame": "world"})
