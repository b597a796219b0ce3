"""Which Keras `tf.keras` is: the models are written for Keras 2.

TensorFlow 2.15 has it built in. Later ones have Keras 3, unless TF_USE_LEGACY_KERAS is set when `tf.keras` is looked at
for the first time; then they take Keras 2 from the package tf_keras.
"""

import os

import tensorflow as tf

if tf.__version__.startswith("2.15."):
    os.environ.pop("TF_USE_LEGACY_KERAS", None)  # it would look for tf_keras all the same
else:
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


def require_keras_2() -> None:
    """Sees that this process has Keras 2.

    Raises:
        ImportError: it has not, with what to do.
    """
    try:
        version = getattr(tf.keras, "__version__", "2")  # tf_keras shows none
    except ImportError:
        raise ImportError(
            f"pose_tf needs Keras 2, which TensorFlow {tf.__version__} has not: pip install -r requirements-latest.txt"
        ) from None
    if not version.startswith("2"):
        raise ImportError(
            f"pose_tf needs Keras 2, and this process has Keras {version}: "
            "set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported, or import pose_tf first"
        )
