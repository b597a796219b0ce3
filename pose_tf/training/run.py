"""The parts of the training loop, and their shared state."""

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
from pose_tf.training.strategy import add_up, broadcast, distribute, worker_index
from pose_tf.workdir import Workdir

FINISHED = 1 << 20  # worker 0 adds this to the number of stop requests when its validation is done


@dataclasses.dataclass
class Run:
    """The run of a recipe in a directory. The loop is in `trainer.py`.

    Attributes:
        config: the recipe, with the batch sizes that fit the devices.
        workdir: the run's directory.
        strategy: the strategy under which the variables were made.
        stage: the stage to train.
        state: the state that checkpoints hold.
        steps_per_epoch: steps of an epoch.
        total_steps: steps of the whole run.
        errors: errors by name of the last validation in this process.
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
        """Prints a line on standard error, on worker 0 only."""
        if not self.worker:
            print(text, file=sys.stderr)

    # ---- before the loop

    def restore(self, before: ml_collections.ConfigDict | None) -> None:
        """Restores the newest checkpoint, or loads the recipe's initial weights into a new run.

        Args:
            before: the recipe that started the run; None for a new run.

        Raises:
            UserError: the checkpoints cannot be restored, the workers find different ones, or the initial weights do
                not fit.
        """
        path, state, networks = self.workdir.path, self.state, self.stage.networks()
        state.step = self._checkpoints.restore()
        if state.step != (first := broadcast(self.strategy, state.step)):
            raise UserError(
                f"worker {self.worker} finds step {state.step} in {path}, worker 0 finds step {first}; "
                "all workers must share one directory"
            )
        if state.step:
            self.say(f"resuming {path} at step {state.step} of {self.total_steps}")
            for key in networks:
                if before and self.config[key] != before.get(key):
                    self.say(f"config.{key}={self.config[key]} is ignored: the run resumes with its own weights")
        else:
            for key, network in networks.items():
                if source := self.config[key]:
                    left = load_initial_weights(network, source, f"config.{key}", self.stage.skeleton)
                    self.say(f"starting from {source}" + (f", with a new {', '.join(left)}" if left else ""))
        if state.average:
            state.average.start()

    @contextlib.contextmanager
    def prepared(self, interruption: Interruption):
        """Builds the training step and opens the reports and the input for the loop in the `with` block.

        Args:
            interruption: reports requests to stop.
        """
        state, self._interruption = self.state, interruption
        first, validated = state.step, int(state.validated_step)
        with Monitor(self.workdir, first, validated, self.total_steps, self.worker) as self._monitor:
            if not first and not self.worker:
                self._monitor.recipe(self.config)
                with interruption.input():
                    sheet = self.stage.training_sheet()
                self._monitor.image(0, "augmented", sheet)
            self._take_steps = make_train_steps(
                self.config, self.stage, state, self.strategy, self.total_steps, interruption
            )
            job = f"{self.workdir.path} {broadcast(self.strategy, time.time_ns())}"
            self._batches = iter(
                distribute(self.strategy, lambda share: self.stage.training_batches(first, share, job))
            )
            try:
                yield
            finally:
                self._stop_profiler()

    # ---- what to do next

    def is_finished(self) -> bool:
        """Whether all steps have been taken and the last one has been validated."""
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
        """Takes training steps in one call until the next report, validation or profile; see `step.make_train_steps`.

        Returns:
            Whether a stop was requested.

        Raises:
            UserError: the loss or the gradient of a step is not finite.
        """
        state, profile, train = self.state, self.config.profile_steps, self.config.train
        ends = [state.step + train.steps_per_call, self.total_steps, *(end for end in profile if end > state.step)]
        ends += [(state.step // every + 1) * every for every in (train.report_every_steps, self.validate_every)]
        if profile and state.step == profile[0]:
            tf.profiler.experimental.start(self.workdir.file("tensorboard"))
            self._is_profiling = True
        start = time.monotonic()
        steps = self._take_steps(self._batches, tf.constant(min(ends) - state.step))
        done, sound = int(steps.done), int(steps.sound)
        if sound < done:
            self._stop_at_loss(state.step + sound + 1, steps.last)
        state.step += done
        if profile and state.step >= profile[1]:
            self._stop_profiler()
        self._monitor.advance(state.step, done, steps.sums, float(steps.waited), time.monotonic() - start)
        return float(steps.last["stop_requested"]) > 0

    def maybe_report(self) -> None:
        """Reports the means over the steps since the last report, if a report is due."""
        if self._is_due(self.config.train.report_every_steps) or self._is_due(self.validate_every):
            stage, step = self.stage, self.state.step
            self._monitor.report_training(step, stage.batch_size, self._learning_rate(), stage.counters)

    def maybe_save(self, stopped: bool) -> None:
        """Writes a checkpoint after a validation, before a stop, and every `checkpoint_every_minutes`.

        Raises:
            UserError: a weight or an optimizer variable is not finite, which the loss of the last step does not show,
                or the checkpoint cannot be written.
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
        """Measures the errors on the validation subjects, and saves the weights if they are the best so far.

        Only worker 0 validates. After each batch all workers exchange their requests to stop.

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
        with state.average.applied() if state.average else contextlib.nullcontext():
            errors = stage.validate(interrupted)
            if errors is None:
                return True
            add_up(self.strategy, FINISHED)
            if not math.isfinite(errors[metric]):
                self._stop_as_not_finite(f"the validation's {metric} is not finite")
            sheet, poses = stage.validation_sheet(), stage.poses()
            if errors[metric] < float(state.best):
                state.best.assign(errors[metric])
                state.best_step.assign(state.step)
                self.workdir.save_best(state.model, stage.skeleton)
        self.errors = errors
        self._monitor.report(state.step, "validation", errors)
        self._monitor.image(state.step, "validation", sheet)
        if poses is not None:
            self._monitor.poses(state.step, "poses", poses, stage.skeleton)
        self._monitor.draw_curves()
        return False

    # ---- details

    def _stop_profiler(self):
        if self._is_profiling:
            tf.profiler.experimental.stop()
            self._is_profiling = False

    def _learning_rate(self):
        """The learning rate of the last step."""
        return float(self.state.optimizer.learning_rate(max(self.state.step - 1, 0)))

    def _stop_at_loss(self, step, values):
        """Reports the values of a step of which one is not finite. Later steps do not count."""
        self.state.step = step
        name = next(name for name, value in values.items() if not math.isfinite(value))
        self._stop_as_not_finite(f"the {name} is {float(values[name])}")

    def _stop_as_not_finite(self, what):
        steps = self._checkpoints.steps()
        good = f"the last good checkpoint is {self._checkpoints.path(steps[-1])}" if steps else "no checkpoint exists"
        raise UserError(f"{what} at step {self.state.step}, learning rate {self._learning_rate():.3g}; {good}")
