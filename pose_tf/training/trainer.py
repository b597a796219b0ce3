"""The training loop of both stages, on one or several devices."""

import contextlib
import math
import sys
from collections.abc import Iterator

import tensorflow as tf

from pose_tf import files
from pose_tf.data.fingerprint import fingerprint
from pose_tf.data.graph_records import named_errors
from pose_tf.data.sources import H36M, mix_of
from pose_tf.errors import UserError, reason
from pose_tf.training.checkpoints import checkpoint_steps
from pose_tf.training.detector_data import divide_batch
from pose_tf.training.detector_stage import DetectorStage
from pose_tf.training.end_to_end_stage import EndToEndStage
from pose_tf.training.interruption import Interruption
from pose_tf.training.lifter_stage import LifterStage
from pose_tf.training.recipe import (
    DEFAULT,
    check_batch_norm,
    check_same_recipe,
    check_switches,
    check_values,
    may_split_batches,
    skeleton_of,
    with_skeleton_of_records,
    with_skeleton_of_run,
)
from pose_tf.training.run import Run
from pose_tf.training.stage import Stage
from pose_tf.training.state import make_state
from pose_tf.training.strategy import (
    batch_sizes,
    in_cluster,
    make_strategy,
    set_batch_norm,
    variable_scope,
    worker_index,
)
from pose_tf.workdir import Workdir

STAGES = {"detector": DetectorStage, "lifter": LifterStage, "end_to_end": EndToEndStage}


class WorkerLost(UserError):
    """The connection to another worker was lost. The run resumes once all workers have been restarted."""


def train(config, data_dir: str | None, workdir_path: str) -> dict[str, float] | None:
    """Trains a stage, or resumes the run in `workdir_path`.

    With `config.strategy` `multi_worker`, every worker calls this with the same arguments, and all share
    `workdir_path`. The files of an earlier run in the directory stay unchanged until all checks have passed.

    Args:
        config: a recipe, see `configs/`.
        data_dir: directory of records; not needed by a lifter that trains on `config.data.poses`.
        workdir_path: directory of the run, see `workdir.py`.

    Returns:
        The errors of the last validation by name, and `best`, the lowest value of the stage's validation metric; an
        empty dict on all workers except worker 0. None if SIGTERM or Ctrl-C ended the run; a checkpoint was written
        first, unless the connection to another worker was lost.

    Raises:
        WorkerLost: the connection to another worker was lost.
        UserError: bad data, an unwritable directory, an invalid recipe, or a loss that is not finite.
    """
    workdir = Workdir(workdir_path)
    given, config = config, with_skeleton_of_run(config, workdir.file("skeleton.json"))
    if config is not given:
        print(f"config.skeleton={given.skeleton} does not exist; taking {config.skeleton}", file=sys.stderr)
    check_values(config)
    config = with_skeleton_of_records(config, data_dir)
    with _named_failures(config), contextlib.ExitStack() as held:
        # ---- Set up: devices, batch sizes, the run's directory, data
        strategy = make_strategy(config.strategy, may_split_batches(config))
        config = _fit_to_devices(config, strategy)
        workdir.create()
        if not worker_index(strategy):
            held.enter_context(workdir.locked())
        if before := workdir.config_of_run():
            check_same_recipe(config, before, workdir_path)
            workdir.check_same_skeleton(skeleton_of(config))
        data = fingerprint(config, data_dir)
        if before:
            workdir.check_same_data(data)
        _set_globals(config)

        # ---- Stage: the samples, the model, augmentation and losses
        with variable_scope(strategy):
            stage = make_stage(config, data_dir, workdir if before else None)
        steps_per_epoch = stage.num_samples // stage.batch_size
        if not steps_per_epoch:
            raise UserError(
                f"config.data.batch_size is {stage.batch_size}, but the data has only {stage.num_samples} samples"
            )
        if before:
            workdir.check_same_data(data, stage.num_samples)
            workdir.check_same_statistics(stage.statistics)

        # ---- Optimizer and state: from the newest checkpoint, else from initial weights
        total_steps = math.ceil(config.train.epochs * steps_per_epoch)
        state = make_state(config, stage.model, strategy, total_steps, steps_per_epoch)
        run = Run(config, workdir, strategy, stage, state, steps_per_epoch, total_steps)
        run.restore(before)

        # ---- All checks have passed: write to the directory
        if not run.worker:
            workdir.save_skeleton(stage.skeleton)
            if stage.statistics:
                files.write_json(workdir.file("statistics.json"), stage.statistics.to_json())
            files.write_json(workdir.file("data.json"), data | {"samples": stage.num_samples})
            files.write_json(workdir.file("config.json"), config.to_dict())
        if not config.data.validation_subjects and H36M.name in mix_of(config):
            run.say("config.data.validation_subjects is empty: validating on the training data")
        run.say(
            f"batches of {stage.batch_size} = {strategy.num_replicas_in_sync} x {config.data.replica_batch_size}, "
            f"{steps_per_epoch} steps an epoch; results in {workdir_path}"
        )
        for note in () if run.worker else stage.notes():
            run.say(note)
        if stage.skeleton.name != DEFAULT:
            pairs = len(stage.skeleton.left_right)
            run.say(f"the skeleton {stage.skeleton} has {pairs} pairs of left and right joints")

        # ---- Loop
        with _interruption(config) as interruption:
            try:
                with _named_failures(config):
                    return _loop(run, interruption)
            except WorkerLost as lost:
                if not float(interruption.requested):
                    raise
                print(f"stopped, but {lost}; the same command resumes from the last checkpoint", file=sys.stderr)
                return None


