"""The inputs of both lifters: 2D joints, their confidences, and image features."""

import tensorflow as tf

from pose_tf.layers import BatchNormalization

PROJECTED = 64
"""Channels to which the image features of each joint are projected."""


def joint_inputs(num_joints: int, confidence: bool, features: int) -> list:
    """The inputs of a lifter: [joints] or [joints, image features]; arguments as for `FeedForward`."""
    inputs = [tf.keras.Input((num_joints, 3 if confidence else 2), name="pose2d")]
    if features:
        inputs.append(tf.keras.Input((num_joints, features), name="features"))
    return inputs


def to_pixels(joints, confidence: bool):
    """Pixels / 128 − 1 to pixels; confidences stay. [B, J, 2 or 3] in and out."""
    scale, offset = ([128.0, 128.0, 1.0], [128.0, 128.0, 0.0]) if confidence else (128.0, 128.0)
    return tf.keras.layers.Rescaling(scale, offset, dtype="float32", name="pixels")(joints)


def add_features(x, features):
    """Adds image features to the result of a lifter's first layer, as if that layer had them as further inputs.

    They are projected to a few channels first. The layer starts at 0, so a lifter that was trained without features
    begins with the same poses.

    Args:
        x: [B, J, C] of a lifter that keeps the joints apart, else [B, C].
        features: [B, J, F].

    Returns:
        As `x`.
    """
    y = tf.keras.layers.Dense(PROJECTED, use_bias=False, kernel_initializer="he_normal", name="features.linear")(
        features
    )
    y = BatchNormalization(momentum=0.9, epsilon=1e-5, name="features.bn")(y)
    y = tf.keras.layers.ReLU(name="features.relu")(y)
    if x.shape.rank == 2:
        y = tf.keras.layers.Flatten(name="features.flatten")(y)
    y = tf.keras.layers.Dense(x.shape[-1], use_bias=False, kernel_initializer="zeros", name="features.join")(y)
    return tf.keras.layers.Add(name="features.add")([x, y])
