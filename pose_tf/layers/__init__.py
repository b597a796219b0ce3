"""Keras layers of the pipeline."""

from pose_tf.layers.batch_normalization import BatchNormalization
from pose_tf.layers.down_sampling import DownSampling2D
from pose_tf.layers.dropout import Dropout
from pose_tf.layers.non_local import NonLocal
from pose_tf.layers.sem_graph_conv import SemGraphConv
from pose_tf.layers.soft_argmax import SoftArgmax2D
from pose_tf.layers.up_sampling import UpSampling2D

__all__ = [
    "BatchNormalization",
    "DownSampling2D",
    "Dropout",
    "NonLocal",
    "SemGraphConv",
    "SoftArgmax2D",
    "UpSampling2D",
]
