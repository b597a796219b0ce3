"""Mirrors, rotates and scales images together with their joints."""

import warnings

import tensorflow as tf

from pose_tf import geometry, skeleton

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Addons announces its end of life on import
        import tensorflow_addons as tfa
except ImportError:  # not available for TensorFlow 2.16 and later
    tfa = None


@tf.keras.utils.register_keras_serializable("pose_tf")
class GeometricAugmenter(tf.keras.layers.Layer):
    """Random mirroring, then random rotation and scaling about the center of the image.

    Args:
        flip: probability of mirroring.
        rotation: largest angle in degrees; uniform in ±rotation.
        scale: largest relative change of size; uniform in 1 ± scale.

    Call arguments:
        images: uint8 [B, H, W, 3].
        pose2d: float32 [B, 17, 2] px.
        seed: int [2], for stateless randomness.

    Returns:
        images and pose2d of the same shapes and types. Pixels from outside the image are black.
    """

    def __init__(self, flip: float = 0.5, rotation: float = 0.0, scale: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.flip = flip
        self.rotation = rotation
        self.scale = scale

    def call(self, images, pose2d, seed):
        seeds = tf.random.experimental.stateless_split(seed, 3)
        batch, height, width = tf.unstack(tf.shape(images)[:3])
        if self.flip:
            flipped = tf.random.stateless_uniform([batch], seeds[0]) < self.flip
            mirrored = geometry.mirror_pose(pose2d, skeleton.H36M.mirror, tf.cast(width, tf.float32))
            images = tf.where(flipped[:, None, None, None], tf.reverse(images, [2]), images)
            pose2d = tf.where(flipped[:, None, None], mirrored, pose2d)
        if self.rotation or self.scale:
            angle = (
                tf.random.stateless_uniform([batch], seeds[1], -1.0, 1.0) * self.rotation * (3.141592653589793 / 180)
            )
            factor = 1 + tf.random.stateless_uniform([batch], seeds[2], -1.0, 1.0) * self.scale
            center = (tf.cast([width, height], tf.float32) - 1) / 2
            images = rotate_images(images, angle, factor, center)
            cos, sin = tf.cos(angle) * factor, tf.sin(angle) * factor
            matrix = tf.stack([tf.stack([cos, -sin], -1), tf.stack([sin, cos], -1)], -2)  # [B, 2, 2]
            pose2d = tf.einsum("bij,bkj->bki", matrix, pose2d - center) + center
        return images, pose2d

    def get_config(self):
        return {**super().get_config(), "flip": self.flip, "rotation": self.rotation, "scale": self.scale}


def rotate_images(images, angle, factor, center):
    """Rotates by `angle` (radians, clockwise as seen) and scales by `factor` about `center`, bilinearly.

    Args:
        images: uint8 [B, H, W, C].
        angle: float32 [B].
        factor: float32 [B].
        center: float32 [2]: x, y px.

    Returns:
        uint8 [B, H, W, C]; black outside.
    """
    # Pixels of the result to pixels of the source: the inverse rotation and scale.
    a, b = tf.cos(angle) / factor, tf.sin(angle) / factor
    x, y = center[0], center[1]
    zeros = tf.zeros_like(a)
    transforms = tf.stack([a, b, x - a * x - b * y, -b, a, y + b * x - a * y, zeros, zeros], axis=-1)
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
