"""Tests of the detector's training step: its inputs and its loss."""

import math

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.data import records
from pose_tf.data.pipeline import Share
from pose_tf.errors import UserError
from pose_tf.synthetic.sample import render_sample
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


def test_images_have_half_the_size_until_the_share_of_the_run_in_the_recipe(config, data_dir):
    config.train.half_size_until = 0.75
    config.occlusion.probability = config.color.brightness = config.color.contrast = config.color.saturation = 0.0
    stage = make_stage(config, data_dir)
    batch = next(iter(stage.training_batches(0, Share())))
    means = batch["image"].numpy().reshape(2, 128, 2, 128, 2, 3).mean(axis=(2, 4))
    for progress, expected in ((0.0, means), (0.74, means), (0.75, batch["image"]), (1.0, batch["image"])):
        images, pose2d = stage.augment(batch, [0, 0], tf.constant(progress))
        np.testing.assert_allclose(images, expected, atol=1e-3)
        np.testing.assert_array_equal(pose2d, batch["pose2d_crop"])


@pytest.mark.parametrize(("most", "numbers"), [(1, [0]), (2, [0, 4]), (3, [0, 3, 6]), (6, [0, 2, 4, 6]), (7, range(7))])
def test_validation_images_are_evenly_spaced_and_no_more_than_the_recipe_says(config, tmp_path, most, numbers):
    image = np.zeros((256, 256, 3), np.uint8)
    person = render_sample(0, 0, 8)
    samples = [person | {"image": image + number} for number in range(7)]
    records.write(
        f"{tmp_path}/h36/a.tfrecord", [*samples, person | {"subject": 1}, person | {"subject": 5}], records.H36M
    )
    config.data.validation_samples = most
    batches = make_stage(config, tmp_path).validation_images["h36"]
    assert [number for batch in batches for number in batch["image"][:, 0, 0, 0].numpy()] == list(numbers)


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


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_loss_is_the_sum_of_the_named_losses_times_their_factors_in_float32(config, data_dir, precision):
    """Of flat heatmaps, whose soft-argmax is the center; the joints lie 6 px and 8 px away from it."""
    factors = {"integral": 2, "integral_l1": 3, "heatmap": 5, "released_heatmap": 7, "distribution": 11}
    config.loss.update({name: float(factor) for name, factor in factors.items()})
    config.heatmap_sigma = 3.0
    stage = make_stage(config, data_dir)
    stage.model = lambda images, training: tf.zeros([2, 64, 64, 17])
    images = tf.zeros([2, 256, 256, 3], tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32)
    losses = stage.losses((images, tf.fill([2, 17, 2], 127.5) + [6.0, 8.0]))
    expected = {
        "integral": 100,
        "integral_l1": 14,
        "heatmap": math.pi * 3**2 / 64**2,  # the integral of a squared Gaussian of height 1
        "released_heatmap": 0.5 / 64**2,  # the target's norm is 1
        "distribution": math.log(64**2),
    }
    expected["loss"] = sum(factor * expected[name] for name, factor in factors.items())
    assert {name: loss.numpy()[0] for name, loss in losses.items()} == pytest.approx(
        expected | {"pixel_error": 10}, rel=1e-4
    )
    assert {loss.dtype for loss in losses.values()} == {tf.float32}
