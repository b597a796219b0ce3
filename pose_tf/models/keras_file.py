"""Loads models from untrusted .keras files, without executing anything in them.

Keras's own loader imports the modules and calls the classes that a file names, runs Lambda layers of HDF5 files, and
follows HDF5 links to other files. This loader builds one of our models from the numbers in the file and loads its
weights.
"""

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterable

import h5py
import numpy as np
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.models.estimator import PoseEstimator
from pose_tf.models.networks import CLASSES
from pose_tf.skeleton import Skeleton

ESTIMATOR = "pose_tf>PoseEstimator"
MODELS = {f"pose_tf>{model.__name__}": model for models in CLASSES.values() for model in models}
SKELETON = "skeleton.json"
"""The part of a file that names the joints. Files of Human3.6M's joints have none, as those of earlier versions."""
ANY_SIZE = 100
"""Layers may be this wide in a file with few weights."""


def load_keras(path: str) -> tf.keras.Model:
    """Loads an `HRNet`, `EfficientNetLite`, `SemGCN`, `FeedForward` or `PoseEstimator` from a .keras file.

    Args:
        path: the file, a zip archive as written by Keras 2.12 and later.

    Returns:
        The model, not compiled.

    Raises:
        UserError: the file is missing, damaged, has another format, contains another model, or has a weight that is not
            finite.
    """
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                raise UserError(f"{path} cannot be loaded: it is not a zip archive, the format of .keras files")
            with zipfile.ZipFile(file) as archive:
                config, weights = read_stored(path, archive, "config.json", "model.weights.h5")
        with h5py.File(io.BytesIO(weights)) as file:
            numbers = _count_numbers(path, file)
        model = _build(path, json.loads(config), numbers)
        if model.count_params() != numbers:
            raise UserError(f"{path} is damaged: it has {numbers} weights, its model {model.count_params()}")
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "model.weights.h5")
            with open(file, "wb") as copy:
                copy.write(weights)
            model.load_weights(file)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except UserError:
        raise
    except Exception as error:  # zipfile, h5py, Keras and TensorFlow raise nearly anything at damaged bytes
        raise UserError(f"{path} cannot be loaded: {' '.join(str(error).split()) or type(error).__name__}") from None
    check_finite(path, ((weight.name, weight.numpy()) for weight in model.weights))
    return model


def name_joints(path: str, skeleton: Skeleton) -> None:
    """Adds the skeleton of a model's poses to its .keras file. Keras ignores it."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(SKELETON), json.dumps(skeleton.to_json(), indent=1))


def joints_of(path: str) -> Skeleton | None:
    """The skeleton that a .keras file names; None if it names none.

    Raises:
        UserError: it is damaged.
    """
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        if SKELETON not in archive.namelist():
            return None
        (content,) = read_stored(path, archive, SKELETON)
    try:
        return Skeleton.from_json(json.loads(content), f"{path}: {SKELETON}")
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: its {SKELETON} is not a skeleton ({error})") from None


def is_keras_file(path: str) -> bool:
    """Whether a file is meant to be a .keras file: by its name, or because it is an archive of such a file's parts."""
    if path.endswith(".keras"):
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return "model.weights.h5" in archive.namelist()
    except Exception:  # zipfile raises nearly anything at damaged bytes
        return False


def check_finite(path: str, weights: Iterable[tuple[str, np.ndarray]]) -> None:
    """Checks that weights, given with their names, are finite.

    Raises:
        UserError: names the file and the weight.
    """
    for name, values in weights:
        if not np.isfinite(values).all():
            raise UserError(f"{path}: the weights '{name}' are not finite; the run that wrote them diverged")


def read_stored(path: str, archive: zipfile.ZipFile, *names: str) -> list[bytes]:
    """Reads members of an uncompressed zip archive, which cannot be larger than its file.

    Raises:
        UserError: a member is missing, or the archive is compressed.
    """
    members = archive.infolist()
    for name in names:
        if [member.filename for member in members].count(name) != 1:
            raise UserError(f"{path} cannot be loaded: it is a zip archive, but has no {name}")
    size = os.fstat(archive.fp.fileno()).st_size
    if any(member.compress_type != zipfile.ZIP_STORED for member in members) or (
        sum(member.file_size for member in members) > size
    ):
        raise UserError(f"{path} cannot be loaded: it is compressed, and Keras does not compress models")
    return [archive.read(name) for name in names]


def _count_numbers(path, file):
    """The number of weights in a file that may contain nothing but arrays of numbers."""

    def find_fault(name, item):  # h5py does not let these functions raise exceptions
        nonlocal numbers
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual or item.id.get_storage_size() != item.nbytes:
                return f"the numbers of {name} are not in the file"
            if item.dtype.kind != "f":
                return f"{name} is not an array of floating-point numbers"
            numbers += item.size
        return None

    def find_link(name, link):
        return None if isinstance(link, h5py.HardLink) else f"{name} is a link"

    numbers = 0
    if fault := file.visititems_links(find_link) or file.visititems(find_fault):
        raise UserError(f"{path} cannot be loaded: {fault}")
    return numbers


def _build(path, config, numbers):
    """Builds the model that a configuration describes, if a file with that many weights can belong to it."""
    name, options = (config.get(key) for key in ("registered_name", "config")) if isinstance(config, dict) else ("", {})
    if not isinstance(name, str) or not isinstance(options, dict):
        raise UserError(f"{path} is damaged: its config.json does not describe a model")
    if name == ESTIMATOR:
        parts = {key: _build(path, options.get(key), numbers) for key in ("detector", "lifter")}
        try:
            for part, models in parts.items():
                if not isinstance(models, CLASSES[part]):
                    raise ValueError(f"{part} is a {type(models).__name__}")
            others = {key: value for key, value in options.items() if key not in parts}
            estimator = PoseEstimator.from_parts(**parts, **others)
            estimator.build_from_config(None)
            return estimator
        except (TypeError, ValueError, KeyError, UserError) as error:
            raise UserError(f"{path} is damaged: {error}") from None
    if name not in MODELS:
        known = ", ".join(sorted(model.__name__ for model in MODELS.values()))
        raise UserError(f"{path} holds a {config.get('class_name')}; it can be {known}")
    for key, value in options.items():
        values = _flat(value)
        if any(not isinstance(part, bool | int | float | str | None) for part in values):
            raise UserError(f"{path} is damaged: {key} is {value}")
        whole = [part for part in values if type(part) is int]
        least = 1 if type(value) is int and "blocks" not in key and key not in ("variant", "features") else 0
        if any(part < least or part**2 > max(numbers, ANY_SIZE**2) for part in whole):
            raise UserError(f"{path} is damaged: {key} is {value}, and the file has {numbers} weights")
    return MODELS[name].from_config(options)


def _flat(value):
    return [part for inner in value for part in _flat(inner)] if isinstance(value, list) else [value]
