"""Tests that every combination of recipe options trains, or is refused before anything is read.

Training all of them would take an hour. The runs here cover every pair of strategy, stage, precision, batch
normalization and XLA, with clipping, moving average, occlusion, a change of the images' size and calls of two steps and
of one. Each strategy with its devices has its own process.
"""

import concurrent.futures
import itertools
import multiprocessing
import types

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.training import trainer
from pose_tf.training.interruption import Interruption
from pose_tf.training.recipe import COMMON, check_switches
from pose_tf.training.state import make_state
from pose_tf.training.step import make_train_steps
from pose_tf.training.strategy import distribute, make_strategy, variable_scope
from pose_tf.training.trainer import make_stage
from tests.training.recipes import recipe
from tests.training.replicas import NETWORKS, make_config, make_data, tf_configs, use_devices

PRECISIONS, BATCH_NORMS = COMMON["precision"], COMMON["batch_norm"]
STRATEGIES = ("one_device", "mirrored", "multi_worker")
STEPS = 3


def take_steps(strategy, config, folder):
    """Trains for three steps; returns the number of steps taken, and whether all values that must be finite are."""
    tf.keras.mixed_precision.set_global_policy(config.precision)
    with variable_scope(strategy):
        stage = make_stage(config, folder)
    state = make_state(config, stage.model, strategy, STEPS, STEPS)
    steps = make_train_steps(config, stage, state, strategy, STEPS, Interruption())
    batches = iter(distribute(strategy, lambda share: stage.training_batches(0, share)))
    taken, finite = 0, True
    for count in (2, 1):
        done, _, _, sums, _ = steps(batches, tf.constant(count))
        taken += int(done)
        finite &= all(np.isfinite(value) for value in sums.values())
    return taken, finite


def train(name, folder, tf_config, cases):
    """Trains {number: arguments of `make_config`} one after the other; returns {number: result of `take_steps`}."""
    use_devices(name, tf_config)
    strategy = make_strategy(name)
    found = {}
    for number, case in cases.items():
        try:
            found[number] = take_steps(strategy, make_config(folder, *case), folder)
        except Exception as error:
            found[number] = f"{type(error).__name__}: {error}"
    return found


def is_refused(strategy, batch_norm, jit_compile):
    return strategy != "one_device" and batch_norm == "synchronized" and jit_compile


WITH_XLA = {("one_device", "feed_forward"), ("one_device", "sem_gcn"), ("one_device", "end_to_end")} | {
    ("mirrored", "feed_forward"),
    ("multi_worker", "detector"),
}


def chosen():
    """Latin squares: twelve runs cover all pairs of strategy, stage, precision, batch normalization and XLA."""
    for (i, strategy), (j, stage) in itertools.product(enumerate(STRATEGIES), enumerate(NETWORKS)):
        precision, batch_norm = PRECISIONS[(i + j) % 3], BATCH_NORMS[(i + 2 * j) % 3]
        yield strategy, stage, precision, batch_norm, (strategy, stage) in WITH_XLA


CASES = list(chosen())


def train_all(folder, cases):
    """{number of the case: results of each process} for cases of any strategy."""
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(4, mp_context=spawn, max_tasks_per_child=1) as pool:
        runs = []
        for strategy in STRATEGIES:
            own = {number: case[1:] for number, case in enumerate(cases) if case[0] == strategy}
            for tf_config in tf_configs() if strategy == "multi_worker" else [None]:
                runs.append(pool.submit(train, strategy, folder, tf_config, own))
        found = {}
        for run in runs:
            for number, result in run.result().items():
                found.setdefault(number, []).append(result)
        return found


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("data"))
    make_data(folder)
    return train_all(folder, CASES)


@pytest.mark.parametrize("number", range(len(CASES)), ids=[" ".join(map(str, case)) for case in CASES])
def test_it_trains(found, number):
    assert found[number] == [(STEPS, True)] * (2 if CASES[number][0] == "multi_worker" else 1)


def test_every_pair_of_switches_is_tried():
    for a, b in itertools.combinations(range(5), 2):
        values = [STRATEGIES, NETWORKS, PRECISIONS, BATCH_NORMS, (False, True)]
        tried = {(case[a], case[b]) for case in CASES}
        assert tried == set(itertools.product(values[a], values[b]))


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("batch_norm", BATCH_NORMS)
def test_xla_with_synchronized_normalization_is_refused_for_several_replicas(replicas, jit_compile, batch_norm):
    config = recipe("feed_forward")
    config.batch_norm, config.jit_compile = batch_norm, jit_compile
    if replicas == 1 or not is_refused("mirrored", batch_norm, jit_compile):
        check_switches(config, replicas)
        return
    with pytest.raises(UserError, match="config.jit_compile is True and config.batch_norm 'synchronized', which .* 2 "):
        check_switches(config, replicas)


@pytest.mark.parametrize("name", NETWORKS.values())
def test_it_is_refused_before_anything_is_read_or_written(monkeypatch, tmp_path, name):
    config = recipe(name)
    config.batch_norm, config.jit_compile = "synchronized", True
    several = types.SimpleNamespace(num_replicas_in_sync=2, cluster_resolver=None)
    monkeypatch.setattr(trainer, "make_strategy", lambda *_: several)
    with pytest.raises(UserError, match="config.jit_compile is True and config.batch_norm 'synchronized'"):
        trainer.train(config, "/nowhere", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()
