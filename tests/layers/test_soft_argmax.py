"""Tests of the soft-argmax: known maps, symmetries, precision, and the gradient of an expectation."""

import json

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.layers import SoftArgmax2D


def peaks(*cells, height=64, width=64, logit=1000.0):
    """One map in which the cells (x, y) hold `logit` and all others 0."""
    heatmap = np.zeros((1, height, width, 1), np.float32)
    for x, y in cells:
        heatmap[0, y, x, 0] = logit
    return heatmap


def expectation(heatmap, beta=1.0):
    """Mean cell of one map, in float64, cell by cell."""
    p = np.exp(beta * (heatmap.astype(np.float64) - heatmap.max()))
    rows, columns = np.indices(heatmap.shape)
    return np.array([(p * columns).sum(), (p * rows).sum()]) / p.sum()


@pytest.mark.parametrize("x, y", [(0, 0), (63, 63), (10, 20), (63, 0)])
def test_a_single_peak_lies_at_the_center_of_its_4x4_pixels(x, y):
    np.testing.assert_allclose(SoftArgmax2D()(peaks((x, y))), [[[4 * x + 1.5, 4 * y + 1.5]]], atol=1e-4)


def test_two_equal_peaks_meet_in_the_middle():
    np.testing.assert_allclose(SoftArgmax2D()(peaks((10, 20), (30, 50))), [[[81.5, 141.5]]], atol=1e-4)


def test_a_flat_map_points_to_the_center_of_the_image():
    np.testing.assert_allclose(SoftArgmax2D()(tf.zeros([2, 64, 64, 3])), np.full((2, 3, 2), 127.5), atol=1e-4)
    np.testing.assert_allclose(SoftArgmax2D()(tf.zeros([1, 32, 64, 1])), [[[127.5, 63.5]]], atol=1e-4)


@pytest.mark.parametrize("stride, offset", [(1.0, 0.0), (2.0, 0.5), (4.0, 1.5), (8.0, 3.5)])
def test_the_first_cell_is_at_the_center_of_what_it_covers(stride, offset):
    assert SoftArgmax2D(stride=stride).offset == offset
    np.testing.assert_allclose(SoftArgmax2D(stride=stride)(peaks((0, 0))), [[[offset, offset]]], atol=1e-4)


@pytest.mark.parametrize("beta, stride, offset", [(1, 4, 1.5), (3.0, 8, 3.5), (0.5, 4, 0)])
def test_equals_the_expectation_cell_by_cell(rng, beta, stride, offset):
    heatmaps = rng.normal(size=(2, 12, 20, 3)).astype(np.float32) * 3
    expected = [[expectation(heatmaps[b, :, :, j], beta) * stride + offset for j in range(3)] for b in range(2)]
    np.testing.assert_allclose(SoftArgmax2D(beta, stride, offset)(heatmaps), expected, rtol=1e-5)


def test_moves_with_its_map(rng):
    blob = rng.normal(size=(5, 7)) * 2
    maps = np.full((2, 64, 64, 1), -1e4, np.float32)
    maps[0, 20:25, 30:37, 0] = blob
    maps[1, 17:22, 41:48, 0] = blob
    first, second = SoftArgmax2D()(maps)[:, 0].numpy()
    np.testing.assert_allclose(second - first, [44, -12], atol=1e-4)


def test_mirrored_maps_give_mirrored_pixels(rng):
    heatmaps = rng.normal(size=(2, 64, 64, 5)).astype(np.float32) * 4
    pose = SoftArgmax2D()(heatmaps).numpy()
    mirrored = SoftArgmax2D()(heatmaps[:, :, ::-1])
    np.testing.assert_allclose(mirrored, pose * [-1, 1] + [255, 0], atol=1e-3)


def test_a_constant_does_not_matter_and_huge_logits_do_not_overflow(rng):
    heatmaps = rng.integers(-200, 200, (1, 16, 16, 2)).astype(np.float32) / 64  # float32 holds these + 1024 exactly
    np.testing.assert_array_equal(SoftArgmax2D()(heatmaps + 1024), SoftArgmax2D()(heatmaps))
    assert np.isfinite(SoftArgmax2D(beta=1e7)(heatmaps * 1e20)).all()


