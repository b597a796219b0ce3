"""Tests of the moving average of the weights: its formula, and its temporary use by the model."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.training.weight_average import WeightAverage


@pytest.fixture
def model():
    """Two weights, 1 and 1."""
    layer = tf.keras.layers.Dense(1, kernel_initializer="ones", bias_initializer="ones")
    return tf.keras.Sequential([tf.keras.Input((1,)), layer])


def values(variables):
    return [float(np.squeeze(variable)) for variable in variables]


def set_weights(model, value):
    for weight in model.weights:
        weight.assign(tf.fill(weight.shape, value))


@pytest.mark.parametrize(("steps", "decay"), [(0, 1 / 10), (8, 9 / 18), (1000, 0.75)])
def test_the_average_moves_to_the_weights_faster_in_the_first_steps(model, steps, decay):
    average = WeightAverage(model, 0.75)
    average.start()
    set_weights(model, 5.0)
    average.update(steps)
    np.testing.assert_allclose(values(average.state["average"]), 2 * [1 + (1 - decay) * 4], rtol=1e-6)


def test_an_average_that_a_checkpoint_has_set_is_not_started_again(model):
    average = WeightAverage(model, 0.9)
    assert np.isnan(values(average.state["average"])).all()
    average.state["average"][0].assign([[3.0]])
    average.start()
    assert values(average.state["average"]) == [3.0, 1.0]


def test_the_model_has_the_averages_for_a_while_whatever_happens(model):
    average = WeightAverage(model, 0.9)
    average.start()
    set_weights(model, 5.0)
    with pytest.raises(KeyError), average.applied():
        assert values(model.weights) == [1.0, 1.0]
        raise KeyError
    assert values(model.weights) == [5.0, 5.0]
