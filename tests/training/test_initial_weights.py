"""Tests of starting from existing weights: their location, and the layers that have to match."""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.models import FeedForward, HRNet
from pose_tf.training.checkpoints import Checkpoints
from pose_tf.training.initial_weights import load_initial_weights


def detector(num_joints=17, **options):
    return HRNet(4, num_joints, stem=4, modules=(1, 1, 1), blocks=1, **options)


def save(model, folder, kind):
    """Writes a model and returns its value for `init_from`."""
    if kind == "checkpoint":
        optimizer = tf.keras.optimizers.Adam()
        return tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(folder / "checkpoints" / "ckpt"))
    if kind == "checkpoints":
        save(model, folder, "checkpoint")
        return str(folder / "checkpoints")
    model.save(folder / "best.keras")
    return str(folder if kind == "workdir" else folder / "best.keras")


def values(model):
    return {weight.name: weight.numpy() for weight in model.weights}


@pytest.mark.parametrize("kind", ["workdir", "file", "checkpoint", "checkpoints"])
def test_all_weights_are_taken(tmp_path, kind):
    source, model = detector(), detector()
    source.get_layer("bn1").moving_mean.assign([1, 2, 3, 4])
    assert load_initial_weights(model, save(source, tmp_path, kind)) == []
    found = values(model)
    for name, value in values(source).items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("kind", ["workdir", "file", "checkpoint", "checkpoints"])
def test_a_head_for_other_joints_is_replaced(tmp_path, kind):
    source, model = detector(num_joints=16), detector()
    before = values(model)
    assert load_initial_weights(model, save(source, tmp_path, kind)) == ["final_layer"]
    given, after = values(source), values(model)
    heads = {name for name in after if name.startswith("final_layer")}
    assert len(heads) == 2
    for name, value in after.items():
        np.testing.assert_array_equal(value, (before if name in heads else given)[name], err_msg=name)


def test_lifters_start_from_lifters(tmp_path):
    source, model = FeedForward(units=8), FeedForward(units=8)
    assert load_initial_weights(model, save(source, tmp_path, "workdir")) == []
    np.testing.assert_array_equal(model.get_layer("input.linear").kernel, source.get_layer("input.linear").kernel)


@pytest.mark.parametrize(
    "source, message",
    [
        (lambda: FeedForward(units=8), "is a FeedForward, but the recipe's model is a HRNet"),
        (lambda: HRNet(4, stem=8, modules=(1, 1, 1), blocks=1), "layer conv1 has weights of shapes"),
        (lambda: HRNet(4, stem=4, modules=(1, 1, 1), blocks=2), "unexpected layer .*"),
        (lambda: HRNet(4, stem=4, modules=(1, 1, 0), blocks=1), "has weights of shapes none"),
    ],
)
def test_another_model_is_refused_and_nothing_changes(tmp_path, source, message):
    path, model = save(source(), tmp_path, "workdir"), detector()
    before = values(model)
    with pytest.raises(UserError, match=message):
        load_initial_weights(model, path)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("kind", ["checkpoint", "checkpoints"])
def test_a_checkpoint_of_another_model_is_refused(tmp_path, kind):
    path = save(FeedForward(units=8), tmp_path, kind)
    with pytest.raises(UserError, match="does not fit hrnet_w4"):
        load_initial_weights(detector(), path)


@pytest.mark.parametrize("folder", ["run[x]", "back\\slash", "a*b?"])
@pytest.mark.parametrize("kind", ["workdir", "file", "checkpoint", "checkpoints"])
def test_the_name_of_the_directory_does_not_matter(tmp_path, kind, folder):
    source, model = FeedForward(units=8), FeedForward(units=8)
    path = save(source, tmp_path, kind)
    shutil.copytree(tmp_path, f"{tmp_path}-{folder}")
    assert load_initial_weights(model, path.replace(str(tmp_path), f"{tmp_path}-{folder}")) == []
    np.testing.assert_array_equal(model.get_layer("input.linear").kernel, source.get_layer("input.linear").kernel)


def test_a_checkpoint_whose_own_name_is_a_pattern_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"TensorFlow reads 'ckpt\[1\]' as a pattern"):
        load_initial_weights(FeedForward(units=8), f"{tmp_path}/ckpt[1]")


@pytest.mark.parametrize("kind", ["workdir", "file", "checkpoint", "checkpoints"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path, kind, number):
    source, model = FeedForward(units=8), FeedForward(units=8)
    source.get_layer("block0.1.linear").bias.assign([number] * 8)
    with pytest.raises(UserError, match="the weights 'block0.1.linear/bias:0' are not finite"):
        load_initial_weights(model, save(source, tmp_path, kind))
    assert np.isfinite(model.get_layer("block0.1.linear").bias.numpy()).all()


@pytest.mark.parametrize("ending", ["index", "data-00000-of-00001"])
def test_a_damaged_checkpoint_is_harmless_or_named(tmp_path, rng, ending):
    source, model = FeedForward(units=8), FeedForward(units=8)
    prefix = save(source, tmp_path, "checkpoint")
    file = pathlib.Path(f"{prefix}.{ending}")
    content = file.read_bytes()
    refused = 0
    for position in rng.integers(len(content), size=12):
        damaged = bytearray(content)
        damaged[position] ^= rng.integers(1, 256)
        file.write_bytes(damaged)
        try:
            load_initial_weights(model, prefix)
        except UserError as error:
            assert prefix in str(error)
            refused += 1
    assert refused > 3


def test_a_trainings_damaged_checkpoint_is_named(tmp_path):
    model = FeedForward(units=8)
    Checkpoints(f"{tmp_path}/checkpoints", tf.train.Checkpoint(model=model), keep=1).save(7, 0)
    assert load_initial_weights(model, f"{tmp_path}/checkpoints") == []
    data = tmp_path / "checkpoints" / "00000007" / "ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(UserError, match="checkpoint .*/00000007 is damaged"):
        load_initial_weights(model, f"{tmp_path}/checkpoints")


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "text.keras").write_text("text")
    with pytest.raises(UserError, match="text.keras cannot be loaded"):
        load_initial_weights(detector(), f"{tmp_path}/text.keras")
    for path in (str(tmp_path), f"{tmp_path}/nowhere"):
        with pytest.raises(
            UserError, match=f"config.init_from={path} is not a workdir, .keras file, checkpoint or PyTorch file"
        ):
            load_initial_weights(detector(), path)
