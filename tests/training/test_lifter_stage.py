"""Tests of the lifter's stage: its samples, its losses, and its errors on the validation subjects."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.data.pipeline import Share
from pose_tf.errors import UserError
from pose_tf.models.statistics import in_frame
from pose_tf.training.lifter_stage import LifterStage


@pytest.fixture
def config(config):
    config.augment.recompose, config.augment.noise_px = False, 0.0
    config.augment.bone_length_noise = config.augment.upper_body_swap = config.augment.arm_swap = 0.0
    return config


@pytest.fixture
def stage(config):
    return LifterStage(config, None)


@pytest.fixture
def arrays(poses):
    with np.load(poses) as found:
        return dict(found)


def test_subjects_are_held_out_and_statistics_are_those_of_the_others(stage, arrays):
    held_out = np.isin(arrays["subject"], [8])
    assert stage.num_samples == 48 and stage.batch_size == 8
    np.testing.assert_allclose(stage.training.pose3d, arrays["pose3d"][~held_out], rtol=1e-6)
    np.testing.assert_allclose(stage.validation.pose2d_crop, arrays["pose2d_crop"][held_out], rtol=1e-6)
    relative = (arrays["pose3d"] - arrays["pose3d"][:, :1])[~held_out]
    np.testing.assert_allclose(stage.statistics.mean, relative.mean(axis=0), atol=1e-2)
    np.testing.assert_allclose(stage.statistics.std[1:], relative.std(axis=0)[1:], rtol=1e-4)


def test_batches_are_pairs_of_the_training_poses(stage, arrays):
    for batch in stage.training_batches(0, Share()).take(3):
        assert batch["pose2d_crop"].shape == (8, 17, 2) and batch["pose3d"].shape == (8, 17, 3)
        for pose2d, pose3d in zip(batch["pose2d_crop"].numpy(), batch["pose3d"].numpy()):
            (place,) = np.flatnonzero(np.isclose(arrays["pose3d"][:, 5, 0], pose3d[5, 0], rtol=1e-6))
            np.testing.assert_allclose(pose2d, arrays["pose2d_crop"][place], rtol=1e-6)
            assert arrays["subject"][place] != 8


def shifted_by(millimeters, stage, pose3d):
    """A model that predicts the poses with one joint moved by 17 times as many mm: standardized."""
    wrong = pose3d - pose3d[:, :1]
    wrong[:, 5, 0] += 17 * millimeters
    return lambda pose2d, training: stage.statistics.standardize(tf.constant(wrong, tf.float32))


@pytest.mark.parametrize("kind", ["squared", "distance"])
def test_losses_of_a_known_error(config, arrays, kind):
    """20 mm on average: 340 mm in one coordinate of one joint."""
    config.loss = kind
    stage = LifterStage(config, None)
    stage.model = shifted_by(20, stage, arrays["pose3d"][:4])
    pose2d, pose3d = (tf.constant(arrays[key][:4], tf.float32) for key in ("pose2d_crop", "pose3d"))
    losses = stage.losses((pose2d, tf.ones((4, 17)), pose3d))
    assert set(losses) == set(stage.loss_names)
    np.testing.assert_allclose(losses["mpjpe"], [20] * 4, rtol=1e-4)
    std = stage.statistics.std
    expected = {"squared": (340 / std[5, 0]) ** 2 / 17, "distance": 20 / std.mean()}[kind]
    np.testing.assert_allclose(losses["loss"], [expected] * 4, rtol=2e-3)  # the distance is smooth at 0


def test_losses_of_bones_are_added_with_their_factors(config):
    config.bones.length, config.bones.symmetry, config.bones.direction = 2.0, 0.5, 3.0
    stage = LifterStage(config, None)
    batch = next(iter(stage.training_batches(0, Share())))
    augmented = stage.augment(batch, [0, 0])
    with_bones = stage.losses(augmented)
    assert set(with_bones) == set(stage.loss_names) > {"bone_length", "bone_symmetry", "bone_direction"}
    config.bones.length = config.bones.symmetry = config.bones.direction = 0.0
    without = stage.losses(augmented)
    assert set(without) == {"loss", "mpjpe"}
    terms = [
        factor * with_bones[f"bone_{name}"] for name, factor in (("length", 2), ("symmetry", 0.5), ("direction", 3))
    ]
    np.testing.assert_allclose(with_bones["loss"] - without["loss"], np.sum(terms, axis=0), rtol=1e-4)
    assert min(float(tf.reduce_min(term)) for term in terms) > 0


def test_validation_measures_the_error_on_the_held_out_subjects(stage, monkeypatch):
    relative = stage.validation.pose3d - stage.validation.pose3d[:, :1]
    relative[:, 3, 2] += 17 * 12
    monkeypatch.setattr(stage, "_lift", lambda pose2d, _: tf.constant(relative, tf.float32))
    errors = stage.validate()
    assert errors["mpjpe"] == pytest.approx(12, rel=1e-4)
    assert stage.validate(lambda: True) is None


def test_a_large_validation_set_is_the_same_in_parts(stage, monkeypatch):
    whole = stage.validate()
    monkeypatch.setattr("pose_tf.training.lifter_stage.VALIDATION_BATCH", 5)
    for name, value in stage.validate().items():
        assert value == pytest.approx(whole[name], rel=1e-4), name


@pytest.mark.parametrize("flip_test", [False, True])
def test_with_the_flip_test_mirror_images_have_the_same_error_in_validation(config, flip_test):
    config.flip_test = flip_test
    stage = LifterStage(config, None)
    given, order = stage.validation, [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]
    pose2d = np.float32([255, 0]) + np.float32([-1, 1]) * given.pose2d_crop[:, order]
    mirrored = dataclasses.replace(given, pose2d_crop=pose2d, pose3d=given.pose3d[:, order] * np.float32([-1, 1, 1]))
    errors = []
    for stage.validation in (given, mirrored):
        errors.append(stage.validate()["mpjpe"])
    assert (abs(errors[0] - errors[1]) < 1e-2) == flip_test


def test_without_poses_and_records_it_is_told_what_to_give(config):
    config.data.poses = ""
    with pytest.raises(UserError, match="no training data: give data_dir or config.data.poses"):
        LifterStage(config, None)


def test_a_detectors_errors_are_added_to_the_2d_joints(config, tmp_path):
    path = str(tmp_path / "detections.npz")
    place = np.linspace(50, 200, 34, dtype=np.float32).reshape(1, 17, 2)
    confidence = np.linspace(0, 0.8, 17, dtype=np.float32)[None]
    np.savez(path, pose2d_crop=place, detected=place + np.float32([3, 0]), confidence=confidence)
    config.augment.errors, config.model.confidence = path, True
    stage = LifterStage(config, None)
    batch = next(iter(stage.training_batches(0, Share())))
    pose2d, given, pose3d = stage.augment(batch, [0, 0])
    assert set(np.round(given[:, 10], 3).tolist()) == {np.float32(0.5)} and set(np.round(given[:, 1], 2).tolist()) <= {
        np.float32(0.05), np.float32(0.2)
    }  # fmt: skip
    np.testing.assert_array_equal(pose3d, batch["pose3d"])
    assert stage.model.input_shape == (None, 17, 3)
    assert np.isfinite(stage.losses((pose2d, given, pose3d))["loss"]).all()
    np.testing.assert_allclose(np.abs(pose2d - batch["pose2d_crop"]), np.tile([3, 0], (8, 17, 1)), atol=1e-4)
    validated = []
    stage._lift = lambda pose2d, confidence: (
        validated.append((pose2d - stage.validation.pose2d_crop, confidence)) or tf.zeros([len(pose2d), 17, 3])
    )
    assert stage.validate() == stage.validate()
    for error, given in validated:  # those of the detector, too, and the same each time
        np.testing.assert_allclose(np.abs(error), np.tile([3, 0], (len(error), 17, 1)), atol=1e-4)
        np.testing.assert_array_equal(given, validated[0][1])
        assert np.ptp(given) > 0.5
    config.augment.errors = str(tmp_path / "nowhere.npz")
    with pytest.raises(UserError, match="nowhere.npz does not exist"):
        LifterStage(config, None)


def test_records_are_read_where_there_is_no_pose_file(config, data_dir):
    config.data.poses, config.data.batch_size, config.data.validation_subjects = "", 2, (8,)
    stage = LifterStage(config, str(data_dir))
    assert (stage.num_samples, len(stage.validation)) == (2, 1)
    assert stage.validation.subject.tolist() == [8]


def test_sheets_and_poses_show_eight_validation_samples(stage):
    assert stage.poses().shape == (8, 17, 3)
    for sheet in (stage.training_sheet(), stage.validation_sheet()):
        assert sheet.dtype == np.uint8 and sheet.ndim == 3 and sheet.std() > 5


def test_in_the_frame_of_the_line_of_sight_targets_and_errors_do_not_depend_on_where_people_stand(config, arrays):
    config.frame = "sight"
    stage = LifterStage(config, None)
    seen = np.asarray(in_frame(arrays["pose3d"], "sight"))
    relative = (seen - seen[:, :1])[~np.isin(arrays["subject"], [8])]
    np.testing.assert_allclose(stage.statistics.mean, relative.mean(axis=0), atol=1e-2)
    batch = next(iter(stage.training_batches(0, Share())))
    _, _, pose3d = stage.augment(batch, [0, 0])
    np.testing.assert_allclose(pose3d[:, 0, :2], 0, atol=1e-3)  # the hip is on the axis
    np.testing.assert_allclose(np.linalg.norm(pose3d, axis=-1), np.linalg.norm(batch["pose3d"], axis=-1), rtol=1e-5)
    target = seen[np.isin(arrays["subject"], [8])]
    stage._lift = lambda pose2d, _: tf.constant(target - target[:, :1], tf.float32)
    assert stage.validate()["mpjpe"] == pytest.approx(0, abs=1e-3)


def test_poses_without_a_place_have_no_line_of_sight(config, arrays, tmp_path):
    config.frame, config.data.poses = "sight", str(tmp_path / "relative.npz")
    np.savez(config.data.poses, **arrays | {"pose3d": arrays["pose3d"] - arrays["pose3d"][:, :1]})
    with pytest.raises(UserError, match="relative.npz pose 0: its hip is not in front of the camera, but the frame 's"):
        LifterStage(config, None)
