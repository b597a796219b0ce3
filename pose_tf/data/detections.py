"""Files of what a detector finds in labeled images: pose files with detected joints and their confidences."""

import dataclasses

import numpy as np

from pose_tf import files, geometry
from pose_tf.errors import UserError
from pose_tf.skeleton import ENDS, H36M, Skeleton, check_names

LABELS = ("pose2d_crop", "pose3d", "detected", "confidence")
"""Arrays of a file of poses that have an axis of joints."""
LARGEST_PX = 10 * abs(geometry.UNLABELED_PX)
LEAST_EXTENT_PX = (1.0, 8.0)
"""The smallest plausible longest side of the box around the joints (median over the poses): if neither head nor feet
are among them, and otherwise."""
WHAT = "a file of detected joints, see pose-tf evaluate --detections"


@dataclasses.dataclass(frozen=True)
class DetectorErrors:
    """A detector's errors in N images.

    Attributes:
        error: float32 [N, J, 2] crop px, detected minus true. A joint that was not measured, since it has no label or
            lies outside the crop, has the mean error of its neighbors in the skeleton, or that of their neighbors.
        confidence: float32 [N, J].
        pose2d: float32 [N, J, 2] crop px: the detected joints minus the errors, so the true joints where measured.
    """

    error: np.ndarray
    confidence: np.ndarray
    pose2d: np.ndarray


def write_detections(
    path: str,
    truth: dict[str, np.ndarray],
    detected: np.ndarray,
    confidence: np.ndarray,
    skeleton: Skeleton = H36M,
) -> None:
    """Writes an .npz with the arrays of `truth`, `detected` [N,J,2] crop px and `confidence` [N,J].

    Args:
        path: file to write.
        truth: `pose2d_crop` float [N, J, 2] crop px and, for a pose file, the other arrays of `read_pose_file`.
        detected: float [N, J, 2] crop px.
        confidence: float [N, J].
        skeleton: of the poses. The file names its joints, in the array `joints`, unless it is Human3.6M's.
    """
    arrays = truth | {"detected": detected.astype(np.float32), "confidence": confidence.astype(np.float32)}
    files.write_npz(path, compress=True, **arrays, **named_joints(skeleton))


def named_joints(skeleton: Skeleton) -> dict[str, np.ndarray]:
    """The array that names the joints of a file of poses. Human3.6M's need none."""
    return {} if skeleton.joints == H36M.joints else {"joints": np.array(skeleton.joints)}


def skeleton_of(path: str, arrays: dict[str, np.ndarray]) -> Skeleton:
    """The joints of a file of poses, without bones. Removes the array that names them. Without it, Human3.6M's.

    Raises:
        UserError: the array does not hold different names.
    """
    names = arrays.pop("joints", None)
    if names is None or (names.ndim == 1 and tuple(names.tolist()) == H36M.joints):
        return H36M
    if names.ndim != 1 or names.dtype.kind != "U":
        raise UserError(f"{path}: 'joints' is {names.dtype} {list(names.shape)}, expected the names of the joints")
    check_names(names.tolist(), f"{path}: 'joints'")
    return Skeleton(path, tuple(names.tolist()), ())


def least_extent(skeleton: Skeleton) -> float:
    """That of `LEAST_EXTENT_PX` which applies to the joints of a skeleton."""
    return LEAST_EXTENT_PX[len(skeleton.missing(*ENDS)) < len(ENDS)]


def change_detections(arrays: dict[str, np.ndarray], own: Skeleton, skeleton: Skeleton, path: str) -> None:
    """Brings `pose2d_crop` and, where they are, `detected`, `confidence` and `pose3d` to the joints of a skeleton.

    Args:
        arrays: the arrays of a file of poses, float32.
        own: the skeleton of the arrays.
        skeleton: the one to convert to.
        path: of the file, for messages.

    Raises:
        UserError: a joint of the skeleton is neither in the file nor can it be derived.
    """
    if own.joints == skeleton.joints:
        return
    own.check_converts_to(skeleton, path)
    labels = {key: np.float32(arrays[key]) for key in LABELS if key in arrays}
    changed = geometry.change_labels(labels, own.weights(skeleton))
    arrays.update({key: label.numpy() for key, label in changed.items()})


def read_errors(path: str, skeleton: Skeleton = H36M) -> DetectorErrors:
    """Reads the errors of a file of detected joints. Images without any measured joint are left out.

    Args:
        path: the file.
        skeleton: the joints to return, which the file must have or derive.

    Raises:
        UserError: the file is missing, damaged or not such a file, it lacks joints, or no joint was measured.
    """
    arrays = files.read_npz(path, WHAT, ("pose2d_crop", "detected", "confidence"), ("joints",))
    own = skeleton_of(path, arrays)
    check_detections(path, arrays, len(arrays["pose2d_crop"]) if arrays["pose2d_crop"].ndim else 0, own)
    kept = _measured(path, arrays).any(axis=1)
    if np.median(np.ptp(arrays["detected"][kept], axis=1).max(axis=-1)) < least_extent(own):
        raise UserError(f"{path}: 'detected' must be in pixels of the crop; are these normalized coordinates?")
    change_detections(arrays, own, skeleton, path)
    measured = _measured(path, arrays)
    kept, target, detected = measured.any(axis=1), arrays["pose2d_crop"], arrays["detected"]
    error = _filled((detected - target)[kept], measured[kept], skeleton)
    return DetectorErrors(error, arrays["confidence"][kept].astype(np.float32), detected[kept] - error)


def _measured(path, arrays):
    """Which joints are labeled and inside their crops, bool [N, J]. Raises UserError if none is."""
    measured = geometry.inside_crop(arrays["pose2d_crop"]).numpy() > 0
    if not measured.any():
        raise UserError(f"{path}: no joint of 'pose2d_crop' is labeled and inside its crop")
    return measured


def check_detections(path: str, arrays: dict[str, np.ndarray], count: int, skeleton: Skeleton = H36M) -> None:
    """Checks the shapes and values of `pose2d_crop`, `detected` and `confidence`, and makes them float32.

    Raises:
        UserError: names the array.
    """
    joints = len(skeleton.joints)
    shapes = {"pose2d_crop": (count, joints, 2), "detected": (count, joints, 2)}
    for key, shape in (shapes | {"confidence": (count, joints)}).items():
        array = arrays[key]
        if array.dtype.kind != "f" or array.shape != shape or not count:
            raise UserError(f"{path}: '{key}' is {array.dtype} {list(array.shape)}, expected float32 {list(shape)}")
        if not (np.abs(array) <= LARGEST_PX).all():
            raise UserError(f"{path}: '{key}' holds NaN, infinity or numbers that are no places near a crop")
        arrays[key] = array.astype(np.float32)
    if arrays["confidence"].min() < 0 or arrays["confidence"].max() > 1:
        raise UserError(f"{path}: 'confidence' holds values outside 0 to 1")


def _filled(error, measured, skeleton):
    neighbors = np.zeros((len(skeleton.joints),) * 2, np.float32)
    for child, parent in skeleton.bones:
        neighbors[child, parent] = neighbors[parent, child] = 1
    error, measured = np.where(measured[..., None], error, 0), measured.astype(np.float32)
    while not measured.all():
        counts = measured @ neighbors
        means = np.einsum("nk,kj,nkc->njc", measured, neighbors, error) / np.maximum(counts, 1)[..., None]
        error = np.where(measured[..., None] > 0, error, means)
        measured = np.maximum(measured, (counts > 0).astype(np.float32))
    return error
