"""Fixtures of the tests in this folder."""

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(scope="module")
def images():
    """Three crops of coarse noise, uint8 [3, 256, 256, 3]."""
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (3, 16, 16, 3), np.uint8).repeat(16, 1).repeat(16, 2)


@pytest.fixture(scope="module")
def image():
    """Coarse noise, uint8 [480, 640, 3]."""
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8).repeat(8, 0).repeat(8, 1)


@pytest.fixture(scope="module")
def signatures(exported):
    """The signatures of the exported model by name."""
    return tf.saved_model.load(exported).signatures
