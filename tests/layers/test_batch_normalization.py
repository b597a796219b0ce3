"""Tests of batch normalization against Keras's own."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.layers import BatchNormalization
from pose_tf.training.strategy import set_batch_norm

SHAPES = [(64, 6), (16, 17, 6)]


def normalize(x, mean, var, gamma, beta, epsilon=1e-5):
    return gamma * (x - mean) / np.sqrt(var + epsilon) + beta


@pytest.fixture(params=SHAPES, ids=str)
def x(request, rng):
    return np.float32(rng.normal(3, 2, request.param))


@pytest.fixture
def layer(x, rng):
    layer = BatchNormalization(momentum=0.9, epsilon=1e-5)
    layer.build(x.shape)
    layer.set_weights([np.float32(rng.uniform(0.5, 2, 6)) for _ in range(4)])
    return layer


def test_training_normalises_over_everything_but_the_channels(layer, x):
    gamma, beta, mean, var = (weight.numpy() for weight in layer.weights)
    axes = tuple(range(x.ndim - 1))
    count = x[..., 0].size
    expected = normalize(x, x.mean(axes), x.var(axes), gamma, beta)
    np.testing.assert_allclose(layer(x, training=True), expected, atol=1e-4)
    np.testing.assert_allclose(layer.moving_mean, 0.9 * mean + 0.1 * x.mean(axes), rtol=1e-5)
    unbiased = x.var(axes) * count / (count - 1)
    np.testing.assert_allclose(layer.moving_variance, 0.9 * var + 0.1 * unbiased, rtol=1e-4)


def test_gradients_are_those_of_keras(layer, x, rng):
    keras = tf.keras.layers.BatchNormalization(epsilon=1e-5)
    keras.build(x.shape)
    keras.set_weights(layer.get_weights())
    upstream, inputs, found = tf.constant(rng.normal(size=x.shape), tf.float32), tf.constant(x), []
    for one in (layer, keras):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(one(inputs, training=True) * upstream)
        found.append(tape.gradient(loss, [inputs, one.gamma, one.beta]))
    for ours, theirs in zip(*found):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_inference_uses_the_moving_averages(layer, x):
    gamma, beta, mean, var = (weight.numpy() for weight in layer.weights)
    np.testing.assert_allclose(layer(x, training=False), normalize(x, mean, var, gamma, beta), atol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, mean)


def test_it_can_be_frozen_and_synchronized(layer, x):
    model = tf.keras.Sequential([layer])
    trained = layer(x, training=True)
    set_batch_norm(model, "synchronized")
    np.testing.assert_allclose(layer(x, training=True), trained, atol=1e-4)
    gamma, beta, mean, var = (weight.numpy() for weight in layer.weights)
    set_batch_norm(model, "frozen")
    np.testing.assert_allclose(layer(x, training=True), normalize(x, mean, var, gamma, beta), atol=1e-4)
    assert not layer.trainable_weights


def test_another_number_of_channels_is_refused(layer, x):
    with pytest.raises(ValueError, match="expected axis -1"):
        layer(x[..., :5])


def test_a_model_with_it_comes_back_from_a_file(x, tmp_path):
    model = tf.keras.Sequential([tf.keras.Input(x.shape[1:]), BatchNormalization(name="bn")])
    model(x, training=True)
    model.save(f"{tmp_path}/model.keras")
    again = tf.keras.models.load_model(f"{tmp_path}/model.keras")
    np.testing.assert_array_equal(again(x), model(x))
