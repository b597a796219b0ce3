"""Tests of the non-local layer: it starts as the identity, and agrees with a NumPy implementation of explicit pairs."""

import json

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.layers import NonLocal

GROUPS = [[2, 3], [5, 6], [1, 4], [0, 7], [8, 9], [14, 15], [11, 12], [10, 13]]
LAYOUTS = pytest.mark.parametrize(
    "nodes, groups", [(17, None), (16, GROUPS), (6, [[5, 0, 3], [1, 4, 2]])], ids=["plain", "pairs", "triples"]
)


def built(nodes, channels, groups, rng=None, **kwargs):
    """A layer, with random weights and statistics if `rng` is given."""
    layer = NonLocal(groups, **kwargs)
    layer.build((None, nodes, channels))
    if rng is not None:
        layer.set_weights([rng.uniform(0.2, 1, weight.shape) * rng.choice([-1, 1]) for weight in layer.get_weights()])
        layer.bn.moving_variance.assign(rng.uniform(0.5, 2, channels))
    return layer


def non_local(x, layer, groups, training):
    """Equations 1, 4 and 6 of Wang et al., one pair of nodes at a time."""

    def dense(name, value):
        kernel, bias = (weight.numpy() for weight in getattr(layer, name).weights)
        return value @ kernel + bias

    batch, nodes, _ = x.shape
    groups = groups or [[i] for i in range(nodes)]
    w = layer.affinity.numpy()
    y = np.zeros((batch, nodes, len(w) // 2))
    for b in range(batch):
        theta, phi, g = (dense(name, x[b]) for name in ("theta", "phi", "g"))
        for i in range(nodes):
            for group in groups:
                pair = np.concatenate([theta[i], phi[group].max(0)])
                y[b, i] += max(w @ pair, 0) / len(groups) * g[group].max(0)
    y = dense("out", y)
    bn = layer.bn
    if training:
        mean, variance = y.mean((0, 1)), y.var((0, 1))
    else:
        mean, variance = bn.moving_mean.numpy(), bn.moving_variance.numpy()
    return x + (y - mean) / np.sqrt(variance + 1e-5) * bn.gamma.numpy() + bn.beta.numpy()


@LAYOUTS
@pytest.mark.parametrize("training", [False, True])
def test_starts_as_the_identity(rng, nodes, groups, training):
    x = rng.normal(size=(3, nodes, 8)).astype(np.float32)
    np.testing.assert_array_equal(built(nodes, 8, groups)(x, training=training), x)


@LAYOUTS
@pytest.mark.parametrize("training", [False, True])
def test_at_start_the_gradient_passes_unchanged_and_only_the_normalisation_learns(rng, nodes, groups, training):
    x, upstream = rng.normal(size=(2, 3, nodes, 8)).astype(np.float32)
    layer, x = built(nodes, 8, groups), tf.constant(x)
    layer.affinity.assign(np.abs(layer.affinity))  # so that the ReLU lets pairs through
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x, training=training) * upstream)
    inner = [weight for part in (layer.theta, layer.phi, layer.g, layer.out) for weight in part.weights]
    by_x, by_gamma, by_beta, *others = tape.gradient(loss, [x, layer.bn.gamma, layer.bn.beta, layer.affinity, *inner])
    np.testing.assert_array_equal(by_x, upstream)
    np.testing.assert_allclose(by_beta, upstream.sum((0, 1)), rtol=1e-4, atol=1e-4)
    for gradient in others:
        np.testing.assert_array_equal(gradient, tf.zeros_like(gradient))
    layer.bn.gamma.assign(tf.ones(8))
    layer.bn.moving_mean.assign(tf.zeros(8)), layer.bn.moving_variance.assign(tf.ones(8))
    expected = ((non_local(x.numpy(), layer, groups, training) - x) * upstream).numpy().sum((0, 1))
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(by_gamma, expected, rtol=1e-3, atol=1e-3)