def test_a_large_beta_is_the_argmax(rng):
    heatmap = rng.permutation(16 * 16).reshape(1, 16, 16, 1).astype(np.float32) / 256
    y, x = np.unravel_index(heatmap.argmax(), (16, 16))
    np.testing.assert_allclose(SoftArgmax2D(beta=1e7)(heatmap), [[[4 * x + 1.5, 4 * y + 1.5]]], atol=1e-4)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_computes_in_float32_under_mixed_precision(rng, mixed_bfloat16, dtype):
    heatmaps = tf.cast(rng.normal(size=(1, 64, 64, 4)) * 3, dtype)
    pose = SoftArgmax2D()(heatmaps)
    assert pose.dtype == tf.float32
    exact = [expectation(heatmaps.numpy()[0, :, :, j].astype(np.float32)) * 4 + 1.5 for j in range(4)]
    np.testing.assert_allclose(pose[0], exact, atol=1e-3)


def gradients(heatmaps, *options):
    """Gradients of x and of y of the first joint of one map, each [H, W, J]."""
    heatmaps = tf.constant(heatmaps, tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(heatmaps)
        x, y = tf.unstack(SoftArgmax2D(*options)(heatmaps)[0, 0])
    return [tape.gradient(coordinate, heatmaps)[0].numpy() for coordinate in (x, y)]


@pytest.mark.parametrize("beta, stride, offset", [(1, 4, 1.5), (3.0, 8, 3.5), (0.5, 4, 0)])
def test_gradient_is_the_weight_times_the_distance(rng, beta, stride, offset):
    heatmap = rng.normal(size=(6, 8)).astype(np.float32)
    p = np.exp(beta * heatmap.astype(np.float64))
    p /= p.sum()
    mean_x, mean_y = expectation(heatmap, beta)
    by_x, by_y = gradients(heatmap[None, :, :, None], beta, stride, offset)
    np.testing.assert_allclose(by_x[:, :, 0], beta * stride * p * (np.arange(8)[None] - mean_x), atol=1e-5)
    np.testing.assert_allclose(by_y[:, :, 0], beta * stride * p * (np.arange(6)[:, None] - mean_y), atol=1e-5)


@pytest.mark.parametrize("beta", [1.0, 1e7])
def test_gradient_of_a_single_peak_is_zero(beta):
    for gradient in gradients(peaks((10, 63), logit=1e4), beta):
        np.testing.assert_array_equal(gradient, np.zeros((64, 64, 1)))


@pytest.mark.parametrize("beta", [1.0, 1e7])
def test_gradient_of_two_equal_peaks_pulls_along_their_line(beta):
    by_x, by_y = gradients(peaks((10, 20), (30, 50), logit=1e4), beta)
    # Each weighs a half and lies 10 columns and 15 rows from the middle, at 4 px each.
    np.testing.assert_allclose(by_x / beta, peaks((30, 50), logit=20)[0] - peaks((10, 20), logit=20)[0], rtol=1e-6)
    np.testing.assert_allclose(by_y / beta, peaks((30, 50), logit=30)[0] - peaks((10, 20), logit=30)[0], rtol=1e-6)


def test_gradient_sums_to_zero_and_stays_on_its_own_map(rng):
    for gradient in gradients(rng.normal(size=(1, 64, 64, 3)) * 3):
        assert abs(gradient[..., 0].sum()) < 1e-4 < 0.1 < np.abs(gradient[..., 0]).sum()
        np.testing.assert_array_equal(gradient[..., 1:], np.zeros((64, 64, 2)))


def test_in_a_graph_of_unknown_size(rng):
    layer = SoftArgmax2D()
    graph = tf.function(layer, input_signature=[tf.TensorSpec([None, None, None, 17], tf.float32)])
    heatmaps = rng.normal(size=(3, 10, 12, 17)).astype(np.float32)
    np.testing.assert_allclose(graph(heatmaps), layer(heatmaps), atol=1e-4)


def test_round_trip_keeps_the_options():
    layer = SoftArgmax2D(beta=2.0, stride=8.0, offset=0.0)
    config = json.loads(json.dumps(tf.keras.utils.serialize_keras_object(layer)))
    again = tf.keras.utils.deserialize_keras_object(config)
    assert (again.beta, again.stride, again.offset, again.dtype) == (2.0, 8.0, 0.0, "float32")


def test_the_configuration_is_the_one_of_earlier_files():
    options = {"beta": 1.0, "stride": 4.0, "offset": 1.5}
    assert SoftArgmax2D().get_config().items() >= options.items()
    assert SoftArgmax2D.from_config({"name": "a", "trainable": True, "dtype": "float32", **options}).offset == 1.5
