"""Tests that several replicas take the same step as one.

The number of devices is fixed per process, and TensorFlow mixes up the messages of two strategies with several
devices in one process. So each number of devices has its own process, in which all runs share one strategy.
"""

import concurrent.futures
import json
import multiprocessing
import types

import ml_collections
import numpy as np
import pytest
import tensorflow as tf

from pose_tf.data import records
from pose_tf.errors import UserError
from pose_tf.layers import BatchNormalization
from pose_tf.synthetic.sample import render_sample
from pose_tf.training import strategy, trainer
from pose_tf.training.interruption import Interruption
from pose_tf.training.recipe import check_batch_norm, may_split_batches
from pose_tf.training.state import make_state
from pose_tf.training.step import make_train_steps
from tests.training.recipes import recipe

LEARNING_RATE = 1e-3
STEPS = 5


def train_on_cpus(count, data_dir, configs):
    """Trains one recipe after the other on several logical CPUs; returns {name: {weight: value}}."""
    use_cpus(count)
    of_all = strategy.make_strategy("mirrored" if count > 1 else "one_device")
    found = {}
    for name, config in configs.items():
        config = ml_collections.ConfigDict(json.loads(config))
        tf.keras.utils.set_random_seed(config.seed)
        with strategy.variable_scope(of_all):
            stage = trainer.make_stage(config, data_dir)
        state = make_state(config, stage.model, of_all, STEPS, 1)
        steps = make_train_steps(config, stage, state, of_all, STEPS, Interruption())
        batches = strategy.distribute(of_all, lambda share, stage=stage: stage.training_batches(0, share))
        done, *_ = steps(iter(batches), tf.constant(STEPS))
        assert int(done) == STEPS
        found[name] = {weight.name: weight.numpy() for weight in stage.model.weights}
    return found


def use_cpus(count):
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)


def normalize_on_two_cpus(cases):
    """Applies synchronized normalization to halves of batches; returns the result of `normalize` for each case."""
    use_cpus(2)
    mirrored = strategy.make_strategy("mirrored")
    found = []
    for x, upstream, dtype in cases:
        halves = [
            mirrored.experimental_distribute_values_from_function(
                lambda context, value=value: tf.constant(np.split(value, 2)[context.replica_id_in_sync_group])
            )
            for value in (x, upstream)
        ]
        with strategy.variable_scope(mirrored):
            model = make_layer(x, dtype)
            strategy.set_batch_norm(model, "synchronized")
        y, dx, dgamma = tf.function(lambda x, u, model=model: mirrored.run(normalize, (model, x, u)))(*halves)
        both = mirrored.experimental_local_results
        found.append((np.concatenate(both(y)), np.concatenate(both(dx)), sum(both(dgamma)).numpy(), statistics(model)))
    return found


def make_layer(x, dtype):
    layer = BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype)
    return tf.keras.Sequential([tf.keras.Input(x.shape[1:], dtype=tf.float32), layer])


