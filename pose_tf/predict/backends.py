"""Backends run a model: in a file, on a server, or with TensorFlow (`tensorflow_backends.py`); how they get people."""

import os
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from pose_tf import images, model_files
from pose_tf.errors import UserError, needing_tensorflow
from pose_tf.geometry import CROP_SIZE, Crop
from pose_tf.images import square_crop
from pose_tf.predict.camera import Camera

SENT_PX = 512
"""Sent images are not shrunk below this size: the person's longest side in pixels, twice what models use."""
REACH = 1.0
"""Half the side of the region that is sent around a person, over the longest side of the box; more if the model's card
says that its crops are larger."""


class Backend(Protocol):
    """Computes the signatures of an exported model, which `pose_tf.export.saved_model.export` lists.

    Attributes:
        card: description of the model, with the keys of an exported model's card.
        takes_pixels: whether the model has the signature `people`. If not, people are sent as files.
        takes_cameras: whether such files go to `image_box_and_camera`, whose poses are in the frame of the camera. If
            not, they go to `image_and_box`, whose poses are in the model's own frame.
    """

    card: dict
    takes_pixels: bool
    takes_cameras: bool

    def predict(self, signature: str, inputs: dict) -> dict[str, np.ndarray]:
        """Computes the outputs of a signature.

        Args:
            signature: its name.
            inputs: arrays, or lists of file contents as bytes, by name.

        Raises:
            UserError: the model cannot compute the outputs.
        """


def open_exported(path: str) -> Backend:
    """The backend of an exported model: a .tflite or .onnx file, or a SavedModel's directory.

    Raises:
        UserError: it cannot be loaded.
    """
    if model_files.ending(path) is not None and not os.path.isdir(path):
        return ModelFile(path)
    with needing_tensorflow(f"{path}: a SavedModel"):
        from pose_tf.predict.tensorflow_backends import SavedModel
    return SavedModel(path)


class ModelFile:
    """A `Backend` that runs a model of crops in one file, without TensorFlow. Crops are cut by NumPy.

    Args:
        path: a .tflite or .onnx file.
        card: additional entries of the model card.

    Raises:
        UserError: see `pose_tf.model_files.read`; or the file's card is not that of a model of crops.
    """

    takes_pixels, takes_cameras = True, False

    def __init__(self, path: str, card: dict | None = None):
        found, self._run = model_files.read(path)
        self.card = found | (card or {})
        self._margin = self.card.get("crop_margin")
        if type(self._margin) not in (int, float) or not 0 < self._margin < np.inf:
            raise UserError(f"{path} is damaged: its card has no crop_margin")

    def predict(self, signature, inputs):
        if signature == "images":
            return self._run(inputs["images"])
        if signature != "people":
            raise UserError(f"the model has no signature {signature}")
        crop = Crop.around(np.float32(inputs["box"]), self._margin)
        poses = self._run(np.stack([square_crop(inputs["image"], Crop(*one)) for one in zip(*crop)]))
        return poses | {"pose2d": crop.to_image(poses["pose2d"])}


def estimate_people(
    backend: Backend, images: Sequence[tuple[np.ndarray, np.ndarray]], cameras: Sequence[Camera], batch_size: int
) -> list[list[dict[str, np.ndarray]]]:
    """Estimates the poses of all people in several images.

    Args:
        backend: runs the model.
        images: for each image uint8 [H, W, 3] RGB and its boxes, float32 [N, 4] px, which `check_boxes` has accepted.
        cameras: the camera of each image.
        batch_size: number of people per call.

    Returns:
        For each image its N poses: {"pose2d" [J, 2] px of the image, "pose3d" [J, 3] mm, see `frame_of`, "confidence"
        [J]}.
    """
    if backend.takes_pixels:
        return [_estimate_pixels(backend, image, boxes, batch_size) for image, boxes in images]
    reach = reach_of(backend.card)
    cuts = [
        _cut(image, box, camera, reach) for (image, boxes), camera in zip(images, cameras, strict=True) for box in boxes
    ]
    poses = iter(_estimate_files(backend, cuts, batch_size))
    return [[next(poses) for _ in boxes] for _, boxes in images]


def frame_of(backend: Backend) -> str:
    """The frame of the poses that `estimate_people` returns: "camera" or "sight" (`geometry.FRAMES`)."""
    if backend.takes_cameras and not backend.takes_pixels:
        return "camera"
    return "sight" if backend.card.get("frame") == "sight" else "camera"


def reach_of(card: dict) -> float:
    """`REACH` for the model of a card, which may not say how large its crops are."""
    margin = card.get("crop_margin")
    return max(REACH, margin / 2) if isinstance(margin, int | float) else REACH


def _estimate_pixels(backend, image, boxes, batch_size):
    poses = []
    for start in range(0, len(boxes), batch_size):
        batch = np.float32(boxes[start : start + batch_size])
        poses += _each(backend.predict("people", {"image": image, "box": batch}))
    return poses


def _estimate_files(backend, cuts, batch_size):
    """Poses of people from any images. The region around each is sent as a file, which is smaller than its pixels."""
    poses = []
    for start in range(0, len(cuts), batch_size):
        data, boxes, cameras, corners, shrinks = zip(*cuts[start : start + batch_size], strict=True)
        inputs = {"image_bytes": list(data), "box": np.float32(boxes)}
        if backend.takes_cameras:
            found = backend.predict("image_box_and_camera", inputs | {"intrinsics": np.float32(cameras)})
        else:
            found = backend.predict("image_and_box", inputs)
        sent = Crop(np.float32(corners), CROP_SIZE * np.float32(shrinks))  # `shrinks` image pixels per pixel sent
        poses += _each(found | {"pose2d": sent.to_image(found["pose2d"])})
    return poses


def _each(outputs):
    return [dict(zip(outputs, values)) for values in zip(*outputs.values(), strict=True)]


def _cut(image, box, camera, reach=REACH):
    """The region around a person: bytes of a PNG, the box and the camera in it, its corner and the shrink factor."""
    longest = max(box[2:])
    middle = box[:2] + box[2:] / 2
    size = image.shape[1::-1]
    left, top = np.clip(np.floor(middle - reach * longest), 0, size).astype(int)
    right, bottom = np.clip(np.ceil(middle + reach * longest), 0, size).astype(int)
    part = image[top:bottom, left:right]
    shrink = max(int(min(longest / SENT_PX, *box[2:], *part.shape[:2])), 1)
    if shrink > 1:
        missing = [-side % shrink for side in part.shape[:2]]  # up to a multiple of `shrink`
        part = cv2.copyMakeBorder(part, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
        part = cv2.resize(part, [side // shrink for side in part.shape[1::-1]], interpolation=cv2.INTER_AREA)
    data = images.encode(part, ".png", cv2.IMWRITE_PNG_COMPRESSION, 1)  # 1: fast
    corner = np.float32([left, top])
    focal, center = np.float32(camera.intrinsics).reshape(2, 2).T
    intrinsics = np.stack([focal / shrink, (center + 0.5 - corner) / shrink - 0.5], axis=-1).ravel()
    return data, np.concatenate([box[:2] - corner, box[2:]]) / shrink, intrinsics, corner, shrink
