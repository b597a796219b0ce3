"""The training loop: one for both stages, on one device or many."""

import contextlib
import math
import os
import sys
import time

import tensorflow as tf

from pose_tf import files
from pose_tf.data import records
from pose_tf.errors import UserError, reason
from pose_tf.training.checkpoints import Checkpoints
from pose_tf.training.initial_weights import load_initial_weights
from pose_tf.training.interruption import Interruption
from pose_tf.training.monitor import Monitor
from pose_tf.training.optimizers import make_optimizer
from pose_tf.training.recipe import check_same_recipe, check_switches, check_values
from pose_tf.training.stages import make_stage
from pose_tf.training.step import make_train_steps
from pose_tf.training.strategy import (
    batch_sizes,
    distribute,
    make_strategy,
    say_to_all,
    set_batch_norm,
    variable_scope,
    worker_index,
)
from pose_tf.training.weight_average import WeightAverage
from pose_tf.training.workdir import Workdir


class WorkerLost(UserError):
    """Another worker of a multi-worker training is gone. The training goes on when all have been started again."""


def train(config, data_dir: str | None, workdir_path: str) -> dict[str, float] | None:
    """Trains a stage, or goes on with a training that `workdir_path` holds.

    With `config.strategy` `multi_worker`, every worker calls this with the same arguments; they share `workdir_path`.

    Args:
        config: a recipe, see `configs/`.
        data_dir: directory of records; a lifter that trains on `config.data.poses` needs none.
        workdir_path: where everything is written, see `workdir.py`.

    Returns:
        The last validation's errors by name, and `best`, the lowest of the stage's validation metric; nothing in all
        workers but the first. None if SIGTERM or Ctrl-C ended the training; a checkpoint has been written then.

    Raises:
        WorkerLost: another worker is gone.
        UserError: bad data, an unwritable directory, an impossible recipe, or a loss that is not finite.
    """
    with _named_losses(config):
        return _Run(config, data_dir, workdir_path).train()


