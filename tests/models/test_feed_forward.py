"""Tests of the feed-forward lifter: parameter counts, an independent NumPy forward pass, and training modes."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.models import FeedForward


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def randomize(model, rng):
    """Random weights and statistics; variances are positive."""
    for weight in model.weights:
        if "variance" in weight.name:
            weight.assign(rng.uniform(0.5, 2, weight.shape))
        else:
            weight.assign(rng.normal(size=weight.shape) * 0.3)


def forward(model, pose2d, num_blocks, shared):
    """Figure 1 of the paper: linear, batch normalization, ReLU; two of each in a residual block."""

    def linear(x, name):
        layer = model.get_layer(name)
        return x @ layer.kernel.numpy() + layer.bias.numpy()

    def activate(x, name):
        bn = model.get_layer(f"{'shared' if shared and name != 'input' else name}.bn")
        x = (x - bn.moving_mean.numpy()) / np.sqrt(bn.moving_variance.numpy() + 1e-5)
        return np.maximum(x * bn.gamma.numpy() + bn.beta.numpy(), 0)

    x = activate(linear(pose2d.reshape(len(pose2d), -1), "input.linear"), "input")
    for block in range(num_blocks):
        y = x
        for name in (f"block{block}.1", f"block{block}.2"):
            y = activate(linear(y, "shared.linear" if shared else f"{name}.linear"), name)
        x = x + y
    return linear(x, "output.linear").reshape(len(pose2d), -1, 3)


@pytest.mark.parametrize(
    "options, expected",
    [
        # (34 + 1)·1024, n·(1024 + 1)·1024 and (1024 + 1)·51 linear, and 2·1024 for each batch normalization.
        ({}, 4_296_755),
        ({"share_blocks": True}, 35 * 1024 + 1025 * 1024 + 1025 * 51 + 2 * 2048),
        ({"num_blocks": 0, "units": 10}, 35 * 10 + 11 * 51 + 20),
        ({"num_joints": 3, "num_blocks": 1, "units": 8}, 7 * 8 + 2 * 9 * 8 + 9 * 9 + 3 * 16),
    ],
    ids=str,
)
def test_number_of_parameters(options, expected):
    assert trainable(FeedForward(**options)) == expected


@pytest.mark.parametrize(
    "num_joints, num_blocks, shared", [(17, 2, False), (17, 2, True), (5, 1, False), (3, 0, False)]
)
def test_equals_a_forward_pass_by_hand(rng, num_joints, num_blocks, shared):
    model = FeedForward(num_joints, units=12, num_blocks=num_blocks, share_blocks=shared)
    randomize(model, rng)
    pose2d = rng.normal(size=(4, num_joints, 2)).astype(np.float32)
    pose3d = model(pose2d)
    assert (pose3d.shape, pose3d.dtype) == ((4, num_joints, 3), tf.float32)
    np.testing.assert_allclose(pose3d, forward(model, pose2d, num_blocks, shared), rtol=1e-4, atol=1e-4)


def test_raw_pixels_undo_the_normalisation_of_the_input(rng):
    pixels, normalized = FeedForward(units=8, raw_pixels=True), FeedForward(units=8)
    pixels.set_weights(normalized.get_weights())
    pose2d = rng.uniform(0, 256, (4, 17, 2)).astype(np.float32)
    np.testing.assert_allclose(pixels(pose2d / 128 - 1), normalized(pose2d), rtol=1e-4)


def test_dropout_acts_in_training_only(rng):
    pose2d = rng.normal(size=(8, 17, 2)).astype(np.float32)
    model, without = FeedForward(units=64, dropout=0.5), FeedForward(units=64, dropout=0.0)
    without.set_weights(model.get_weights())
    np.testing.assert_array_equal(model(pose2d), model(pose2d))
    np.testing.assert_array_equal(model(pose2d), without(pose2d))
    assert np.any(model(pose2d, training=True) != model(pose2d, training=True))
    np.testing.assert_array_equal(without(pose2d, training=True), without(pose2d, training=True))


def test_all_weights_learn_and_statistics_move(rng):
    pose2d = tf.constant(rng.normal(size=(8, 17, 2)), tf.float32)
    model = FeedForward(units=16, dropout=0.0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(pose2d, training=True) ** 2)
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(loss, model.trainable_weights))
    assert np.any(model.get_layer("block1.2.bn").moving_mean.numpy() != 0)
    assert {(layer.momentum, layer.epsilon) for layer in model.layers if layer.name.endswith(".bn")} == {(0.9, 1e-5)}


def test_mixed_precision_returns_float32(rng, mixed_bfloat16):
    model = FeedForward(units=16)
    pose3d = model(rng.normal(size=(2, 17, 2)).astype(np.float32))
    assert (pose3d.shape, pose3d.dtype) == ((2, 17, 3), tf.float32)
    dtypes = [model.get_layer(name).compute_dtype for name in ("input.linear", "block0.1.linear", "output.linear")]
    assert dtypes == ["bfloat16", "bfloat16", "float32"]
    assert {weight.dtype for weight in model.weights} == {tf.float32}


@pytest.mark.parametrize("shared", [False, True])
def test_saved_model_file_gives_the_same_poses(tmp_path, rng, shared):
    model = FeedForward(num_joints=5, units=8, num_blocks=1, dropout=0.25, share_blocks=shared, name="lifter")
    randomize(model, rng)
    model.save(tmp_path / "model.keras")
    again = tf.keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is FeedForward
    assert again.get_config() == {
        "name": "lifter", "num_joints": 5, "units": 8, "num_blocks": 1, "dropout": 0.25, "share_blocks": shared,
        "raw_pixels": False, "confidence": False, "features": 0,
    }  # fmt: skip
    pose2d = rng.normal(size=(2, 5, 2)).astype(np.float32)
    np.testing.assert_array_equal(again(pose2d), model(pose2d))
