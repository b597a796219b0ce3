"""Tests of up-sampling: repeated pixels and their gradient."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.layers import UpSampling2D


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("size", [2, 4])
def test_every_pixel_is_repeated(rng, size, training):
    x = np.float32(rng.normal(size=(2, 3, 5, 4)))
    expected = np.repeat(np.repeat(x, size, axis=1), size, axis=2)
    np.testing.assert_array_equal(UpSampling2D(size)(x, training=training), expected)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_gradient_of_a_pixel_is_the_sum_over_its_copies(rng, jit_compile, dtype):
    layer = UpSampling2D(2, dtype=dtype)
    x, upstream = (tf.constant(rng.integers(-8, 8, (2, n, n, 4)), dtype) for n in (3, 6))  # sums are exact

    @tf.function(jit_compile=jit_compile)
    def gradient(x, upstream):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return tape.gradient(y, x, upstream)

    found = gradient(x, upstream)
    assert found.dtype == dtype
    expected = tf.cast(upstream, tf.float32).numpy().reshape(2, 3, 2, 3, 2, 4).sum(axis=(2, 4))
    np.testing.assert_array_equal(tf.cast(found, tf.float32), expected)
