"""Geometry of poses: crop, image and camera coordinates, and rigid alignment.

Pixels: x right, y down, centres at integers. 3D: mm, x right, y down, z away from the camera. All functions take any
leading batch dimensions.
"""

import tensorflow as tf

CROP_SIZE = 256
"""Side of the crops of people that models see, in pixels."""


def image_to_crop(pose2d, offset, scale):
    """Pixels of the original image to pixels of the crop: (pose2d − offset) · scale.

    Args:
        pose2d: float [..., J, 2].
        offset: float [..., 2]: the crop's corner in the image.
        scale: float [...].

    Returns:
        float [..., J, 2].
    """
    return (pose2d - offset[..., None, :]) * scale[..., None, None]


def crop_to_image(pose2d_crop, offset, scale):
    """Inverse of `image_to_crop`."""
    return pose2d_crop / scale[..., None, None] + offset[..., None, :]


def inside_crop(pose2d_crop):
    """Which joints lie in the crop, and so in a heatmap. float [..., J, 2] crop px -> float32 [..., J]: 1 or 0."""
    inside = (pose2d_crop >= -0.5) & (pose2d_crop <= CROP_SIZE - 0.5)
    return tf.cast(tf.reduce_all(inside, axis=-1), tf.float32)


def project(pose3d, intrinsics):
    """Perspective projection without lens distortion.

    Args:
        pose3d: float [..., J, 3] in the camera frame, absolute.
        intrinsics: float [..., 4]: fx, cx, fy, cy in pixels.

    Returns:
        float [..., J, 2] pixels.
    """
    fx, cx, fy, cy = (intrinsics[..., None, i] for i in range(4))
    x, y, z = (pose3d[..., i] for i in range(3))
    return tf.stack([fx * x / z + cx, fy * y / z + cy], axis=-1)


def fit_crop_camera(pose2d_crop, pose3d):
    """Intrinsics that project `pose3d` to `pose2d_crop`, by least squares over the joints.

    A crop of a pinhole image is a pinhole image with other intrinsics, so this is exact for undistorted data.

    Args:
        pose2d_crop: float [..., J, 2] pixels.
        pose3d: float [..., J, 3] in the camera frame, absolute.

    Returns:
        float [..., 4]: fx, cx, fy, cy in crop pixels.
    """
    ray = pose3d[..., :2] / pose3d[..., 2:]
    ray_mean = tf.reduce_mean(ray, axis=-2)
    pose_mean = tf.reduce_mean(pose2d_crop, axis=-2)
    ray_centred = ray - ray_mean[..., None, :]
    focal = tf.reduce_sum(ray_centred * (pose2d_crop - pose_mean[..., None, :]), axis=-2)
    focal /= tf.reduce_sum(ray_centred**2, axis=-2)
    centre = pose_mean - focal * ray_mean
    return tf.stack([focal[..., 0], centre[..., 0], focal[..., 1], centre[..., 1]], axis=-1)


def hip_relative(pose3d):
    """Moves joint 0, the hip, to the origin. float [..., J, 3] in and out."""
    return pose3d - pose3d[..., :1, :]


def mirror_pose(pose, mirror, width: float | None = None):
    """The pose in a horizontally mirrored image.

    Args:
        pose: float [..., J, D].
        mirror: J indices that swap left and right (`Skeleton.mirror`).
        width: of the image, for poses in pixels (x becomes width − 1 − x); None for 3D poses (x becomes −x).

    Returns:
        float [..., J, D].
    """
    pose = tf.gather(pose, mirror, axis=-2)
    x = -pose[..., :1] if width is None else width - 1 - pose[..., :1]
    return tf.concat([x, pose[..., 1:]], axis=-1)


def procrustes_align(predicted, target):
    """Brings a prediction onto the truth by the best similarity transform.

    Rotation (without reflection), scale and translation minimise the sum of squared distances (Umeyama, PAMI 1991).
    Computed in float64. The gradient is exact, and finite for every pair of poses: where the best rotation is not
    unique, it is treated as a constant.

    Args:
        predicted: float [..., J, D].
        target: float [..., J, D].

    Returns:
        [..., J, D] of predicted's dtype: predicted, aligned to target.
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
    """The rotation R, without reflection, for which the trace of Rᵀ·covariance is largest. float64 [..., D, D].

    With covariance = U·S·Vᵀ, in which a reflection has turned the sign of the least of S, R = U·Vᵀ, and its derivative
    is U·Ω·Vᵀ with Ω = (A − Aᵀ)ᵢⱼ / (sᵢ + sⱼ), A = Uᵀ·d(covariance)·V. TensorFlow's own, of the singular vectors, has no
    value where two singular values are equal.
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
    turn -= tf.stop_gradient(turn)  # its value is 0 but for rounding
    return tf.matmul(u + tf.matmul(u, turn), v, transpose_b=True)