@LAYOUTS
def test_after_one_step_of_the_scale_every_weight_learns(rng, nodes, groups):
    x, upstream = rng.normal(size=(2, 3, nodes, 8)).astype(np.float32)
    layer = built(nodes, 8, groups)
    layer.affinity.assign(np.abs(layer.affinity))
    for _ in range(2):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True) * upstream)
        gradients = tape.gradient(loss, layer.trainable_weights)
        for weight, gradient in zip(layer.trainable_weights, gradients):
            weight.assign_sub(0.01 * gradient)
    for weight, gradient in zip(layer.trainable_weights, gradients):
        assert np.isfinite(gradient).all(), weight.name
        if weight is not layer.out.bias:  # the normalization removes it
            assert np.abs(gradient).max() > 1e-5, weight.name


@LAYOUTS
@pytest.mark.parametrize("training", [False, True])
def test_equals_the_sum_over_pairs(rng, nodes, groups, training):
    x = rng.normal(size=(3, nodes, 8)).astype(np.float32)
    layer = built(nodes, 8, groups, rng)
    expected = non_local(x, layer, groups, training)
    assert np.abs(expected - x).mean() > 0.1
    np.testing.assert_allclose(layer(x, training=training), expected, rtol=1e-3, atol=1e-3)


def test_training_moves_the_statistics_by_a_tenth(rng):
    x = rng.normal(size=(3, 17, 8)).astype(np.float32)
    layer = built(17, 8, None, rng)
    mean = layer.bn.moving_mean.numpy()
    layer(x, training=False)
    np.testing.assert_array_equal(layer.bn.moving_mean, mean)
    layer.bn.gamma.assign(tf.ones(8)), layer.bn.beta.assign(tf.zeros(8))
    layer.bn.moving_mean.assign(tf.zeros(8)), layer.bn.moving_variance.assign(tf.ones(8))
    batch_mean = (non_local(x, layer, None, False) - x).mean((0, 1)) * np.sqrt(1 + 1e-5)
    layer(x, training=True)
    np.testing.assert_allclose(layer.bn.moving_mean, 0.1 * batch_mean, rtol=1e-3, atol=1e-5)


def test_numbering_of_the_nodes_does_not_matter(rng):
    x = rng.normal(size=(2, 17, 8)).astype(np.float32)
    order = rng.permutation(17)
    layer = built(17, 8, None, rng)
    np.testing.assert_allclose(layer(x[:, order]), layer(x).numpy()[:, order], rtol=1e-4, atol=1e-4)


def test_samples_do_not_see_each_other(rng):
    x = rng.normal(size=(4, 16, 8)).astype(np.float32)
    layer = built(16, 8, GROUPS, rng)
    np.testing.assert_allclose(layer(x)[2:3], layer(x[2:3]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "groups", [[[0, 1], [2]], [[0, 1], [2, 2]], [[0, 1]], [[0, 1], [2, 4]], [[0, 1, 2, 3, 4]]], ids=str
)
def test_groups_that_are_no_partition_are_refused(groups):
    with pytest.raises(ValueError, match="4 nodes once"):
        NonLocal(groups).build((None, 4, 8))


def test_weights_of_128_channels():
    layer = built(17, 128, None)
    # Three projections to 64, one back to 128, the affinity vector, and scale and shift.
    assert sum(int(np.prod(weight.shape)) for weight in layer.trainable_weights) == (
        3 * (128 * 64 + 64) + 64 * 128 + 128 + 128 + 2 * 128
    )


def test_mixed_precision_keeps_float32_weights(rng, mixed_bfloat16):
    x = rng.normal(size=(2, 16, 8)).astype(np.float32)
    layer, exact = built(16, 8, GROUPS, rng), built(16, 8, GROUPS, dtype="float32")
    exact.set_weights(layer.get_weights())
    assert layer(x).dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {tf.float32}
    result, expected = tf.cast(layer(x), tf.float32).numpy(), exact(x).numpy()
    assert np.abs(result - expected).mean() < 0.02 * np.abs(expected - x).mean() + 0.02


@LAYOUTS
def test_round_trip_keeps_the_groups(rng, nodes, groups):
    x = rng.normal(size=(2, nodes, 8)).astype(np.float32)
    layer = built(nodes, 8, groups, rng)
    again = NonLocal.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.groups == groups
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again(x), layer(x))
