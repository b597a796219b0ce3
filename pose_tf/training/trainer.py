"""The training loop: one for both stages, on one device or many."""

import contextlib
import math
import sys
import time

import tensorflow as tf

from pose_tf import files
from pose_tf.data import records
from pose_tf.data.fingerprint import fingerprint
from pose_tf.data.graph_records import named_errors
from pose_tf.errors import UserError, reason
from pose_tf.training.checkpoints import Checkpoints
from pose_tf.training.initial_weights import load_initial_weights
from pose_tf.training.interruption import Interruption
from pose_tf.training.monitor import Monitor
from pose_tf.training.optimizers import make_optimizer
from pose_tf.training.recipe import (
    check_batch_norm,
    check_same_recipe,
    check_switches,
    check_values,
    may_split_batches,
)
from pose_tf.training.stages import make_stage
from pose_tf.training.step import make_train_steps
from pose_tf.training.strategy import (
    add_up,
    batch_sizes,
    distribute,
    in_cluster,
    make_strategy,
    say_to_all,
    set_batch_norm,
    variable_scope,
    worker_index,
)
from pose_tf.training.weight_average import WeightAverage
from pose_tf.workdir import Workdir

FINISHED = 1 << 20  # what worker 0 adds to the workers' requests to stop when its validation is done


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
        workers but the first. None if SIGTERM or Ctrl-C ended the training; a checkpoint has been written then, unless
        another worker was lost before.

    Raises:
        WorkerLost: another worker is gone.
        UserError: bad data, an unwritable directory, an impossible recipe, or a loss that is not finite.
    """
    check_values(config)
    with _named_losses(config), contextlib.ExitStack() as stack:
        return _Run(config, data_dir, workdir_path, stack).train()


class _Run:
    """A training. Nothing of an earlier run in its directory is touched before all has been found to fit.

    Args:
        config, data_dir, workdir_path: see `train`.
        stack: closes what is held until the end of the training.
    """

    def __init__(self, config, data_dir, workdir_path, stack):
        self.strategy = make_strategy(config.strategy, may_split_batches(config))
        check_switches(config, self.strategy.num_replicas_in_sync)
        self.worker = worker_index(self.strategy)
        self.config = config = config.copy_and_resolve_references()
        batch_size, replica_batch_size = batch_sizes(config.data, self.strategy)
        config.data.batch_size, config.data.replica_batch_size = batch_size, replica_batch_size
        check_batch_norm(config, self.strategy.num_replicas_in_sync)
        self.workdir = Workdir(workdir_path)
        self.workdir.create()
        if not self.worker:
            stack.enter_context(self.workdir.locked())
        if before := self.workdir.config_of_run():
            check_same_recipe(config, before, workdir_path)
        data = fingerprint(config, data_dir)
        if before:
            self.workdir.check_same_data(data)
        tf.keras.mixed_precision.set_global_policy(config.precision)
        tf.config.experimental.enable_tensor_float_32_execution(config.get("tf32", False))
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
            if before:
                self.workdir.check_same_data(data, self.stage.num_samples)
                self.workdir.check_same_statistics(self.stage.statistics)
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
            if before and config.init_from != before.get("init_from"):
                self._say(f"config.init_from={config.init_from} is not read again: the run has its own weights")
        elif config.init_from:
            left = load_initial_weights(self.stage.model, config.init_from)
            self._say(f"starting from {config.init_from}" + (f", with a new {', '.join(left)}" if left else ""))
        if self.average:
            self.average.start()
        if not self.worker:
            if self.stage.statistics:
                files.write_json(self.workdir.file("statistics.json"), self.stage.statistics.to_json())
            files.write_json(self.workdir.file("data.json"), data | {"samples": self.stage.num_samples})
            files.write_json(self.workdir.file("config.json"), config.to_dict())
        if not config.data.validation_subjects:
            self._say("config.data.validation_subjects is empty: validation is on the training data")
        self._say(
            f"batches of {batch_size} = {self.strategy.num_replicas_in_sync} x {replica_batch_size}, "
            f"{steps_per_epoch} steps an epoch; results in {workdir_path}"
        )

    def _say(self, text):
        if not self.worker:
            print(text, file=sys.stderr)

    def train(self):
        source = f"config.data.service={service}" if (service := self.config.data.get("service")) else "the input"
        # In a cluster the input of a step begins when all are there, and worker 0 may have something to write before.
        with Interruption(source, 60.0 if in_cluster(self.config.strategy) else 4.0) as interruption:
            try:
                with _named_losses(self.config):
                    return self._train_until(interruption)
            except WorkerLost as lost:
                if not float(interruption.requested):
                    raise
                print(f"stopped, but {lost}; the same command goes on from the last checkpoint", file=sys.stderr)
                return None

    def _train_until(self, interruption):
        """All that is left to do, or what can be done until a stop is requested."""
        errors = {}
        with contextlib.ExitStack() as stack:
            stack.callback(self._stop_profiler)
            self.monitor = stack.enter_context(
                Monitor(self.workdir, self.step, int(self.validated_step), self.total_steps, self.worker)
            )
            stack.enter_context(named_errors(self.stage.shards, records.H36M))
            if not self.step and not self.worker:
                self.monitor.recipe(self.config)
                with interruption.input():
                    picture = self.stage.augmented_pictures()
                self.monitor.picture(0, "augmented", picture)
            take_steps = make_train_steps(
                self.config,
                self.stage,
                self.optimizer,
                self.average,
                self.strategy,
                self.total_steps,
                interruption.requested,
                interruption.input_since,
            )
            start, job = self.step, f"{self.workdir.path} {say_to_all(self.strategy, time.time_ns())}"
            batches = iter(distribute(self.strategy, lambda share: self.stage.training_batches(start, share, job)))
            while self.step < self.total_steps or not self._is_validated():
                if self._is_due(self.validate_every) and not self._is_validated():
                    found = self._validate(interruption.requested)
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
            self._stop_profiler()
        self._check_finite(last)
        self.monitor.advance(self.step, int(done), sums, float(waited), time.monotonic() - start)
        if self._is_due(train.report_every_steps) or self._is_due(self.validate_every):
            self.monitor.report_training(self.step, self.stage.batch_size, self._learning_rate(), self.stage.counters)
        return float(last["stop_requested"]) > 0

    def _stop_profiler(self):
        if self.profiling:
            tf.profiler.experimental.stop()
            self.profiling = False

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
        """Errors on the validation subjects; none in all workers but the first; None if a stop was requested.

        Worker 0 computes them. After each batch all workers tell each other whether they are to stop.
        """

        def requests():
            return add_up(self.strategy, int(stop_requested))

        if self.worker:
            while not (total := requests()):
                pass
            return {} if total >= FINISHED else None
        with self.average.in_force() if self.average else contextlib.nullcontext():
            errors = self.stage.validate(lambda: requests() > 0)
            if errors is None:
                return None
            add_up(self.strategy, FINISHED)
            if not math.isfinite(errors[self.stage.validation_metric]):
                self._stop_as_not_finite(f"the validation's {self.stage.validation_metric} is not finite")
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
        if in_cluster(config.strategy):
            raise WorkerLost(f"another worker is gone ({reason(error)})") from None
        if config.data.get("service"):
            raise UserError(f"config.data.service={config.data.service} does not answer: {reason(error)}") from None
        raise
