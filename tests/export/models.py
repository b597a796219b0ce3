"""Small models with weights like those after training, and the card of an exported one."""

import json
import pathlib

import numpy as np
import tensorflow as tf

from pose_tf.export.comparison import Limits
from pose_tf.export.examples import Examples
from pose_tf.export.one_file import OneFileExporter
from pose_tf.geometry import UNLABELED_PX
from pose_tf.models import FeedForward, HRNet, PoseEstimator
from pose_tf.models.statistics import PoseStatistics
from pose_tf.skeleton import H36M


def set_random_weights(model, rng):
    """Sets weights and statistics to values like those after training, so that no layer is zero or an identity."""
    for layer in model.submodules:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            size = layer.moving_mean.shape
            layer.gamma.assign(rng.uniform(0.5, 1.5, size))
            layer.beta.assign(rng.normal(0, 0.3, size))
            layer.moving_mean.assign(rng.normal(0, 0.3, size))
            layer.moving_variance.assign(rng.uniform(0.5, 2, size))
        elif isinstance(layer, tf.keras.layers.Conv2D):
            fan_in = np.prod(layer.kernel.shape[:-1])
            layer.kernel.assign(rng.normal(0, fan_in**-0.5, layer.kernel.shape))
        elif isinstance(layer, tf.keras.layers.DepthwiseConv2D):
            shape = layer.depthwise_kernel.shape
            layer.depthwise_kernel.assign(rng.normal(0, np.prod(shape[:2]) ** -0.5, shape))


def make_estimator(skeleton=H36M):
    """A PoseEstimator with both flip tests."""
    rng = np.random.default_rng(0)
    tf.random.set_seed(0)
    joints = len(skeleton.joints)
    detector = HRNet(width=8, num_joints=joints, stem=8, modules=(1, 1, 1), blocks=1)
    set_random_weights(detector, rng)
    lifter = FeedForward(joints, units=32)
    mean, std = np.float32(rng.normal(0, 300, (joints, 3))), np.float32(rng.uniform(50, 200, (joints, 3)))
    return PoseEstimator(
        detector, lifter, PoseStatistics(mean, std), flip_detector=True, flip_lifter=True, skeleton=skeleton
    )


def read_card(path):
    with open(f"{path}/assets.extra/model_card.json") as file:
        return json.load(file)


def coarse_noise(count, seed=2):
    """Crops of coarse noise, uint8 [count, 256, 256, 3]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 16, 16, 3), np.uint8).repeat(16, 1).repeat(16, 2)


def export_files(estimator, folder):
    """Exports an estimator in all formats of one file; returns their paths."""
    noise = coarse_noise(6)
    unlabeled = np.full((3, len(estimator.skeleton.joints), 2), UNLABELED_PX, np.float32)
    loose = dict.fromkeys(("float32", "float16", "int8"), Limits(20, 200, 100))
    examples = Examples(noise[:3], unlabeled, "noise")
    exporter = OneFileExporter(estimator, examples, noise[3:], card={"data": "none"}, limits=loose)
    kinds = [*(("litert", precision) for precision in loose), ("onnx", "float32")]
    return [pathlib.Path(exporter.export(str(folder), *kind)[0]) for kind in kinds]
