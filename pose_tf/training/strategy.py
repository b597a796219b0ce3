"""Where training runs, and how its replicas share the work."""

import contextlib
import functools
import signal
import sys
import threading

import tensorflow as tf

from pose_tf.data.pipeline import Share
from pose_tf.errors import UserError
from pose_tf.layers import BatchNormalization
from pose_tf.training.cluster import meet, read_tf_config
from pose_tf.waiting import waiting

CONNECT_SECONDS = 300


def make_strategy(name: str, split_batches: bool = True) -> tf.distribute.Strategy:
    """A distribution strategy by name. Call it before anything else uses TensorFlow's devices.

    Several workers meet here first; whom a worker waits for is printed, and SIGTERM and Ctrl-C end the wait.

    Args:
        name: `one_device`; `mirrored`: all GPUs of this machine; `multi_worker`: all GPUs of all machines that the
            environment variable TF_CONFIG lists; or `auto`: the last where there is a TF_CONFIG, mirrored where there
            are several GPUs and `split_batches`, else one device.
        split_batches: whether several replicas do what the recipe describes, see `recipe.may_split_batches`.

    Raises:
        UserError: TF_CONFIG is not as TensorFlow wants it, or missing for `multi_worker`.
    """
    if in_cluster(name):
        return _join(read_tf_config())
    if name == "multi_worker":
        raise UserError("config.strategy is 'multi_worker', but there is no TF_CONFIG in the environment")
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 and split_batches else "one_device"
        if len(gpus) > 1 and not split_batches:
            print(
                f"one of {len(gpus)} GPUs is used; --config.data.batch_size=0 --config.data.replica_batch_size=16, "
                "say, takes all of them, with batches of 16 each",
                file=sys.stderr,
            )
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")
    return tf.distribute.MirroredStrategy()


def in_cluster(name: str) -> bool:
    """Whether a strategy is that of several workers here.

    Raises:
        UserError: TF_CONFIG is not as TensorFlow wants it.
    """
    return name in ("auto", "multi_worker") and read_tf_config() is not None


def _join(cluster):
    """Meets the other workers of a `Cluster`, and has TensorFlow connect to them."""
    meet(cluster)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
    )
    # All are there, so this takes seconds. If one dies now, it would last for ever, hold Python's lock and ignore
    # signals; an alarm that nobody handles ends it.
    signal.alarm(CONNECT_SECONDS)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    finally:
        signal.alarm(0)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # TensorFlow has taken it
    return strategy


def worker_index(strategy: tf.distribute.Strategy) -> int:
    """Number of this process among the workers; the first one, 0, writes the run's directory."""
    resolver = strategy.cluster_resolver
    return (resolver.task_id or 0) if resolver else 0


@contextlib.contextmanager
def first_worker_first(strategy: tf.distribute.Strategy):
    """Runs its body on worker 0 and then, when it is done there, on the others, which find what it has written."""
    if worker_index(strategy):
        _meet(strategy, "worker 0, which reads the data")
    yield
    if not worker_index(strategy):
        _meet(strategy, "the other workers")


def _meet(strategy, whom):
    """Waits until all workers have come here."""
    with waiting(lambda: whom):
        say_to_all(strategy, 0)


def say_to_all(strategy: tf.distribute.Strategy, number: int) -> int:
    """The number that worker 0 has given. All workers have to call this."""
    return add_up(strategy, 0 if worker_index(strategy) else number)


def add_up(strategy: tf.distribute.Strategy, number: int) -> int:
    """The sum of what the workers have given. All workers have to call this."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return number
    return int(_adder(strategy)(tf.constant(number, tf.int64)))


@functools.lru_cache(1)
def _adder(strategy):
    """The function that adds up, traced once."""

    @tf.function
    def add(number):
        of_replicas = strategy.run(lambda: tf.identity(number))
        each = len(strategy.experimental_local_results(of_replicas))  # as many as on the other workers
        return strategy.reduce("SUM", of_replicas, axis=None) // each

    return add


@contextlib.contextmanager
def variable_scope(strategy: tf.distribute.Strategy):
    """The strategy's scope, in which the moving averages of batch normalization are those of the first replica.

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
    if not total and not each:
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
