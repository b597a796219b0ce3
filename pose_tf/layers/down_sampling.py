"""Downsampling of images by any factor."""

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("pose_tf")
class DownSampling2D(tf.keras.layers.Layer):
    """Bilinear interpolation of images at fewer points: an average of 2x2 pixels for the factor 0.5.

    Args:
        factor: size of the result relative to the input, 0.5 to 1, so that no pixel is left out.

    Raises:
        ValueError: another factor.

    Call arguments:
        inputs: float [B, H, W, channels].

    Returns:
        float [B, round(factor·H), round(factor·W), channels].
    """

    def __init__(self, factor: float, **kwargs):
        super().__init__(**kwargs)
        if not 0.5 <= factor <= 1:
            raise ValueError(f"the factor of downsampling is {factor}; it must be at least 0.5 and at most 1")
        self.factor = factor

    def call(self, inputs):
        size = tf.cast(tf.shape(inputs)[1:3], tf.float32)
        return tf.cast(tf.image.resize(inputs, tf.cast(tf.round(self.factor * size), tf.int32)), inputs.dtype)

    def compute_output_shape(self, input_shape):
        batch, *sides, channels = input_shape
        return batch, *(side and round(self.factor * side) for side in sides), channels

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}
