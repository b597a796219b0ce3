"""Starting a run from existing weights."""

import os
import pathlib
import re

import numpy as np
import tensorflow as tf

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.models import PoseEstimator, SemGCN
from pose_tf.models.keras_file import check_finite, is_keras_file, joints_of, load_keras
from pose_tf.models.networks import CLASSES
from pose_tf.models.torch_weights import load_torch_weights
from pose_tf.skeleton import H36M, Skeleton
from pose_tf.starter import run_dir
from pose_tf.training.checkpoints import MANIFEST, checkpoint_steps, is_whole
from pose_tf.workdir import Workdir

HEADS = {"final_layer"}  # layers that depend on the number of joints
OF_RUNS = ("best.keras", "checkpoints")
FEATURES = "features."  # beginning of the names of a lifter's layers for image features


def load_initial_weights(
    model: tf.keras.Model, path: str, key: str = "config.init_from", skeleton: Skeleton = H36M
) -> list[str]:
    """Copies weights into a model, layer by layer.

    Of a detector for other joints, the joints of its head that both skeletons have are copied, by name. A lifter needs
    the same joints, and `SemGCN` the same bones. Weights that do not say which joints they have are taken for those of
    Human3.6M if the model has these. Otherwise the head of a detector is left out, and a lifter is refused.

    A lifter that sees the image may start from one that does not, and keeps its own layers for the features.

    Args:
        model: the model that receives the weights.
        path: `starter`, a workdir (its best model), a .keras file, a TensorFlow checkpoint of a run, or a PyTorch file.
            Of a PyTorch file, every layer must fit, except that an ImageNet classifier lacks some; see
            `load_torch_weights`. Of a run that trained both stages, the model's stage.
        key: what the path is called in messages.
        skeleton: of the model.

    Returns:
        Names of the layers, and of the joints in the head, that keep their own weights.

    Raises:
        UserError: the file is missing or damaged, has a value that is not finite, or holds another model or a lifter of
            other or unknown joints. Then the model is unchanged.
    """
    path = run_dir(path, "detector" if isinstance(model, CLASSES["detector"]) else "lifter")
    if os.path.isfile(path) and not _keras_file(path):
        return _load_torch(model, path, key, skeleton)
    whole = _read(model, path, key)
    source = _part_for(model, whole)
    if type(source) is not type(model):
        raise UserError(
            f"{key}={path} is a {type(source).__name__}, but the recipe's model is a {type(model).__name__}"
        )
    theirs = whole.skeleton if isinstance(whole, PoseEstimator) else _skeleton_of(path)
    if theirs is None and skeleton.joints == H36M.joints:
        theirs = skeleton
    if isinstance(model, CLASSES["lifter"]):
        _check_lifter(model, source, theirs, skeleton, f"{key}={path}")
    same_joints = theirs is not None and theirs.joints == skeleton.joints
    layers = {layer.name: layer for layer in source.layers if layer.weights}
    values, left = {}, []
    own = [layer for layer in model.layers if layer.weights]  # others may differ, such as the reduction of the image
    for layer in own:
        shapes = [tuple(weight.shape) for weight in layer.weights]
        given = [tuple(weight.shape) for weight in layers[layer.name].weights] if layer.name in layers else None
        if given and layer.name in HEADS and not same_joints:
            values[layer], kept = _joints_by_name(layer, layers[layer.name], skeleton, theirs)
            left += kept
        elif given == shapes:
            values[layer] = layers[layer.name].get_weights()
        elif (layer.name in HEADS and given) or (layer.name.startswith(FEATURES) and not given):
            left.append(layer.name)
        else:
            raise UserError(
                f"{key}={path} does not fit {model.name}: layer {layer.name} has weights of shapes "
                f"{given or 'none'}, expected {shapes}"
            )
    if extra := layers.keys() - {layer.name for layer in own}:
        raise UserError(f"{key}={path} does not fit {model.name}: unexpected layer {min(extra)}")
    for layer, weights in values.items():
        layer.set_weights(weights)
    return left


def _check_lifter(model, source, theirs, skeleton, what):
    """Raises UserError if a lifter's joints are not known to be the model's, or if a graph has other bones."""
    advice = "a lifter can only start from one with the same joints"
    if theirs is None:
        raise UserError(
            f"{what} does not say which joints it has, but config.skeleton is {skeleton}; {advice}, in the directory "
            "of its run"
        )
    if theirs.joints != skeleton.joints:
        raise UserError(f"{what} has the joints of {theirs}, but config.skeleton is {skeleton}; {advice}")
    if isinstance(model, SemGCN):
        graphs = (theirs.bones, source.get_config()["edges"], model.get_config()["edges"])
        if len({frozenset(map(frozenset, bones)) for bones in graphs}) > 1:
            raise UserError(
                f"{what} has other bones than config.skeleton, {skeleton}; a SemGCN can only start from one with the "
                "same bones"
            )


