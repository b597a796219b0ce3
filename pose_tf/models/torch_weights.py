"""Loads PyTorch weights into our models, by name and completely."""

import dataclasses
import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pose_tf.errors import UserError, check_choice
from pose_tf.models.efficientnet_lite import EfficientNetLite
from pose_tf.models.feed_forward import FeedForward
from pose_tf.models.hrnet import HRNet
from pose_tf.models.keras_file import check_finite
from pose_tf.models.sem_gcn import SemGCN
from pose_tf.models.torch_checkpoint import read_state_dict
from pose_tf.skeleton import COCO, H36M, MPII, Skeleton

SKELETONS = {"h36m": H36M, "mpii": MPII, "coco": COCO}
KEYS_SHOWN = 6


@dataclasses.dataclass(frozen=True)
class LoadedWeights:
    """What `load_torch_weights` loaded and left out.

    Attributes:
        skipped: keys of the file that no layer uses, and joints of its head.
        initialized: keys whose variables, or some of their joints, kept their values.
        state_dict: key of the weights in the file; empty if the file contains nothing else.
        others: other keys of the file that contain weights.
    """

    skipped: tuple[str, ...]
    initialized: tuple[str, ...]
    state_dict: str = ""
    others: tuple[str, ...] = ()

    @property
    def initialized_layers(self) -> tuple[str, ...]:
        """Names of the layers of `initialized`, in its order."""
        return tuple(dict.fromkeys(key.rsplit(".", 1)[0] for key in self.initialized))


@dataclasses.dataclass(frozen=True)
class _Target:
    """A variable, and the function that converts the file's array to its value."""

    variable: tf.Variable
    convert: Callable[[np.ndarray], np.ndarray]


def load_torch_weights(
    model: tf.keras.Model,
    path: str,
    map_joints: str | None = None,
    state_dict: str | None = None,
    skeleton: Skeleton = H36M,
    with_head: bool = True,
) -> LoadedWeights:
    """Loads a PyTorch checkpoint into a model. All variables change, or none does.

    Supported for `HRNet`: the official pose checkpoints of any width and joints, official ImageNet classifiers (without
    their head), and mmpose; for `EfficientNetLite`: ImageNet classifiers of the public code (without their head), which
    leave the pyramid as it is; for `SemGCN`: the public code, with `nonlocal` or `non_local` layers; for `FeedForward`:
    the linear model of that code and the paper's released network (with `share_blocks`).

    Args:
        model: an `HRNet`, `EfficientNetLite`, `SemGCN` or `FeedForward` with the shapes of the file.
        path: the checkpoint, see `read_state_dict`.
        map_joints: skeleton of an HRNet file: `mpii`, `coco` or `h36m`. Loads the joints that it shares with the
            model's skeleton; the others keep their values.
        state_dict: key of the weights in the file, see `read_state_dict`.
        skeleton: of the model; `map_joints` needs it.
        with_head: whether to load the head of an HRNet file. Without it, its joints do not matter.

    Returns:
        What was left out, where that is allowed, and which weights of the file were loaded.

    Raises:
        UserError: the file cannot be read, lacks a key, has an unexpected key or shape, or has a weight that is not
            finite.
    """
    read = read_state_dict(path, state_dict)
    state = {key: value for key, value in read.items() if not key.endswith(".num_batches_tracked")}
    if isinstance(model, HRNet):
        targets, state = _conv_targets(model), _official_hrnet_keys(path, state)
        skipped, initialized = _without_imagenet_head(targets, state, *_hrnet_head(model))
        if not skipped and not with_head:
            skipped, initialized = _take_out(targets, state, HRNET_HEAD, HRNET_HEAD)
        elif not skipped:
            skipped, initialized = _map_head(model, path, targets, state, map_joints, skeleton)
        elif map_joints:
            raise UserError(f"{path} is a classifier, so map_joints does not apply")
    else:
        if map_joints:
            raise UserError(f"map_joints applies to HRNet only, not to {model.name}")
        if isinstance(model, EfficientNetLite):
            targets = _conv_targets(model, _efficientnet_name)
            skipped, initialized = _without_imagenet_head(targets, state, *EFFICIENTNET_HEAD)
        else:
            targets, state = _lifter_targets(model, state)
            skipped, initialized = (), ()
    _check(model, path, targets, state)
    values = {key: np.asarray(target.convert(state[key]), np.float32) for key, target in targets.items()}
    check_finite(path, values.items())
    for key, target in targets.items():
        target.variable.assign(values[key])
    return LoadedWeights(tuple(skipped), tuple(initialized), read.key, read.others)


