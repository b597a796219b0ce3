"""Making networks of many layers sooner."""

import functools
import gc

import tensorflow as tf


def builds_layers(function):
    """Decorates a function that makes many layers, so that it takes a fifth less time.

    Layers stay, so garbage collection, which their many objects would start again and again, finds nothing; and it is
    not worth converting the Python of layers without control flow to graphs.
    """
    make = tf.autograph.experimental.do_not_convert(function)

    @functools.wraps(function)
    def build(*args, **kwargs):
        enabled = gc.isenabled()
        gc.disable()
        try:
            return make(*args, **kwargs)
        finally:
            if enabled:
                gc.enable()

    return build
