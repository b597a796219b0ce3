"""Tests of decoding: each method on heatmaps with known coordinates."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.models.decoding import Decoding
from pose_tf.models.estimator import detect


def blob(x, y, height=64, width=64, sigma=2.0, top=10.0):
    """One map with a Gaussian bump at cell (x, y), on a background of 0."""
    rows, columns = np.indices((height, width))
    bump = top * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.float32(bump)[None, :, :, None]


@pytest.mark.parametrize("alignment, offset", [("half_pixel", 1.5), ("corner", 0.0)])
@pytest.mark.parametrize("method", ["soft_argmax", "debiased", "argmax", "unshifted_argmax"])
def test_a_lone_cell_lies_at_its_pixel(method, alignment, offset):
    heatmap = np.zeros((1, 64, 64, 1), np.float32)
    heatmap[0, 50, 10] = 100
    pose2d = Decoding(method, alignment=alignment)(heatmap)
    assert (pose2d.shape, pose2d.dtype) == ((1, 1, 2), tf.float32)
    np.testing.assert_allclose(pose2d, [[[4 * 10 + offset, 4 * 50 + offset]]], atol=1e-3)


def test_the_argmax_moves_a_quarter_cell_toward_its_higher_neighbors():
    heatmap = np.zeros((1, 64, 64, 4), np.float32)
    heatmap[0, 20, 30] = 1
    heatmap[0, 20, 31, 0] = heatmap[0, 19, 30, 0] = 0.5  # right and up
    heatmap[0, 20, 29, 1] = heatmap[0, 21, 30, 1] = 0.5  # left and down
    heatmap[0, 20, 31, 2] = 0.5
    expected = [[30.25, 19.75], [29.75, 20.25], [30.25, 20], [30, 20]]
    np.testing.assert_allclose(Decoding("argmax", alignment="corner")(heatmap), [4 * np.array(expected)], atol=1e-4)
    unshifted = Decoding("unshifted_argmax", alignment="corner")(heatmap)
    np.testing.assert_array_equal(unshifted, [[[4 * 30, 4 * 20]] * 4])


@pytest.mark.parametrize("x, y", [(0, 0), (1, 30), (63, 63), (30, 63), (5, 1)])
def test_the_argmax_stays_at_the_border(x, y):
    np.testing.assert_allclose(Decoding("argmax", alignment="corner")(blob(x, y)), [[[4 * x, 4 * y]]])


def test_the_background_pulls_an_expectation_to_the_center_and_the_debiased_form_takes_it_out():
    heatmap = blob(20, 45)
    true = np.array([20, 45]) * 4 + 1.5
    biased = Decoding("soft_argmax")(heatmap).numpy()[0, 0]
    assert np.abs(biased - true).min() > 2.5
    np.testing.assert_allclose(Decoding("debiased")(heatmap), [[true]], atol=0.05)
    np.testing.assert_allclose(Decoding("debiased", beta=2.0)(heatmap), [[true]], atol=0.01)


def test_the_debiased_form_stays_where_there_is_nothing_but_background(rng):
    np.testing.assert_allclose(Decoding("debiased")(tf.zeros([1, 64, 64, 1])), [[[127.5, 127.5]]], atol=1e-3)
    below = rng.normal(-9, 1, (2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_allclose(Decoding("debiased")(below), Decoding()(below))
    huge = blob(20, 45, top=1e5)
    np.testing.assert_allclose(Decoding("debiased")(huge), [[[81.5, 181.5]]], atol=1e-3)


def test_a_large_beta_is_an_argmax():
    np.testing.assert_allclose(Decoding(beta=1e7)(blob(20.2, 45.3)), [[[81.5, 181.5]]])


@pytest.mark.parametrize("alignment", ["half_pixel", "corner"])
@pytest.mark.parametrize("size", [32, 64, 96])
def test_cells_and_pixels_are_each_others_inverse(rng, alignment, size):
    heatmaps = tf.zeros([2, size, size, 17])
    pose2d = rng.uniform(-20, 280, (2, 17, 2)).astype(np.float32)
    decoding = Decoding(alignment=alignment)
    np.testing.assert_allclose(decoding.to_pixels(decoding.to_cells(pose2d, heatmaps), heatmaps), pose2d, atol=1e-3)


@pytest.mark.parametrize("alignment, offset", [("half_pixel", 1.5), ("corner", 0)])
def test_the_flip_test_of_a_detector_that_treats_both_sides_alike_changes_nothing(alignment, offset):
    images = np.zeros((1, 256, 256, 3), np.uint8)
    images[0, 100, 80] = 255

    def detector(images, training):  # the cell nearest to the bright pixel
        x = float(tf.argmax(tf.reduce_sum(images[0], axis=(0, 2))))
        return tf.constant(np.tile(blob(round((x - offset) / 4), 25, top=50.0), (1, 1, 1, 17)))

    decoding = Decoding("argmax", alignment=alignment)
    plain, _ = detect(detector, images, False, decoding)
    flipped, _ = detect(detector, images, True, decoding)
    np.testing.assert_allclose(flipped, plain)


def test_the_confidence_is_the_height_of_the_peak_or_the_mass_around_it():
    heatmaps = tf.constant(np.concatenate([blob(20, 45, top=top) for top in (0.7, 1.3, -1.0)], axis=-1))
    images = np.zeros((1, 256, 256, 3), np.uint8)

    def confidence(decoding):
        return detect(lambda images, training: heatmaps, images, False, decoding)[1]

    np.testing.assert_allclose(confidence(Decoding("argmax")), [[0.7, 1, 0]], atol=1e-6)
    assert confidence(Decoding())[0, 0] < 0.1 < 0.9 < confidence(Decoding(beta=100.0))[0, 0]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"method": "guess"}, "decoding.method is 'guess'; it can be soft_argmax, debiased, argmax"),
        ({"alignment": "left"}, "decoding.alignment is 'left'"),
        ({"beta": 0.0}, "decoding.beta is 0.0"),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(UserError, match=message):
        Decoding(**options)