def _check(model, path, targets, state):
    missing, unknown = sorted(targets.keys() - state.keys()), sorted(state.keys() - targets.keys())
    if missing or unknown:
        faults = [f"missing keys: {_listed(missing)}"] * bool(missing)
        faults += [f"unexpected keys: {_listed(unknown)}"] * bool(unknown)
        raise UserError(f"{path} does not fit {model.name}: {'; '.join(faults)}")
    for key, target in targets.items():
        try:
            shape = target.convert(state[key]).shape
        except (ValueError, IndexError):  # even the number of dimensions differs
            shape = None
        if shape != tuple(target.variable.shape):
            raise UserError(
                f"{path} does not fit {model.name}: '{key}' has shape {state[key].shape}, "
                f"its variable {tuple(target.variable.shape)}"
            )


def _listed(keys):
    more = f" and {len(keys) - KEYS_SHOWN} more" if len(keys) > KEYS_SHOWN else ""
    return ", ".join(f"'{key}'" for key in keys[:KEYS_SHOWN]) + more


def _bn_targets(name, layer):
    names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    return {f"{name}.{theirs}": _Target(getattr(layer, ours), np.asarray) for theirs, ours in names.items()}


def _dense_targets(name, layer):
    """A Linear layer [out, in], or a convolution of size 1 [out, in, 1]."""
    return {
        f"{name}.weight": _Target(layer.kernel, lambda array: array.reshape(array.shape[:2]).T),
        f"{name}.bias": _Target(layer.bias, np.asarray),
    }


def _vector(array):
    """Removes axes of length 1 if only one axis remains."""
    return array.ravel() if array.size == max(array.shape, default=1) else array


# -------------------------------------------------------------------------------------------------- detectors


def _conv_targets(model, rename=str):
    """Targets of convolutions and batch normalizations. `rename` gives the name in the file of a layer's name."""
    targets = {}
    for layer in model.layers:
        name = rename(layer.name)
        if isinstance(layer, tf.keras.layers.DepthwiseConv2D):
            targets[f"{name}.weight"] = _Target(layer.depthwise_kernel, lambda array: array.transpose(2, 3, 0, 1))
        elif isinstance(layer, tf.keras.layers.Conv2D):
            targets[f"{name}.weight"] = _Target(layer.kernel, lambda array: array.transpose(2, 3, 1, 0))
            if layer.use_bias:
                targets[f"{name}.bias"] = _Target(layer.bias, np.asarray)
        elif isinstance(layer, tf.keras.layers.BatchNormalization):
            targets |= _bn_targets(name, layer)
    return targets


def _official_hrnet_keys(path, state):
    """Removes the prefixes of mmpose."""
    official = {re.sub(r"^(backbone|keypoint_head|head)\.", "", key): value for key, value in state.items()}
    if len(official) < len(state):
        raise UserError(f"{path} has the same weight under two names, with and without 'backbone.' or 'head.'")
    return official


def _hrnet_head(model):
    last = rf"stage4\.{model.modules[2] - 1}\.fuse_layers\.[1-3]"
    return "classifier", rf"(incre_modules|downsamp_modules|classifier|final_layer|{last})\.", HRNET_HEAD


HRNET_HEAD = r"final_layer\."
EFFICIENTNET_HEAD = "_fc", r"_(conv_head|bn1|fc)\.", r"(pyramid\d|final_layer)\."


def _efficientnet_name(name):
    """The public code's name of a layer: `blocks.0.bn1` is `_blocks.0._bn1`. That code lacks the pyramid."""
    is_ours = re.match(EFFICIENTNET_HEAD[-1], f"{name}.")
    return name if is_ours else re.sub(r"(^|\.)(?=[a-z])", r"\1_", name)


def _without_imagenet_head(targets, state, classifier, theirs, ours):
    """Removes the head of a classifier from `state`, and our head from `targets`.

    Args:
        targets: key -> variable of our network.
        state: key -> array of the file.
        classifier: name of the layer that only a classifier has.
        theirs: pattern of the keys of a classifier's head.
        ours: pattern of the keys that a classifier lacks.

    Returns:
        The keys that were removed from each; none if the file is not a classifier.
    """
    if not any(key.startswith(f"{classifier}.") for key in state):
        return [], []
    return _take_out(targets, state, theirs, ours)


def _take_out(targets, state, theirs, ours):
    """Removes keys by two patterns from `state` and from `targets`. Returns the keys that were removed from each."""
    skipped = sorted(key for key in state if re.match(theirs, key))
    initialized = sorted(key for key in targets if re.match(ours, key))
    for key in skipped:
        del state[key]
    for key in initialized:
        del targets[key]
    return skipped, initialized


