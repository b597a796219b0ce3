"""Tests of files of detected joints."""

import numpy as np
import pytest

from pose_tf import geometry
from pose_tf.data.detections import read_errors, write_detections
from pose_tf.data.poses import read_pose_file
from pose_tf.errors import UserError

HIP, R_HIP, R_KNEE, SPINE, THORAX, NECK, HEAD = 0, 1, 2, 7, 8, 9, 10


@pytest.fixture
def poses(rng):
    """Detected and true joints of three images, and confidences."""
    target = rng.uniform(20, 230, (3, 17, 2)).astype(np.float32)
    detected = target + rng.normal(0, 5, target.shape).astype(np.float32)
    return detected, target, rng.uniform(0, 1, (3, 17)).astype(np.float32)


def write(tmp_path, poses):
    detected, target, confidence = poses
    write_detections(str(tmp_path / "detections.npz"), {"pose2d_crop": target}, detected, confidence)
    return str(tmp_path / "detections.npz")


def test_errors_are_detected_minus_true_positions(poses, tmp_path):
    detected, target, confidence = poses
    errors = read_errors(write(tmp_path, poses))
    np.testing.assert_allclose(errors.error, detected - target, atol=1e-4)
    np.testing.assert_array_equal(errors.confidence, confidence)
    np.testing.assert_allclose(errors.pose2d, target, atol=1e-4)


def test_images_without_a_measured_joint_are_left_out(poses, tmp_path):
    detected, target, confidence = poses
    target[1, R_KNEE] = [100, 256]  # outside the crop
    target[2] = geometry.UNLABELED_PX
    errors = read_errors(write(tmp_path, poses))
    assert errors.error.shape == (2, 17, 2) and errors.confidence.shape == (2, 17)
    np.testing.assert_allclose(errors.error[1, R_KNEE], (detected - target)[1, [R_HIP, R_KNEE + 1]].mean(axis=0))


def test_a_joint_without_an_error_has_the_mean_error_of_its_neighbors(poses, tmp_path):
    detected, target, confidence = poses
    target[0, [SPINE, NECK]] = geometry.UNLABELED_PX
    errors, measured = read_errors(write(tmp_path, poses)).error, detected - target
    np.testing.assert_allclose(errors[0, SPINE], (measured[0, HIP] + measured[0, THORAX]) / 2, atol=1e-4)
    np.testing.assert_allclose(errors[0, NECK], (measured[0, THORAX] + measured[0, HEAD]) / 2, atol=1e-4)
    others = [joint for joint in range(17) if joint not in (SPINE, NECK)]
    np.testing.assert_allclose(errors[:, others], measured[:, others], atol=1e-4)


def test_one_joint_is_enough(poses, tmp_path):
    detected, target, confidence = poses
    target[0, np.arange(17) != R_KNEE] = geometry.UNLABELED_PX
    errors = read_errors(write(tmp_path, poses)).error
    np.testing.assert_allclose(errors[0], np.tile((detected - target)[0, R_KNEE], (17, 1)), atol=1e-4)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("detected", np.zeros((3, 16, 2), np.float32), r"'detected' is float32 \[3, 16, 2\], expected .* \[3, 17, 2\]"),
        ("pose2d_crop", np.zeros((0, 17, 2), np.float32), r"'pose2d_crop' is float32 \[0, 17, 2\], expected"),
        ("pose2d_crop", np.float32(3), r"'pose2d_crop' is float32 \[\], expected"),
        ("detected", np.zeros((3, 17, 2), np.int32), "'detected' is int32"),
        ("detected", np.full((3, 17, 2), np.inf, np.float32), "'detected' holds NaN, infinity or numbers that are no"),
        ("detected", np.full((3, 17, 2), 1e39), "'detected' holds NaN, infinity or numbers that are no places near"),
        ("confidence", np.full((3, 17), np.nan, np.float32), "'confidence' holds NaN, infinity or numbers that are no"),
        (
            "detected",
            np.random.default_rng(0).uniform(0, 1, (3, 17, 2)),
            "'detected' must be in pixels of the crop; are",
        ),
        ("confidence", np.full((3, 17), 1.5, np.float32), "'confidence' holds values outside 0 to 1"),
        ("pose2d_crop", np.full((3, 17, 2), geometry.UNLABELED_PX, np.float32), "no joint of 'pose2d_crop' is labeled"),
    ],
)
def test_other_arrays_are_refused(poses, tmp_path, key, value, message):
    arrays = dict(zip(("detected", "pose2d_crop", "confidence"), poses)) | {key: value}
    np.savez(tmp_path / "detections.npz", **arrays)
    with pytest.raises(UserError, match=f"detections.npz: {message}"):
        read_errors(str(tmp_path / "detections.npz"))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere.npz does not exist"):
        read_errors(str(tmp_path / "nowhere.npz"))
    np.savez(tmp_path / "poses.npz", pose3d=np.zeros(3))
    with pytest.raises(UserError, match="poses.npz has no array .pose2d_crop."):
        read_errors(str(tmp_path / "poses.npz"))


def test_with_3d_poses_it_is_a_pose_file(rng, tmp_path, poses):
    detected, target, confidence = poses
    truth = {
        "pose2d_crop": target,
        "pose3d": rng.normal(0, 300, (3, 17, 3)).astype(np.float32),
        "subject": np.array([1, 5, 5]),
        "action": np.array([2, 3, 4]),
    }
    write_detections(str(tmp_path / "poses.npz"), truth, detected, confidence)
    found = read_pose_file(str(tmp_path / "poses.npz")).select([5])
    np.testing.assert_array_equal(found.pose3d, truth["pose3d"][1:])
    np.testing.assert_array_equal(found.detected, detected[1:])
    np.testing.assert_array_equal(found.confidence, confidence[1:])
    np.savez(tmp_path / "bad.npz", **truth, detected=detected, confidence=confidence + 1)
    with pytest.raises(UserError, match="bad.npz: 'confidence' holds values outside 0 to 1"):
        read_pose_file(str(tmp_path / "bad.npz"))
