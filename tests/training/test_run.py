"""Tests of the parts of the training loop: what comes next, how many steps at once, and what is saved when."""

import math

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.training import trainer
from pose_tf.training.interruption import Interruption
from pose_tf.training.lifter_stage import LifterStage
from pose_tf.training.run import Run
from pose_tf.training.state import make_state
from pose_tf.training.step import Steps
from pose_tf.training.strategy import make_strategy, variable_scope
from pose_tf.workdir import Workdir
from tests.training.saved import latest

EPOCH = 6  # steps: 48 samples in batches of 8


@pytest.fixture
def make_run(config, tmp_path):
    """make_run(**{key of the recipe's `train`: value}): a new run of two epochs in `tmp_path`, without its loop."""
    config.train.epochs, config.train.steps_per_call = 2.0, 100
    config.train.report_every_steps, config.train.checkpoint_every_minutes = 1000, 1000.0

    def make(**train):
        config.train.update(train)
        strategy = make_strategy("one_device")
        with variable_scope(strategy):
            stage = trainer.make_stage(config, None)
        state = make_state(config, stage.model, strategy, 2 * EPOCH, EPOCH)
        workdir = Workdir(str(tmp_path))
        workdir.create()
        return Run(config, workdir, strategy, stage, state, EPOCH, 2 * EPOCH)

    return make


def steps_of(run):
    """The numbers of steps after each call of `step`, until the end of the run."""
    found = []
    with Interruption() as interruption, run.prepared(interruption):
        while run.state.step < run.total_steps:
            assert not run.step()
            found.append(run.state.step)
    return found


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ({}, [6, 12]),  # validations
        ({"steps_per_call": 4}, [4, 6, 10, 12]),
        ({"report_every_steps": 5}, [5, 6, 10, 12]),
        ({"validate_every_epochs": 0.5, "steps_per_call": 2}, [2, 3, 5, 6, 8, 9, 11, 12]),
        ({"validate_every_epochs": 0.01, "steps_per_call": 3}, list(range(1, 13))),
        ({"validate_every_epochs": 99.0}, [12]),
    ],
)
def test_a_call_ends_where_something_is_due(make_run, train, expected):
    assert steps_of(make_run(**{"validate_every_epochs": 1.0} | train)) == expected


def test_a_profile_covers_the_steps_in_the_recipe(make_run, config, tmp_path, monkeypatch):
    """(3, 5) are the steps 3 and 4, counted from 0: those after three steps have been taken, until five have been."""
    config.profile_steps = (3, 5)
    run, calls = make_run(validate_every_epochs=99.0), []
    profiler = tf.profiler.experimental
    monkeypatch.setattr(profiler, "start", lambda folder: calls.append(("start in", folder, run.state.step)))
    monkeypatch.setattr(profiler, "stop", lambda: calls.append(("stop", run.state.step)))
    assert steps_of(run) == [3, 5, 12]
    assert calls == [("start in", f"{tmp_path}/tensorboard", 3), ("stop", 5)]


def test_a_run_ends_with_a_validation(make_run):
    run = make_run(validate_every_epochs=1.0)
    for step, validated, must, finished in (
        (0, 0, False, False),
        (3, 0, False, False),
        (6, 0, True, False),
        (6, 6, False, False),
        (9, 6, False, False),
        (12, 6, True, False),
        (12, 12, False, True),
    ):
        run.state.step = step
        run.state.validated_step.assign(validated)
        assert (run.must_validate(), run.is_finished()) == (must, finished), (step, validated)


def test_the_lowest_error_is_kept_with_its_step_and_its_weights(make_run, monkeypatch):
    run = make_run(validate_every_epochs=1.0)
    errors = iter([50.0, 40.0, 45.0])
    monkeypatch.setattr(run.stage, "validate", lambda interrupted: {"mpjpe": next(errors)})
    kernel = run.state.model.trainable_weights[0]
    with Interruption() as interruption, run.prepared(interruption):
        for step in (6, 8, 10):
            run.state.step = step
            kernel.assign(tf.fill(kernel.shape, float(step)))
            assert not run.validate()
    assert (float(run.state.best), int(run.state.best_step), int(run.state.validated_step)) == (40, 8, 10)
    assert run.errors == {"mpjpe": 45}
    files.write_json(run.workdir.file("config.json"), run.config.to_dict())
    assert np.unique(run.workdir.load_best("lifter").trainable_weights[0]) == [8]
    assert [(line["step"], line["mpjpe"]) for line in run.workdir.reports()] == [(6, 50), (8, 40), (10, 45)]


def test_an_interrupted_validation_counts_as_none(make_run, monkeypatch):
    run = make_run(validate_every_epochs=1.0)
    monkeypatch.setattr(run.stage, "validate", lambda interrupted: None)
    with Interruption() as interruption, run.prepared(interruption):
        run.state.step = 6
        assert run.validate()
    assert run.must_validate() and not run.workdir.reports()