def normalize(model, x, upstream):
    """Outputs in a training step, and their gradients with respect to inputs and scale, each float32."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.cast(model(x, training=True), tf.float32)
    return y, *tape.gradient(y, [x, model.trainable_weights[0]], upstream)


def statistics(model):
    return [weight.numpy() for weight in model.non_trainable_weights]


def make_config(name, batch_norm):
    config = recipe(name)
    config.batch_norm = batch_norm
    config.precision = "float32"
    config.data.batch_size = 16
    config.data.validation_subjects = (8,)
    # Adam amplifies rounding errors, which move the means of the layers that these weights feed. Only the statistics
    # of this run are compared, so its weights stay.
    config.optimizer.learning_rate = 1e-9 if (name, batch_norm) == ("hrnet_w32", "synchronized") else LEARNING_RATE
    if config.stage == "lifter":
        config.model.dropout = 0.0  # its mask and augmentation are drawn for each replica
        config.model.units = 64
    else:
        config.model.width = config.model.stem = 4
        config.model.modules, config.model.blocks, config.model.downsample = (0, 0, 1), 1, 4
        config.augment.flip = config.augment.rotation = config.augment.scale = 0.0
        config.occlusion.probability = 0.0
        for key in config.color:
            config.color[key] = 0.0
    return config.to_json()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """{number of replicas: {recipe and batch normalization: weights after 5 steps}}."""
    folder = tmp_path_factory.mktemp("data")
    samples = [render_sample(0, i, subject) for i, subject in enumerate((1,) * 16 + (8,))]
    records.write(f"{folder}/h36/a.tfrecord", samples, records.H36M)
    configs = {
        f"{name} {how}": make_config(name, how)
        for name, how in (
            ("feed_forward", "frozen"),
            ("feed_forward", "synchronized"),
            ("feed_forward", "replica"),
            ("hrnet_w32", "frozen"),
            ("hrnet_w32", "synchronized"),
        )
    }
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=spawn, max_tasks_per_child=1) as pool:
        runs = {count: pool.submit(train_on_cpus, count, str(folder), configs) for count in (1, 2)}
        return {count: run.result() for count, run in runs.items()}


# Biases without effect, since a normalization or a softmax follows. Their gradients are rounding errors, and Adam
# turns these into steps of full length. The means of the values to which they are added move with them.
WITHOUT_EFFECT = {
    "feed_forward frozen": set(),
    "feed_forward replica": set(),
    "feed_forward synchronized": {
        f"{name}.{weight}:0"
        for name in ("input", "block0.1", "block0.2", "block1.1", "block1.2")
        for weight in ("linear/bias", "bn/moving_mean")
    },
    "hrnet_w32 frozen": {"final_layer/bias:0"},
    "hrnet_w32 synchronized": {"final_layer/bias:0"},
}


def differences(trained, name):
    """Differences between one and two replicas of all weights that have an effect: float32 [N]."""
    one, two = trained[1][name], trained[2][name]
    assert WITHOUT_EFFECT[name] < set(one) == set(two)
    return np.concatenate(
        [np.abs(one[weight] - two[weight]).ravel() for weight in sorted(set(one) - WITHOUT_EFFECT[name])]
    )


@pytest.mark.parametrize("name", ["feed_forward frozen", "hrnet_w32 frozen"])
def test_two_replicas_with_half_the_batch_take_the_step_of_one(trained, name):
    assert differences(trained, name).max() < 1e-5


def test_two_replicas_with_synchronized_batch_normalization_take_the_step_of_one(trained):
    """Except for one or two weights in 20,000 with almost no gradient. Adam amplifies their rounding errors, which
    differ between processors.
    """
    found = np.sort(differences(trained, "feed_forward synchronized"))
    assert len(found) > 20_000
    assert found[-3] < 2e-6
    assert found[-1] < 0.01 * STEPS * LEARNING_RATE


@pytest.mark.parametrize("name", ["feed_forward synchronized", "hrnet_w32 synchronized"])
def test_synchronized_statistics_are_those_of_one_device(trained, name):
    one, two = trained[1][name], trained[2][name]
    names = [weight for weight in one if "moving" in weight and weight not in WITHOUT_EFFECT[name]]
    assert len(names) > 4
    for weight in names:  # means are close to zero, so they are compared in units of the deviation
        size = np.sqrt(one[weight.replace("moving_mean", "moving_variance")].max())
        limit = 1e-5 * (size if "mean" in weight else size**2)
        assert np.abs(one[weight] - two[weight]).max() < limit, weight


@pytest.fixture(scope="module")
def normalized():
    """[(case, results of two replicas)] for images, graphs and vectors, far from zero, in three precisions."""
    rng = np.random.default_rng(0)
    cases = []
    for shape in ((4, 6, 5, 3), (6, 17, 3), (10, 3)):
        x = rng.normal(1, 2, shape) * [1, 10, 1] + [0, 5, 100]
        for dtype in ("float32", "mixed_float16", "mixed_bfloat16"):
            cases.append((np.float32(x), np.float32(rng.normal(size=shape)), dtype))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return list(zip(cases, pool.apply(normalize_on_two_cpus, [cases])))


@pytest.mark.parametrize("number", range(9))
def test_synchronized_normalization_is_that_of_the_whole_batch(normalized, number):
    (x, upstream, dtype), (y, dx, dgamma, found) = normalized[number]
    model = make_layer(x, dtype)
    expected = [value.numpy() for value in normalize(model, tf.constant(x), tf.constant(upstream))]
    atol = {"float32": 2e-5, "mixed_float16": 4e-3, "mixed_bfloat16": 4e-2}[dtype]
    for ours, theirs in zip((y, dx, dgamma), expected):
        np.testing.assert_allclose(ours, theirs, atol=atol * max(1, np.abs(theirs).max()))
    for ours, theirs in zip(found, statistics(model)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    seen = tf.cast(tf.cast(x, dtype.removeprefix("mixed_")), tf.float64).numpy().reshape(-1, 3)
    np.testing.assert_allclose(found, [0.1 * seen.mean(0), 0.9 + 0.1 * seen.var(0, ddof=1)], rtol=1e-5)


def test_batch_normalization_over_each_replicas_samples_is_another_step(trained):
    """Means and variances of 8 samples differ from those of 16. Adam then moves weights by up to its full step."""
    one, two = (trained[count]["feed_forward replica"] for count in (1, 2))
    found = max(np.abs(one[weight] - two[weight]).max() for weight in one if "moving" not in weight)
    assert 1e-3 < found < 2 * STEPS * LEARNING_RATE * 1.1


@pytest.mark.parametrize(
    ("replicas", "total", "each", "expected"),
    [(2, 16, 0, (16, 8)), (2, 0, 16, (32, 16)), (4, 32, 8, (32, 8)), (1, 16, 0, (16, 16))],
)
def test_the_global_batch_is_that_of_all_replicas(replicas, total, each, expected):
    data = ml_collections.ConfigDict({"batch_size": total, "replica_batch_size": each})
    assert strategy.batch_sizes(data, types.SimpleNamespace(num_replicas_in_sync=replicas)) == expected


@pytest.mark.parametrize(
    ("replicas", "total", "each", "words"),
    [
        (2, 0, 0, "config.data.batch_size is 0 and config.data.replica_batch_size 0"),
        (3, 16, 0, "config.data.batch_size is 16, which 3 replicas cannot share evenly"),
        (2, 16, 16, "config.data.batch_size is 16, which 2 replicas cannot share as .*replica_batch_size 16 says"),
    ],
)
def test_batch_sizes_that_contradict_each_other_are_refused(replicas, total, each, words):
    data = ml_collections.ConfigDict({"batch_size": total, "replica_batch_size": each})
    with pytest.raises(UserError, match=words):
        strategy.batch_sizes(data, types.SimpleNamespace(num_replicas_in_sync=replicas))


@pytest.mark.parametrize(
    ("data", "batch_norm", "expected"),
    [
        ({}, "replica", "OneDeviceStrategy"),
        ({"batch_size": 0, "replica_batch_size": 16}, "replica", "MirroredStrategy"),
        ({}, "synchronized", "MirroredStrategy"),
        ({}, "frozen", "MirroredStrategy"),
    ],
)
@pytest.mark.parametrize("name", ["feed_forward", "sem_gcn", "hrnet_w32"])
def test_auto_takes_several_gpus_where_that_leaves_the_step_as_it_is(
    monkeypatch, capsys, name, data, batch_norm, expected
):
    config = recipe(name)
    config.data.update(data)
    config.batch_norm = batch_norm
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [kind] * 8)
    for made in ("OneDeviceStrategy", "MirroredStrategy"):
        monkeypatch.setattr(tf.distribute, made, lambda *_, made=made: made)
    assert strategy.make_strategy(config.strategy, may_split_batches(config)) == expected
    told = "using one of 8 GPUs; to use all of them, with batches of 16 on each, set config.data.batch_size = 0 and "
    assert (told in capsys.readouterr().err) == (expected == "OneDeviceStrategy")


@pytest.mark.parametrize(
    ("name", "total", "each", "batch_norm", "replicas", "words"),
    [
        ("feed_forward", 16, 0, "replica", 8, "batches of 16 = 8 x 2: .*replica_batch_size = 16"),
        ("sem_gcn", 14, 0, "replica", 2, "batches of 14 = 2 x 7"),
        ("hrnet_w32", 0, 2, "replica", 4, "batches of 8 = 4 x 2: .*replica_batch_size = 8"),
        ("feed_forward", 1, 0, "replica", 1, "config.data.batch_size is 1"),
        ("sem_gcn", 1, 0, "synchronized", 1, "config.data.batch_size is 1"),
    ],
)
def test_batches_too_small_to_normalize_over_are_refused_before_anything_is_read_or_written(
    monkeypatch, tmp_path, name, total, each, batch_norm, replicas, words
):
    config = recipe(name)
    config.data.batch_size, config.data.replica_batch_size, config.batch_norm = total, each, batch_norm
    several = types.SimpleNamespace(num_replicas_in_sync=replicas, cluster_resolver=None)
    monkeypatch.setattr(trainer, "make_strategy", lambda *_: several)
    with pytest.raises(UserError, match=words):
        trainer.train(config, "/nowhere", str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "total", "each", "batch_norm", "replicas"),
    [
        ("feed_forward", 16, 8, "replica", 2),
        ("feed_forward", 16, 2, "synchronized", 8),
        ("feed_forward", 2, 1, "synchronized", 2),
        ("feed_forward", 16, 2, "frozen", 8),
        ("feed_forward", 1, 1, "frozen", 1),
        ("sem_gcn", 2, 2, "replica", 1),
        ("hrnet_w32", 1, 1, "replica", 1),  # mean and variance over all places of an image
    ],
)
def test_batches_that_are_large_enough_to_normalize_over(name, total, each, batch_norm, replicas):
    config = recipe(name)
    config.data.batch_size, config.data.replica_batch_size, config.batch_norm = total, each, batch_norm
    check_batch_norm(config, replicas)
