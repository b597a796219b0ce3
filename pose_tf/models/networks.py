"""The networks by the names that recipes give them."""

import functools

import tensorflow as tf

from pose_tf.models import efficientnet_lite
from pose_tf.models.efficientnet_lite import EfficientNetLite
from pose_tf.models.feed_forward import FeedForward
from pose_tf.models.hrnet import HRNet
from pose_tf.models.sem_gcn import SemGCN
from pose_tf.skeleton import H36M, Skeleton

DETECTORS = {"hrnet": HRNet} | {
    f"efficientnet_lite{variant}": functools.partial(EfficientNetLite, variant)
    for variant in efficientnet_lite.VARIANTS
}
LIFTERS = {"feed_forward": FeedForward, "sem_gcn": SemGCN}
CLASSES = {"detector": (HRNet, EfficientNetLite), "lifter": (FeedForward, SemGCN)}
"""The classes of a stage's networks."""


def make_network(options: dict, skeleton: Skeleton = H36M) -> tf.keras.Model:
    """Makes the network that the `model` section of a recipe describes.

    Args:
        options: `name`, and the arguments of the network.
        skeleton: gives the number of joints, and the edges of `SemGCN`.
    """
    options = {"num_joints": len(skeleton.joints), **options}
    name = options.pop("name")
    if name == "sem_gcn":
        options = {"edges": skeleton.bones, **options}
    return (DETECTORS | LIFTERS)[name](**options)
