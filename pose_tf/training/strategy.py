"""Distribution strategies, and how replicas share a batch."""

import contextlib
import functools
import signal
import sys
import threading

import tensorflow as tf

from pose_tf.data.pipeline import Share
from pose_tf.errors import UserError
from pose_tf.layers import BatchNormalization
from pose_tf.training.cluster import read_tf_config, wait_for_workers
from pose_tf.waiting import waiting

CONNECT_SECONDS = 300


def make_strategy(name: str, split_batches: bool = True) -> tf.distribute.Strategy:
    """A distribution strategy by name. Call it before anything else uses TensorFlow's devices.

    Several workers first wait for each other. Each prints which workers it waits for; SIGTERM and Ctrl-C end the wait.

    Args:
        name: `one_device`; `mirrored`: all GPUs of this machine; `multi_worker`: all GPUs of all machines that the
            environment variable TF_CONFIG lists; or `auto`: `multi_worker` if TF_CONFIG is set, `mirrored` with several
            GPUs and `split_batches`, otherwise `one_device`.
        split_batches: whether several replicas take the step that the recipe describes, see
            `recipe.may_split_batches`.

    Raises:
        UserError: TF_CONFIG is malformed, or is missing for `multi_worker`.
    """
    if in_cluster(name):
        return _join(read_tf_config())
    if name == "multi_worker":
        raise UserError("config.strategy is 'multi_worker', but the environment variable TF_CONFIG is not set")
    gpus = tf.config.list_logical_devices("GPU")
    if name == "auto":
        name = "mirrored" if len(gpus) > 1 and split_batches else "one_device"
        if len(gpus) > 1 and not split_batches:
            print(
                f"using one of {len(gpus)} GPUs; to use all of them, with batches of 16 on each, set "
                "config.data.batch_size = 0 and config.data.replica_batch_size = 16",
                file=sys.stderr,
            )
    if name == "one_device":
        return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")
    return tf.distribute.MirroredStrategy()


def in_cluster(name: str) -> bool:
    """Whether a strategy uses several workers in this environment.

    Raises:
        UserError: TF_CONFIG is malformed.
    """
    return name in ("auto", "multi_worker") and read_tf_config() is not None


def _join(cluster):
    """Waits for the other workers of a `Cluster`, and connects TensorFlow to them."""
    wait_for_workers(cluster)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
    )
    # All workers have started, so this takes seconds. If one dies now, the call would last forever, hold Python's lock
    # and ignore signals. The alarm has no handler, so it ends the process.
    signal.alarm(CONNECT_SECONDS)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    finally:
        signal.alarm(0)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))  # TensorFlow has replaced it
    return strategy


def worker_index(strategy: tf.distribute.Strategy) -> int:
    """Number of this process among the workers; worker 0 writes the run's directory."""
    resolver = strategy.cluster_resolver
    return (resolver.task_id or 0) if resolver else 0


@contextlib.contextmanager
def worker_0_first(strategy: tf.distribute.Strategy):
    """Runs the body on worker 0 first, then on the other workers, which can read the files that worker 0 wrote."""
    if worker_index(strategy):
        _barrier(strategy, "worker 0, which reads the data")
    yield
    if not worker_index(strategy):
        _barrier(strategy, "the other workers")


def _barrier(strategy, awaited):
    """Waits until all workers have called this, and reports the wait for `awaited`."""
    with waiting(lambda: awaited):
        broadcast(strategy, 0)


def broadcast(strategy: tf.distribute.Strategy, number: int) -> int:
    """The number of worker 0, on all workers. All workers must call this."""
    return add_up(strategy, 0 if worker_index(strategy) else number)


def add_up(strategy: tf.distribute.Strategy, number: int) -> int:
    """The sum of the numbers of all workers. All workers must call this."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return number
    return int(_adder(strategy)(tf.constant(number, tf.int64)))


@functools.lru_cache(1)
def _adder(strategy):
    """The function that adds up numbers over the workers, traced once."""

    @tf.function
    def add(number):
        of_replicas = strategy.run(lambda: tf.identity(number))
        each = len(strategy.experimental_local_results(of_replicas))  # the same on every worker
        return strategy.reduce("SUM", of_replicas, axis=None) // each

    return add


@contextlib.contextmanager
def variable_scope(strategy: tf.distribute.Strategy):
    """The strategy's scope, where reading a moving average of batch normalization gives the value of the first replica.

    By default, Keras averages such variables over the replicas whenever it reads them. Then a checkpoint would not hold
    the values of any replica, and a resumed run would differ slightly from an uninterrupted one.
    """

    def create(make, **options):
        if options.get("synchronization") == tf.VariableSynchronization.ON_READ:
            options["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
        return make(**options)

    with strategy.scope(), tf.variable_creator_scope(create):
        yield


def batch_sizes(config, strategy: tf.distribute.Strategy) -> tuple[int, int]:
    """The global batch size and the batch size of each replica. A recipe sets one of them, or both.

    Args:
        config: the recipe's `data` section: `batch_size` over all replicas, `replica_batch_size` of each. A size of 0
            follows from the other one.
        strategy: its number of replicas counts.

    Raises:
        UserError: both sizes are 0, or they contradict each other.
    """
    replicas = strategy.num_replicas_in_sync
    total, each = config.batch_size, config.replica_batch_size
    if not total and not each:
        raise UserError(
            f"config.data.batch_size is {total} and config.data.replica_batch_size {each}; set at least one of them"
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
        strategy: the strategy of the run.
        make_batches: `Share` -> dataset of the batches of this host's replicas, in turn.
    """

    def make(context):
        count = context.num_replicas_in_sync // context.num_input_pipelines
        return make_batches(Share(context.input_pipeline_id * count, count, context.num_replicas_in_sync))

    return strategy.distribute_datasets_from_function(make)


def set_batch_norm(model: tf.keras.Model, how: str) -> None:
    """Sets the samples over which batch normalization computes mean and variance in a training step.

    Call it under the strategy's scope.

    Args:
        model: the model; changed in place.
        how: `replica`: the samples of each replica, so statistics become noisier with more replicas. `synchronized`:
            the samples of all replicas, as if the global batch were on one device. `frozen`: no samples; as in
            inference, the layers use the moving averages, which stay constant, as do scale and shift.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    for layer in model.submodules:
        if isinstance(layer, BatchNormalization):
            layer.trainable = how != "frozen"
            layer.synchronized = how == "synchronized" and replicas > 1  # a single replica has all samples anyway
