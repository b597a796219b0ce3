"""Geometry of poses: crop, image and camera coordinates, and rigid alignment.

Pixels: x right, y down, pixel centers at integers. 3D: mm, x right, y down, z away from the camera. All functions
accept any leading batch dimensions. Those for cameras take NumPy arrays and tensors, and return what they got.
"""

import types
from typing import Any, NamedTuple

import numpy as np

from pose_tf import lazy_tensorflow as tf

CROP_SIZE = 256
"""Side of the square crops that detectors take, in pixels."""
DEFAULT_MARGIN = 1.25
"""Side of a crop over the longest side of the box around the person; that of the public HRNet."""
BODY_OVER_JOINTS = 1.05
"""Side of a body's box over that of its joints' box, which excludes soles and hands."""
UNLABELED_PX = -1e6
"""Both coordinates in the crop of a joint that is not labeled. Like all joints outside the crop, it has no weight in
losses and metrics."""


class Crop(NamedTuple):
    """A square region of an image, which is scaled to the crop's 256x256 pixels. Holds NumPy arrays or tensors.

    Positions have pixel centers at integers, in the image and in the crop: pixel i spans i − 0.5 … i + 0.5. Boxes and
    squares are measured from the image's outer edge as x, y, width, height: the whole image is 0, 0, W, H. `to_crop`
    and `to_image` account for this difference of half a pixel.

    Attributes:
        corner: float [..., 2] px: x, y of the upper left corner.
        side: float [...] px.
    """

    corner: Any
    side: Any

    @classmethod
    def around(cls, box, margin: float) -> "Crop":
        """The square around the center of a box.

        Args:
            box: float [..., 4] px: x, y, width, height.
            margin: side of the square over the longest side of the box.
        """
        start, extent = box[..., :2], box[..., 2:]
        side = margin * _functions(box).maximum(extent[..., 0], extent[..., 1])
        return cls(start + (extent - side[..., None]) / 2, side)

    @classmethod
    def from_offset_scale(cls, offset, scale) -> "Crop":
        """The crop of a record, which stores the map (position in the image − offset) · scale = position in the crop.

        Args:
            offset: float [..., 2] px: position in the image of the center of the crop's first pixel.
            scale: float [...]: crop pixels per image pixel.
        """
        return cls(offset + 0.5 - 0.5 / scale[..., None], CROP_SIZE / scale)

    def to_offset_scale(self):
        """Inverse of `from_offset_scale`: offset float [..., 2] px, scale float [...]."""
        scale = CROP_SIZE / self.side
        return self.corner - 0.5 + 0.5 / scale[..., None], scale

    def to_crop(self, pose2d):
        """Positions in the image [..., J, 2] -> positions in the crop [..., J, 2]."""
        scale = CROP_SIZE / self.side
        return (pose2d + 0.5 - self.corner[..., None, :]) * scale[..., None, None] - 0.5

    def to_image(self, pose2d_crop):
        """Inverse of `to_crop`."""
        scale = self.side / CROP_SIZE
        return (pose2d_crop + 0.5) * scale[..., None, None] + self.corner[..., None, :] - 0.5


def _functions(array):
    """NumPy's functions for an array; for a tensor, those of TensorFlow by the same names."""
    if isinstance(array, np.ndarray):
        return np
    return types.SimpleNamespace(
        all=tf.reduce_all,
        asarray=tf.cast,
        concatenate=tf.concat,
        isfinite=tf.math.is_finite,
        maximum=tf.maximum,
        ones_like=tf.ones_like,
        sqrt=tf.sqrt,
        stack=tf.stack,
        sum=tf.reduce_sum,
        where=tf.where,
        zeros_like=tf.zeros_like,
    )


