"""Mirrors, rotates and scales images together with their joints."""

import warnings

import numpy as np
import tensorflow as tf

from pose_tf import geometry
from pose_tf.skeleton import H36M, Skeleton

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Addons announces its end of life on import
        import tensorflow_addons as tfa
except ImportError:  # not available for TensorFlow 2.16 and later
    tfa = None

LEGS = ("LHip", "RHip")
"""The joints from which legs hang. They, the joints below them and the hip are the lower body."""
LARGEST_FACTOR = 2.5
"""A half body is not enlarged more."""
FEWEST_JOINTS = 3
"""Labeled joints that a half body needs."""


@tf.keras.utils.register_keras_serializable("pose_tf")
class GeometricAugmenter(tf.keras.layers.Layer):
    """Random mirroring, then random rotation and scaling about the center of the image or of half a body.

    Args:
        flip: probability of mirroring.
        rotation: largest angle in degrees; uniform in ±rotation.
        scale: largest relative change of size; uniform in 1 ± scale.
        shift: largest move along each axis, relative to the image; uniform in ±shift.
        half_body: probability that the upper or the lower body is enlarged to fill the image, see `half_bodies`. The
            skeleton must have the joints LHip and RHip.
        skeleton: of the poses, or its `to_json`.

    Call arguments:
        images: uint8 [B, H, W, 3].
        pose2d: float32 [B, J, 2] px; joints without a label are at `geometry.UNLABELED_PX`.
        seed: int [2], for stateless randomness.
        pose3d: float32 [B, J, 3], relative to the hip, or None.

    Returns:
        images, pose2d and, if given, pose3d of the same shapes and types. Pixels from outside the image are black. A
        rotation of the image turns the 3D pose about the camera's axis, which is exact in the middle of the camera's
        image; scale and shift leave it as it is.
    """

    def __init__(
        self,
        flip: float = 0.5,
        rotation: float = 0.0,
        scale: float = 0.0,
        shift: float = 0.0,
        half_body: float = 0.0,
        skeleton: Skeleton | dict = H36M,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.skeleton = Skeleton.from_config(skeleton)
        self.flip = flip
        self.rotation = rotation
        self.scale = scale
        self.shift = shift
        self.half_body = half_body

    def call(self, images, pose2d, seed, pose3d=None):
        seeds = tf.random.experimental.stateless_split(seed, 6)
        batch, height, width = tf.unstack(tf.shape(images)[:3])
        if self.flip:
            flipped = tf.random.stateless_uniform([batch], seeds[0]) < self.flip
            mirrored = geometry.mirror_pose(pose2d, self.skeleton.mirror, tf.cast(width, tf.float32))
            images = tf.where(flipped[:, None, None, None], tf.reverse(images, [2]), images)
            pose2d = tf.where(flipped[:, None, None], mirrored, pose2d)
            if pose3d is not None:
                mirrored = geometry.mirror_pose(pose3d, self.skeleton.mirror)
                pose3d = tf.where(flipped[:, None, None], mirrored, pose3d)
        if self.rotation or self.scale or self.shift or self.half_body:
            angle = (
                tf.random.stateless_uniform([batch], seeds[1], -1.0, 1.0) * self.rotation * (3.141592653589793 / 180)
            )
            factor = 1 + tf.random.stateless_uniform([batch], seeds[2], -1.0, 1.0) * self.scale
            size = tf.cast([width, height], tf.float32)
            center = target = tf.repeat((size[None] - 1) / 2, batch, axis=0)
            if self.half_body:
                upper = tf.random.stateless_uniform([batch], seeds[4]) < 0.5
                of_half, enlarged = half_bodies(pose2d, size, upper, self.skeleton)
                chosen = tf.random.stateless_uniform([batch], seeds[5]) < self.half_body
                center = tf.where(chosen[:, None], of_half, center)
                factor = tf.where(chosen, enlarged * factor, factor)
            if self.shift:
                target += tf.random.stateless_uniform([batch, 2], seeds[3], -1.0, 1.0) * self.shift * size
            images = move_images(images, angle, factor, center, target)
            cos, sin = tf.cos(angle) * factor, tf.sin(angle) * factor
            matrix = tf.stack([tf.stack([cos, -sin], -1), tf.stack([sin, cos], -1)], -2)  # [B, 2, 2]
            pose2d = tf.einsum("bij,bkj->bki", matrix, pose2d - center[:, None]) + target[:, None]
            if pose3d is not None:
                turned = tf.einsum("bij,bkj->bki", matrix / factor[:, None, None], pose3d[..., :2])
                pose3d = tf.concat([turned, pose3d[..., 2:]], axis=-1)
        return (images, pose2d) if pose3d is None else (images, pose2d, pose3d)

    def get_config(self):
        options = ("flip", "rotation", "scale", "shift", "half_body")
        return {**super().get_config(), **{name: getattr(self, name) for name in options}, **self.skeleton.to_config()}


def half_bodies(pose2d, size, upper, skeleton: Skeleton = H36M):
    """Where half of each body is, and the factor that makes it fill the image.

    Its labeled joints then take two thirds of the image, as in the public HRNet. Nothing is enlarged more than
    `LARGEST_FACTOR` times. With fewer than `FEWEST_JOINTS` labeled joints in a half, the whole image stays.

    Args:
        pose2d: float32 [B, J, 2] px; joints without a label are at `geometry.UNLABELED_PX`.
        size: float32 [2]: width and height of the images.
        upper: bool [B]: the upper body, otherwise the lower one.
        skeleton: of the poses.

    Returns:
        center: float32 [B, 2] px.
        factor: float32 [B], at least 1.
    """
    lower = skeleton.below(*LEGS)
    lower[0] = True
    half = tf.where(upper[:, None], ~lower[None], lower[None]) & (geometry.labeled(pose2d) > 0)  # [B, J]
    low = tf.reduce_min(tf.where(half[..., None], pose2d, np.inf), axis=1)
    high = tf.reduce_max(tf.where(half[..., None], pose2d, -np.inf), axis=1)
    enough = tf.math.count_nonzero(half, axis=1) >= FEWEST_JOINTS
    side = tf.maximum(tf.reduce_max(high - low, axis=-1), 1.0)
    factor = tf.clip_by_value(tf.reduce_min(size) / (1.5 * side), 1.0, LARGEST_FACTOR)
    center = tf.where(enough[:, None], (low + high) / 2, (size - 1) / 2)
    return center, tf.where(enough, factor, 1.0)


def move_images(images, angle, factor, center, target):
    """Rotates by `angle` (radians, clockwise as seen) and scales by `factor` about `center`, which moves to `target`.

    Args:
        images: uint8 [B, H, W, C].
        angle: float32 [B].
        factor: float32 [B].
        center, target: float32 [B, 2]: x, y px.

    Returns:
        uint8 [B, H, W, C], interpolated bilinearly; black outside.
    """
    # Pixels of the result to pixels of the source: the inverse rotation and scale.
    a, b = tf.cos(angle) / factor, tf.sin(angle) / factor
    x, y, to_x, to_y = *tf.unstack(center, axis=-1), *tf.unstack(target, axis=-1)
    zeros = tf.zeros_like(a)
    transforms = tf.stack([a, b, x - a * to_x - b * to_y, -b, a, y + b * to_x - a * to_y, zeros, zeros], axis=-1)
    transform = tfa.image.transform if tfa else transform_images
    rotated = transform(tf.cast(images, tf.float32), transforms, interpolation="bilinear")
    return tf.cast(tf.round(rotated), images.dtype)


def transform_images(images, transforms, interpolation: str):
    """Replaces `tfa.image.transform` where TensorFlow Addons is not installed.

    Args:
        images: float32 [B, H, W, C].
        transforms: float32 [B, 8]: a0, a1, a2, b0, b1, b2, c0, c1; the pixel (x, y) of the result is taken from
            ((a0·x + a1·y + a2) / k, (b0·x + b1·y + b2) / k) with k = c0·x + c1·y + 1.
        interpolation: `nearest` or `bilinear`.

    Returns:
        float32 [B, H, W, C]; black outside.
    """
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation=interpolation.upper(),
        fill_mode="CONSTANT",
    )
