"""Dropout that a training can repeat."""

import contextlib
import threading
import zlib
from collections.abc import Iterator

import tensorflow as tf

_given = threading.local()


@contextlib.contextmanager
def dropout_seed(seed) -> Iterator[None]:
    """Makes every `Dropout` that is called inside draw its mask from this seed, int [2], and from its own name."""
    _given.seed = seed
    try:
        yield
    finally:
        _given.seed = None


@tf.keras.utils.register_keras_serializable("pose_tf")
class Dropout(tf.keras.layers.Dropout):
    """Keras' dropout (Srivastava et al., JMLR 2014), whose mask is a function of the `dropout_seed` around the call.

    With a seed of (seed, step), a training that was killed goes on with the masks that it would have had. Outside of
    `dropout_seed` it is Keras' own.
    """

    def call(self, inputs, training=None):
        seed = getattr(_given, "seed", None)
        if seed is None or not training or not self.rate:
            return super().call(inputs, training=training)
        seed = tf.random.experimental.stateless_fold_in(seed, zlib.crc32(self.name.encode()) % 2**31)
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, seed)
