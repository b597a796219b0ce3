"""Tests of networks for inference: without batch normalization and variables they compute the same."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.export.inference import fold_batch_norm, freeze
from pose_tf.models import HRNet
from tests.export.models import set_random_weights


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_folding_batch_normalisation_changes_nothing(images, policy):
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        detector = HRNet(width=8, stem=8, modules=(1, 1, 1), blocks=1)
    finally:
        tf.keras.mixed_precision.set_global_policy(before)
    set_random_weights(detector, np.random.default_rng(0))
    weights = [weight.numpy() for weight in detector.weights]
    folded = fold_batch_norm(detector, "float32")
    assert not any(isinstance(layer, tf.keras.layers.BatchNormalization) for layer in folded.layers)
    assert {layer.compute_dtype for layer in folded.layers} == {"float32"}
    x = images / np.float32(128) - 1
    expected = detector(x, training=False)
    tolerance = 1e-4 if policy == "float32" else 0.05  # of the original
    np.testing.assert_allclose(folded(x), expected, atol=tolerance * np.abs(expected).max())
    for weight, value in zip(detector.weights, weights):
        np.testing.assert_array_equal(weight, value)


def test_batch_normalisation_stays_where_others_see_the_convolution():
    image = tf.keras.Input((8, 8, 3))
    x = tf.keras.layers.Conv2D(4, 3, name="conv")(image)
    y = tf.keras.layers.BatchNormalization(name="bn")(x)
    model = tf.keras.Model(image, [x, y])
    set_random_weights(model, np.random.default_rng(0))
    images = np.random.default_rng(1).normal(size=(2, 8, 8, 3))
    folded = fold_batch_norm(model, "float32")
    for ours, theirs in zip(folded(images), model(images)):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_an_unknown_precision_is_named(estimator):
    with pytest.raises(UserError, match="precision is 'float8'; it can be float32, bfloat16"):
        fold_batch_norm(estimator.detector, "float8")


def test_a_frozen_function_has_no_variables_and_the_same_structure():
    variable = tf.Variable(3.0)
    function = freeze(lambda x: {"b": x * variable, "a": (x + 1, x)}, tf.TensorSpec([None], tf.float32))
    variable.assign(5.0)
    found = function(tf.constant([1.0, 2.0]))
    assert set(found) == {"a", "b"}
    np.testing.assert_array_equal(found["b"], [3, 6])
    np.testing.assert_array_equal(found["a"][0], [2, 3])
