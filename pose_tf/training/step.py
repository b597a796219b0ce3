"""The training step, from a batch to new weights, and many of them in one call."""

import tensorflow as tf

from pose_tf.layers.dropout import dropout_seed


def make_train_steps(config, stage, optimizer, average, strategy, total_steps: int, stop_requested, input_since=None):
    """Builds the function that trains.

    The loss of a step is the mean over the global batch: each replica sums over its own samples and divides by the
    global batch size, and gradients are added up over the replicas. So one replica with 16 samples and two with 8 take
    the same step, up to batch normalisation, which sees other samples unless it is synchronised.

    Args:
        config: the recipe.
        stage: `DetectorStage` or `LifterStage`.
        optimizer: a `LossScaleOptimizer` if the precision is mixed_float16.
        average: `WeightAverage`, or None.
        strategy: of the variables.
        total_steps: of the whole run.
        stop_requested: float variable; at 1 on any worker, all stop after the step that they are in.
        input_since: float64 variable: holds since when a step has been waiting for its input, or 0.

    Returns:
        A function of a distributed iterator and a number of steps, int32. It stops early when a stop is requested or
        the loss is not finite, and returns: how many steps it took; {name: value} of the last one and {name: sum} over
        all, with the stage's losses, `gradient_norm`, the stage's counters and `stop_requested`; and the seconds it
        waited for input.
    """
    weights = stage.model.trainable_weights
    replicas = strategy.num_replicas_in_sync
    scales_loss = isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
    names = [*stage.loss_names, "gradient_norm", *stage.counters, "stop_requested"]

    def compute_gradients(augmented, seed):
        with tf.GradientTape() as tape, dropout_seed(seed):
            values = stage.losses(augmented)
            values = {name: tf.reduce_sum(value) / stage.batch_size for name, value in values.items()}
            loss = optimizer.get_scaled_loss(values["loss"]) if scales_loss else values["loss"]
        return tape.gradient(loss, weights), values

    if config.jit_compile:
        compute_gradients = tf.function(compute_gradients, jit_compile=True)

    def replica_step(batch):
        step = tf.identity(optimizer.iterations)  # before it is counted up
        context = tf.distribute.get_replica_context()
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
        if average:
            average.update(step)

        values["gradient_norm"] = norm / replicas  # all replicas have the same, and values are added up
        if "skipped_records" in names:
            values["skipped_records"] = tf.cast(tf.reduce_sum(batch["skipped"]), tf.float32)
        values["stop_requested"] = tf.identity(stop_requested)
        return tf.stack([values[name] for name in names])

    def is_finite(values):
        # With loss scaling, gradients that overflow are skipped, and the scale becomes smaller.
        return tf.reduce_all(tf.math.is_finite(values[: len(stage.loss_names) + (0 if scales_loss else 1)]))

    @tf.function
    def train_steps(batches, count):
        done, go_on, waited = tf.constant(0), tf.constant(True), tf.constant(0.0, tf.float64)
        values = sums = tf.zeros([len(names)])
        while done < count and go_on:
            start = tf.timestamp()
            with tf.control_dependencies([start if input_since is None else input_since.assign(start)]):
                batch = next(batches)
            parts = [part for value in tf.nest.flatten(batch) for part in strategy.experimental_local_results(value)]
            with tf.control_dependencies(parts):
                waited += tf.timestamp() - start
                if input_since is not None:
                    input_since.assign(0.0)
            values = strategy.reduce("SUM", strategy.run(replica_step, args=(batch,)), axis=None)
            sums += tf.where(tf.math.is_finite(values), values, 0)
            done += 1
            go_on = is_finite(values) and values[-1] == 0
        named = [dict(zip(names, tf.unstack(vector))) for vector in (values, sums)]
        return done, *named, waited

    return train_steps
