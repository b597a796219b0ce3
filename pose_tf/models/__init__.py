"""Keras models: the 2D detector, the two lifters, and the estimator that joins them."""

from pose_tf.models.estimator import PoseEstimator
from pose_tf.models.feed_forward import FeedForward
from pose_tf.models.hrnet import HRNet
from pose_tf.models.keras_file import load_keras
from pose_tf.models.sem_gcn import SemGCN

__all__ = ["FeedForward", "HRNet", "PoseEstimator", "SemGCN", "load_keras"]
