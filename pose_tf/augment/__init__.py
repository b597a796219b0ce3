"""Augmentation on the device: batched TensorFlow ops with stateless randomness, part of the training step."""

from pose_tf.augment.color import ColorJitter
from pose_tf.augment.geometric import GeometricAugmenter
from pose_tf.augment.occlusion import OcclusionAugmenter
from pose_tf.augment.pose import PoseAugmenter

__all__ = ["ColorJitter", "GeometricAugmenter", "OcclusionAugmenter", "PoseAugmenter"]
