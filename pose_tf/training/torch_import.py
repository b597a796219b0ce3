"""Imports a PyTorch checkpoint into a workdir, as if its model had been trained here."""

import os
import re

import numpy as np
import tensorflow as tf

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.models.networks import DETECTORS, make_network
from pose_tf.models.statistics import PoseStatistics
from pose_tf.models.torch_checkpoint import read_state_dict
from pose_tf.models.torch_weights import LoadedWeights, load_torch_weights
from pose_tf.skeleton import H36M, Skeleton
from pose_tf.workdir import Workdir

EFFICIENTNETS = tuple(name for name in DETECTORS if name.startswith("efficientnet_"))
LIFTERS = ("sem_gcn", "feed_forward", "released_sem_gcn", "released_feed_forward")
ARCHITECTURES = ("hrnet_w<width>", *EFFICIENTNETS, *LIFTERS)
METER_MM = 1000.0


def import_torch(
    architecture: str,
    checkpoint: str,
    workdir_path: str,
    map_joints: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    state_dict: str | None = None,
    skeleton: Skeleton = H36M,
) -> LoadedWeights:
    """Imports a checkpoint.

    Args:
        architecture: one of ARCHITECTURES. The `released` ones take raw pixels, as in the paper's released code.
        checkpoint: file to read, see `load_torch_weights`.
        workdir_path: directory to write.
        map_joints: see `load_torch_weights`.
        mean, std: paths of .npy files [J, 3], mean and standard deviation in mm by which a lifter's output is
            converted to mm. The default is 0 and 1000, because the networks of the public SemGCN code predict meters.
            The `released` architectures require both.
        state_dict: the weights to take from the file, see `read_state_dict`.
        skeleton: the joints of the checkpoint in its order or, with `map_joints`, those of the run.

    Returns:
        The names of the weights that were loaded, skipped and initialized.

    Raises:
        UserError: invalid arguments, a file that does not fit, or a directory that already contains a run.
    """
    workdir = Workdir(workdir_path)
    if os.path.exists(workdir.file("config.json")):
        raise UserError(f"{workdir_path} already contains a run; use another directory")
    config = {
        "model": _options(architecture, checkpoint, state_dict),
        "flip_test": False,
        "imported": os.path.basename(checkpoint),
        **({} if skeleton == H36M else {"skeleton": skeleton.name}),
    }
    detector = config["model"]["name"] in DETECTORS
    if detector:
        config |= {"stage": "detector"}
        if config["model"]["name"] == "hrnet":  # the only one with published pose checkpoints
            config |= {"decoding": {"method": "argmax", "beta": 1.0, "alignment": "corner"}}
    else:
        config |= {"stage": "lifter", "normalized_by": "crop" if architecture.startswith("released_") else "image"}
        statistics = _statistics(architecture, mean, std, len(skeleton.joints))
    tf.keras.utils.set_random_seed(0)  # for weights that the file may lack
    model = make_network(config["model"], skeleton)
    loaded = load_torch_weights(model, checkpoint, map_joints, state_dict, skeleton)
    workdir.create()
    workdir.save_best(model, skeleton)
    workdir.save_skeleton(skeleton)
    if not detector:
        files.write_json(workdir.file("statistics.json"), statistics.to_json())
    files.write_json(workdir.file("config.json"), config)
    return loaded


def _options(architecture, checkpoint, state_dict):
    """The `model` section of a recipe, derived from the architecture's name and the shapes in the file."""
    hrnet = re.fullmatch(r"hrnet_w(\d+)", architecture)
    if not hrnet and architecture not in EFFICIENTNETS + LIFTERS:
        raise UserError(f"architecture {architecture} is not known; it can be {', '.join(ARCHITECTURES)}")
    if architecture in EFFICIENTNETS:
        return {"name": architecture}
    if hrnet:
        return {"name": "hrnet", "width": int(hrnet[1])}
    state = read_state_dict(checkpoint, state_dict)
    released = architecture.startswith("released_")
    name = architecture.removeprefix("released_")
    first = {"sem_gcn": "gconv_input.0.gconv.bias", "feed_forward": "linear_in.bias" if released else "w1.bias"}[name]
    if first not in state:
        raise UserError(f"{checkpoint} is not a {architecture}: it lacks '{first}'")
    width = len(state[first])
    if name == "sem_gcn":
        blocks = {key.split(".")[1] for key in state if re.match(r"gconv_layers\.\d+\.gconv1\.", key)}
        non_local = any(".nonlocal." in key or ".non_local." in key for key in state)
        options = {"channels": width, "num_blocks": len(blocks), "non_local": non_local}
    elif released:
        options = {"units": width, "share_blocks": True}
    else:
        blocks = {key.split(".")[1] for key in state if key.startswith("linear_stages.")}
        options = {"units": width, "num_blocks": len(blocks)}
    return {"name": name, "raw_pixels": released, **options}


def _statistics(architecture, mean, std, joints):
    if (mean is None) != (std is None):
        raise UserError("give pose_mean and pose_std together")
    if mean is None:
        if architecture.startswith("released_"):
            raise UserError(f"{architecture} predicts standardized poses: give pose_mean and pose_std")
        return PoseStatistics(np.zeros((joints, 3), np.float32), np.full((joints, 3), METER_MM, np.float32))
    return PoseStatistics(_read_array(mean, joints), np.maximum(_read_array(std, joints), 1e-6))


def _read_array(path, joints):
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read as an .npy file: {error}") from None
    if not isinstance(array, np.ndarray) or array.size != joints * 3 or not np.isfinite(array).all():
        raise UserError(f"{path} does not hold {joints} x 3 numbers")
    return array.astype(np.float32).reshape(joints, 3)
