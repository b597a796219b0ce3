"""3D human poses from one RGB image: HRNet, soft-argmax and a lifter, natively in TensorFlow."""

__version__ = "0.1.0"

# Importing the package registers its Keras classes, so that `tf.keras.models.load_model` finds them.
from pose_tf import layers, metrics, models

__all__ = ["layers", "metrics", "models"]