FRAMES = ("camera", "sight")
"""Frames of poses: that of the camera; or that of a camera at the same place that looks at the hip, without roll. A
crop does not show where in the image it is, and so whether a person has turned or stands to the side; in the second
frame, the pose does not depend on it."""
LEAST_SPREAD = 1e-4
"""The smallest spread of rays that tells a distance: a person of one meter ten kilometers away."""


def inside_crop(pose2d_crop):
    """1 for joints inside the crop, and so in the heatmap; else 0. float [..., J, 2] crop px -> float32 [..., J]."""
    inside = (pose2d_crop >= -0.5) & (pose2d_crop <= CROP_SIZE - 0.5)
    return tf.cast(tf.reduce_all(inside, axis=-1), tf.float32)


def labeled(pose2d_crop):
    """1 for labeled joints, inside the crop or not; else 0. float [..., J, 2] crop px -> float32 [..., J]."""
    return tf.cast(tf.reduce_max(tf.abs(pose2d_crop), axis=-1) < abs(UNLABELED_PX) / 50, tf.float32)


def project(pose3d, intrinsics):
    """Perspective projection without lens distortion. Accepts NumPy arrays and tensors.

    Args:
        pose3d: float [..., J, 3], absolute positions in the camera frame.
        intrinsics: float [..., 4]: fx, cx, fy, cy in pixels.

    Returns:
        float [..., J, 2] pixels.
    """
    focal, center = intrinsics[..., None, 0::2], intrinsics[..., None, 1::2]
    return focal * pose3d[..., :2] / pose3d[..., 2:] + center


def hip_position(pose3d, pose2d, intrinsics, weights):
    """Position of the hip that brings the joints of a pose nearest to the rays through their pixels.

    With the ray (x, y, 1) of a joint's pixel and the hip at T, T + pose3d is on the ray if T_x + pose3d_x =
    x · (T_z + pose3d_z), and likewise for y: two linear equations per joint, solved by least squares.

    Args:
        pose3d: float [..., J, 3] mm, relative to the hip, in the camera's frame.
        pose2d: float [..., J, 2]: the joints in pixels of the image.
        intrinsics: float [..., 4]: fx, cx, fy, cy in pixels.
        weights: float [..., J], at least 0: how much each joint counts, such as its confidence. A joint that is not
            finite does not count.

    Returns:
        float [..., 3] mm; NaN if no position in front of the camera explains the joints, or all are in one place.
    """
    xp = _functions(pose3d)
    finite = xp.all(xp.isfinite(pose2d), axis=-1) & xp.all(xp.isfinite(pose3d), axis=-1)
    pose2d, pose3d = (xp.where(finite[..., None], values, xp.zeros_like(values)) for values in (pose2d, pose3d))
    rays = (pose2d - intrinsics[..., None, 1::2]) / intrinsics[..., None, 0::2]
    weights = xp.where(finite, xp.maximum(weights, 1e-6), xp.zeros_like(weights))[..., None]

    def mean(values):
        return xp.sum(weights * values, axis=-2)

    # For each T_z, the best T_x and T_y are means; what remains is one equation for T_z.
    with np.errstate(invalid="ignore", divide="ignore"):  # no joint, or all in one place
        weights /= xp.sum(weights, axis=-2, keepdims=True)
        shift = rays * pose3d[..., 2:] - pose3d[..., :2]  # = T_xy − ray · T_z
        mean_ray, mean_shift = mean(rays), mean(shift)
        spread = rays - mean_ray[..., None, :]
        size = xp.sum(mean(spread**2), axis=-1)
        depth = -xp.sum(mean(spread * shift), axis=-1) / size
        place = xp.concatenate([mean_shift + mean_ray * depth[..., None], depth[..., None]], axis=-1)
        valid = xp.where((size > LEAST_SPREAD**2) & (depth > 0), xp.ones_like(depth), xp.zeros_like(depth))
        return place + xp.sqrt(valid - 1)[..., None]  # NaN as a constant would make exported models look damaged


