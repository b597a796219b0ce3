"""TensorFlow for modules that are also used without it.

`from pose_tf import lazy_tensorflow as tf` imports TensorFlow when one of its names is used for the first time.
"""

import importlib


def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(importlib.import_module("tensorflow"), name)
