"""The training step, from a batch to new weights, and the loop that takes many steps in one call."""

import functools
from typing import NamedTuple

import tensorflow as tf

from pose_tf.layers.dropout import dropout_seed


class Steps(NamedTuple):
    """What a call of the loop has done. Values are those of the stage's losses, `gradient_norm`, the stage's counters
    and `stop_requested`.

    Attributes:
        done: int32, number of steps taken.
        sound: int32, number of steps before the first one whose loss or gradient is not finite; else `done`.
        last: {name: value} of that first step; else of the last one.
        sums: {name: sum of the finite values} over all steps.
        waited: float64, seconds spent waiting for input.
    """

    done: tf.Tensor
    sound: tf.Tensor
    last: dict[str, tf.Tensor]
    sums: dict[str, tf.Tensor]
    waited: tf.Tensor


def make_replica_step(config, stage, state, total_steps: int):
    """Builds the training step of a replica: augmentation, loss, gradients, clipping, new weights.

    The loss is the mean over the global batch: each replica sums over its own samples and divides by the global batch
    size, and gradients are added up over the replicas. So one replica with 16 samples and two with 8 take the same
    step, except for batch normalization, which normalizes over each replica's samples unless it is synchronized.

    Args:
        config: the recipe.
        stage: see `Stage`.
        state: see `TrainingState`.
        total_steps: steps of the whole run.

    Returns:
        A function of a replica's batch. It updates the state and returns {name: float32 scalar}, which the caller adds
        up over the replicas: the stage's losses, `gradient_norm` and the stage's counters.
    """
    optimizer, weights = state.optimizer, state.model.trainable_weights
    scales_loss = isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)

    def compute_gradients(augmented, seed):
        with tf.GradientTape() as tape, dropout_seed(seed):
            losses = stage.losses(augmented)
            values = {name: tf.reduce_sum(loss) / stage.batch_size for name, loss in losses.items()}
            loss = optimizer.get_scaled_loss(values["loss"]) if scales_loss else values["loss"]
        return tape.gradient(loss, weights), values

    if config.jit_compile:
        compute_gradients = tf.function(compute_gradients, jit_compile=True)

    def replica_step(batch):
        step = tf.identity(optimizer.iterations)  # before it is incremented
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        draw = step * replicas + tf.cast(context.replica_id_in_sync_group, tf.int64)
        seed = tf.stack([tf.cast(config.seed, tf.int64), draw])

        augmented = stage.augment(batch, seed, tf.cast(step, tf.float32) / total_steps)
        gradients, values = compute_gradients(augmented, seed)
        if replicas > 1:
            gradients = context.all_reduce("SUM", gradients)
        if scales_loss:
            gradients = optimizer.get_unscaled_gradients(gradients)
        norm = tf.linalg.global_norm(gradients)
        if config.optimizer.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, config.optimizer.clip_norm, norm)
        optimizer.apply_gradients(zip(gradients, weights), experimental_aggregate_gradients=False)
        if state.average:
            state.average.update(step)

        values["gradient_norm"] = norm / replicas  # it is the same on all replicas, and values are added up
        if "skipped_records" in stage.counters:
            values["skipped_records"] = tf.cast(tf.reduce_sum(batch["skipped"]), tf.float32)
        return values

    return replica_step


def make_train_steps(config, stage, state, strategy, total_steps: int, interruption):
    """Builds the function that takes several training steps in one call.

    The host does not wait for the result of a step before it launches the next one, so that a GPU need not wait for the
    host. Instead, it decides on the result of step n whether to take step n + 2.

    Args:
        config, stage, state, total_steps: see `make_replica_step`.
        strategy: the strategy under which the variables were made.
        interruption: see `Interruption`. If it requests a stop on any worker, all workers stop after the same step. The
            loop keeps its `input_since` up to date.

    Returns:
        A function of a distributed iterator and a number of steps, int32. It stops early when a stop is requested or
        the loss is not finite. It returns `Steps`.
    """
    replica_step = make_replica_step(config, stage, state, total_steps)
    names = [*stage.loss_names, "gradient_norm", *stage.counters, "stop_requested"]
    # With loss scaling, the optimizer skips gradients that overflow and lowers the scale.
    num_finite = len(stage.loss_names) + (0 if config.precision == "mixed_float16" else 1)
    with tf.device("CPU:0"):
        waited = tf.Variable(0.0, trainable=False, dtype=tf.float64)

    def step_and_stack(batch):
        values = replica_step(batch) | {"stop_requested": tf.identity(interruption.requested)}
        return tf.stack([values[name] for name in names])

    def next_batch(batches):
        """The next batch. Adds the seconds until it arrives to `waited`."""
        start = tf.timestamp()
        interruption.input_since.assign(start)
        batch = next(batches)
        arrived = []
        parts = strategy.experimental_local_results(tf.nest.flatten(batch)[0])
        for device, part in zip(strategy.extended.worker_devices, parts, strict=True):
            # The host waits for this Boolean, which is in its memory. For the part itself, or for a control dependency
            # on it, it would wait until the device had finished its work.
            with tf.device(device):
                arrived.append(tf.experimental.Optional.from_value(part).has_value())
        with tf.device("CPU:0"):
            ended = interruption.input_since.assign(
                tf.where(functools.reduce(tf.logical_and, arrived), tf.constant(0.0, tf.float64), start)
            )
            with tf.control_dependencies([ended]):
                waited.assign_add(tf.timestamp() - start)
        return batch

    def is_finite(values):
        return tf.reduce_all(tf.math.is_finite(values[:num_finite]))

    @tf.function
    def train_steps(batches, count):
        waited.assign(0.0)
        # TensorFlow keeps int32 values in host memory, so the loop's condition waits for no device.
        done, sound = tf.constant(0), tf.constant(0)
        limit, next_limit = count, count
        last = sums = tf.zeros([len(names)])
        while done < limit:
            batch = next_batch(batches)
            values = strategy.reduce("SUM", strategy.run(step_and_stack, args=(batch,)), axis=None)
            sums += tf.where(tf.math.is_finite(values), values, 0)
            last = tf.where(is_finite(last), values, last)
            # The result of this step decides whether to take the step after the next one.
            limit = next_limit
            with tf.device("CPU:0"):
                on_host = tf.identity(values)
                sound += tf.cast(is_finite(on_host) & tf.equal(sound, done), tf.int32)
                next_limit = tf.where((sound > done) & tf.equal(on_host[-1], 0), next_limit, 0)
            done += 1
        named = [dict(zip(names, tf.unstack(vector))) for vector in (last, sums)]
        return Steps(done, sound, *named, waited.read_value())

    return train_steps