class _Run:
    def __init__(self, config, data_dir, workdir_path):
        check_values(config)
        self.strategy = make_strategy(config.strategy)
        check_switches(config, self.strategy.num_replicas_in_sync)
        self.worker = worker_index(self.strategy)
        self.config = config = config.copy_and_resolve_references()
        batch_size, replica_batch_size = batch_sizes(config.data, self.strategy)
        config.data.batch_size, config.data.replica_batch_size = batch_size, replica_batch_size
        self.workdir = Workdir(workdir_path)
        self.workdir.create()
        check_same_recipe(config, self.workdir)
        tf.keras.mixed_precision.set_global_policy(config.precision)
        tf.keras.utils.set_random_seed(config.seed)
        if config.deterministic:
            tf.config.experimental.enable_op_determinism()
        with variable_scope(self.strategy):
            self.stage = make_stage(config, data_dir, self.workdir)
            steps_per_epoch = self.stage.num_samples // batch_size
            if not steps_per_epoch:
                raise UserError(
                    f"config.data.batch_size is {batch_size}, but there are only {self.stage.num_samples} samples"
                )
            self.total_steps = math.ceil(config.train.epochs * steps_per_epoch)
            set_batch_norm(self.stage.model, config.batch_norm)
            self.optimizer = make_optimizer(config.optimizer, self.total_steps, steps_per_epoch)
            if config.precision == "mixed_float16":
                self.optimizer = tf.keras.mixed_precision.LossScaleOptimizer(self.optimizer)
            # A checkpoint needs all variables from the beginning: one may be written before the first step.
            self.optimizer._create_all_weights(self.stage.model.trainable_weights)
            self.average = WeightAverage(self.stage.model, config.optimizer.ema) if config.optimizer.ema else None
        self.best, self.best_step = tf.Variable(math.inf), tf.Variable(0, dtype=tf.int64)
        self.validated_step = tf.Variable(0, dtype=tf.int64)
        state = {"model": self.stage.model, "optimizer": self.optimizer}
        state |= {"best": self.best, "best_step": self.best_step, "validated_step": self.validated_step}
        state |= self.average.state if self.average else {}
        self.checkpoints = Checkpoints(
            self.workdir.file("checkpoints"), tf.train.Checkpoint(**state), config.train.checkpoints_kept
        )
        self.step = self.checkpoints.restore()
        if self.step != (first := say_to_all(self.strategy, self.step)):
            raise UserError(
                f"worker {self.worker} finds step {self.step} in --workdir={workdir_path}, worker 0 step {first}; "
                "all workers have to share one directory"
            )
        self.saved_at = time.monotonic()
        self.profiling = False
        self.validate_every = max(round(config.train.validate_every_epochs * steps_per_epoch), 1)
        if self.step:
            self._say(f"resuming {workdir_path} at step {self.step} of {self.total_steps}")
        elif config.init_from:
            left = load_initial_weights(self.stage.model, config.init_from)
            self._say(f"starting from {config.init_from}" + (f", with a new {', '.join(left)}" if left else ""))
        if self.average:
            self.average.start()
        if not self.worker:
            files.write_json(self.workdir.file("config.json"), config.to_dict())
        self._say(
            f"batches of {batch_size} = {self.strategy.num_replicas_in_sync} x {replica_batch_size}, "
            f"{steps_per_epoch} steps an epoch; results in {workdir_path}"
        )

    def _say(self, text):
        if not self.worker:
            print(text, file=sys.stderr)

    def train(self):
        errors = {}
        with contextlib.ExitStack() as stack:
            interruption = stack.enter_context(Interruption())
            self.monitor = stack.enter_context(Monitor(self.workdir, self.step, self.total_steps, self.worker))
            stack.enter_context(records.named_errors(self.stage.shards, records.H36M))
            self.monitor.recipe(self.config)
            if not self.step and not self.worker:
                self.monitor.picture(0, "augmented", self.stage.augmented_pictures())
            take_steps = make_train_steps(
                self.config,
                self.stage,
                self.optimizer,
                self.average,
                self.strategy,
                self.total_steps,
                interruption.requested,
            )
            start, job = self.step, f"{self.workdir.path} {say_to_all(self.strategy, time.time_ns())}"
            batches = iter(distribute(self.strategy, lambda share: self.stage.training_batches(start, share, job)))
            while self.step < self.total_steps or not self._is_validated():
                if self._is_due(self.validate_every) and not self._is_validated():
                    found = {} if self.worker else self._validate(interruption.requested)
                    stopped, errors = found is None, found or errors
                    if not stopped:
                        self.validated_step.assign(self.step)
                else:
                    stopped = self._train(take_steps, batches)
                minutes = (time.monotonic() - self.saved_at) / 60
                if stopped or self._is_validated() or minutes > self.config.train.checkpoint_every_minutes:
                    self._save()
                if stopped:
                    self._say(f"stopped at step {self.step}; the same command goes on from there")
                    return None
        return {} if self.worker else {**errors, "best": float(self.best)}

    def _is_due(self, every):
        return self.step == self.total_steps or (self.step > 0 and self.step % every == 0)

    def _is_validated(self):
        return int(self.validated_step) == self.step

    def _train(self, take_steps, batches):
        """Takes the steps of one call; says whether a stop was requested."""
        train, profile = self.config.train, self.config.profile_steps
        ends = [self.step + train.steps_per_call, self.total_steps]
        ends += [(self.step // every + 1) * every for every in (train.report_every_steps, self.validate_every)]
        if profile and self.step == profile[0]:
            tf.profiler.experimental.start(self.workdir.file("tensorboard"))
            self.profiling = True
        start = time.monotonic()
        done, last, sums, waited = take_steps(
            batches, tf.constant(min(ends + [end for end in profile if end > self.step]) - self.step)
        )
        self.step += int(done)
        if self.profiling and self.step >= profile[1]:
            tf.profiler.experimental.stop()
            self.profiling = False
        self._check_finite(last)
        self.monitor.advance(self.step, int(done), sums, float(waited), time.monotonic() - start)
        if self._is_due(train.report_every_steps) or self._is_due(self.validate_every):
            self.monitor.report_training(self.step, self.stage.batch_size, self._learning_rate(), self.stage.counters)
        return float(last["stop_requested"]) > 0

    def _learning_rate(self):
        return float(self.optimizer.learning_rate(max(self.step - 1, 0)))

    def _check_finite(self, values):
        for name in (*self.stage.loss_names, "gradient_norm"):
            scaled = name == "gradient_norm" and self.config.precision == "mixed_float16"
            if not math.isfinite(value := float(values[name])) and not scaled:
                self._stop_as_not_finite(f"the {name} is {value}")

    def _stop_as_not_finite(self, what):
        steps = self.checkpoints.steps()
        good = f"the last good checkpoint is {self.checkpoints.path(steps[-1])}" if steps else "none was saved"
        raise UserError(f"{what} at step {self.step}, learning rate {self._learning_rate():.3g}; {good}")

    def _save(self):
        # The loss of a step tells nothing about what the step has made of the state.
        for variable in (*self.stage.model.weights, *self.optimizer.variables()):
            if variable.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(variable)):
                self._stop_as_not_finite(f"{variable.name} is not finite")
        if not self.worker:
            self.checkpoints.save(self.step, int(self.best_step))
        self.saved_at = time.monotonic()

    def _validate(self, stop_requested):
        """Errors on the validation subjects; None if a stop was requested meanwhile."""
        alone = not isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy)  # others wait for this worker
        with self.average.in_force() if self.average else contextlib.nullcontext():
            errors = self.stage.validate(lambda: alone and float(stop_requested) > 0)
            if errors is None:
                return None
            picture, poses = self.stage.pictures(), self.stage.poses()
            if errors[self.stage.validation_metric] < float(self.best):
                self.best.assign(errors[self.stage.validation_metric])
                self.best_step.assign(self.step)
                self.workdir.save_best(self.stage.model)
        self.monitor.report(self.step, "validation", errors)
        self.monitor.picture(self.step, "validation", picture)
        if poses is not None:
            self.monitor.poses(self.step, "poses", poses)
        self.monitor.draw_curves()
        return errors


@contextlib.contextmanager
def _named_losses(config):
    """Turns errors of TensorFlow that are not about records into sentences."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(f"out of memory; a smaller config.data.batch_size needs less ({reason(error)})") from None
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError) as error:
        if "TF_CONFIG" in os.environ:
            raise WorkerLost(f"another worker is gone ({reason(error)})") from None
        if config.data.get("service"):
            raise UserError(f"config.data.service={config.data.service} does not answer: {reason(error)}") from None
        raise