def looking_at(point):
    """Rotation from the frame of a camera to that of a camera at the same place that looks at a point, without roll.

    Args:
        point: float [..., 3], not the camera's place.

    Returns:
        float [..., 3, 3]; `turn` applies it.
    """
    xp = _functions(point)
    direction = point / xp.sqrt(xp.sum(point**2, axis=-1, keepdims=True))
    x, y, z = (direction[..., axis] for axis in range(3))
    level = xp.maximum(xp.sqrt(x**2 + z**2), 1e-6)
    rows = [(z / level, xp.zeros_like(x), -x / level), (-x * y / level, level, -y * z / level), (x, y, z)]
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def turn(pose3d, rotation):
    """Applies rotations [..., 3, 3] to poses [..., J, 3]."""
    if isinstance(pose3d, np.ndarray):
        return pose3d @ np.swapaxes(rotation, -1, -2)
    return tf.matmul(pose3d, rotation, transpose_b=True)


def to_camera(pose3d, pose2d, intrinsics, frame: str):
    """Brings poses from one of `FRAMES` to the camera's.

    Args:
        pose3d: float [..., J, 3] mm, relative to the hip.
        pose2d: float [..., J, 2]: the joints in pixels of the whole image; the hip gives the direction.
        intrinsics: float [..., 4]: fx, cx, fy, cy in pixels.
        frame: the frame of `pose3d`.

    Returns:
        float [..., J, 3] mm.
    """
    if frame == "camera":
        return pose3d
    xp = _functions(pose3d)
    pose2d, intrinsics = (xp.asarray(values, pose3d.dtype) for values in (pose2d, intrinsics))
    direction = (pose2d[..., 0, :] - intrinsics[..., 1::2]) / intrinsics[..., 0::2]
    back = looking_at(xp.concatenate([direction, xp.ones_like(direction[..., :1])], axis=-1))
    return pose3d @ back  # `turn` by the inverse


def hip_relative(pose3d):
    """Moves joint 0, the hip, to the origin: float [..., J, 3] in and out. Accepts NumPy arrays and tensors."""
    return pose3d - pose3d[..., :1, :]


def bone_vectors(pose3d, bones):
    """Vectors from the parent to the child of B bones: float [..., J, 3] and (child, parent) pairs -> [..., B, 3]."""
    children, parents = zip(*bones)
    return tf.gather(pose3d, children, axis=-2) - tf.gather(pose3d, parents, axis=-2)


def mirror_pose(pose, mirror, width: float | None = None):
    """The pose in a horizontally mirrored image.

    Args:
        pose: float [..., J, D].
        mirror: J indices that swap left and right (`Skeleton.mirror`).
        width: width of the image for poses in pixels (x becomes width − 1 − x); None for 3D poses (x becomes −x).

    Returns:
        float [..., J, D].
    """
    pose = tf.gather(pose, mirror, axis=-2)
    x = -pose[..., :1] if width is None else width - 1 - pose[..., :1]
    return tf.concat([x, pose[..., 1:]], axis=-1)


def change_joints(pose, weights, known, unknown: float):
    """Poses in the joints of another skeleton.

    Args:
        pose: float32 [..., J, D].
        weights: float32 [K, J], see `Skeleton.weights`.
        known: [..., J], above 0 for joints whose position is known.
        unknown: the coordinates of joints that are not.

    Returns:
        float32 [..., K, D]. A joint is known if all joints are from which it follows.
    """
    is_known = known > 0
    pose = tf.einsum("kj,...jd->...kd", weights, tf.where(is_known[..., None], pose, tf.zeros_like(pose)))
    uses = tf.cast(weights > 0, tf.float32)
    lacks = tf.einsum("kj,...j->...k", uses, tf.cast(~is_known, tf.float32)) > 0
    lacks |= tf.reduce_sum(uses, axis=-1) == 0
    return tf.where(lacks[..., None], tf.constant(unknown, pose.dtype), pose)


