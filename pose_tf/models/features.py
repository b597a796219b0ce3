"""Image features at the joints: the detector's features, sampled where it finds the joints."""

import tensorflow as tf

from pose_tf.geometry import CROP_SIZE
from pose_tf.layers.soft_argmax import half_pixel_offset


def with_features(detector: tf.keras.Model) -> tf.keras.Model:
    """A network that shares the layers of a detector and returns its features, too.

    Args:
        detector: a network with `feature_layers`, names of layers of several resolutions.

    Returns:
        A model of the detector's input with the outputs [heatmaps, features of each layer].
    """
    features = [detector.get_layer(name).output for name in detector.feature_layers]
    return tf.keras.Model(detector.inputs, [detector.output, *features], name=detector.name)


def feature_channels(detector: tf.keras.Model) -> int:
    """Number of channels of all features of a detector."""
    return sum(detector.get_layer(name).output.shape[-1] for name in detector.feature_layers)


def sample_features(maps, pose2d):
    """Samples features at joints, as SemGCN does (Zhao et al., CVPR 2019, section 3.4), and joins those of all maps.

    Bilinear between the four nearest cells, whose centers are those of the pixels that they cover, whatever the
    alignment of the heatmaps. A joint outside of the crop has the features of the nearest cell inside. The positions
    count as constants: features do not move joints.

    Args:
        maps: list of float [B, H, W, C], which cover the whole crop at any resolution.
        pose2d: float32 [B, J, 2] crop px.

    Returns:
        float32 [B, J, sum of C].
    """
    return tf.concat([_sample(tf.cast(values, tf.float32), tf.stop_gradient(pose2d)) for values in maps], axis=-1)


def _sample(values, pose2d):
    batch, height, width, channels = tf.unstack(tf.shape(values))
    size = tf.stack([width, height])
    stride = CROP_SIZE / tf.cast(width, tf.float32)
    cells = tf.clip_by_value((pose2d - half_pixel_offset(stride)) / stride, 0.0, tf.cast(size - 1, tf.float32))
    cells = tf.where(tf.math.is_finite(cells), cells, 0.0)  # a cell has to exist; the joint stays as it is
    low = tf.cast(tf.floor(cells), tf.int32)
    high = tf.minimum(low + 1, size - 1)
    share = cells - tf.cast(low, tf.float32)
    flat = tf.reshape(values, [batch, height * width, values.shape[-1] or channels])
    found = 0.0
    for x, x_share in ((low, 1 - share), (high, share)):
        for y, y_share in ((low, 1 - share), (high, share)):
            cell = tf.gather(flat, y[..., 1] * width + x[..., 0], batch_dims=1)
            found += cell * (x_share[..., 0] * y_share[..., 1])[..., None]
    return found