def _skeleton_of(path):
    """The skeleton that a .keras file names, or that of the run to which a path belongs; None if unknown."""
    if file := _keras_file(path):
        if named := joints_of(file):
            return named
        folders = [os.path.dirname(file)] if os.path.basename(file) == "best.keras" else []
    else:  # WORKDIR/checkpoints/N/ckpt, or a folder on the way
        path = pathlib.Path(os.path.abspath(path))
        folders = [path, *path.parents[:3]]
    for workdir in map(Workdir, map(str, folders)):
        if os.path.exists(workdir.file("config.json")) and any(map(os.path.exists, map(workdir.file, OF_RUNS))):
            return workdir.skeleton()
    return None


def _keras_file(path):
    """The .keras file at a path, which may be a run's directory; None if there is none."""
    file = os.path.join(path, "best.keras") if os.path.exists(os.path.join(path, "best.keras")) else path
    return file if os.path.isfile(file) and is_keras_file(file) else None


def _joints_by_name(layer, source, skeleton, theirs):
    """The weights of a detector's head with the joints that both skeletons have, and names of the joints that keep
    theirs. The last axis of each weight is that of the joints. None are copied if `theirs` is not known."""
    if theirs is None:
        return layer.get_weights(), [layer.name]
    own, other = (list(indices) for indices in zip(*skeleton.shared_with(theirs)))
    weights = [np.array(values) for values in layer.get_weights()]
    for values, given in zip(weights, source.get_weights(), strict=True):
        if values.shape[:-1] == given.shape[:-1]:
            values[..., own] = given[..., other]
        else:
            return layer.get_weights(), [layer.name]
    return weights, [f"{layer.name} of {joint}" for i, joint in enumerate(skeleton.joints) if i not in own]


def _part_for(model, source):
    """The detector or the lifter of a model that has both."""
    if not isinstance(source, PoseEstimator):
        return source
    return source.detector if isinstance(model, CLASSES["detector"]) else source.lifter


def _load_torch(model, path, key, skeleton):
    """Loads a PyTorch file, which does not say which joints it has. Returns the names of the layers that it lacks."""
    is_known = skeleton.joints == H36M.joints
    if not is_known and isinstance(model, CLASSES["lifter"]):
        raise UserError(
            f"{key}={path} does not say which joints it has, but config.skeleton is {skeleton}; read it with pose-tf "
            "import-torch --skeleton, and start from that directory"
        )
    try:
        return list(load_torch_weights(model, path, with_head=is_known).initialized_layers)
    except UserError as error:
        raise UserError(f"{key}: {error}") from None


def _read(model, path, key):
    """The model stored at a path."""
    if file := _keras_file(path):
        try:
            return load_keras(file)
        except UserError as error:
            raise UserError(f"{key}: {error}") from None
    steps = checkpoint_steps(path)
    folder = os.path.join(path, f"{steps[-1]:08d}") if steps else path
    if os.path.exists(os.path.join(folder, MANIFEST)) and not is_whole(folder):
        raise UserError(f"{key}: checkpoint {folder} is damaged")
    folder, name = (folder, None) if os.path.isdir(folder) else os.path.split(folder)
    if name and set(name) & set("[*?\\"):
        raise UserError(f"{key}={path}: TensorFlow reads '{name}' as a pattern; rename the checkpoint's files")
    if os.path.isdir(folder or "."):
        with files.plain_name(folder or ".") as plain:  # TensorFlow expands patterns in names
            prefix = _find_checkpoint(plain, name)
            if prefix and os.path.exists(prefix + ".index"):
                return _restore(model, prefix, prefix.replace(plain, folder or ".", 1), key)
    raise UserError(f"{key}={path} is not a workdir, .keras file, checkpoint or PyTorch file")


def _find_checkpoint(folder, name):
    """Prefix of a checkpoint's files: the named one, else the `ckpt` of a run, else the newest in the folder."""
    if name is None and not os.path.exists(os.path.join(folder, "ckpt.index")):
        return tf.train.latest_checkpoint(folder)
    return os.path.join(folder, name or "ckpt")


def _restore(model, prefix, shown, key):
    """The model of a checkpoint. Messages call the checkpoint `shown`."""
    try:
        shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
        part = "detector" if isinstance(model, CLASSES["detector"]) else "lifter"
        trained_both = any(name.startswith(f"model/{part}/") for name in shapes)
        names = rf"model/{f'{part}/' if trained_both else ''}layer_with_weights-(\d+)/"
        last = max((int(found[1]) for name in shapes if (found := re.match(names, name))), default=0)
        config = model.get_config()
        if model.layers[-1].name in HEADS:
            head = [shape for name, shape in shapes.items() if re.match(rf"{names}bias/", name) and f"-{last}/" in name]
            config["num_joints"] = head[0][0] if head else config["num_joints"]
        if config.get("features") and last + 1 < len([layer for layer in model.layers if layer.weights]):
            config["features"] = 0
        source = type(model).from_config(config)
        holder = tf.train.Checkpoint(**{part: source}) if trained_both else source
        tf.train.Checkpoint(model=holder).read(prefix).assert_existing_objects_matched().expect_partial()
    except (ValueError, AssertionError, tf.errors.OpError) as error:
        text = str(error).replace(prefix, shown)
        raise UserError(f"{key}: {shown} does not fit {model.name}: {text}") from None
    check_finite(f"{key}: {shown}", ((weight.name, weight.numpy()) for weight in source.weights))
    return source
