"""Tests of a run's state: all of it is in a checkpoint from the beginning, under names that stay."""

import math

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.training.state import make_state
from pose_tf.training.strategy import make_strategy, variable_scope

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture
def make(config):
    """make(ema=0.0, precision="float32"): the state of a model with a kernel [3, 2], a bias [2] and a statistic [2]."""

    def make_with(ema=0.0, precision="float32"):
        config.optimizer.ema, config.precision = ema, precision
        layers = [tf.keras.layers.Dense(2), tf.keras.layers.BatchNormalization(center=False, scale=False)]
        strategy = make_strategy("one_device")
        with variable_scope(strategy):
            model = tf.keras.Sequential([tf.keras.Input([3]), *layers])
        return make_state(config, model, strategy, total_steps=20, steps_per_epoch=5)

    return make_with


def saved(state, folder):
    """{name: shape} of the variables in a checkpoint."""
    path = state.checkpoint().save(f"{folder}/ckpt")
    return {name.removesuffix(SUFFIX): shape for name, shape in tf.train.list_variables(path) if "OBJECT" not in name}


def test_a_new_run_has_no_best_error_and_has_taken_no_step(make):
    state = make()
    assert math.isinf(float(state.best))
    assert (state.step, int(state.best_step), int(state.validated_step)) == (0, 0, 0)
    assert state.average is None


def test_a_checkpoint_before_the_first_step_has_the_optimizers_moments(make, tmp_path):
    found = saved(make(), tmp_path)
    assert {name: found[name] for name in ("best", "best_step", "validated_step", "optimizer/iter")} == dict.fromkeys(
        ("best", "best_step", "validated_step", "optimizer/iter"), []
    )
    model = {name: shape for name, shape in found.items() if name.startswith("model/") and "OPTIMIZER_SLOT" not in name}
    assert sorted(model.values()) == [[2], [2], [2], [3, 2]]
    moments = [name for name in found if name.endswith(("/m", "/v"))]
    assert sorted(found[name] for name in moments) == [[2], [2], [3, 2], [3, 2]]
    assert not any(name.startswith("average") for name in found)


def test_the_averages_are_saved_too(make, tmp_path):
    found = saved(make(ema=0.9), tmp_path)
    averages = {name.split("/")[0]: [] for name in found if name.startswith("average")}
    for name, shape in found.items():
        if name.startswith("average"):
            averages[name.split("/")[0]].append(shape)
    assert sorted(averages["average"]) == [[2], [3, 2]]
    assert sorted(averages["average_statistics"]) == [[2], [2]]


@pytest.mark.parametrize(
    ("precision", "scaled"), [("float32", False), ("mixed_bfloat16", False), ("mixed_float16", True)]
)
def test_the_loss_is_scaled_in_float16_only(make, tmp_path, precision, scaled):
    state = make(precision=precision)
    assert isinstance(state.optimizer, tf.keras.mixed_precision.LossScaleOptimizer) == scaled
    assert ("optimizer/loss_scale/current_loss_scale" in saved(state, tmp_path)) == scaled


def test_a_state_comes_back_whole(make, tmp_path):
    first = make(ema=0.9)
    gradients = [tf.ones_like(weight) for weight in first.model.trainable_weights]
    first.optimizer.apply_gradients(zip(gradients, first.model.trainable_weights))
    first.best.assign(12.5)
    path = first.checkpoint().save(f"{tmp_path}/ckpt")
    second = make(ema=0.9)
    assert not np.array_equal(first.model.get_weights()[0], second.model.get_weights()[0])
    second.checkpoint().restore(path).assert_consumed()
    assert float(second.best) == 12.5 and int(second.optimizer.iterations) == 1
    for ours, theirs in zip(
        (*second.model.weights, *second.optimizer.variables()), (*first.model.weights, *first.optimizer.variables())
    ):
        np.testing.assert_array_equal(ours, theirs)
