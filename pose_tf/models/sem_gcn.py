"""The graph-convolutional lifter of Zhao et al."""

import tensorflow as tf

from pose_tf import skeleton
from pose_tf.layers import BatchNormalization, NonLocal, SemGraphConv
from pose_tf.models.lifter_inputs import add_features, joint_inputs, to_pixels


@tf.keras.utils.register_keras_serializable("pose_tf")
class SemGCN(tf.keras.Model):
    """2D joints to 3D joints by semantic graph convolutions (Zhao et al., CVPR 2019).

    A graph convolution to `channels`, residual blocks of two graph convolutions, and one to 3 channels. Batch
    normalization and ReLU follow each except the last. A non-local layer follows the input layer and each block.

    Args:
        num_joints: J.
        channels: width.
        num_blocks: residual blocks.
        non_local: whether to use non-local layers.
        edges: pairs of joints; by default the bones of Human3.6M.
        groups: see `NonLocal`.
        raw_pixels: feed 0 … 256 px to the first layer, as the paper's released code does.
        confidence: whether each joint has its confidence as a third input.
        features: channels of the image features at each joint, a second input; 0: none. See `add_features`.

    Call arguments:
        pose2d: float [B, J, 2], pixels / 128 − 1; [B, J, 3] with the confidence in 0…1 as the last number; or a list of
            this and image features, float [B, J, features].

    Returns:
        float32 [B, J, 3]: the standardized, hip-relative pose.

    Raises:
        ValueError: `num_joints` is not 17 and no edges are given.
    """

    def __init__(
        self,
        num_joints: int = 17,
        channels: int = 128,
        num_blocks: int = 4,
        non_local: bool = True,
        edges=None,
        groups=None,
        raw_pixels: bool = False,
        confidence: bool = False,
        features: int = 0,
        **kwargs,
    ):
        if edges is None:
            if num_joints != len(skeleton.H36M.joints):
                raise ValueError(f"SemGCN with {num_joints} joints needs `edges`")
            edges = skeleton.H36M.bones
        edges = [[int(i), int(j)] for i, j in edges]

        def graph_conv(x, name, features=None):
            x = SemGraphConv(channels, edges, name=f"{name}.gconv")(x)
            if features is not None:
                x = add_features(x, features)
            x = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}.bn")(x)
            return tf.keras.layers.ReLU(name=f"{name}.relu")(x)

        def attend(x, name):
            return NonLocal(groups, name=f"{name}.non_local")(x) if non_local else x

        inputs = joint_inputs(num_joints, confidence, features)
        x = to_pixels(inputs[0], confidence) if raw_pixels else inputs[0]
        x = attend(graph_conv(x, "input", inputs[1] if features else None), "input")
        for block in range(num_blocks):
            y = graph_conv(graph_conv(x, f"block{block}.1"), f"block{block}.2")
            x = tf.keras.layers.Add(name=f"block{block}.add")([x, y])
            x = attend(x, f"block{block}")
        pose3d = SemGraphConv(3, edges, dtype="float32", name="output.gconv")(x)
        super().__init__(inputs if features else inputs[0], pose3d, **{"name": "sem_gcn", **kwargs})
        self._config = {
            "num_joints": num_joints,
            "channels": channels,
            "num_blocks": num_blocks,
            "non_local": non_local,
            "edges": edges,
            "groups": groups,
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
