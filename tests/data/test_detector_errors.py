"""Tests of files of a detector's errors."""

import numpy as np
import pytest

from pose_tf import geometry
from pose_tf.data.detector_errors import read_errors, write_errors
from pose_tf.errors import UserError

HIP, R_HIP, R_KNEE, SPINE, THORAX, NECK, HEAD = 0, 1, 2, 7, 8, 9, 10


@pytest.fixture
def poses(rng):
    """Predicted and true joints of three images, and confidences."""
    target = rng.uniform(20, 230, (3, 17, 2)).astype(np.float32)
    predicted = target + rng.normal(0, 5, target.shape).astype(np.float32)
    return predicted, target, rng.uniform(0, 1, (3, 17)).astype(np.float32)


def test_errors_are_found_minus_true_positions(poses, tmp_path):
    predicted, target, confidence = poses
    assert write_errors(str(tmp_path / "errors.npz"), *poses) == 3
    np.testing.assert_allclose(read_errors(str(tmp_path / "errors.npz")), predicted - target, atol=1e-4)
    with np.load(tmp_path / "errors.npz") as file:
        np.testing.assert_array_equal(file["confidence"], confidence)


def test_what_was_not_measured_is_nan_in_the_file(poses, tmp_path):
    predicted, target, confidence = poses
    target[0, SPINE] = geometry.UNLABELED_PX
    target[1, R_KNEE] = [100, 256]  # outside the crop
    target[2] = geometry.UNLABELED_PX  # an image without any joint
    assert write_errors(str(tmp_path / "errors.npz"), *poses) == 2
    with np.load(tmp_path / "errors.npz") as file:
        assert (file["error"].shape, file["confidence"].shape) == ((2, 17, 2), (2, 17))
        missing = np.argwhere(np.isnan(file["error"]).any(axis=-1))
    assert missing.tolist() == [[0, SPINE], [1, R_KNEE]]


def test_a_joint_without_an_error_has_the_mean_error_of_its_neighbors(poses, tmp_path):
    predicted, target, confidence = poses
    target[0, [SPINE, NECK]] = geometry.UNLABELED_PX
    write_errors(str(tmp_path / "errors.npz"), *poses)
    errors, measured = read_errors(str(tmp_path / "errors.npz")), predicted - target
    np.testing.assert_allclose(errors[0, SPINE], (measured[0, HIP] + measured[0, THORAX]) / 2, atol=1e-4)
    np.testing.assert_allclose(errors[0, NECK], (measured[0, THORAX] + measured[0, HEAD]) / 2, atol=1e-4)
    others = [joint for joint in range(17) if joint not in (SPINE, NECK)]
    np.testing.assert_allclose(errors[:, others], measured[:, others], atol=1e-4)


def test_one_joint_is_enough(poses, tmp_path):
    predicted, target, confidence = poses
    target[0, np.arange(17) != R_KNEE] = geometry.UNLABELED_PX
    write_errors(str(tmp_path / "errors.npz"), *poses)
    errors = read_errors(str(tmp_path / "errors.npz"))
    np.testing.assert_allclose(errors[0], np.tile((predicted - target)[0, R_KNEE], (17, 1)), atol=1e-4)


@pytest.mark.parametrize(
    "error, message",
    [
        (np.zeros((4, 16, 2), np.float32), r"'error' is float32 \[4, 16, 2\], expected float32 \[N, 17, 2\]"),
        (np.zeros((0, 17, 2), np.float32), r"'error' is float32 \[0, 17, 2\], expected"),
        (np.zeros((4, 17, 2), np.int32), "'error' is int32"),
        (np.full((1, 17, 2), np.inf, np.float32), "holds infinity, or an image without any joint"),
        (np.full((1, 17, 2), np.nan, np.float32), "holds infinity, or an image without any joint"),
    ],
)
def test_other_arrays_are_refused(tmp_path, error, message):
    np.savez(tmp_path / "errors.npz", error=error)
    with pytest.raises(UserError, match=message):
        read_errors(str(tmp_path / "errors.npz"))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="nowhere.npz does not exist"):
        read_errors(str(tmp_path / "nowhere.npz"))
    np.savez(tmp_path / "poses.npz", pose3d=np.zeros(3))
    with pytest.raises(UserError, match="poses.npz has no array .error."):
        read_errors(str(tmp_path / "poses.npz"))
