"""Tests of the loop over training steps, with a step that only returns what the test says."""

import math
import multiprocessing
import threading
import time
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from pose_tf.training import step
from pose_tf.training.interruption import Interruption
from pose_tf.training.strategy import distribute, make_strategy
from tests.training.test_gpu import gpu_kernels

NAN, INF = math.nan, math.inf


@pytest.fixture
def make_loop(monkeypatch):
    """make_loop(interruption, replica_step): `train_steps` with that step, whose values are `loss` and the norm."""

    def make(interruption, replica_step):
        monkeypatch.setattr(step, "make_replica_step", lambda *_: replica_step)
        config = types.SimpleNamespace(precision="float32")
        stage = types.SimpleNamespace(loss_names=("loss",), counters=())
        return step.make_train_steps(config, stage, None, make_strategy("one_device"), 100, interruption)

    return make


def batches_of(dataset):
    return iter(distribute(make_strategy("one_device"), lambda share: dataset))


@pytest.fixture
def take(make_loop):
    """take(losses, count, stop_at): takes steps with these losses, of which one requests a stop; returns `Steps`."""

    def run(losses, count=5, stop_at=0):
        interruption = Interruption()

        def replica_step(batch):
            number, loss = batch
            interruption.requested.assign(tf.cast(stop_at and number >= stop_at, tf.float32))
            return {"loss": loss, "gradient_norm": tf.constant(1.0)}

        numbers = np.arange(1, len(losses) + 1)
        dataset = tf.data.Dataset.from_tensor_slices((numbers, np.float32(losses)))
        return make_loop(interruption, replica_step)(batches_of(dataset), tf.constant(count))

    return run


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_it_takes_as_many_steps_as_it_is_told(take, count):
    steps = take([1, 2, 3, 4, 5], count)
    assert (int(steps.done), int(steps.sound)) == (count, count)
    assert float(steps.last["loss"]) == count
    assert {name: float(value) for name, value in steps.sums.items()} == {
        "loss": sum(range(count + 1)),
        "gradient_norm": count,
        "stop_requested": 0,
    }


@pytest.mark.parametrize(
    ("losses", "sound", "done"),
    [
        ([INF, NAN, NAN, NAN, NAN], 0, 2),
        ([1, 2, INF, NAN, NAN], 2, 4),
        ([1, 2, INF, 4, 5], 2, 4),  # the step after it may be finite
        ([1, 2, 3, INF, NAN], 3, 5),
        ([1, 2, 3, 4, INF], 4, 5),
    ],
)
def test_the_first_step_that_is_not_finite_is_named_and_at_most_one_follows(take, losses, sound, done):
    steps = take(losses)
    assert (int(steps.done), int(steps.sound), float(steps.last["loss"])) == (done, sound, INF)
    assert float(steps.sums["loss"]) == sum(loss for loss in losses[:done] if math.isfinite(loss))


@pytest.mark.parametrize(("stop_at", "done"), [(1, 2), (3, 4), (4, 5), (5, 5)])
def test_a_stop_ends_the_loop_after_one_more_step(take, stop_at, done):
    steps = take([1, 2, 3, 4, 5], stop_at=stop_at)
    assert (int(steps.done), int(steps.sound), float(steps.last["stop_requested"])) == (done, done, 1)


def test_a_step_after_a_stop_must_be_finite_too(take):
    steps = take([1, 2, INF, 4, 5], stop_at=2)
    assert (int(steps.done), int(steps.sound), float(steps.last["loss"])) == (3, 2, INF)


