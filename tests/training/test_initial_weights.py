"""Tests of starting from existing weights: their location, and the layers that have to match."""

import dataclasses
import pathlib
import shutil
import zipfile

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.models import EfficientNetLite, FeedForward, HRNet, PoseEstimator, SemGCN
from pose_tf.models.statistics import PoseStatistics
from pose_tf.skeleton import H36M
from pose_tf.training.checkpoints import Checkpoints
from pose_tf.training.initial_weights import load_initial_weights
from pose_tf.workdir import Workdir
from tests.models import numpy_models
from tests.models.numpy_models import random_state
from tests.models.torch_files import write_legacy, write_zip
from tests.skeletons import H36M_16, PERMUTED


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


@pytest.mark.parametrize("kind", ["workdir", "checkpoints"])
@pytest.mark.parametrize("make", [FeedForward, SemGCN])
def test_a_lifter_that_sees_the_image_keeps_its_own_layers_for_features(tmp_path, make, kind):
    source, model = make(confidence=True), make(confidence=True, features=5)
    path = save(source, tmp_path, kind)
    assert load_initial_weights(model, path) == [
        "features.linear",
        "features.bn",
        "features.join",
    ]
    joints = np.random.default_rng(0).normal(size=(2, 17, 3)).astype(np.float32)
    features = np.ones((2, 17, 5), np.float32)
    np.testing.assert_allclose(model([joints, features]), source(joints), rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match="config.lifter_init_from=.* layer input.* has weights of shapes"):
        load_initial_weights(make(), save(source, tmp_path, "workdir"), "config.lifter_init_from")


