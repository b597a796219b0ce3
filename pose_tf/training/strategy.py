"""Where training runs, and how its replicas share the work."""

import contextlib
import json
import os

import tensorflow as tf

from pose_tf.data.pipeline import Share
from pose_tf.errors import UserError
from pose_tf.layers import BatchNormalization


def make_strategy(name: str) -> tf.distribute.Strategy:
    """A distribution strategy by name. Call it before anything else uses TensorFlow's devices.

    Args:
        name: `one_device`; `mirrored`: all GPUs of this machine; `multi_worker`: all GPUs of all machines that the
            environment variable TF_CONFIG lists; or `auto`: the last where there is a TF_CONFIG, mirrored where there
            are several GPUs, else one device.

    Raises:
        UserError: there is no such strategy, or TF_CONFIG is not as TensorFlow wants it.
    """
    if name == "auto" and os.environ.get("TF_CONFIG"):
        name = "multi_worker"
    if name == "multi_worker":
        _check_tf_config()
        return tf.distribute.MultiWorkerMirroredStrategy()
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 else "one_device"
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")
    if name == "mirrored":
        return tf.distribute.MirroredStrategy()
    raise UserError(f"config.strategy is '{name}'; it can be auto, one_device, mirrored or multi_worker")


def _check_tf_config():
    text = os.environ.get("TF_CONFIG", "")
    if not text:
        raise UserError("config.strategy is 'multi_worker', but there is no TF_CONFIG in the environment")
    try:
        described = json.loads(text)
        workers, task = described["cluster"]["worker"], described["task"]
        if task["type"] != "worker" or not 0 <= int(task["index"]) < len(workers):
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise UserError(
            "TF_CONFIG has to be of the form "
            '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}, '
            f"but is {text}"
        ) from None


def worker_index(strategy: tf.distribute.Strategy) -> int:
    """Number of this process among the workers; the first one, 0, writes the run's directory."""
    resolver = strategy.cluster_resolver
    return (resolver.task_id or 0) if resolver else 0


@contextlib.contextmanager
def first_worker_first(strategy: tf.distribute.Strategy):
    """Runs its body on worker 0 and then, when it is done there, on the others, which find what it has written."""
    if worker_index(strategy):
        _meet(strategy)
    yield
    if not worker_index(strategy):
        _meet(strategy)


def _meet(strategy):
    """Waits until all workers have come here."""
    say_to_all(strategy, 0)


def say_to_all(strategy: tf.distribute.Strategy, number: int) -> int:
    """The number that worker 0 has given. All workers have to call this."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return number
    first = tf.constant(0 if worker_index(strategy) else number, tf.int64)

    def speak():
        is_first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
        return tf.where(is_first, first, 0)

    return int(tf.function(lambda: strategy.reduce("SUM", strategy.run(speak), axis=None))())


@contextlib.contextmanager
def variable_scope(strategy: tf.distribute.Strategy):
    """The strategy's scope, in which the moving averages of batch normalisation are those of the first replica.

    Keras takes their mean over the replicas whenever it reads them. What a checkpoint holds would then not be what
    each replica had, and a training that goes on from it not quite the same.
    """

    def create(make, **options):
        if options.get("synchronization") == tf.VariableSynchronization.ON_READ:
            options["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
        return make(**options)

    with strategy.scope(), tf.variable_creator_scope(create):
        yield


def batch_sizes(config, strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """Global batch size and that of each replica, of which a recipe gives one, or both.

    Args:
        config: the recipe's `data` section: `batch_size` of all replicas together, `replica_batch_size`; 0 where the
            other one tells.
        strategy: how many replicas there are.

    Raises:
        UserError: none is given, or they contradict each other.
    """
    replicas = strategy.num_replicas_in_sync
    total, each = config.batch_size, config.replica_batch_size
    if total < 0 or each < 0 or not total + each:
        raise UserError(
            f"config.data.batch_size is {total} and config.data.replica_batch_size {each}; "
            "one of them has to be a number of samples"
        )
    total, each = total or each * replicas, each or total // replicas
    if total != each * replicas:
        raise UserError(
            f"config.data.batch_size is {total}, which {replicas} replicas cannot share"
            + (f" as config.data.replica_batch_size {each} says" if config.replica_batch_size else " evenly")
        )
    return total, each


def distribute(strategy: tf.distribute.Strategy, make_batches) -> tf.distribute.DistributedDataset:
    """The input of all replicas.

    Args:
        strategy: of the training.
        make_batches: `Share` -> dataset of the batches of this host's replicas, in turn.
    """

    def make(context):
        count = context.num_replicas_in_sync // context.num_input_pipelines
        return make_batches(Share(context.input_pipeline_id * count, count, context.num_replicas_in_sync))

    return strategy.distribute_datasets_from_function(make)


def set_batch_norm(model: tf.keras.Model, how: str) -> None:
    """Says over which samples the batch normalization of a training step takes its mean and variance.

    Call it under the strategy's scope.

    Args:
        model: changed in place.
        how: `replica`: those of each replica, so that more replicas mean noisier statistics; `synchronized`: those of
            all replicas, as if the global batch were on one device; `frozen`: none, the moving averages stay as they
            are and are used, as in inference, and scale and shift are not trained.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    for layer in model.submodules:
        if isinstance(layer, BatchNormalization):
            layer.trainable = how != "frozen"
            layer.synchronized = how == "synchronized" and replicas > 1  # one replica has all samples
