"""Upsampling whose gradient every device has."""

import math

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("pose_tf")
class UpSampling2D(tf.keras.layers.UpSampling2D):
    """Keras' nearest-neighbor upsampling by whole factors.

    Its gradient is written as average pooling: XLA has no kernel for the gradient of TensorFlow's resizing, and that of
    GPUs adds up in a random order, which `config.deterministic` does not allow.

    Call arguments:
        inputs: float [B, H, W, channels].

    Returns:
        float [B, H·size[0], W·size[1], channels].
    """

    def call(self, inputs, training=None):
        repeat = super().call
        if not training:  # exported models need no gradients
            return repeat(inputs)

        @tf.custom_gradient
        def differentiable(x):
            def gradient(upstream):  # what all copies of a pixel receive, added up
                return tf.nn.avg_pool2d(upstream, self.size, self.size, "VALID") * math.prod(self.size)

            return repeat(x), gradient

        return differentiable(inputs)