@pytest.mark.parametrize("kind", ["workdir", "file", "checkpoint", "checkpoints"])
@pytest.mark.parametrize("features", [0, 60])
def test_each_stage_starts_from_its_part_of_a_run_that_trained_both(tmp_path, kind, features):
    lifter = FeedForward(units=8, features=features)
    zeros, ones = np.zeros((17, 3), np.float32), np.ones((17, 3), np.float32)
    both = PoseEstimator(detector(), lifter, PoseStatistics(zeros, ones))
    both.build_from_config(None)
    path = save(both, tmp_path, kind)
    for part, model in ((both.detector, detector()), (both.lifter, FeedForward(units=8, features=features))):
        assert load_initial_weights(model, path) == []
        for ours, theirs in zip(model.get_weights(), part.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("before, now", [(2, 1), (1, 4)])
def test_the_resolution_may_differ(tmp_path, before, now):
    source, model = (HRNet(4, stem=4, modules=(0, 0, 1), blocks=0, downsample=factor) for factor in (before, now))
    assert load_initial_weights(model, save(source, tmp_path, "file")) == []
    np.testing.assert_array_equal(model.get_layer("conv1").kernel, source.get_layer("conv1").kernel)


# --------------------------------------------------------------------------------------------- PyTorch files


def hrnet_state(rng, joints=17):
    return random_state(numpy_models.hrnet_shapes(4, joints, stem=4, modules=(1, 1, 1), blocks=1), rng)


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.bin", "a"])
@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_a_pytorch_file_is_read_whatever_its_name(tmp_path, rng, name, write):
    state, model = hrnet_state(rng), detector()
    write(tmp_path / name, {"epoch": 3, "state_dict": state})
    assert load_initial_weights(model, str(tmp_path / name)) == []
    kernel = model.get_layer("stage4.0.branches.3.0.conv2").kernel
    np.testing.assert_array_equal(kernel, state["stage4.0.branches.3.0.conv2.weight"].transpose(2, 3, 1, 0))


def test_a_safetensors_file_is_read(tmp_path, rng):
    state, model = random_state(numpy_models.martinez_shapes(17, 8, 2, 51), rng), FeedForward(units=8)
    safetensors.numpy.save_file(state, tmp_path / "lifter.safetensors")
    assert load_initial_weights(model, str(tmp_path / "lifter.safetensors")) == []
    np.testing.assert_array_equal(model.get_layer("input.linear").kernel, state["w1.weight"].T)


def test_a_graph_lifter_starts_from_a_pytorch_file(tmp_path, rng):
    state = random_state(numpy_models.sem_gcn_shapes(49, 4, 1), rng)
    write_zip(tmp_path / "gcn.pth", state)
    model = SemGCN(channels=4, num_blocks=1, non_local=False)
    assert load_initial_weights(model, str(tmp_path / "gcn.pth")) == []
    np.testing.assert_array_equal(model.get_layer("input.gconv").bias, state["gconv_input.0.gconv.bias"])


def test_what_an_imagenet_classifier_lacks_keeps_its_weights(tmp_path, rng):
    model = EfficientNetLite(scale=1.0, pyramid=(8, 8, 8, 8))
    state = random_state(numpy_models.lite0_shapes() | numpy_models.lite0_head_shapes(10), rng)
    write_zip(tmp_path / "lite0.pth", state)
    before = values(model)
    left = load_initial_weights(model, str(tmp_path / "lite0.pth"))
    convolutions = [f"pyramid{level}.{part}" for level in range(4) for part in ("lateral", "conv")[: 2 - level // 3]]
    assert set(left) == {"final_layer", *convolutions, *(f"{name}.bn" for name in convolutions)}
    after = values(model)
    for name, value in before.items():
        assert np.array_equal(after[name], value) == name.startswith(("pyramid", "final_layer")), name


def test_a_pytorch_file_that_does_not_fit_is_refused_and_nothing_changes(tmp_path, rng):
    path, model = str(tmp_path / "a.pth"), detector()
    before = values(model)
    for state, message in (
        (hrnet_state(rng, joints=16), "predicts 16 joints, hrnet_w4 17; map_joints .* of pose-tf import-torch loads"),
        ({"conv1.weight": np.ones((4, 3, 3, 3), np.float32)}, "does not fit hrnet_w4: missing keys: 'bn1.bias'"),
        (random_state(numpy_models.martinez_shapes(17, 8, 2, 51), rng), "unexpected keys: 'batch_norm1.bias'"),
        (hrnet_state(rng) | {"bn1.bias": np.float32([1, 2, np.nan, 4])}, "the weights 'bn1.bias' are not finite"),
    ):
        write_zip(path, state)
        with pytest.raises(UserError, match=f"^config.init_from: {path}.*{message}"):
            load_initial_weights(model, path)
    pathlib.Path(path).write_text("no checkpoint")
    with pytest.raises(UserError, match=f"^config.init_from: {path} is not a PyTorch checkpoint"):
        load_initial_weights(model, path)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_keras_file_may_have_another_name(tmp_path):
    source, model = FeedForward(units=8), FeedForward(units=8)
    pathlib.Path(save(source, tmp_path, "file")).rename(tmp_path / "best.pth")
    assert load_initial_weights(model, f"{tmp_path}/best.pth") == []
    np.testing.assert_array_equal(model.get_layer("input.linear").kernel, source.get_layer("input.linear").kernel)


# ------------------------------------------------------------------------------------------------ other joints


def save_run(model, folder, skeleton, kind):
    """Writes the directory of a run with other joints and returns a path to its weights."""
    workdir = Workdir(f"{folder}/run")
    workdir.create()
    config = {"stage": "detector", "flip_test": False, "model": {}, "skeleton": "moved.json"}
    files.write_json(workdir.file("config.json"), config)
    workdir.save_skeleton(skeleton)
    if kind in ("run", "copy", "folder"):
        workdir.save_best(model, skeleton)
        if kind == "run":
            return workdir.path
        copy = folder / "copies" / ("epoch3.keras" if kind == "copy" else "best.keras")
        copy.parent.mkdir()
        shutil.copy(workdir.file("best.keras"), copy)
        return str(copy if kind == "copy" else copy.parent)
    Checkpoints(workdir.file("checkpoints"), tf.train.Checkpoint(model=model), keep=1).save(7, 0)
    ends = {"checkpoints": "", "step": "/00000007", "prefix": "/00000007/ckpt"}
    return workdir.file("checkpoints") + ends[kind]


KINDS = ("copy", "folder", "run", "checkpoints", "step", "prefix")


@pytest.mark.parametrize("kind", KINDS)
def test_heads_follow_the_names_of_the_joints_from_wherever_the_weights_are(tmp_path, kind):
    source, model = detector(), detector()
    kernel, bias = source.get_layer("final_layer").get_weights()
    source.get_layer("final_layer").set_weights([kernel, np.arange(17)])
    path = save_run(source, tmp_path, PERMUTED, kind)
    assert load_initial_weights(model, path) == []
    taken = [PERMUTED.index(joint) for joint in H36M.joints]
    np.testing.assert_array_equal(model.get_layer("final_layer").bias, taken)
    np.testing.assert_array_equal(model.get_layer("final_layer").kernel, kernel[..., taken])


@pytest.mark.parametrize("kind", KINDS)
def test_lifters_of_other_joints_are_refused_from_wherever_the_weights_are(tmp_path, kind):
    path = save_run(FeedForward(units=8), tmp_path, PERMUTED, kind)
    with pytest.raises(UserError, match=r"has the joints of permuted \(17 joints\), but config.skeleton is h36m"):
        load_initial_weights(FeedForward(units=8), path)
    assert load_initial_weights(FeedForward(units=8), path, skeleton=PERMUTED) == []


@pytest.mark.parametrize("kind", ["file", "checkpoint"])
def test_joints_that_are_not_known_are_not_taken_for_others(tmp_path, kind):
    model = detector()
    before = values(model)
    path = save(detector(), tmp_path, kind)
    assert load_initial_weights(model, path, skeleton=PERMUTED) == ["final_layer"]
    assert not np.array_equal(values(model)["conv1/kernel:0"], before["conv1/kernel:0"])
    np.testing.assert_array_equal(values(model)["final_layer/kernel:0"], before["final_layer/kernel:0"])
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    path = save(FeedForward(units=8), tmp_path, kind)
    with pytest.raises(UserError, match=r"does not say which joints it has, but config.skeleton is permuted"):
        load_initial_weights(FeedForward(units=8), path, skeleton=PERMUTED)


def test_a_file_of_both_stages_names_its_joints(tmp_path):
    zeros, ones = np.zeros((17, 3), np.float32), np.ones((17, 3), np.float32)
    both = PoseEstimator(detector(), FeedForward(units=8), PoseStatistics(zeros, ones), skeleton=PERMUTED)
    both.build_from_config(None)
    both.detector.get_layer("final_layer").bias.assign(np.arange(17))
    both.save(tmp_path / "moved.keras")
    model = detector()
    assert load_initial_weights(model, f"{tmp_path}/moved.keras") == []
    taken = [PERMUTED.index(joint) for joint in H36M.joints]
    np.testing.assert_array_equal(model.get_layer("final_layer").bias, taken)
    with pytest.raises(UserError, match="has the joints of permuted"):
        load_initial_weights(FeedForward(units=8), f"{tmp_path}/moved.keras")


@pytest.mark.parametrize("kind", ["copy", "step"])
def test_a_graph_of_other_bones_is_refused(tmp_path, kind):
    """The number of weights is the same, but not what they connect."""
    parents = dict(H36M.bones) | {H36M.index("Head"): H36M.index("Thorax")}
    other = dataclasses.replace(H36M, name="other", bones=tuple(parents.items()))
    sizes = {"channels": 4, "num_blocks": 1, "non_local": False}
    path = save_run(SemGCN(**sizes, edges=other.bones), tmp_path, other, kind)
    with pytest.raises(UserError, match="has other bones than config.skeleton, h36m .*; a SemGCN can only start from"):
        load_initial_weights(SemGCN(**sizes), path)
    turned = dataclasses.replace(other, bones=tuple(reversed(other.bones)))
    assert load_initial_weights(SemGCN(**sizes, edges=turned.bones), path, skeleton=turned) == []


def test_a_pytorch_file_gives_no_head_to_other_joints(tmp_path, rng):
    state, model = hrnet_state(rng, joints=16), detector(num_joints=16)  # of MPII's joints, in their order
    write_zip(tmp_path / "mpii.pth", state)
    before = values(model)
    assert load_initial_weights(model, f"{tmp_path}/mpii.pth", skeleton=H36M_16) == ["final_layer"]
    np.testing.assert_array_equal(values(model)["final_layer/bias:0"], before["final_layer/bias:0"])
    kernel = state["conv1.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("conv1").kernel, kernel)
    write_zip(tmp_path / "lifter.pth", random_state(numpy_models.martinez_shapes(16, 8, 2, 48), rng))
    with pytest.raises(UserError, match="does not say which joints it has, .*; read it with pose-tf import-torch"):
        load_initial_weights(FeedForward(units=8, num_joints=16), f"{tmp_path}/lifter.pth", skeleton=H36M_16)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_file_with_a_damaged_name_of_its_joints_is_refused(tmp_path, content):
    path = save(FeedForward(units=8), tmp_path, "file")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("skeleton.json", content)
    with pytest.raises(UserError, match=f"{path}.*skeleton"):
        load_initial_weights(FeedForward(units=8), path)


# ------------------------------------------------------------------------------------------------- refusals


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
