"""Files of a detector's errors on labeled images, which a lifter adds to the 2D joints that it trains on."""

import numpy as np

from pose_tf import files, geometry, skeleton
from pose_tf.errors import UserError

NUM_JOINTS = len(skeleton.H36M.joints)


def write_errors(path: str, predicted: np.ndarray, target: np.ndarray, confidence: np.ndarray) -> int:
    """Writes an .npz with `error` [N,17,2] crop px, predicted minus true, and `confidence` [N,17].

    Joints without a label, and joints outside the crop, have the error NaN. Images without any measured joint are left
    out.

    Args:
        path: file to write.
        predicted, target: float [N, 17, 2] crop px.
        confidence: float [N, 17].

    Returns:
        The number of images in the file.
    """
    measured = geometry.inside_crop(target).numpy() > 0
    error = np.where(measured[..., None], predicted - target, np.nan).astype(np.float32)
    kept = measured.any(axis=1)
    files.write_npz(path, compress=True, error=error[kept], confidence=confidence[kept].astype(np.float32))
    return int(kept.sum())


def read_errors(path: str) -> np.ndarray:
    """Reads a file of `write_errors`: float32 [N, 17, 2] crop px.

    A joint that was not measured, such as one that a data set does not label, has the mean error of its neighbors in
    the skeleton, or that of their neighbors.

    Raises:
        UserError: the file is missing, damaged or not such a file.
    """
    error = files.read_npz(path, "a file of a detector's errors, see pose-tf evaluate --errors", ("error",))["error"]
    if error.dtype.kind != "f" or error.shape[1:] != (NUM_JOINTS, 2) or not len(error):
        raise UserError(f"{path}: 'error' is {error.dtype} {list(error.shape)}, expected float32 [N, {NUM_JOINTS}, 2]")
    measured = ~np.isnan(error).any(axis=-1)
    if np.isinf(error).any() or not measured.any(axis=1).all():
        raise UserError(f"{path}: 'error' holds infinity, or an image without any joint")
    return _filled(error.astype(np.float32), measured)


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
