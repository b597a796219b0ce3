"""Batch normalisation in one op, whatever the rank."""

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("pose_tf")
class BatchNormalization(tf.keras.layers.BatchNormalization):
    """Keras' batch normalisation over the last axis (Ioffe and Szegedy, ICML 2015), in TensorFlow's fused op.

    Keras has that op for images alone, and writes out a dozen others for [B, C] and [B, nodes, C]. Here these are
    seen as images of one pixel. As for images, the moving variance is the unbiased one, as in PyTorch.

    Call arguments:
        inputs: float [..., channels], of two or three dimensions.

    Returns:
        float [..., channels].
    """

    def build(self, input_shape):
        channels = input_shape[-1]
        super().build((None, 1, 1, channels))
        self.input_spec = tf.keras.layers.InputSpec(ndim=len(input_shape), axes={-1: channels})

    def call(self, inputs, training=None):
        image = tf.reshape(inputs, (-1, 1, 1, inputs.shape[-1]))
        return tf.reshape(super().call(image, training=training), tf.shape(inputs))
