"""The feed-forward lifter of Martinez et al."""

import tensorflow as tf

from pose_tf.layers import BatchNormalization, Dropout
from pose_tf.models.lifter_inputs import add_features, joint_inputs, to_pixels


@tf.keras.utils.register_keras_serializable("pose_tf")
class FeedForward(tf.keras.Model):
    """2D joints to 3D joints by fully connected layers (Martinez et al., ICCV 2017).

    A linear layer to `units`, residual blocks of two linear layers, and a linear layer to 3·J. Batch
    normalization, ReLU and dropout follow each linear layer except the last.

    Args:
        num_joints: J.
        units: width of the hidden layers.
        num_blocks: residual blocks.
        dropout: rate after each hidden layer.
        share_blocks: share one hidden linear layer and batch normalization, as the paper's released code does.
        raw_pixels: feed 0 … 256 px to the first layer, as the paper's released code does.
        confidence: whether each joint has its confidence as a third input.
        features: channels of the image features at each joint, a second input; 0: none. See `add_features`.

    Call arguments:
        pose2d: float [B, J, 2], pixels / 128 − 1; [B, J, 3] with the confidence in 0…1 as the last number; or a list of
            this and image features, float [B, J, features].

    Returns:
        float32 [B, J, 3]: the standardized, hip-relative pose.
    """

    def __init__(
        self,
        num_joints: int = 17,
        units: int = 1024,
        num_blocks: int = 2,
        dropout: float = 0.5,
        share_blocks: bool = False,
        raw_pixels: bool = False,
        confidence: bool = False,
        features: int = 0,
        **kwargs,
    ):
        inputs = joint_inputs(num_joints, confidence, features)
        shared = (_linear(units, "shared.linear"), _bn("shared.bn")) if share_blocks else None

        def hidden(x, name):
            linear, bn = shared or (_linear(units, f"{name}.linear"), _bn(f"{name}.bn"))
            return _activate(bn(linear(x)), dropout, name)

        x = to_pixels(inputs[0], confidence) if raw_pixels else inputs[0]
        x = tf.keras.layers.Reshape((inputs[0].shape[-1] * num_joints,), name="flatten")(x)
        x = _linear(units, "input.linear")(x)
        if features:
            x = add_features(x, inputs[1])
        x = _activate(_bn("input.bn")(x), dropout, "input")
        for block in range(num_blocks):
            y = hidden(hidden(x, f"block{block}.1"), f"block{block}.2")
            x = tf.keras.layers.Add(name=f"block{block}.add")([x, y])
        x = _linear(3 * num_joints, "output.linear", dtype="float32")(x)
        pose3d = tf.keras.layers.Reshape((num_joints, 3), dtype="float32", name="pose3d")(x)
        super().__init__(inputs if features else inputs[0], pose3d, **{"name": "feed_forward", **kwargs})
        self._config = {
            "num_joints": num_joints,
            "units": units,
            "num_blocks": num_blocks,
            "dropout": dropout,
            "share_blocks": share_blocks,
            "raw_pixels": raw_pixels,
            "confidence": confidence,
            "features": features,
        }
        self.confidence, self.features = confidence, features

    def get_config(self):
        return {"name": self.name, **self._config}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        del custom_objects
        return cls(**config)


def _linear(units, name, **kwargs):
    return tf.keras.layers.Dense(units, kernel_initializer="he_normal", name=name, **kwargs)


def _bn(name):
    return BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)


def _activate(x, dropout, name):
    x = tf.keras.layers.ReLU(name=f"{name}.relu")(x)
    return Dropout(dropout, name=f"{name}.dropout")(x)
