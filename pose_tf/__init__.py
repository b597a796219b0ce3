"""3D human poses from one RGB image: HRNet, soft-argmax and a lifter, natively in TensorFlow.

Names are imported when they are used for the first time, so that `import pose_tf` does not import TensorFlow.
"""

import importlib
import os
import sys

from pose_tf.keras_version import require_keras_2

__version__ = "0.1.0"

_HOMES = {
    "EfficientNetLite": "pose_tf.models",
    "FeedForward": "pose_tf.models",
    "Frame": "pose_tf.predict.results",
    "HRNet": "pose_tf.models",
    "Person": "pose_tf.predict.results",
    "PoseEstimator": "pose_tf.models",
    "PoseModel": "pose_tf.predict.model",
    "SemGCN": "pose_tf.models",
    "load": "pose_tf.predict.model",
}
"""Name -> the module that defines it."""
_MODULES = ("layers", "metrics", "models")

__all__ = [*_HOMES, *_MODULES]


def __getattr__(name):
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"pose_tf.{name}")
    else:
        raise AttributeError(f"module 'pose_tf' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})


# TensorFlow uses oneDNN, which is faster on all CPUs with AVX2, only on those with AVX-512 unless this variable is set.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
try:
    require_keras_2()
except ImportError as error:
    if {os.path.basename(part) for part in sys.orig_argv[:3]} & {"pose-tf", "pose_tf.cli"}:
        sys.exit(f"error: {error}")  # the command needs no traceback
    raise
if "tensorflow" in sys.modules:
    # Registers the Keras classes. Where TensorFlow comes later, `load_model` imports their modules as files name them.
    importlib.import_module("pose_tf.models")
