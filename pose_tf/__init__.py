"""3D human poses from one RGB image: HRNet, soft-argmax and a lifter, natively in TensorFlow."""

__version__ = "0.1.0"

from pose_tf.keras_version import require_keras_2

require_keras_2()

# Importing the package registers its Keras classes, so that `tf.keras.models.load_model` finds them.
from pose_tf import layers, metrics, models  # noqa: E402

__all__ = ["layers", "metrics", "models"]
