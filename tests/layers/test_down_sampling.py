"""Tests of down-sampling: means of pixels in their place."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.layers import DownSampling2D


def test_half_the_size_is_the_mean_of_four_pixels(rng):
    x = np.float32(rng.normal(size=(2, 6, 8, 3)))
    expected = x.reshape(2, 3, 2, 4, 2, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(DownSampling2D(0.5)(x), expected, atol=1e-6)


def test_pixels_keep_their_place():
    """Four pixels have their centers at 1, 3, 5 and 7 eighths of the image; three at 1, 3 and 5 sixths."""
    ramp = np.float32([1, 3, 5, 7]) / 8
    x = np.broadcast_to(ramp[None, None, :, None], (1, 4, 4, 1))
    found = DownSampling2D(0.75)(x)
    np.testing.assert_allclose(found[0, :, :, 0], np.broadcast_to(np.float32([1, 3, 5]) / 6, (3, 3)), atol=1e-6)
    found = DownSampling2D(0.75)(x.transpose(0, 2, 1, 3))
    np.testing.assert_allclose(found[0, :, 0, 0], np.float32([1, 3, 5]) / 6, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_type_and_the_known_shape_stay(dtype):
    layer = DownSampling2D(0.625, dtype=dtype)
    found = layer(tf.zeros([1, 256, 128, 3], dtype))
    assert (found.dtype, found.shape) == (dtype, (1, 160, 80, 3))
    assert layer.compute_output_shape((None, 256, None, 3)) == (None, 160, None, 3)
    assert DownSampling2D.from_config(layer.get_config()).factor == 0.625


@pytest.mark.parametrize("factor", [0, 0.49, 1.01, -1, float("nan")])
def test_a_factor_that_leaves_out_pixels_is_refused(factor):
    with pytest.raises(ValueError, match="the factor of downsampling is .*; it must be at least 0.5 and at most 1"):
        DownSampling2D(factor)
