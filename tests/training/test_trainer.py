"""Tests of whole trainings: they learn, are reproducible, and continue exactly."""

import json

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.training import trainer
from pose_tf.training.monitor import Monitor
from pose_tf.training.run import Run
from pose_tf.workdir import Workdir
from tests.training.saved import latest, weights


def test_training_reduces_the_error_and_reports_it(config, tmp_path):
    config.train.epochs, config.train.validate_every_epochs = 30.0, 10.0
    errors = trainer.train(config, None, str(tmp_path / "run"))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    training = [line for line in lines if line["split"] == "train"]
    assert training[-1]["step"] == 30 * (48 // 8)
    assert training[-1]["loss"] < 0.8 * training[0]["loss"]
    assert errors["best"] == pytest.approx(min(line["mpjpe"] for line in lines if line["split"] == "validation"))


def test_the_same_recipe_gives_the_same_weights_and_another_seed_does_not(config, tmp_path):
    trainer.train(config, None, str(tmp_path / "a"))
    trainer.train(config, None, str(tmp_path / "b"))
    config.seed = 1
    trainer.train(config, None, str(tmp_path / "c"))
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert all(np.array_equal(x, y) for x, y in zip(a, b))
    assert not all(np.array_equal(x, y) for x, y in zip(a, c))


def test_an_interrupted_run_ends_as_if_it_had_not_been(config, tmp_path, monkeypatch):
    trainer.train(config, None, str(tmp_path / "whole"))
    report = Monitor.report

    def interrupt(self, step, split, values):
        if step > 14:
            raise KeyboardInterrupt
        report(self, step, split, values)

    monkeypatch.setattr(Monitor, "report", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(config, None, str(tmp_path / "parts"))
    monkeypatch.setattr(Monitor, "report", report)
    trainer.train(config, None, str(tmp_path / "parts"))
    whole, parts = latest(tmp_path / "whole"), latest(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)


def test_nothing_is_lost_when_a_run_is_killed_around_a_validation(config, tmp_path, monkeypatch):
    """The second process saves a checkpoint before it takes a step, and the third resumes from it."""
    config.train.checkpoint_every_minutes = 0.0
    trainer.train(config, None, str(tmp_path / "whole"))

    def interrupt(*args):
        raise KeyboardInterrupt

    def train_until(method):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Monitor, method, interrupt)
            trainer.train(config, None, str(tmp_path / "parts"))
        return latest(tmp_path / "parts")

    in_validation, after_it = train_until("draw_curves"), train_until("advance")
    assert after_it.keys() == in_validation.keys()
    assert after_it["optimizer/iter/.ATTRIBUTES/VARIABLE_VALUE"] == 6
    trainer.train(config, None, str(tmp_path / "parts"))
    whole, parts = latest(tmp_path / "whole"), latest(tmp_path / "parts")
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)


def test_another_global_batch_needs_another_directory(config, tmp_path):
    """Two replicas of 8 instead of one would be a different run, even if the recipe gives only the size of each."""
    config.data.batch_size, config.data.replica_batch_size, config.train.epochs = 0, 8, 1.0
    trainer.train(config, None, str(tmp_path / "run"))
    kept = Workdir(str(tmp_path / "run")).config().data
    assert (kept.batch_size, kept.replica_batch_size) == (8, 8)
    config.data.replica_batch_size = 16
    with pytest.raises(UserError, match=r"contains a run with config.data.batch_size = 8 \(now 16\)"):
        trainer.train(config, None, str(tmp_path / "run"))
    config.data.batch_size, config.data.replica_batch_size = 8, 0
    trainer.train(config, None, str(tmp_path / "run"))


def contents(folder):
    """Bytes of all files of a run except the lock, which names the last process."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}


def test_a_refused_command_leaves_a_run_as_it_was(config, poses, tmp_path):
    config.train.epochs = 1.0
    trainer.train(config, None, str(tmp_path / "run"))
    before = contents(tmp_path / "run")
    with np.load(poses) as arrays:
        np.savez(tmp_path / "half.npz", **{name: arrays[name][::2] for name in arrays})
        np.savez(tmp_path / "moved.npz", **arrays)
    config.data.poses = str(tmp_path / "half.npz")
    with pytest.raises(UserError, match="contains a run on other data: pose2d_crop.npy of the poses was "):
        trainer.train(config, None, str(tmp_path / "run"))
    config.data.batch_size = 64
    with pytest.raises(UserError, match=r"config.data.batch_size = 8 \(now 64\)"):
        trainer.train(config, None, str(tmp_path / "run"))
    with pytest.raises(UserError, match="config.data.batch_size is 64, but the data has only 24 samples"):
        trainer.train(config, None, str(tmp_path / "new"))
    assert contents(tmp_path / "run") == before
    assert not contents(tmp_path / "new")
    config.data.batch_size, config.data.poses = 8, str(tmp_path / "moved.npz")
    trainer.train(config, None, str(tmp_path / "run"))


def test_a_run_that_was_extended_ends_as_if_it_had_been_as_long_from_the_beginning(config, tmp_path):
    config.optimizer.schedule, config.optimizer.ema, config.train.validate_every_epochs = "constant", 0.9, 1.0
    config.train.epochs = 2.0
    trainer.train(config, None, str(tmp_path / "whole"))
    config.train.epochs = 1.0
    trainer.train(config, None, str(tmp_path / "parts"))
    config.train.epochs = 2.0
    trainer.train(config, None, str(tmp_path / "parts"))
    whole, parts = latest(tmp_path / "whole"), latest(tmp_path / "parts")
    assert whole["optimizer/iter/.ATTRIBUTES/VARIABLE_VALUE"] == 12
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name], err_msg=name)
    assert Workdir(str(tmp_path / "parts")).config().train.epochs == 2.0


def test_without_held_out_subjects_validation_is_on_the_training_data_and_says_so(config, tmp_path, capsys):
    config.data.validation_subjects, config.train.epochs = (), 1.0
    assert trainer.train(config, None, str(tmp_path / "run"))["mpjpe"] > 0
    assert "config.data.validation_subjects is empty: validating on the training data" in capsys.readouterr().err


def test_one_mirrored_replica_trains_as_one_device_does(config, tmp_path):
    config.train.epochs = 1.0
    trainer.train(config, None, str(tmp_path / "one"))
    config.strategy = "mirrored"
    trainer.train(config, None, str(tmp_path / "mirrored"))
    for one, mirrored in zip(weights(tmp_path / "one"), weights(tmp_path / "mirrored")):
        np.testing.assert_allclose(one, mirrored, atol=1e-6)


@pytest.mark.parametrize("deterministic", [False, True])
def test_kernels_are_deterministic_if_the_recipe_says_so(config, tmp_path, monkeypatch, deterministic):
    calls = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: calls.append("enabled"))
    config.deterministic, config.data.batch_size = deterministic, 64  # more than there are samples: no step is taken
    with pytest.raises(UserError, match="has only 48 samples"):
        trainer.train(config, None, str(tmp_path))
    assert calls == ["enabled"] * deterministic


def test_a_lack_of_memory_says_what_to_reduce(config, tmp_path, monkeypatch):
    def allocate(run):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor of shape [8,17]")

    monkeypatch.setattr(Run, "step", allocate)
    with pytest.raises(UserError) as caught:
        trainer.train(config, None, str(tmp_path))
    assert str(caught.value) == (
        "out of memory; reduce config.data.batch_size (OOM when allocating a tensor of shape [8,17])"
    )