def test_a_step_is_launched_without_the_result_of_the_last_one_but_not_of_the_one_before(make_loop):
    """The result of a step waits until the next one has begun, and longer, to see that no third one begins."""
    count, begun, early = 5, [threading.Event() for _ in range(7)], []

    def begin(number):
        begun[number].set()
        return np.float32(0)

    def finish(number, _):
        is_last = number == count - 1
        found = is_last or begun[number + 1].wait(30)
        early.append(bool(found) and not begun[number + 2].wait(0.2))
        return np.float32(number)

    def replica_step(number):
        launched = tf.numpy_function(begin, [number], tf.float32)
        loss = tf.numpy_function(finish, [number, launched], tf.float32, stateful=False)
        return {"loss": tf.ensure_shape(loss, []), "gradient_norm": tf.ensure_shape(launched, [])}

    train_steps = make_loop(Interruption(), replica_step)
    steps = train_steps(batches_of(tf.data.Dataset.range(count)), tf.constant(count))
    assert int(steps.sound) == int(steps.done) == count
    assert early == [True] * count


def test_the_condition_is_computed_in_host_memory(make_loop):
    """On a GPU, a value in its memory would have to wait for the steps that were launched before."""
    train_steps = make_loop(Interruption(), lambda batch: {"loss": batch, "gradient_norm": batch})
    numbers = tf.data.Dataset.from_tensors(1.0).repeat()
    graph = train_steps.get_concrete_function(batches_of(numbers), tf.TensorSpec([], tf.int32)).graph
    (loop,) = (operation for operation in graph.get_operations() if operation.type == "While")
    condition = graph._get_function(loop.node_def.attr["cond"].func.name).graph
    found = {operation.type for operation in condition.get_operations()}
    assert found == {"Placeholder", "Less", "Identity"}  # TensorFlow removes the identity
    (less,) = (operation for operation in condition.get_operations() if operation.type == "Less")
    for kernel in gpu_kernels(less):
        assert set(kernel.host_memory_arg) == {"x", "y", "z"}


def test_only_the_wait_for_input_counts_as_such(make_loop):
    def wait(number):
        time.sleep(0.3)
        return number

    slow = tf.data.Dataset.range(3).map(lambda number: tf.ensure_shape(tf.numpy_function(wait, [number], tf.int64), []))
    for dataset, in_step, low, high in ((slow, False, 0.5, 5), (tf.data.Dataset.range(3), True, 0, 0.3)):
        interruption = Interruption()

        def replica_step(number, in_step=in_step):
            number = tf.ensure_shape(tf.numpy_function(wait, [number], tf.int64), []) if in_step else number
            return {"loss": tf.cast(number, tf.float32), "gradient_norm": tf.constant(1.0)}

        train_steps = make_loop(interruption, replica_step)
        for _ in range(2):  # the time of a call does not include that of the call before
            start = time.monotonic()
            waited = float(train_steps(batches_of(dataset), tf.constant(3)).waited)
            assert low <= waited <= min(high, time.monotonic() - start)
        assert float(interruption.input_since) == 0


def transfers():
    """The tensors that go from one device to another in a step: {(from, to): names of operations}.

    The steps are taken on a second CPU, as on a GPU, and the graph is the one that TensorFlow executes.
    """
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    step.make_replica_step = lambda *_: lambda batch: {"loss": 2 * batch, "gradient_norm": batch}
    strategy = tf.distribute.OneDeviceStrategy("CPU:1")
    config, stage = types.SimpleNamespace(precision="float32"), types.SimpleNamespace(loss_names=("loss",), counters=())
    train_steps = step.make_train_steps(config, stage, None, strategy, 100, Interruption())
    batches = iter(distribute(strategy, lambda share: tf.data.Dataset.from_tensors(1.0).repeat()))
    context.context().enable_run_metadata()
    train_steps(batches, tf.constant(3))
    found = {}
    for function in context.context().export_run_metadata().function_graphs:
        for graph in function.partition_graphs:
            for node in graph.node:
                if node.op in ("_Send", "_HostSend"):
                    ends = (node.attr["send_device"].s.decode()[-5:], node.attr["recv_device"].s.decode()[-5:])
                    found.setdefault(ends, set()).add(node.input[0])
    return found


def test_the_host_gets_nothing_from_the_device_but_the_arrival_of_a_batch_and_the_result():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(transfers)
    arrival, result = sorted(found["CPU:1", "CPU:0"])
    assert arrival.endswith("OptionalHasValue") and result.endswith("stack")