def _map_head(model, path, targets, state, map_joints, skeleton):
    """Maps the joints of the file's head to those that ours shares."""
    weight = state.get("final_layer.weight")
    count = None if weight is None else len(weight)
    if map_joints is None:
        if count not in (None, model.num_joints):
            raise UserError(
                f"{path} predicts {count} joints, {model.name} {model.num_joints}; "
                f"map_joints ({', '.join(SKELETONS)}) of pose-tf import-torch loads those that both have"
            )
        return [], []
    check_choice("map_joints", map_joints, SKELETONS)
    theirs, ours = SKELETONS[map_joints], skeleton
    if count != len(theirs.joints) or model.num_joints != len(ours.joints):
        raise UserError(
            f"map_joints={map_joints} maps {len(theirs.joints)} joints to {len(ours.joints)}; "
            f"{path} has {count}, {model.name} {model.num_joints}"
        )
    pairs = ours.shared_with(theirs)
    own, other = (list(indices) for indices in zip(*pairs))
    for key in ("final_layer.weight", "final_layer.bias"):
        target = targets[key]

        def convert(array, target=target):
            value, given = target.variable.numpy(), target.convert(array)
            if given.shape[:-1] != value.shape[:-1]:
                return given  # `_check` reports the shapes
            value[..., own] = given[..., other]
            return value

        targets[key] = _Target(target.variable, convert)
    skipped, initialized = (
        [f"final_layer of {joint}" for i, joint in enumerate(joints) if i not in taken]
        for joints, taken in ((theirs.joints, other), (ours.joints, own))
    )
    return skipped, initialized


# ---------------------------------------------------------------------------------------------------- lifters


def _lifter_targets(model, state):
    if isinstance(model, SemGCN):
        return _sem_gcn_targets(model), {key.replace(".non_local.", ".nonlocal."): state[key] for key in state}
    if not isinstance(model, FeedForward):
        raise TypeError(
            "PyTorch weights are supported for HRNet, EfficientNetLite, SemGCN and FeedForward, not for "
            f"{type(model).__name__}"
        )
    if model.get_config()["share_blocks"]:
        names = {"input": "linear_in batchnorm", "shared": "block.model.0 block.model.1", "output": "liner_out"}
    else:
        names = {"input": "w1 batch_norm1", "output": "w2"}
        for block in range(model.get_config()["num_blocks"]):
            for i in (1, 2):
                names[f"block{block}.{i}"] = f"linear_stages.{block}.w{i} linear_stages.{block}.batch_norm{i}"
    targets = {}
    for ours, theirs in names.items():
        linear, *bn = theirs.split()
        targets |= _dense_targets(linear, model.get_layer(f"{ours}.linear"))
        for name in bn:
            targets |= _bn_targets(name, model.get_layer(f"{ours}.bn"))
    return targets, _with_hip(model, state, names["output"])


def _with_hip(model, state, output):
    """The public linear model omits the hip, which is the origin; ours predicts it, as zero."""
    joints = model.get_config()["num_joints"]
    weight, bias = state.get(f"{output}.weight"), state.get(f"{output}.bias")
    if weight is None or bias is None or len(weight) != 3 * (joints - 1) or len(bias) != len(weight):
        return state
    return state | {
        f"{output}.weight": np.concatenate([np.zeros_like(weight[:3]), weight]),
        f"{output}.bias": np.concatenate([np.zeros_like(bias[:3]), bias]),
    }


def _sem_gcn_targets(model):
    config = model.get_config()
    names = {"input": "gconv_input.0"}
    non_local = {"input.non_local": "gconv_input.1"} if config["non_local"] else {}
    for block in range(config["num_blocks"]):
        place = 2 * block if config["non_local"] else block
        names |= {f"block{block}.{i}": f"gconv_layers.{place}.gconv{i}" for i in (1, 2)}
        if config["non_local"]:
            non_local[f"block{block}.non_local"] = f"gconv_layers.{place + 1}"
    targets = _graph_conv_targets("gconv_output", model.get_layer("output.gconv"))
    for ours, theirs in names.items():
        targets |= _graph_conv_targets(f"{theirs}.gconv", model.get_layer(f"{ours}.gconv"))
        targets |= _bn_targets(f"{theirs}.bn", model.get_layer(f"{ours}.bn"))
    for ours, theirs in non_local.items():
        layer, name = model.get_layer(ours), f"{theirs}.nonlocal"
        pooled = ".0" if layer.groups else ""
        for part, index in (("theta", ""), ("phi", pooled), ("g", pooled)):
            targets |= _dense_targets(f"{name}.{part}{index}", getattr(layer, part))
        targets |= _dense_targets(f"{name}.W.0", layer.out) | _bn_targets(f"{name}.W.1", layer.bn)
        targets[f"{name}.concat_project.0.weight"] = _Target(layer.affinity, _vector)
    return targets


def _graph_conv_targets(name, layer):
    return {
        f"{name}.W": _Target(layer.kernel, np.asarray),
        f"{name}.e": _Target(layer.edge_logits, _vector),
        f"{name}.bias": _Target(layer.bias, np.asarray),
    }
