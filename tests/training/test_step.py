"""Tests of the options of the training step."""

import json
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pose_tf.errors import UserError
from pose_tf.training import trainer
from pose_tf.training.weight_average import WeightAverage
from pose_tf.workdir import Workdir
from tests.training.saved import latest

STEPS = 6


@pytest.fixture
def train(config, tmp_path):
    """train(name, {key: value}): trains for an epoch of 6 steps with a checkpoint after each; returns the workdir."""
    config.model.dropout = 0.5
    config.train.epochs = 1.0
    config.train.steps_per_call = 1
    config.train.report_every_steps = 1
    config.train.checkpoint_every_minutes = 0.0
    config.train.checkpoints_kept = 100

    def run(name, changes=None):
        given = config.copy_and_resolve_references()
        given.update_from_flattened_dict(changes or {})
        trainer.train(given, None, str(tmp_path / name))
        return tmp_path / name

    return run


def checkpoint(workdir, step):
    """The values in a checkpoint by name."""
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints" / f"{step:08d}" / "ckpt"))
    names = [name for name in reader.get_variable_to_shape_map() if "OBJECT" not in name]
    return {name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"): reader.get_tensor(name) for name in names}


def reports(workdir, split="train"):
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["split"] == split]


def test_many_steps_in_a_call_are_the_same_as_one_after_the_other(train):
    one, many = train("one"), train("many", {"train.steps_per_call": 5, "train.report_every_steps": 4})
    assert sorted(path.name for path in (many / "checkpoints").iterdir()) == ["00000004", "00000006"]
    for name, value in latest(one).items():
        np.testing.assert_array_equal(latest(many)[name], value, err_msg=name)
    rows, (first, second) = reports(one), reports(many)
    assert (first["step"], second["step"]) == (4, 6)
    assert first["loss"] == pytest.approx(np.mean([row["loss"] for row in rows[:4]]), rel=1e-6)
    assert second["mpjpe"] == pytest.approx(np.mean([row["mpjpe"] for row in rows[4:]]), rel=1e-6)


def test_dropout_is_drawn_anew_in_each_step_and_for_each_seed(train):
    """With a learning rate of 0 and no augmentation, only the mask changes the loss on all samples."""
    still = {"optimizer.learning_rate": 0.0, "optimizer.weight_decay": 0.0, "data.batch_size": 48}
    still |= {"train.epochs": 3.0, "augment.recompose": False, "augment.bone_length_noise": 0.0}
    losses = [row["loss"] for row in reports(train("a", still)) + reports(train("b", still | {"seed": 1}))]
    assert len(set(losses)) == 6
    without = [row["loss"] for row in reports(train("c", still | {"model.dropout": 0.0}))]
    assert np.ptp(without) < 1e-5 * without[0]


def test_gradients_are_clipped_by_their_norm_over_all_weights(train):
    clipped, free = train("clipped", {"optimizer.clip_norm": 0.25}), train("free", {"optimizer.clip_norm": 0.0})
    norms = {}
    for name, workdir in (("clipped", clipped), ("free", free)):
        moments = [value for key, value in checkpoint(workdir, 1).items() if key.endswith("/m")]
        norms[name] = np.sqrt(sum(np.sum(np.square(moment / 0.1, dtype=np.float64)) for moment in moments))
    assert norms["clipped"] == pytest.approx(0.25, rel=1e-4)  # Adam's first moment is a tenth of the first gradient
    assert norms["free"] == pytest.approx(reports(free)[0]["gradient_norm"], rel=1e-4)
    assert reports(clipped)[0]["gradient_norm"] == reports(free)[0]["gradient_norm"] > 0.5


def test_the_moving_average_of_the_weights_is_what_is_validated_and_kept(train):
    workdir = train("run", {"optimizer.ema": 0.3, "optimizer.learning_rate": 0.01, "optimizer.warmup_steps": 0})
    states = [checkpoint(workdir, step) for step in range(1, STEPS + 1)]
    kernel = "model/layer_with_weights-0/kernel"
    (number,) = [
        key for key in states[0] if key.startswith("average/") and states[0][key].shape == states[0][kernel].shape
    ]
    average = None
    for step, state in enumerate(states):
        decay = min(0.3, (1 + step) / (10 + step))
        before = states[0][number] if average is None else average
        average = before if average is None else before + (1 - decay) * (state[kernel] - before)
        np.testing.assert_allclose(state[number], average, atol=1e-6)
    model = Workdir(str(workdir)).load_best("lifter")
    np.testing.assert_array_equal(model.get_layer("input.linear").kernel, states[-1][number])
    assert np.abs(states[-1][kernel] - states[-1][number]).max() > 1e-4


def test_the_statistics_of_normalization_are_averaged_with_the_weights(train):
    workdir = train("run", {"optimizer.ema": 0.3, "optimizer.learning_rate": 0.01, "optimizer.warmup_steps": 0})
    states = [checkpoint(workdir, step) for step in range(1, STEPS + 1)]
    own = {  # mean and variance of the first normalization, 16 units each: they start at 0 and 1
        name: [state[f"model/layer_with_weights-1/moving_{name}"] for state in states] for name in ("mean", "variance")
    }
    model = Workdir(str(workdir)).load_best("lifter")
    for name, begin in (("mean", 0.0), ("variance", 1.0)):
        average = begin
        for step, value in enumerate(own[name]):
            average = average + (1 - min(0.3, (1 + step) / (10 + step))) * (value - average)
        kept = getattr(model.get_layer("input.bn"), f"moving_{name}").numpy()
        np.testing.assert_allclose(kept, average, rtol=1e-5)
        assert np.abs(kept - own[name][-1]).max() > 1e-4
        assert any(
            key.startswith("average_statistics/") and np.array_equal(states[-1][key], kept) for key in states[-1]
        )