def change_labels(labels: dict, weights) -> dict:
    """Labels of samples or batches in the joints of another skeleton.

    Args:
        labels: any of "pose2d_crop" [..., J, 2] crop px, "pose3d" and "detected" [..., J, D], NaN where unknown, and
            "confidence" [..., J], all float32. Others stay as they are.
        weights: float32 [K, J], see `Skeleton.weights`.

    Returns:
        The same labels with K joints. Those that are not known are at UNLABELED_PX in `pose2d_crop`, else NaN.
    """
    changed = dict(labels)
    if (pose2d := labels.get("pose2d_crop")) is not None:
        changed["pose2d_crop"] = change_joints(pose2d, weights, labeled(pose2d), UNLABELED_PX)
    for key in ("pose3d", "detected"):
        if (pose := labels.get(key)) is not None:
            is_known = tf.reduce_all(tf.math.is_finite(pose), axis=-1)
            changed[key] = change_joints(pose, weights, tf.cast(is_known, tf.float32), np.nan)
    if (confidence := labels.get("confidence")) is not None:
        changed["confidence"] = tf.linalg.matvec(weights, confidence)
    return changed


def procrustes_align(predicted, target):
    """Aligns a predicted pose to the true one by the best similarity transform.

    Rotation (without reflection), scale and translation minimize the sum of squared distances (Umeyama, PAMI 1991).
    Computed in float64. The gradient is exact, and finite for every pair of poses: a rotation that is not unique is
    treated as a constant.

    Args:
        predicted: float [..., J, D].
        target: float [..., J, D].

    Returns:
        `predicted`, aligned to `target`: [..., J, D] in the dtype of `predicted`.
    """
    dtype = predicted.dtype
    predicted, target = tf.cast(predicted, tf.float64), tf.cast(target, tf.float64)
    target_mean = tf.reduce_mean(target, axis=-2, keepdims=True)
    p = predicted - tf.reduce_mean(predicted, axis=-2, keepdims=True)
    t = target - target_mean
    rotated = tf.matmul(p, _best_rotation(tf.matmul(p, t, transpose_a=True)))
    scale = tf.reduce_sum(rotated * t, axis=[-2, -1]) / tf.maximum(tf.reduce_sum(p**2, axis=[-2, -1]), 1e-12)
    return tf.cast(scale[..., None, None] * rotated + target_mean, dtype)


def _best_rotation(covariance):
    """The rotation R, without reflection, that maximizes the trace of Rᵀ·covariance. float64 [..., D, D].

    Let covariance = U·S·Vᵀ; the smallest singular value and its column of U change sign if U·Vᵀ would be a reflection.
    Then R = U·Vᵀ. Its derivative is U·Ω·Vᵀ with Ω = (A − Aᵀ)ᵢⱼ / (sᵢ + sⱼ), A = Uᵀ·d(covariance)·V. TensorFlow's
    derivative of the singular vectors is undefined where two singular values are equal.
    """
    s, u, v = (tf.stop_gradient(part) for part in tf.linalg.svd(covariance))
    sign = tf.sign(tf.linalg.det(tf.matmul(u, v, transpose_b=True)))
    last = tf.cast(tf.range(tf.shape(s)[-1]) == tf.shape(s)[-1] - 1, tf.float64)
    flip = 1 + last * (sign[..., None] - 1)
    u, s = u * flip[..., None, :], s * flip
    turn = tf.matmul(u, tf.matmul(covariance, v), transpose_a=True)
    sums = s[..., :, None] + s[..., None, :]
    unique = sums > 1e-9 * s[..., :1, None]
    turn = tf.where(unique, (turn - tf.linalg.matrix_transpose(turn)) / tf.where(unique, sums, 1.0), 0.0)
    turn -= tf.stop_gradient(turn)  # its value is 0 except for rounding
    return tf.matmul(u + tf.matmul(u, turn), v, transpose_b=True)
