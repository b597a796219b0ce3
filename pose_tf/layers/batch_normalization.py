"""Batch normalization in one fused op for any rank, optionally over the samples of all replicas."""

import tensorflow as tf


@tf.keras.utils.register_keras_serializable("pose_tf")
class BatchNormalization(tf.keras.layers.BatchNormalization):
    """Keras's batch normalization over the last axis (Ioffe and Szegedy, ICML 2015), in TensorFlow's fused op.

    Keras uses that op for images only, and a dozen others for [B, C] and [B, nodes, C]; this layer treats those as
    images of one pixel. The moving variance is unbiased, as in PyTorch.

    If the attribute `synchronized` is set, a training step normalizes over the samples of all replicas and updates the
    moving averages like one device with all these samples. Keras's own synchronization uses the biased variance.

    Call arguments:
        inputs: float [..., channels], of two to four dimensions.

    Returns:
        float [..., channels].
    """

    def build(self, input_shape):
        channels = input_shape[-1]
        super().build((None, 1, 1, channels))
        self.input_spec = tf.keras.layers.InputSpec(ndim=len(input_shape), axes={-1: channels})

    def call(self, inputs, training=None):
        if self.synchronized and training and self.trainable:
            return self._normalize_over_replicas(inputs)
        if inputs.shape.rank == 4:
            return super().call(inputs, training=training)
        image = tf.reshape(inputs, (-1, 1, 1, inputs.shape[-1]))
        return tf.reshape(super().call(image, training=training), tf.shape(inputs))

    def _normalize_over_replicas(self, inputs):
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        x = tf.cast(inputs, tf.float32)
        own = tf.stack(tf.nn.moments(x, list(range(x.shape.rank - 1))))  # [2, channels]
        # Each replica fills its own row, so that the sum over them holds the moments of all: [replicas, 2, channels].
        row = tf.one_hot(context.replica_id_in_sync_group, replicas)[:, None, None]
        means, variances = tf.unstack(context.all_reduce("SUM", row * own), axis=1)
        mean = tf.reduce_mean(means, axis=0)
        variance = tf.reduce_mean(variances, axis=0) + tf.math.reduce_variance(means, axis=0)  # law of total variance

        count = replicas * tf.cast(tf.size(x) // x.shape[-1], tf.float32)
        unbiased = variance * count / tf.maximum(count - 1, 1)
        for average, value in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            average.assign_sub((1 - self.momentum) * (average - value))
        y = tf.nn.batch_normalization(x, mean, variance, self.beta, self.gamma, self.epsilon)
        return tf.cast(y, inputs.dtype)
