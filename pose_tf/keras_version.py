"""Which Keras `tf.keras` is: the models are written for Keras 2.

TensorFlow 2.15 has it built in. Later ones have Keras 3, unless TF_USE_LEGACY_KERAS is set when they are imported; then
they take Keras 2 from the package tf_keras.
"""

import importlib.metadata
import importlib.util
import os
import sys


def _choose_keras_2():
    """Imports TensorFlow with Keras 2, if it is not imported yet; or else makes up for what it has missed."""
    try:
        built_in = importlib.metadata.version("keras").startswith("2.")
    except importlib.metadata.PackageNotFoundError:
        built_in = False
    if built_in:
        os.environ.pop("TF_USE_LEGACY_KERAS", None)  # it would look for tf_keras all the same
        return
    is_late = "tensorflow" in sys.modules and "TF_USE_LEGACY_KERAS" not in os.environ
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    if is_late and importlib.util.find_spec("tf_keras"):
        # `tf.keras` is looked up when it is used for the first time, but the place of `tensorflow.keras` at once.
        place = importlib.util.find_spec("tf_keras.api._v2.keras").origin
        sys.modules["tensorflow"].__path__.insert(0, os.path.dirname(os.path.dirname(place)))


def require_keras_2() -> None:
    """Sees that this process has Keras 2.

    Raises:
        ImportError: it has not, with what to do.
    """
    try:
        version = getattr(tf.keras, "__version__", "2")  # tf_keras shows none
    except ImportError:
        minor = tf.__version__.rpartition(".")[0]
        raise ImportError(
            f'pose_tf needs Keras 2, which is not there: pip install "tf_keras=={minor}.*" for TensorFlow {minor}'
        ) from None
    if not version.startswith("2"):
        raise ImportError(
            f"pose_tf needs Keras 2, and this process has Keras {version}: "
            "set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported"
        )


_choose_keras_2()
import tensorflow as tf  # noqa: E402
