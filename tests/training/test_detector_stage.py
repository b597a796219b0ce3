"""Tests of the detector's training step: its inputs and its loss."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.data import records
from pose_tf.data.pipeline import Share
from pose_tf.errors import UserError
from pose_tf.training.detector_stage import DetectorStage


@pytest.fixture
def config(detector_config):
    return detector_config


def make_stage(config, data_dir):
    return DetectorStage(config, str(data_dir))


def test_training_images_are_occluded_and_jittered_and_validation_images_are_not(config, data_dir):
    config.color.brightness = 0.0
    stage = make_stage(config, data_dir)
    batch = next(iter(stage.training_batches(0, Share())))
    images, pose2d = stage.augment(batch, [0, 0])
    assert images.dtype == tf.float32
    np.testing.assert_array_equal(pose2d, batch["pose2d_crop"])
    changed = np.abs(images - tf.cast(batch["image"], tf.float32)).max(axis=-1)
    assert (changed > 1).mean() > 0.9  # colors, nearly everywhere
    again, _ = stage.augment(batch, [0, 0])
    other, _ = stage.augment(batch, [0, 1])
    np.testing.assert_array_equal(again, images)
    assert (other.numpy() != images.numpy()).mean() > 0.5
    magenta = (images.numpy() @ [1, -2, 1]) > 300
    assert magenta.any(axis=(1, 2)).all()

    (validation,) = stage.validation_images["h36"]
    (truth,) = [sample for sample in records.read(f"{data_dir}/h36/a.tfrecord", records.H36M) if sample["subject"] == 8]
    np.testing.assert_array_equal(validation["image"][0], truth["image"])
    assert stage.training_sheet().shape == (256, 512, 3)


def test_without_held_out_subjects_the_training_images_are_validated(config, data_dir):
    config.data.validation_subjects = ()
    stage = make_stage(config, data_dir)
    assert stage.num_samples == 3
    assert sum(len(batch["image"]) for batch in stage.validation_images["h36"]) == 3


def test_joints_outside_the_crop_do_not_choose_the_best_weights(config, data_dir):
    """These joints lie in no cell of the heatmap, so the loss ignores them."""
    stage = make_stage(config, data_dir)
    (batch,) = stage.validation_images["h36"]
    truth = batch["pose2d_crop"].numpy()
    truth[:, 4] = (900, 900)
    stage.validation_images = {"h36": [batch | {"pose2d_crop": tf.constant(truth)}]}
    stage._detect = lambda images: (batch["pose2d_crop"] + tf.constant([3.0, 4.0]), None)
    assert stage.validate()["pixel_error"] == pytest.approx(5, abs=1e-4)


def test_a_missing_bank_says_what_to_do(config, data_dir):
    config.occlusion.bank = "nowhere.npz"
    with pytest.raises(
        UserError, match=r"config.occlusion.bank: nowhere.npz does not exist; create it with pose-tf build-occluders"
    ):
        make_stage(config, data_dir)


@pytest.mark.parametrize("loss", ["heatmap", "released_heatmap", "distribution"])
def test_the_losses_of_heatmaps_train_whatever_the_decoding(config, data_dir, loss):
    config.decoding.method, config.loss.integral, config.loss[loss] = "argmax", 0.0, 1.0
    stage = make_stage(config, data_dir)
    batch = next(iter(stage.training_batches(0, Share())))
    with tf.GradientTape() as tape:
        losses = stage.losses(stage.augment(batch, [0, 0], 0.0))
    assert set(losses) == {loss, "loss", "pixel_error"}
    gradients = tape.gradient(losses["loss"], stage.model.trainable_variables)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert any(np.any(gradient != 0) for gradient in gradients)
