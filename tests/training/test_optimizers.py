"""Tests of the optimizers against their formulas, and of the schedules of the learning rate."""

import ml_collections
import numpy as np
import pytest
import tensorflow as tf

from pose_tf.training.optimizers import AdamW, make_optimizer


def config(**changes):
    values = {
        "learning_rate": 0.1,
        "weight_decay": 0.0,
        "weight_decay_form": "decoupled",
        "decay_biases": False,
        "schedule": "constant",
        "warmup_steps": 0,
        "final_fraction": 0.01,
    }
    return ml_collections.ConfigDict(values | changes)


def test_weight_decay_is_decoupled_and_leaves_vectors_alone():
    kernel, bias = tf.Variable([[2.0]]), tf.Variable([2.0])
    optimizer = AdamW(0.1, 0.05)
    optimizer.apply_gradients([(tf.zeros([1, 1]), kernel), (tf.zeros([1]), bias)])
    np.testing.assert_allclose(kernel, [[2.0 * (1 - 0.1 * 0.05)]])
    np.testing.assert_array_equal(bias, [2.0])


def test_a_step_is_adams_with_the_decay_taken_off():
    kernel = tf.Variable([[2.0]])
    AdamW(0.1, 0.05).apply_gradients([(tf.constant([[3.0]]), kernel)])
    np.testing.assert_allclose(kernel, [[2.0 * (1 - 0.1 * 0.05) - 0.1]], rtol=1e-5)  # Adam's first step is η·sign(g)


def test_coupled_weight_decay_is_part_of_the_gradient():
    kernel, bias = tf.Variable([[2.0]]), tf.Variable([2.0])
    optimizer = AdamW(0.1, 0.05, coupled=True)
    optimizer.apply_gradients([(tf.constant([[3.0]]), kernel), (tf.constant([3.0]), bias)])
    np.testing.assert_allclose(optimizer.get_slot(kernel, "m"), [[0.1 * (3.0 + 0.05 * 2.0)]], rtol=1e-6)
    np.testing.assert_allclose(optimizer.get_slot(bias, "m"), [0.1 * 3.0], rtol=1e-6)


@pytest.mark.parametrize("form, after", [("decoupled", 2.0 * (1 - 0.1 * 0.05)), ("coupled", 2.0 - 0.1)])
def test_biases_decay_where_the_recipe_says_so(form, after):
    bias = tf.Variable([2.0])
    optimizer = make_optimizer(config(weight_decay=0.05, weight_decay_form=form, decay_biases=True), 10, 10)
    optimizer.apply_gradients([(tf.zeros([1]), bias)])
    np.testing.assert_allclose(bias, [after], rtol=1e-5)  # Adam's first step is η·sign(gradient)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {0: 0.1, 50: 0.1, 100: 0.1}),
        ({"warmup_steps": 20}, {0: 0.0, 10: 0.05, 20: 0.1, 100: 0.1}),
        ({"schedule": "step"}, {0: 0.1, 39: 0.1, 40: 0.01, 79: 0.01, 80: 0.001}),
        ({"schedule": "cosine"}, {0: 0.1, 50: 0.0505, 100: 0.001}),
        ({"schedule": "cosine", "warmup_steps": 20}, {0: 0.0, 10: 0.05, 20: 0.1, 60: 0.0505, 100: 0.001}),
    ],
)
def test_schedules(changes, expected):
    schedule = make_optimizer(config(**changes), 100, 40).learning_rate
    np.testing.assert_allclose([schedule(step) for step in expected], list(expected.values()), rtol=1e-5, atol=1e-9)
