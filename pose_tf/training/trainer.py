"""The training loop: one for both stages, on one device or many."""

import json
import math
import os
import sys
import time

import tensorflow as tf

from pose_tf import files
from pose_tf.data import records
from pose_tf.errors import UserError
from pose_tf.training.initial_weights import load_initial_weights
from pose_tf.training.monitor import Monitor
from pose_tf.training.optimizers import make_optimizer
from pose_tf.training.stages import make_stage
from pose_tf.training.strategy import make_strategy
from pose_tf.training.workdir import Workdir

CHECKPOINTS_KEPT = 2
PRECISIONS = ("float32", "mixed_bfloat16")


def train(config, data_dir: str | None, workdir_path: str) -> dict[str, float]:
    """Trains a stage, or goes on with a training that `workdir_path` holds.

    Args:
        config: a recipe, see `configs/`.
        data_dir: directory of records; a lifter that trains on `config.data.poses` needs none.
        workdir_path: where everything is written, see `workdir.py`.

    Returns:
        The last validation's errors by name, and `best`, the lowest of the stage's validation metric.

    Raises:
        UserError: bad data, an unwritable directory or an impossible recipe.
    """
    workdir = Workdir(workdir_path)
    workdir.create()
    _check_same_recipe(config, workdir)
    if config.precision not in PRECISIONS:
        raise UserError(f"config.precision is '{config.precision}'; it can be {' or '.join(PRECISIONS)}")
    tf.keras.mixed_precision.set_global_policy(config.precision)
    tf.keras.utils.set_random_seed(config.seed)

    strategy = make_strategy(config.strategy)
    with strategy.scope():
        stage = make_stage(config, data_dir, workdir)
        batch_size = config.data.batch_size
        steps_per_epoch = stage.num_samples // batch_size
        if not steps_per_epoch:
            raise UserError(f"config.data.batch_size is {batch_size}, but there are only {stage.num_samples} samples")
        total_steps = math.ceil(config.train.epochs * steps_per_epoch)
        optimizer = make_optimizer(config.optimizer, total_steps, steps_per_epoch)
        best = tf.Variable(math.inf, trainable=False, name="best")
        means = {name: tf.keras.metrics.Mean(name) for name in stage.loss_names}
    checkpoint = tf.train.Checkpoint(model=stage.model, optimizer=optimizer, best=best)
    manager = tf.train.CheckpointManager(checkpoint, workdir.file("checkpoints"), CHECKPOINTS_KEPT)
    if manager.latest_checkpoint:
        checkpoint.restore(manager.latest_checkpoint)
    elif config.init_from:
        left = load_initial_weights(stage.model, config.init_from)
        anew = f", with a new {', '.join(left)}" if left else ""
        print(f"starting from {config.init_from}{anew}", file=sys.stderr)
    files.write_json(workdir.file("config.json"), config.to_dict())

    def replica_step(batch):
        step = optimizer.iterations
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.stack(
            [tf.cast(config.seed, tf.int64), step * strategy.num_replicas_in_sync + tf.cast(replica, tf.int64)]
        )
        with tf.GradientTape() as tape:
            losses = stage.losses(batch, seed, tf.cast(step, tf.float32) / total_steps)
            loss = tf.nn.compute_average_loss(losses["loss"], global_batch_size=batch_size)
        gradients = tape.gradient(loss, stage.model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, stage.model.trainable_variables))
        for name, value in losses.items():
            means[name].update_state(value)

    @tf.function
    def train_steps(batches, count):
        for _ in tf.range(count):
            strategy.run(replica_step, args=(next(batches),))

    step = int(optimizer.iterations.numpy())
    monitor = Monitor(workdir, step, total_steps)
    monitor.text("config", f"```\n{config}\n```")
    if step:
        print(f"resuming {workdir_path} at step {step} of {total_steps}", file=sys.stderr)
    else:
        monitor.picture(0, "augmented", stage.augmented_pictures())
    validate_every = max(round(config.train.validate_every_epochs * steps_per_epoch), 1)
    errors = {}
    saved_at = time.monotonic()
    with records.named_errors(stage.shards, records.H36M):
        batches = iter(strategy.experimental_distribute_dataset(stage.training_batches(step)))
        while step < total_steps:
            started = time.monotonic()
            until = min(_next_multiple(step, n) for n in (config.train.report_every_steps, validate_every))
            count = min(until, total_steps) - step
            train_steps(batches, tf.constant(count))
            step += count
            values = {name: float(mean.result()) for name, mean in means.items()}
            for mean in means.values():
                mean.reset_state()
            if not math.isfinite(values["loss"]):
                raise UserError(
                    f"the loss is {values['loss']} at step {step}; the last checkpoint in {workdir_path} is good"
                )
            values["learning_rate"] = float(optimizer.learning_rate(step))
            values["samples_per_second"] = count * batch_size / (time.monotonic() - started)
            monitor.advance(step)
            monitor.report(step, "train", values)

            if step % validate_every == 0 or step == total_steps:
                errors = stage.validate()
                monitor.report(step, "validation", errors)
                monitor.picture(step, "validation", stage.pictures())
                monitor.draw_curves()
                if errors[stage.validation_metric] < float(best.numpy()):
                    best.assign(errors[stage.validation_metric])
                    workdir.save_best(stage.model)
            minutes = (time.monotonic() - saved_at) / 60
            if step % validate_every == 0 or step == total_steps or minutes > config.train.checkpoint_every_minutes:
                manager.save(step)
                saved_at = time.monotonic()
    monitor.close()
    return {**errors, "best": float(best.numpy())}


def _next_multiple(step, n):
    return (step // n + 1) * n


def _check_same_recipe(config, workdir):
    """A directory holds one run: its recipe may not change between two starts."""
    if not os.path.exists(workdir.file("config.json")):
        return
    before = workdir.config().to_dict()
    now = json.loads(json.dumps(config.to_dict()))  # tuples become lists, as in the file
    for section in now:
        if before.get(section) != now[section]:
            raise UserError(
                f"--workdir={workdir.path} holds a run with config.{section} = {before.get(section)}; "
                f"a run with {now[section]} needs another directory"
            )
