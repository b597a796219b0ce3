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
from pose_tf.training.trainer import make_stage, train
from pose_tf.workdir import Workdir
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
    config.train_detector, config.lifter.features, config.init_from = False, features, "a detector"
    stage = EndToEndStage(config, str(data_dir))
    batch = next(iter(stage.training_batches(0, Share())))
    before = [weight.numpy() for weight in stage.detector.weights]
    reached, losses = gradients(stage, stage.augment(batch, [0, 0]))
    assert reached == {"detector": False, "lifter": True}
    for old, new in zip(before, stage.detector.weights):
        np.testing.assert_array_equal(old, new)
    assert set(losses) == set(stage.loss_names) == {"loss", "mpjpe", "pixel_error"}
    assert len(stage.model.trainable_weights) == len(stage.model.lifter.trainable_weights)


@pytest.fixture
def mixture(config, data_dir, tmp_path):
    """A stage whose batches have one record with a 3D pose and three photographs without, though the shares say 0.3."""
    write_photos(tmp_path)
    (tmp_path / "h36").symlink_to(data_dir / "h36")
    config.data.mix.h36, config.data.mix.mpii, config.data.batch_size, config.batch_norm = 0.3, 0.7, 4, "frozen"
    return EndToEndStage(config, str(tmp_path))


def test_photographs_train_the_detector_only(mixture):
    batch = next(iter(mixture.training_batches(0, Share())))
    assert np.isfinite(batch["pose3d"]).all(axis=(1, 2)).tolist() == [True, False, False, False]
    images, pose2d, pose3d = mixture.augment(batch, [0, 0])
    losses = mixture.losses((images, pose2d, pose3d))
    for name in ("mpjpe", "loss", "integral"):
        assert np.isfinite(losses[name]).all()
    np.testing.assert_array_equal(losses["mpjpe"][1:], 0)
    np.testing.assert_allclose(losses["loss"][1:], losses["integral"][1:], rtol=1e-5)
    seen, lifter = [], mixture.model.lifter
    mixture.model.lifter = lambda inputs, training: seen.append(inputs) or lifter(inputs, training=training)
    mixture.model.lifter.confidence, mixture.model.lifter.features = lifter.confidence, lifter.features
    mixture.losses((images, pose2d, pose3d))
    assert [len(values) for values in tf.nest.flatten(seen)] == [1, 1]


def test_mixed_batches_have_the_mean_over_the_samples_with_3d_poses(mixture, config, data_dir):
    batch = next(iter(mixture.training_batches(0, Share())))
    losses = mixture.losses(mixture.augment(batch, [0, 0]))
    config.data.mix.h36, config.data.mix.mpii, config.data.batch_size = 1.0, 0.0, 1
    alone = EndToEndStage(config, str(data_dir), mixture.statistics)
    alone.model.set_weights(mixture.model.get_weights())
    expected = alone.losses(alone.augment({key: value[:1] for key, value in batch.items()}, [0, 0]))
    assert float(tf.reduce_mean(losses["mpjpe"])) == pytest.approx(float(expected["mpjpe"][0]), rel=1e-4)
    errors = mixture.validate()
    assert set(errors) >= {"mpjpe", "pa_mpjpe", "pixel_error", "h36/pixel_error", "mpii/pixel_error"}
    assert not set(errors) & {"h36/mpjpe", "mpii/mpjpe"}


def test_one_3d_pose_in_a_batch_is_refused(mixture, config, data_dir):
    config.batch_norm = "replica"
    with pytest.raises(UserError, match="config.data.mix makes 1 of the 4 samples in a batch h36, but one pose has no"):
        EndToEndStage(config, mixture.shards[0].rpartition("/h36/")[0])


def test_the_3d_loss_counts_with_its_factor(config, data_dir):
    config.lifter.dropout = 0.0
    stage = EndToEndStage(config, str(data_dir))
    batch = next(iter(stage.training_batches(0, Share())))
    augmented, totals = stage.augment(batch, [0, 0]), []
    for config.lifter_factor in (0.0, 1.0, 3.0):
        losses = stage.losses(augmented)
        totals.append(losses["loss"].numpy())
    np.testing.assert_allclose(totals[0], losses["integral"], rtol=1e-5)
    np.testing.assert_allclose(totals[2] - totals[0], 3 * (totals[1] - totals[0]), rtol=1e-4)
    assert (totals[1] > totals[0]).all()


def test_a_resumed_run_has_its_own_statistics(config, data_dir, tmp_path, rng):
    statistics = PoseStatistics(np.float32(rng.normal(0, 300, (17, 3))), np.float32(rng.uniform(50, 200, (17, 3))))
    files.write_json(f"{tmp_path}/statistics.json", statistics.to_json())
    (tmp_path / "checkpoints" / "00000003").mkdir(parents=True)
    resumed = make_stage(config, str(data_dir), Workdir(str(tmp_path)))
    np.testing.assert_array_equal(resumed.statistics.mean, statistics.mean)
    assert np.abs(make_stage(config, str(data_dir)).statistics.mean - statistics.mean).max() > 10


def test_a_loss_that_is_not_finite_is_named_with_image_features_too(config, data_dir, tmp_path):
    config.train.epochs = config.train.validate_every_epochs = 3.0
    config.optimizer.learning_rate = 1e30
    with pytest.raises(UserError, match="is nan at step|is inf at step"):
        train(config, str(data_dir), str(tmp_path))


def test_what_a_lifter_cannot_start_from_is_refused(config, data_dir, tmp_path):
    config.lifter_init_from = str(tmp_path / "nowhere")
    with pytest.raises(UserError, match="config.lifter_init_from=.*nowhere must be the workdir of a lifter's run, or"):
        EndToEndStage(config, str(data_dir))
    config.lifter_init_from, config.train_detector = "", False
    with pytest.raises(UserError, match="config.train_detector is False, but config.init_from names no detector"):
        EndToEndStage(config, str(data_dir))


def test_2d_and_3d_poses_are_turned_together(config, data_dir):
    """By the same random angle of up to 90 degrees about the camera's axis."""
    config.augment.rotation = 90.0
    stage = EndToEndStage(config, str(data_dir))
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
    train(config, str(data_dir), whole)
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
