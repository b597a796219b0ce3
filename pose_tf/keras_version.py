"""Chooses Keras 2, which the models are written for, before or after TensorFlow is imported.

TensorFlow 2.15 has it built in. Later versions have Keras 3, unless TF_USE_LEGACY_KERAS is set when they are imported;
then they take Keras 2 from the package tf_keras. Importing this module does not import TensorFlow, if all is well.
"""

import importlib.metadata
import importlib.util
import os
import sys


def has_tensorflow() -> bool:
    """Whether TensorFlow is installed, or another module stands in for it. Does not import it."""
    return "tensorflow" in sys.modules or importlib.util.find_spec("tensorflow") is not None


def require_keras_2() -> None:
    """Makes `tf.keras` Keras 2, or checks that it is where TensorFlow has been imported already.

    Raises:
        ImportError: this process has Keras 3, or no Keras; it says what to do.
    """
    if not has_tensorflow():
        return  # exported models and the starter run without it
    if _has_keras_2_built_in():
        os.environ.pop("TF_USE_LEGACY_KERAS", None)  # TensorFlow 2.15 would look for tf_keras, too
        chosen = True
    else:
        is_late = "tensorflow" in sys.modules and "TF_USE_LEGACY_KERAS" not in os.environ
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
        installed = importlib.util.find_spec("tf_keras") is not None
        chosen = installed and os.environ["TF_USE_LEGACY_KERAS"] in ("1", "True", "true")
        if is_late and installed:
            # `tf.keras` is looked up when it is used for the first time, but the path of `tensorflow.keras` at once.
            place = importlib.util.find_spec("tf_keras.api._v2.keras").origin
            sys.modules["tensorflow"].__path__.insert(0, os.path.dirname(os.path.dirname(place)))
    if "tensorflow" in sys.modules or not chosen:
        check_keras()


def check_keras() -> None:
    """Imports TensorFlow and checks that `tf.keras` is Keras 2.

    Raises:
        ImportError: it is not, with what to do.
    """
    import tensorflow as tf

    try:
        version = getattr(tf.keras, "__version__", "2")  # tf_keras shows none
    except ImportError:
        minor = tf.__version__.rpartition(".")[0]
        raise ImportError(
            f'pose_tf needs Keras 2, which is not installed: pip install "tf_keras=={minor}.*" for TensorFlow {minor}'
        ) from None
    if not version.startswith("2"):
        raise ImportError(
            f"pose_tf needs Keras 2, and this process has Keras {version}: "
            "set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported"
        )


def _has_keras_2_built_in():
    try:
        return importlib.metadata.version("keras").startswith("2.")
    except importlib.metadata.PackageNotFoundError:
        return False
