"""Tests of training both stages at once: what reaches which network, photographs without 3D poses, and resuming."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import files
from pose_tf.configs import base
from pose_tf.data.pipeline import Share
from pose_tf.errors import UserError
from pose_tf.evaluation.loading import load_estimator
from pose_tf.models import FeedForward
from pose_tf.models.statistics import PoseStatistics, in_frame
from pose_tf.training.end_to_end_stage import EndToEndStage
from pose_tf.training.trainer import train
from tests.data.photos import write_photos


def tiny(lifter):
    config = base.end_to_end("hrnet", lifter)
    config.model.width = config.model.stem = 4
    config.model.modules, config.model.blocks, config.model.downsample = (1, 1, 1), 1, 8
    if lifter == "feed_forward":
        config.lifter.units, config.lifter.num_blocks = 8, 1
    else:
        config.lifter.channels, config.lifter.num_blocks, config.lifter.non_local = 8, 1, False
    config.data.batch_size = 2
    config.occlusion.probability = 0.0
    return config


@pytest.fixture
def config():
    return tiny("feed_forward")


def gradients(stage, augmented):
    """{network: whether each of its weights has a gradient above 0}, and the losses."""
    with tf.GradientTape() as tape:
        losses = stage.losses(augmented)
        total = tf.reduce_sum(losses["loss"])
    networks = {"detector": stage.detector, "lifter": stage.model.lifter}
    found = tape.gradient(total, {name: network.trainable_weights for name, network in networks.items()})
    sizes = {name: [0 if g is None else float(tf.reduce_sum(g**2)) for g in values] for name, values in found.items()}
    return {name: sum(values) > 0 for name, values in sizes.items()}, losses


def test_the_3d_loss_reaches_both_networks(config, data_dir):
    config.loss.integral, config.loss.integral_l1 = 0.0, 1e-30
    stage = EndToEndStage(config, str(data_dir))
    batch = next(iter(stage.training_batches(0, Share())))
    reached, losses = gradients(stage, stage.augment(batch, [0, 0]))
    assert reached == {"detector": True, "lifter": True}
    assert set(losses) == set(stage.loss_names)
    assert float(tf.reduce_mean(losses["mpjpe"])) > 50


@pytest.mark.parametrize("features", [False, True])
def test_a_frozen_detector_learns_nothing_and_normalizes_as_in_inference(config, data_dir, features):
    config.train_detector, config.lifter.features = False, features
    stage = EndToEndStage(config, str(data_dir))
    batch = next(iter(stage.training_batches(0, Share())))
    before = [weight.numpy() for weight in stage.detector.weights]
    reached, losses = gradients(stage, stage.augment(batch, [0, 0]))
    assert reached == {"detector": False, "lifter": True}
    for old, new in zip(before, stage.detector.weights):
        np.testing.assert_array_equal(old, new)
    assert set(losses) == set(stage.loss_names) == {"loss", "mpjpe", "pixel_error"}
    assert len(stage.model.trainable_weights) == len(stage.model.lifter.trainable_weights)


def test_photographs_train_the_detector_only(config, data_dir):
    stage = EndToEndStage(config, str(data_dir))
    batch = next(iter(stage.training_batches(0, Share())))
    images, pose2d, pose3d = stage.augment(batch, [0, 0])
    unknown = tf.tile(tf.constant([[[np.nan]], [[0.0]]]), [1, 17, 3])
    losses = stage.losses((images, pose2d, pose3d + unknown))
    for name in ("mpjpe", "loss", "integral"):
        assert np.isfinite(losses[name]).all()
    assert losses["mpjpe"][0] == 0 and losses["mpjpe"][1] > 0
    np.testing.assert_allclose(losses["loss"][0], losses["integral"][0], rtol=1e-5)
    reached, _ = gradients(stage, (images, pose2d, pose3d * np.nan))
    assert reached == {"detector": True, "lifter": False}


def test_mixed_batches_have_the_mean_over_the_samples_with_3d_poses(config, data_dir, tmp_path):
    write_photos(tmp_path)
    (tmp_path / "h36").symlink_to(data_dir / "h36")
    config.data.mix.h36 = config.data.mix.mpii = 0.5
    stage = EndToEndStage(config, str(tmp_path))
    batch = next(iter(stage.training_batches(0, Share())))
    losses = stage.losses(stage.augment(batch, [0, 0]))
    known = np.isfinite(batch["pose3d"]).all(axis=(1, 2))
    assert known.tolist() == [True, False]
    alone = stage.losses(stage.augment({key: value[:1] for key, value in batch.items()}, [0, 0]))
    assert losses["mpjpe"][1] == 0 and float(alone["mpjpe"][0]) > 0
    assert set(stage.validate()) >= {"mpjpe", "pa_mpjpe", "pixel_error", "h36/pixel_error", "mpii/pixel_error"}


def test_images_and_3d_poses_are_turned_together(config, data_dir):
    """A turn of 90 degrees: what was to the right is below."""
    config.augment.rotation = 90.0
    stage = EndToEndStage(config, str(data_dir))
    stage.color, stage.geometry.rotation = lambda images, **_: images, 90.0
    batch = next(iter(stage.training_batches(0, Share())))
    _, pose2d, pose3d = stage.augment(batch, [0, 0])
    before = batch["pose3d"] - batch["pose3d"][:, :1]
    np.testing.assert_allclose(pose3d[..., 2], before[..., 2], atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(pose3d, axis=-1), np.linalg.norm(before, axis=-1), rtol=1e-4)
    for turned2d, old2d, turned3d, old3d in zip(pose2d, batch["pose2d_crop"], pose3d, before):
        angles = []
        for turned, old in ((turned2d - turned2d[:1], old2d - old2d[:1]), (turned3d[:, :2], old3d[:, :2])):
            old, turned = np.asarray(old), np.asarray(turned)
            cross = np.sum(old[:, 0] * turned[:, 1] - old[:, 1] * turned[:, 0])
            angles.append(np.degrees(np.arctan2(cross, np.sum(old * turned))))
        assert abs(angles[0]) > 1 and angles[0] == pytest.approx(angles[1], abs=0.5)


def test_targets_are_in_the_recipes_frame(config, data_dir, tmp_path):
    config.frame = "sight"
    stage = EndToEndStage(config, str(data_dir))
    assert stage.statistics.frame == "sight"
    batch = next(iter(stage.training_batches(0, Share())))
    seen = np.asarray(in_frame(batch["pose3d"], "sight"))
    np.testing.assert_allclose(stage.augment(batch, [0, 0])[2], seen - seen[:, :1], atol=1e-3)
    assert np.abs(seen - seen[:, :1] - (batch["pose3d"] - batch["pose3d"][:, :1])).max() > 1
    files.write_json(f"{tmp_path}/config.json", {"stage": "lifter", "flip_test": False, "model": {}})
    files.write_json(f"{tmp_path}/statistics.json", stage.statistics.to_json())
    config.frame, config.lifter_init_from = "camera", str(tmp_path)
    with pytest.raises(UserError, match="config.frame is 'camera', but the lifter of .*; set config.frame = sight"):
        EndToEndStage(config, str(data_dir))


def test_a_run_that_is_resumed_ends_with_the_same_weights(data_dir, tmp_path):
    config = tiny("sem_gcn")
    config.train.epochs, config.train.validate_every_epochs = 2.0, 1.0
    whole, parts = str(tmp_path / "whole"), str(tmp_path / "parts")
    errors = train(config, str(data_dir), whole)
    assert errors["best"] == pytest.approx(min(errors["mpjpe"], errors["best"]))
    config.train.epochs = 1.0
    train(config, str(data_dir), parts)
    config.train.epochs = 2.0
    train(config, str(data_dir), parts)
    one, other = (load_estimator(path, path) for path in (whole, parts))
    assert one.sees_images
    for ours, theirs in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_lifter_starts_from_a_lifter_that_does_not_see_the_image(config, data_dir, tmp_path, rng):
    lifter = FeedForward(units=8, num_blocks=1, confidence=True, dropout=0.0)
    lifter.save(tmp_path / "best.keras")
    statistics = PoseStatistics(np.float32(rng.normal(0, 300, (17, 3))), np.float32(rng.uniform(50, 200, (17, 3))))
    files.write_json(f"{tmp_path}/config.json", {"stage": "lifter", "flip_test": False, "model": {}})
    files.write_json(f"{tmp_path}/statistics.json", statistics.to_json())
    config.lifter_init_from, config.optimizer.learning_rate = str(tmp_path), 0.0
    config.train.epochs = config.train.validate_every_epochs = 1.0
    config.optimizer.weight_decay = 0.0
    workdir = str(tmp_path / "run")
    train(config, str(data_dir), workdir)
    found = load_estimator(workdir, workdir)
    np.testing.assert_array_equal(found.statistics.mean, statistics.mean)
    for layer in ("input.linear", "block0.1.linear", "output.linear"):
        np.testing.assert_array_equal(
            found.lifter.get_layer(layer).get_weights()[0], lifter.get_layer(layer).get_weights()[0]
        )
    assert found.lifter.get_layer("features.linear") is not None