def make_stage(config, data_dir: str | None, resumed: Workdir | None = None) -> Stage:
    """The stage that a recipe trains. Call it under the strategy's scope.

    Args:
        config: the recipe.
        data_dir: directory of records.
        resumed: directory of the run that is resumed; None for a new run.
    """
    has_weights = resumed and checkpoint_steps(resumed.file("checkpoints"))
    known = {"statistics": resumed.statistics()} if has_weights and config.stage == "end_to_end" else {}
    stage = STAGES[config.stage](config, data_dir, **known)
    set_batch_norm(stage.model, config.batch_norm)
    return stage


def _fit_to_devices(config, strategy):
    """A copy of a recipe with both batch sizes set: over all replicas and per replica.

    Raises:
        UserError: the recipe cannot train on as many replicas.
    """
    check_switches(config, strategy.num_replicas_in_sync)
    config = config.copy_and_resolve_references()
    config.data.batch_size, config.data.replica_batch_size = batch_sizes(config.data, strategy)
    check_batch_norm(config, strategy.num_replicas_in_sync)
    if config.stage != "lifter":
        divide_batch(mix_of(config), config.data.batch_size, strategy.num_replicas_in_sync)  # only its check
    return config


def _set_globals(config):
    """Applies the settings of a recipe that affect the whole process."""
    tf.keras.mixed_precision.set_global_policy(config.precision)
    tf.config.experimental.enable_tensor_float_32_execution(config.get("tf32", False))
    tf.keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()


def _interruption(config):
    """The `Interruption` of a run."""
    service = config.data.get("service")
    source = f"config.data.service={service}" if service else "the input"
    # In a cluster a step's input waits for all workers, and worker 0 may still have to write files.
    return Interruption(source, patience=60.0 if in_cluster(config.strategy) else 4.0)


def _loop(run: Run, interruption: Interruption):
    """Takes the remaining steps, until the end or until a stop is requested. Returns the result of `train`."""
    with named_errors(run.stage.shards), run.prepared(interruption):
        while not run.is_finished():
            if run.must_validate():
                stopped = run.validate()
            else:
                stopped = run.step()
                run.maybe_report()
            run.maybe_save(stopped)
            if stopped:
                run.say(f"stopped at step {run.state.step}; the same command resumes from there")
                return None
    return {} if run.worker else {**run.errors, "best": float(run.state.best)}


@contextlib.contextmanager
def _named_failures(config) -> Iterator[None]:
    """Turns TensorFlow's errors about memory and lost connections into a `UserError`."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(f"out of memory; reduce config.data.batch_size ({reason(error)})") from None
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError) as error:
        if in_cluster(config.strategy):
            raise WorkerLost(f"the connection to another worker was lost ({reason(error)})") from None
        if config.data.get("service"):
            raise UserError(f"config.data.service={config.data.service} does not answer: {reason(error)}") from None
        raise