@pytest.mark.parametrize(
    ("stopped", "validated", "minutes", "saved"),
    [(False, 0, 1000.0, False), (True, 0, 1000.0, True), (False, 3, 1000.0, True), (False, 0, 0.0, True)],
    ids=["nothing", "a stop", "a validation", "time"],
)
def test_a_checkpoint_is_written_at_a_stop_after_a_validation_and_after_a_while(
    make_run, tmp_path, stopped, validated, minutes, saved
):
    run = make_run(checkpoint_every_minutes=minutes)
    run.state.step = 3
    run.state.validated_step.assign(validated)
    run.maybe_save(stopped)
    found = (tmp_path / "checkpoints").is_dir() and [path.name for path in (tmp_path / "checkpoints").iterdir()]
    assert found == (["00000003"] if saved else False)


def test_weights_that_are_not_finite_are_not_saved(make_run, tmp_path):
    run = make_run()
    run.state.step = 3
    run.maybe_save(True)
    kernel = run.state.model.trainable_weights[0]
    kernel.assign(tf.fill(kernel.shape, np.nan))
    run.state.step = 5
    with pytest.raises(UserError) as caught:
        run.maybe_save(True)
    assert str(caught.value).startswith(f"{kernel.name} is not finite at step 5, learning rate ")
    assert str(caught.value).endswith(f"; the last good checkpoint is {tmp_path}/checkpoints/00000003")
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["00000003"]


def test_a_run_is_restored_with_all_its_state(make_run, capsys):
    first = make_run()
    first.state.step = 7
    first.state.best.assign(33.0)
    first.state.best_step.assign(6)
    first.maybe_save(True)
    again = make_run()
    again.restore(before=None)
    assert "resuming" in capsys.readouterr().err
    assert (again.state.step, float(again.state.best), int(again.state.best_step)) == (7, 33, 6)
    for ours, theirs in zip(again.state.model.get_weights(), first.state.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_workers_that_find_other_checkpoints_than_the_first_are_told_to_share_a_directory(make_run, monkeypatch):
    monkeypatch.setattr("pose_tf.training.run.broadcast", lambda strategy, step: step + 7)  # the step of worker 0
    with pytest.raises(
        UserError, match="finds step 0 in .*, worker 0 finds step 7; all workers must share one directory"
    ):
        make_run().restore(before=None)


def test_a_loss_that_is_not_finite_stops_the_run_and_is_not_saved(config, tmp_path):
    config.optimizer.learning_rate = 1e30
    config.optimizer.clip_norm = 0.0
    config.train.validate_every_epochs = 100.0
    with pytest.raises(UserError, match=r"the \w+ is (nan|inf) at step \d+, learning rate 1e\+30; no checkpoint"):
        trainer.train(config, None, str(tmp_path / "run"))
    assert not (tmp_path / "run" / "best.keras").exists()


@pytest.mark.parametrize(("done", "sound", "step"), [(4, 2, 6), (3, 2, 6), (1, 0, 4)])
def test_the_step_that_is_not_finite_is_named_not_the_one_after_it(make_run, done, sound, step):
    run = make_run()
    with Interruption() as interruption, run.prepared(interruption):
        run.state.step = 3
        bad = {"loss": tf.constant(math.inf), "mpjpe": tf.constant(1.0), "gradient_norm": tf.constant(math.nan)}
        run._take_steps = lambda *_: Steps(tf.constant(done), tf.constant(sound), bad, {}, tf.constant(0.0))
        with pytest.raises(UserError, match=f"^the loss is inf at step {step}, learning rate .*; no checkpoint exists"):
            run.step()


def test_a_run_that_is_stopped_within_a_call_ends_as_if_it_had_not_been(config, tmp_path, monkeypatch):
    config.train.steps_per_call, config.train.report_every_steps = 100, 1000
    config.train.validate_every_epochs, config.model.dropout = 100.0, 0.5
    trainer.train(config, None, str(tmp_path / "whole"))
    with monkeypatch.context() as patch:
        augment, interruption = LifterStage.augment, Interruption()
        patch.setattr(trainer, "_interruption", lambda config: interruption)

        def stop(self, batch, seed, progress=0.0):
            interruption.requested.assign(tf.cast(progress * 24 > 4.5, tf.float32))  # in the sixth step of 24
            return augment(self, batch, seed, progress)

        patch.setattr(LifterStage, "augment", stop)
        assert trainer.train(config, None, str(tmp_path / "stopped")) is None
    assert [path.name for path in (tmp_path / "stopped" / "checkpoints").iterdir()] == ["00000007"]
    trainer.train(config, None, str(tmp_path / "stopped"))
    whole, stopped = latest(tmp_path / "whole"), latest(tmp_path / "stopped")
    for name, value in whole.items():
        np.testing.assert_array_equal(stopped[name], value, err_msg=name)


def test_a_run_starts_from_given_weights_and_goes_on_from_its_own(config, tmp_path, capsys):
    trainer.train(config, None, str(tmp_path / "first"))
    config.init_from = str(tmp_path / "first")
    config.optimizer.learning_rate = 0.0
    config.optimizer.weight_decay = 0.0
    trainer.train(config, None, str(tmp_path / "second"))
    for first, second in zip(trainable(tmp_path / "first"), trainable(tmp_path / "second")):
        np.testing.assert_array_equal(first, second)
    assert f"starting from {tmp_path}/first\n" in capsys.readouterr().err
    trainer.train(config, None, str(tmp_path / "second"))
    output = capsys.readouterr().err
    assert "resuming" in output and "starting" not in output


def trainable(workdir):
    return [weight.numpy() for weight in Workdir(str(workdir)).load_best("lifter").trainable_weights]
