"""Keras models: two families of 2D detectors, the two lifters, and the estimator that joins them."""

from pose_tf.models.efficientnet_lite import EfficientNetLite
from pose_tf.models.estimator import PoseEstimator
from pose_tf.models.feed_forward import FeedForward
from pose_tf.models.hrnet import HRNet
from pose_tf.models.keras_file import load_keras
from pose_tf.models.sem_gcn import SemGCN

__all__ = ["EfficientNetLite", "FeedForward", "HRNet", "PoseEstimator", "SemGCN", "load_keras"]
