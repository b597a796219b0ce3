"""Files of what a detector finds in labeled images: pose files with detected joints and their confidences."""

import dataclasses

import numpy as np

from pose_tf import files, geometry, skeleton
from pose_tf.errors import UserError

NUM_JOINTS = len(skeleton.H36M.joints)
LARGEST_PX = 10 * abs(geometry.UNLABELED_PX)
LEAST_EXTENT_PX = 8.0
"""The smallest plausible longest side of the box around the joints (median over the poses)."""
WHAT = "a file of detected joints, see pose-tf evaluate --detections"


@dataclasses.dataclass(frozen=True)
class DetectorErrors:
    """A detector's errors in N images.

    Attributes:
        error: float32 [N, 17, 2] crop px, detected minus true. A joint that was not measured, since it has no label or
            lies outside the crop, has the mean error of its neighbors in the skeleton, or that of their neighbors.
        confidence: float32 [N, 17].
        pose2d: float32 [N, 17, 2] crop px: the detected joints minus the errors, so the true joints where measured.
    """

    error: np.ndarray
    confidence: np.ndarray
    pose2d: np.ndarray


def write_detections(path: str, truth: dict[str, np.ndarray], detected: np.ndarray, confidence: np.ndarray) -> None:
    """Writes an .npz with the arrays of `truth`, `detected` [N,17,2] crop px and `confidence` [N,17].

    Args:
        path: file to write.
        truth: `pose2d_crop` float [N, 17, 2] crop px and, for a pose file, the other arrays of `read_pose_file`.
        detected: float [N, 17, 2] crop px.
        confidence: float [N, 17].
    """
    arrays = truth | {"detected": detected.astype(np.float32), "confidence": confidence.astype(np.float32)}
    files.write_npz(path, compress=True, **arrays)


def read_errors(path: str) -> DetectorErrors:
    """Reads the errors of a file of detected joints. Images without any measured joint are left out.

    Raises:
        UserError: the file is missing, damaged or not such a file, or no joint was measured.
    """
    arrays = files.read_npz(path, WHAT, ("pose2d_crop", "detected", "confidence"))
    check_detections(path, arrays, len(arrays["pose2d_crop"]) if arrays["pose2d_crop"].ndim else 0)
    target, detected = arrays["pose2d_crop"], arrays["detected"]
    measured = geometry.inside_crop(target).numpy() > 0
    kept = measured.any(axis=1)
    if not kept.any():
        raise UserError(f"{path}: no joint of 'pose2d_crop' is labeled and inside its crop")
    error = _filled((detected - target)[kept], measured[kept])
    if np.median(np.ptp(detected[kept], axis=1).max(axis=-1)) < LEAST_EXTENT_PX:
        raise UserError(f"{path}: 'detected' must be in pixels of the crop; are these normalized coordinates?")
    return DetectorErrors(error, arrays["confidence"][kept].astype(np.float32), detected[kept] - error)


def check_detections(path: str, arrays: dict[str, np.ndarray], count: int) -> None:
    """Checks the shapes and values of `pose2d_crop`, `detected` and `confidence`, and makes them float32.

    Raises:
        UserError: names the array.
    """
    shapes = {"pose2d_crop": (count, NUM_JOINTS, 2), "detected": (count, NUM_JOINTS, 2)}
    for key, shape in (shapes | {"confidence": (count, NUM_JOINTS)}).items():
        array = arrays[key]
        if array.dtype.kind != "f" or array.shape != shape or not count:
            raise UserError(f"{path}: '{key}' is {array.dtype} {list(array.shape)}, expected float32 {list(shape)}")
        if not (np.abs(array) <= LARGEST_PX).all():
            raise UserError(f"{path}: '{key}' holds NaN, infinity or numbers that are no places near a crop")
        arrays[key] = array.astype(np.float32)
    if arrays["confidence"].min() < 0 or arrays["confidence"].max() > 1:
        raise UserError(f"{path}: 'confidence' holds values outside 0 to 1")


def _filled(error, measured):
    neighbors = np.zeros((NUM_JOINTS, NUM_JOINTS), np.float32)
    for child, parent in skeleton.H36M.bones:
        neighbors[child, parent] = neighbors[parent, child] = 1
    error, measured = np.where(measured[..., None], error, 0), measured.astype(np.float32)
    while not measured.all():
        counts = measured @ neighbors
        means = np.einsum("nk,kj,nkc->njc", measured, neighbors, error) / np.maximum(counts, 1)[..., None]
        error = np.where(measured[..., None] > 0, error, means)
        measured = np.maximum(measured, (counts > 0).astype(np.float32))
    return error
