"""Dropout with repeatable masks."""

import contextlib
import threading
import zlib
from collections.abc import Iterator

import tensorflow as tf

_given = threading.local()


@contextlib.contextmanager
def dropout_seed(seed) -> Iterator[None]:
    """Every `Dropout` called inside derives its mask from this seed, int [2], and its own name."""
    _given.seed = seed
    try:
        yield
    finally:
        _given.seed = None


@tf.keras.utils.register_keras_serializable("pose_tf")
class Dropout(tf.keras.layers.Dropout):
    """Keras's dropout (Srivastava et al., JMLR 2014) with a mask that depends only on the surrounding `dropout_seed`.

    With a seed of (seed, step), a resumed run draws the same masks as one that was not interrupted. Outside
    `dropout_seed` it behaves like Keras's layer.
    """

    def call(self, inputs, training=None):
        seed = getattr(_given, "seed", None)
        if seed is None or not training or not self.rate:
            return super().call(inputs, training=training)
        seed = tf.random.experimental.stateless_fold_in(seed, zlib.crc32(self.name.encode()) % 2**31)
        seed &= 2**31 - 1  # XLA and TensorFlow treat negative seeds differently
        return inputs * self._mask(tf.shape(inputs), seed, inputs.dtype)

    def _mask(self, shape, seed, dtype):
        """0 or 1 / (1 − rate), from as few random bits as the rate needs; drawing them takes most of the time."""
        small = tf.uint8 if float(256 * self.rate).is_integer() else tf.uint16
        count = tf.reduce_prod(shape)
        words = (count * small.size + 3) // 4
        bits = tf.bitcast(tf.random.stateless_uniform([words], seed, None, None, tf.uint32), small)
        bits = tf.reshape(tf.reshape(bits, [-1])[:count], shape)
        dropped = round(self.rate * 256**small.size)
        return tf.cast(bits >= dropped, dtype) / (1 - dropped / 256**small.size)
