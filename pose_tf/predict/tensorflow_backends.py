"""Backends that run a model with TensorFlow: a SavedModel, or two Keras models."""

import json
import os
import re

import tensorflow as tf

from pose_tf import files
from pose_tf.errors import UserError, reason
from pose_tf.export.model_card import describe
from pose_tf.export.signatures import make_signatures
from pose_tf.models import PoseEstimator
from pose_tf.predict.graph_check import check_saved_model
from pose_tf.skeleton import H36M


class SavedModel:
    """A `Backend` that runs an exported model.

    Args:
        path: the model directory, of which the newest version is loaded, or the directory of one version.

    Raises:
        UserError: the directory holds no model, it cannot be loaded, or its graph could do more than compute.
    """

    def __init__(self, path: str):
        path = _newest_version(path)
        self._model = _load(path)  # signatures do not keep their model alive
        self._signatures = getattr(self._model, "signatures", {})
        if not self._has("image_and_box", {"image_bytes", "box"}):
            raise UserError(f"{path} has no signature image_and_box: pose-tf export did not write it")
        self.takes_pixels = self._has("people", {"image", "box"})
        self.takes_cameras = self._has("image_box_and_camera", {"image_bytes", "box", "intrinsics"})
        self.card = _read_card(path)
        _check_joints(path, self.card, self._signatures["image_and_box"].structured_outputs)

    def predict(self, signature, inputs):
        if signature not in self._signatures:
            raise UserError(f"the model has no signature {signature}")
        return _call(self._signatures[signature], inputs)

    def _has(self, signature, inputs):
        found = self._signatures.get(signature)
        return bool(found) and set(found.structured_input_signature[1]) == inputs


class KerasModels:
    """A `Backend` that runs a detector and a lifter with the signatures of an exported model.

    Args:
        estimator: both models.
    """

    takes_pixels = takes_cameras = True

    def __init__(self, estimator: PoseEstimator):
        self._signatures = make_signatures(estimator)
        self.card = describe(estimator)

    def predict(self, signature, inputs):
        return _call(self._signatures[signature], inputs)


def _call(signature, inputs):
    try:
        outputs = signature(**{name: tf.convert_to_tensor(value) for name, value in inputs.items()})
    except tf.errors.InvalidArgumentError as error:
        raise UserError(reason(error)) from None
    return {name: value.numpy() for name, value in outputs.items()}


def _check_joints(path, card, outputs):
    """Raises UserError if a card, or its absence, stands for another number of joints than a model's poses have."""
    joints, found = card.get("joints", H36M.joints), outputs["pose3d"].shape[1] if "pose3d" in outputs else None
    if found is not None and hasattr(joints, "__len__") and len(joints) != found:
        names = f"names {len(joints)}" if card else "is missing, which would name them"
        raise UserError(
            f"{path} has poses of {found} joints, but its assets.extra/model_card.json {names}; copy the model with "
            "its card, or export it again"
        )


def _newest_version(path):
    if os.path.isdir(path) and not os.path.exists(os.path.join(path, "saved_model.pb")):
        versions = [name for name in os.listdir(path) if re.fullmatch("[0-9]+", name)]
        if versions:
            path = os.path.join(path, max(versions, key=int))
    if not os.path.exists(os.path.join(path, "saved_model.pb")):
        raise UserError(f"{path} is neither a SavedModel nor a directory of numbered SavedModels")
    return path


def _load(path):
    try:
        check_saved_model(path)
        with files.plain_name(path) as folder:
            return tf.saved_model.load(folder)
    except UserError:
        raise
    except Exception as error:  # damaged bytes make TensorFlow raise almost anything
        text = re.sub(r"/proc/self/fd/\d+", lambda _: path, str(error)) or type(error).__name__
        raise UserError(f"{path} cannot be loaded: {text}") from None


def _read_card(path):
    """The model card beside a SavedModel; empty if it has none, as models of other programs."""
    try:
        with open(os.path.join(path, "assets.extra", "model_card.json"), encoding="utf-8") as file:
            card = json.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        card = None
    if not isinstance(card, dict):
        raise UserError(f"{path} is damaged: its assets.extra/model_card.json is not a model card")
    return card