def test_a_run_whose_checkpoint_has_no_averaged_statistics_goes_on(train, monkeypatch):
    """As in checkpoints of earlier versions: the average starts at the current statistics."""
    changes = {"optimizer.ema": 0.3, "train.epochs": 2.0, "optimizer.schedule": "constant"}
    with monkeypatch.context() as patch:
        complete = WeightAverage.__init__

        def make(self, *args):
            complete(self, *args)
            del self.state["average_statistics"]

        patch.setattr(WeightAverage, "__init__", make)
        workdir = train("run", changes)
        shutil.rmtree(workdir / "checkpoints" / f"{2 * STEPS:08d}")
    before = checkpoint(workdir, 2 * STEPS - 1)
    assert not any(name.startswith("average_statistics") for name in before)
    after = checkpoint(train("run", changes), 2 * STEPS)
    name = "model/layer_with_weights-1/moving_mean"
    expected = before[name] + 0.7 * (after[name] - before[name])
    averages = [value for key, value in after.items() if key.startswith("average_statistics/")]
    assert any(np.allclose(value, expected, atol=1e-6) for value in averages if value.shape == expected.shape)
    assert all(np.isfinite(value).all() for value in averages)


def test_float16_trains_with_a_scaled_loss(train):
    changes = {"precision": "mixed_float16", "train.epochs": 20.0, "train.validate_every_epochs": 20.0}
    workdir = train("run", changes)
    state = checkpoint(workdir, 20 * STEPS)
    shutil.rmtree(workdir / "checkpoints" / f"{20 * STEPS:08d}")
    train("run", changes)  # from the checkpoint before
    for name, value in checkpoint(workdir, 20 * STEPS).items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)
    assert state["optimizer/loss_scale/current_loss_scale"] >= 1
    assert {value.dtype for name, value in state.items() if name.startswith("model/")} == {np.dtype(np.float32)}
    rows = reports(workdir)
    assert np.mean([row["loss"] for row in rows[-6:]]) < 0.9 * np.mean([row["loss"] for row in rows[:6]])


def test_gradients_that_overflow_in_float16_are_skipped_and_the_scale_becomes_smaller(train, monkeypatch):
    module = sys.modules[tf.keras.mixed_precision.LossScaleOptimizer.__module__]
    monkeypatch.setattr(module, "_DEFAULT_INITIAL_SCALE", 2.0**60)
    workdir = train("run", {"precision": "mixed_float16"})
    first, second = checkpoint(workdir, 1), checkpoint(workdir, 2)
    assert first["optimizer/loss_scale/current_loss_scale"] == 2.0**59
    np.testing.assert_array_equal(
        first["model/layer_with_weights-0/kernel"], second["model/layer_with_weights-0/kernel"]
    )


def test_xla_computes_the_same(train):
    """The results agree up to rounding if nothing is random."""
    plain = {"model.dropout": 0.0, "optimizer.learning_rate": 1e-5}
    runs = [train("plain", plain), train("compiled", plain | {"jit_compile": True})]
    ours, theirs = ([row["loss"] for row in reports(run)] for run in runs)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_a_loss_that_is_not_finite_names_the_last_good_checkpoint(train, tmp_path):
    with pytest.raises(UserError) as caught:
        train("run", {"optimizer.learning_rate": 1e38, "optimizer.warmup_steps": 1000})  # in the first step 0
    steps = sorted(int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert f"at step {steps[-1] + 1}, learning rate" in str(caught.value)
    assert f"the last good checkpoint is {tmp_path}/run/checkpoints/{steps[-1]:08d}" in str(caught.value)
    state = checkpoint(tmp_path / "run", steps[-1])
    assert all(np.isfinite(value).all() for name, value in state.items() if name != "best")


def test_tensorboard_has_all_there_is_to_watch(train):
    workdir = train("run")
    (events,) = (workdir / "tensorboard").glob("events*")
    accumulator = EventAccumulator(str(events)).Reload()
    tags = set(accumulator.Tags()["tensors"])
    scalars = "loss", "mpjpe", "learning_rate", "samples_per_second", "input_wait", "gradient_norm"
    assert {f"train/{name}" for name in scalars} | {"validation/mpjpe", "validation/pa_mpjpe"} <= tags
    assert {"augmented", "validation", "config"} <= tags
    vertices, faces, colors = (
        tf.make_ndarray(accumulator.Tensors(f"poses_{part}")[-1].tensor_proto) for part in ("VERTEX", "FACE", "COLOR")
    )
    assert vertices.shape == colors.shape == (1, 8 * 16 * 8, 3)
    assert set(faces.ravel()) == set(range(8 * 16 * 8))
    assert colors.dtype == np.uint8
    assert accumulator.SummaryMetadata("_hparams_/session_start_info").plugin_data.plugin_name == "hparams"
    assert b"learning_rate" in accumulator.Tensors("config")[0].tensor_proto.string_val[0]
