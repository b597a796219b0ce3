"""A run at work: the parts of the training loop, and what they share."""

import contextlib
import dataclasses
import math
import sys
import time

import ml_collections
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.training.checkpoints import Checkpoints
from pose_tf.training.initial_weights import load_initial_weights
from pose_tf.training.interruption import Interruption
from pose_tf.training.monitor import Monitor
from pose_tf.training.stage import Stage
from pose_tf.training.state import TrainingState
from pose_tf.training.step import make_train_steps
from pose_tf.training.strategy import add_up, distribute, say_to_all, worker_index
from pose_tf.workdir import Workdir

FINISHED = 1 << 20  # what worker 0 adds to the workers' requests to stop when its validation is done


@dataclasses.dataclass
class Run:
    """The run of a recipe in a directory. Its loop is in `trainer.py`.

    Attributes:
        config: the recipe, with the batch sizes that fit the devices.
        workdir: the run's directory.
        strategy: of the variables.
        stage: what is trained.
        state: what a checkpoint holds.
        steps_per_epoch: of each epoch.
        total_steps: of the whole run.
        errors: of the last validation that this process made.
    """

    config: ml_collections.ConfigDict
    workdir: Workdir
    strategy: tf.distribute.Strategy
    stage: Stage
    state: TrainingState
    steps_per_epoch: int
    total_steps: int
    errors: dict[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self.worker = worker_index(self.strategy)
        self.validate_every = max(round(self.config.train.validate_every_epochs * self.steps_per_epoch), 1)
        self._checkpoints = Checkpoints(
            self.workdir.file("checkpoints"), self.state.checkpoint(), self.config.train.checkpoints_kept
        )
        self._saved_at = time.monotonic()
        self._is_profiling = False

    def say(self, text: str) -> None:
        """Prints a line on standard error, on worker 0."""
        if not self.worker:
            print(text, file=sys.stderr)

    # ---- before the loop

    def restore(self, before: ml_collections.ConfigDict | None) -> None:
        """Sets the state to the newest checkpoint, or a new run's to the recipe's initial weights.

        Args:
            before: the recipe that the run was started with; None for a new run.

        Raises:
            UserError: checkpoints that cannot be restored, workers that do not find the same one, or initial weights
                that do not fit.
        """
        path, state, init_from = self.workdir.path, self.state, self.config.init_from
        state.step = self._checkpoints.restore()
        if state.step != (first := say_to_all(self.strategy, state.step)):
            raise UserError(
                f"worker {self.worker} finds step {state.step} in --workdir={path}, worker 0 step {first}; "
                "all workers have to share one directory"
            )
        if state.step:
            self.say(f"resuming {path} at step {state.step} of {self.total_steps}")
            if before and init_from != before.get("init_from"):
                self.say(f"config.init_from={init_from} is not read again: the run has its own weights")
        elif init_from:
            left = load_initial_weights(state.model, init_from)
            self.say(f"starting from {init_from}" + (f", with a new {', '.join(left)}" if left else ""))
        if state.average:
            state.average.start()

    @contextlib.contextmanager
    def prepared(self, interruption: Interruption):
        """Builds the step and opens the reports and the input, for the loop in the `with` block.

        Args:
            interruption: how the loop is stopped from outside.
        """
        state, self._interruption = self.state, interruption
        first, validated = state.step, int(state.validated_step)
        with Monitor(self.workdir, first, validated, self.total_steps, self.worker) as self._monitor:
            if not first and not self.worker:
                self._monitor.recipe(self.config)
                with interruption.input():
                    picture = self.stage.augmented_pictures()
                self._monitor.picture(0, "augmented", picture)
            self._take_steps = make_train_steps(
                self.config, self.stage, state, self.strategy, self.total_steps, interruption
            )
            job = f"{self.workdir.path} {say_to_all(self.strategy, time.time_ns())}"
            self._batches = iter(
                distribute(self.strategy, lambda share: self.stage.training_batches(first, share, job))
            )
            try:
                yield
            finally:
                self._stop_profiler()

    # ---- when what is due

    def is_finished(self) -> bool:
        """Whether all steps have been taken and the last one is validated."""
        return self.state.step >= self.total_steps and not self.must_validate()

    def must_validate(self) -> bool:
        """Whether a validation comes next. A resumed run may begin with one."""
        return self._is_due(self.validate_every) and not self._is_validated()

    def _is_due(self, every):
        step = self.state.step
        return step == self.total_steps or (step > 0 and step % every == 0)

    def _is_validated(self):
        return int(self.state.validated_step) == self.state.step

    # ---- the parts of the loop

    def step(self) -> bool:
        """Takes training steps in one call, up to the next at which something is due; see `step.make_replica_step`.

        Returns:
            Whether a stop was requested.

        Raises:
            UserError: the loss or the gradient of the last step is not finite.
        """
        state, profile, train = self.state, self.config.profile_steps, self.config.train
        ends = [state.step + train.steps_per_call, self.total_steps, *(end for end in profile if end > state.step)]
        ends += [(state.step // every + 1) * every for every in (train.report_every_steps, self.validate_every)]
        if profile and state.step == profile[0]:
            tf.profiler.experimental.start(self.workdir.file("tensorboard"))
            self._is_profiling = True
        start = time.monotonic()
        done, last, sums, waited = self._take_steps(self._batches, tf.constant(min(ends) - state.step))
        state.step += int(done)
        if profile and state.step >= profile[1]:
            self._stop_profiler()
        self._check_finite(last)
        self._monitor.advance(state.step, int(done), sums, float(waited), time.monotonic() - start)
        return float(last["stop_requested"]) > 0

    def maybe_report(self) -> None:
        """Reports the means over the steps since the last report, if that is due."""
        if self._is_due(self.config.train.report_every_steps) or self._is_due(self.validate_every):
            stage, step = self.stage, self.state.step
            self._monitor.report_training(step, stage.batch_size, self._learning_rate(), stage.counters)

    def maybe_save(self, stopped: bool) -> None:
        """Writes a checkpoint after a validation, at a stop, and every few minutes.

        Raises:
            UserError: the state is not finite, which the loss of the last step does not tell, or a checkpoint cannot
                be written.
        """
        minutes = (time.monotonic() - self._saved_at) / 60
        if not (stopped or self._is_validated() or minutes > self.config.train.checkpoint_every_minutes):
            return
        for variable in (*self.state.model.weights, *self.state.optimizer.variables()):
            if variable.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(variable)):
                self._stop_as_not_finite(f"{variable.name} is not finite")
        if not self.worker:
            self._checkpoints.save(self.state.step, int(self.state.best_step))
        self._saved_at = time.monotonic()

    def validate(self) -> bool:
        """Measures errors on the validation subjects, and keeps the weights if they are the best so far.

        Worker 0 does it. After each batch all workers tell each other whether they are to stop.

        Returns:
            Whether a stop was requested.

        Raises:
            UserError: the errors are not finite, or a file cannot be written.
        """

        def requests():
            return add_up(self.strategy, int(self._interruption.requested))

        if self.worker:
            while not (total := requests()):
                pass
            stopped = total < FINISHED
        else:
            stopped = self._validate_here(lambda: requests() > 0)
        if not stopped:
            self.state.validated_step.assign(self.state.step)
        return stopped

    def _validate_here(self, interrupted):
        state, stage, metric = self.state, self.stage, self.stage.validation_metric
        with state.average.in_force() if state.average else contextlib.nullcontext():
            errors = stage.validate(interrupted)
            if errors is None:
                return True
            add_up(self.strategy, FINISHED)
            if not math.isfinite(errors[metric]):
                self._stop_as_not_finite(f"the validation's {metric} is not finite")
            picture, poses = stage.pictures(), stage.poses()
            if errors[metric] < float(state.best):
                state.best.assign(errors[metric])
                state.best_step.assign(state.step)
                self.workdir.save_best(state.model)
        self.errors = errors
        self._monitor.report(state.step, "validation", errors)
        self._monitor.picture(state.step, "validation", picture)
        if poses is not None:
            self._monitor.poses(state.step, "poses", poses)
        self._monitor.draw_curves()
        return False

    # ---- details

    def _stop_profiler(self):
        if self._is_profiling:
            tf.profiler.experimental.stop()
            self._is_profiling = False

    def _learning_rate(self):
        """That of the last step."""
        return float(self.state.optimizer.learning_rate(max(self.state.step - 1, 0)))

    def _check_finite(self, values):
        for name in (*self.stage.loss_names, "gradient_norm"):
            scaled = name == "gradient_norm" and self.config.precision == "mixed_float16"
            if not math.isfinite(value := float(values[name])) and not scaled:
                self._stop_as_not_finite(f"the {name} is {value}")

    def _stop_as_not_finite(self, what):
        steps = self._checkpoints.steps()
        good = f"the last good checkpoint is {self._checkpoints.path(steps[-1])}" if steps else "none was saved"
        raise UserError(f"{what} at step {self.state.step}, learning rate {self._learning_rate():.3g}; {good}")
