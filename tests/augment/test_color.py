"""Tests of the color jitter against its definition in NumPy."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.augment import ColorJitter
from pose_tf.augment.color import jitter

WEIGHTS = np.array([0.2989, 0.587, 0.114])


def brightness(x, factor):
    return np.clip(x * factor, 0, 255)


def contrast(x, factor):
    return np.clip(factor * x + (1 - factor) * (x @ WEIGHTS).mean(), 0, 255)


def saturation(x, factor):
    return np.clip(factor * x + (1 - factor) * (x @ WEIGHTS)[..., None], 0, 255)


def hue(x, turn):
    pixels = [colorsys.rgb_to_hsv(*pixel) for pixel in x.reshape(-1, 3) / 255]
    return 255 * np.reshape([colorsys.hsv_to_rgb((h + turn) % 1, s, v) for h, s, v in pixels], x.shape)


@pytest.fixture
def images(rng):
    return rng.uniform(0, 255, (5, 8, 9, 3)).astype(np.float32)


def test_changes_are_those_of_the_definitions_in_any_order(images, rng):
    factors = [rng.uniform(0.5, 1.5, 5).astype(np.float32) for _ in range(3)] + [np.float32([0.1, -0.3, 0.5, 0, 0.2])]
    order = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1], [1, 0, 2, 3]])
    result = jitter(images, *factors, order)
    for i in range(5):
        expected = images[i].astype(np.float64)
        for change in order[i]:
            expected = (brightness, contrast, saturation, hue)[change](expected, float(factors[change][i]))
        np.testing.assert_allclose(result[i], expected, atol=0.02)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_strengths_bound_the_factors(images, name):
    layer = ColorJitter(**{"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, name: 0.3})
    image = np.tile(images[:1] / 4 + 90, (400, 1, 1, 1))  # far enough from black and white not to be clipped
    result = layer(image, training=True, seed=[1, 1]).numpy().astype(np.float64)
    rest = {
        "brightness": np.zeros(3),
        "contrast": (image[0] @ WEIGHTS).mean(),
        "saturation": (image[0] @ WEIGHTS)[..., None],
    }[name]
    distance = image[0] - rest
    factors = ((result - rest) * distance).sum(axis=(1, 2, 3)) / (distance**2).sum()
    np.testing.assert_allclose(result[7], rest + factors[7] * distance, atol=0.01)
    assert factors.min() >= 0.699 and factors.max() <= 1.301
    np.testing.assert_allclose(np.quantile(factors, [0.1, 0.5, 0.9]), [0.76, 1.0, 1.24], atol=0.04)


def test_every_order_occurs():
    # Raising brightness to white before or after lowering contrast gives different grays.
    images = np.full((200, 2, 2, 3), 200, np.float32)
    images[:, 0] = 20
    order = tf.argsort(tf.random.stateless_uniform([200, 3], [0, 0]))
    fixed = jitter(images, tf.fill([200], 2.0), tf.fill([200], 0.5), tf.fill([200], 1.0), None, order).numpy()
    assert len(np.unique(fixed[:, 1, 0, 0].round(2))) == 2
    assert len(np.unique(order, axis=0)) == 6


def test_hue_turns_within_its_strength():
    red = np.tile(np.float32([255, 0, 0]), (300, 1, 1, 1))
    result = ColorJitter(0.0, 0.0, 0.0, hue=0.1)(red, training=True, seed=[2, 0]).numpy()
    turns = np.array([colorsys.rgb_to_hsv(*pixel)[0] for pixel in result[:, 0, 0] / 255])
    turns = (turns + 0.5) % 1 - 0.5
    assert -0.1 <= turns.min() < -0.09 and 0.09 < turns.max() <= 0.1


@pytest.mark.parametrize("dtype", [tf.uint8, tf.float32, tf.bfloat16, tf.float16])
def test_types_are_kept_and_inference_changes_nothing(images, dtype):
    images = tf.cast(images, dtype)
    layer = ColorJitter()
    result = layer(images, training=True, seed=[0, 0])
    assert result.dtype == dtype
    assert np.any(result != images)
    np.testing.assert_array_equal(layer(images, training=True, seed=[0, 0]), result)
    assert layer(images, training=False, seed=[0, 0]) is images


def test_is_rebuilt_from_its_config(images):
    layer = ColorJitter(0.1, 0.3, 0.4, 0.05)
    again = ColorJitter.from_config(layer.get_config())
    np.testing.assert_array_equal(again(images, training=True, seed=[5, 6]), layer(images, training=True, seed=[5, 6]))
