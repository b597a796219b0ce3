"""Tests of dropout whose mask follows from a seed and the layer's name."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.layers import Dropout
from pose_tf.layers.dropout import dropout_seed

SHAPE = (1001, 37)  # the number of elements is not a multiple of four


def drop(rate, seed=(0, 0), name="a", dtype="float32"):
    layer = Dropout(rate, name=name, dtype=dtype)
    with dropout_seed(tf.constant(seed, tf.int64)):
        return layer(tf.ones(SHAPE, dtype), training=True).numpy()


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_elements_are_dropped_with_the_given_rate_and_the_others_scaled(rate):
    values = drop(rate)
    kept = values != 0
    np.testing.assert_allclose(values[kept], 1 / (1 - rate), rtol=1e-3)
    deviation = np.sqrt(rate * (1 - rate) / values.size)
    assert abs(kept.mean() - (1 - rate)) < 4 * deviation
    for axis in (0, 1):  # neighbors are independent
        both = np.minimum(kept, np.roll(kept, 1, axis)).mean()
        assert abs(both - (1 - rate) ** 2) < 6 * deviation


def test_the_mask_follows_from_seed_and_name_alone():
    mask = drop(0.5)
    np.testing.assert_array_equal(drop(0.5), mask)
    for other in (drop(0.5, (0, 1)), drop(0.5, (1, 0)), drop(0.5, name="b")):
        assert 0.45 < (other != mask).mean() < 0.55


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_mask_is_the_same_in_half_precision(dtype):
    values = drop(0.5, dtype=dtype)
    assert values.dtype == dtype
    np.testing.assert_array_equal(np.float32(values), drop(0.5))


@pytest.mark.parametrize("rate", [0.5, 0.1])
def test_xla_draws_the_same_mask(rate):
    layer, x = Dropout(rate, name="a"), tf.ones(SHAPE)

    def run(seed):
        with dropout_seed(seed):
            return layer(x, training=True)

    for step in range(4):
        seed = tf.constant([5, step], tf.int64)
        np.testing.assert_array_equal(tf.function(run, jit_compile=True)(seed), run(seed))


def test_nothing_is_dropped_in_inference_or_with_a_rate_of_0():
    x = tf.ones(SHAPE)
    with dropout_seed(tf.constant([0, 0], tf.int64)):
        np.testing.assert_array_equal(Dropout(0.5)(x, training=False), x)
        np.testing.assert_array_equal(Dropout(0.0)(x, training=True), x)


def test_outside_of_a_seed_it_is_keras_own():
    layer, x = Dropout(0.5), tf.ones(SHAPE)
    assert (layer(x, training=True).numpy() != layer(x, training=True).numpy()).any()
