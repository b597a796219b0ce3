"""Tests of crops cut out of images: pixels lie where `Crop` says, and what is outside has the mean color."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import images
from pose_tf.cropping import square_crop
from pose_tf.geometry import Crop

MEAN_COLOR = (124, 116, 104)


def cut(image, corner, side):
    return square_crop(tf.constant(image), Crop(tf.constant(corner, tf.float32), tf.constant(side, tf.float32))).numpy()


def test_a_square_of_256_pixels_is_copied(rng):
    image = rng.integers(0, 256, (400, 500, 3), np.uint8)
    crop = cut(image, (37, 120), 256)
    assert crop.dtype == np.uint8
    np.testing.assert_array_equal(crop, image[120:376, 37:293])


@pytest.mark.parametrize(("corner", "side"), [((20.0, 30.0), 128), ((10.25, 5.5), 100), ((0.0, 0.0), 200)])
def test_pixels_lie_where_the_crop_says(corner, side):
    """In an image of two ramps, a color is a place: pixel i spans i - 0.5 to i + 0.5."""
    rows, columns = np.indices((200, 200))
    crop = cut(np.uint8(np.stack([columns, rows, 0 * rows], axis=-1)), corner, side).astype(float)
    x, y = (start + (np.arange(256) + 0.5) * side / 256 - 0.5 for start in corner)
    inner = slice(4, -4)  # the outermost pixels have one neighbor
    np.testing.assert_allclose(crop[inner, inner, 0], np.broadcast_to(x, (256, 256))[inner, inner], atol=0.51)
    np.testing.assert_allclose(crop[inner, inner, 1], np.broadcast_to(y[:, None], (256, 256))[inner, inner], atol=0.51)


def test_what_is_outside_has_the_mean_color():
    crop = cut(np.full((100, 60, 3), 255, np.uint8), (-98, -50), 256)
    expected = np.full((256, 256, 3), MEAN_COLOR)
    expected[50:150, 98:158] = 255
    np.testing.assert_array_equal(crop, expected)


def test_fine_stripes_become_gray_in_a_small_crop():
    image = np.zeros((1024, 1024, 3), np.uint8)
    image[:, ::2] = 255
    crop = cut(image, (0.5, 0), 1024)  # without antialiasing, each pixel would be one of the stripes
    assert np.abs(crop[:, 4:-4].astype(int) - 127.5).max() < 2


@pytest.mark.parametrize("side", [2, 77.7, 256, 300.25, 1800])
def test_numpy_cuts_the_same_pixels(side, rng):
    image = rng.integers(0, 256, (700, 500, 3), np.uint8)
    for corner in rng.uniform(-0.6 * side, 450, (4, 2)):
        expected = cut(image, corner, side).astype(int)
        found = images.square_crop(image, Crop(np.float32(corner), np.float32(side)))
        assert found.dtype == np.uint8
        differ = np.abs(found - expected)  # where the two sum in another order and round to another side
        assert differ.max() <= 1 and differ.mean() < 0.01


def test_numpy_cuts_nothing_out_of_the_image():
    found = images.square_crop(np.zeros((50, 60, 3), np.uint8), Crop(np.float32([400, 3]), np.float32(100)))
    assert (found == MEAN_COLOR).all()
