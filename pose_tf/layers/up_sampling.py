"""Upsampling with a gradient that every device supports."""

import math

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("pose_tf")
class UpSampling2D(tf.keras.layers.UpSampling2D):
    """Keras's nearest-neighbor upsampling by integer factors.

    The gradient is average pooling: XLA has no kernel for the gradient of TensorFlow's resizing, and the GPU kernel
    sums in random order, which `config.deterministic` does not allow.

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
            def gradient(upstream):  # the sum over all copies of a pixel
                return tf.nn.avg_pool2d(upstream, self.size, self.size, "VALID") * math.prod(self.size)

            return repeat(x), gradient

        return differentiable(inputs)
