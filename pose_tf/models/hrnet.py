"""The 2D detector: HRNet for human pose estimation."""

import tensorflow as tf

from pose_tf.layers import BatchNormalization, UpSampling2D
from pose_tf.models.building import builds_layers


@tf.keras.utils.register_keras_serializable("pose_tf")
class HRNet(tf.keras.Model):
    """High-resolution network (Sun et al., CVPR 2019, the `pose_hrnet` variant).

    A stem of stride 4 and one stage of bottlenecks are followed by three stages in which 2, 3 and 4 branches at strides
    4, 8, 16 and 32 run in parallel and exchange features after every few residual units. Heatmaps come from the branch
    of highest resolution only. Layers have the names of the public PyTorch code, so that weights map by name. The
    published networks have width 32 or 48 and the default `stem`, `modules` and `blocks`.

    Args:
        width: channels of the branch at stride 4; the others have 2, 4 and 8 times as many.
        num_joints: number of heatmaps.
        downsample: average-pool the image by this factor first; 2 is about four times as fast and halves the heatmaps.
        stem: channels of the stem and of the bottlenecks of stage 1, which take most of the time of a narrow network.
        modules: number of exchanges in stages 2, 3 and 4.
        blocks: residual units of stage 1, and of each branch between two exchanges.

    Call arguments:
        image: float [B, H, W, 3], ImageNet-normalized RGB; H and W divisible by 32 (256 in the recipes).

    Returns:
        float32 [B, H/4, W/4, num_joints]: heatmap logits (without downsampling).

    Attributes:
        feature_layers: names of the layers before the last exchange, from the highest resolution to the lowest; see
            `pose_tf.models.features`.
    """

    @builds_layers
    def __init__(
        self,
        width: int = 32,
        num_joints: int = 17,
        downsample: int = 1,
        stem: int = 64,
        modules: tuple[int, int, int] = (1, 4, 3),
        blocks: int = 4,
        **kwargs,
    ):
        x = image = tf.keras.Input((None, None, 3), name="image")
        if downsample > 1:
            x = tf.keras.layers.AveragePooling2D(downsample, name="downsample")(x)
        x = _conv_bn_relu(x, stem, "conv1", "bn1", stride=2)
        x = _conv_bn_relu(x, stem, "conv2", "bn2", stride=2)
        for block in range(blocks):
            x = _bottleneck(x, stem, f"layer1.{block}", project=block == 0)
        branches = [x]
        for stage, count in zip((2, 3, 4), modules, strict=True):
            branches = _transition(branches, width, stage)
            for module in range(count):
                outputs = 1 if (stage, module) == (4, count - 1) else stage
                branches = _module(branches, f"stage{stage}.{module}", blocks, outputs)
        heatmaps = tf.keras.layers.Conv2D(
            num_joints, 1, kernel_initializer=_normal(), dtype="float32", name="final_layer"
        )(branches[0])
        super().__init__(image, heatmaps, **{"name": f"hrnet_w{width}", **kwargs})
        self.width = width
        self.num_joints = num_joints
        self.downsample = downsample
        self.stem = stem
        self.modules = tuple(modules)
        self.blocks = blocks
        last = f"stage4.{modules[-1] - 1}.branches"
        self.feature_layers = [f"{last}.{branch}.{blocks - 1}.relu" for branch in range(4)]

    def get_config(self):
        return {
            "name": self.name,
            "width": self.width,
            "num_joints": self.num_joints,
            "downsample": self.downsample,
            "stem": self.stem,
            "modules": self.modules,
            "blocks": self.blocks,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        del custom_objects
        return cls(**config)


def _normal():
    return tf.keras.initializers.RandomNormal(stddev=0.001)


def _conv(x, filters, name, kernel=3, stride=1):
    """Convolution without bias, padded by half the kernel on every side, like PyTorch."""
    padding = "same"
    if stride == 2:  # Keras pads only bottom and right
        x = tf.keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}.pad")(x)
        padding = "valid"
    return tf.keras.layers.Conv2D(
        filters, kernel, stride, padding, use_bias=False, kernel_initializer=_normal(), name=name
    )(x)


def _bn(x, name):
    return BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def _relu(x, name):
    return tf.keras.layers.ReLU(name=f"{name}.relu")(x)


def _conv_bn_relu(x, filters, conv, bn, kernel=3, stride=1):
    return _relu(_bn(_conv(x, filters, conv, kernel, stride), bn), bn)


def _bottleneck(x, channels, name, project):
    """1x1, 3x3, 1x1 convolutions to four times as many channels, with a skip connection."""
    y = _conv_bn_relu(x, channels, f"{name}.conv1", f"{name}.bn1", kernel=1)
    y = _conv_bn_relu(y, channels, f"{name}.conv2", f"{name}.bn2")
    y = _bn(_conv(y, 4 * channels, f"{name}.conv3", kernel=1), f"{name}.bn3")
    if project:
        x = _bn(_conv(x, 4 * channels, f"{name}.downsample.0", kernel=1), f"{name}.downsample.1")
    return _relu(tf.keras.layers.Add(name=f"{name}.add")([x, y]), name)


def _basic_block(x, name):
    """Two 3x3 convolutions with a skip connection."""
    channels = x.shape[-1]
    y = _conv_bn_relu(x, channels, f"{name}.conv1", f"{name}.bn1")
    y = _bn(_conv(y, channels, f"{name}.conv2"), f"{name}.bn2")
    return _relu(tf.keras.layers.Add(name=f"{name}.add")([x, y]), name)


def _transition(branches, width, stage):
    """Makes `stage` branches of width · 2^i channels, adding one at half the lowest resolution."""
    out = []
    for i in range(stage):
        name, channels = f"transition{stage - 1}.{i}", width * 2**i
        if i == len(branches):
            out.append(_conv_bn_relu(branches[-1], channels, f"{name}.0.0", f"{name}.0.1", stride=2))
        elif branches[i].shape[-1] != channels:
            out.append(_conv_bn_relu(branches[i], channels, f"{name}.0", f"{name}.1"))
        else:
            out.append(branches[i])
    return out


def _module(branches, name, blocks, outputs):
    """`blocks` residual units in every branch, then the exchange between resolutions."""
    for i, x in enumerate(branches):
        for block in range(blocks):
            x = _basic_block(x, f"{name}.branches.{i}.{block}")
        branches[i] = x
    return [_fuse(branches, i, f"{name}.fuse_layers.{i}") for i in range(outputs)]


def _fuse(branches, i, name):
    """Sum of all branches, each brought to the resolution and the channels of branch i."""
    channels = branches[i].shape[-1]
    parts = []
    for j, x in enumerate(branches):
        if j > i:
            x = _bn(_conv(x, channels, f"{name}.{j}.0", kernel=1), f"{name}.{j}.1")
            x = UpSampling2D(2 ** (j - i), name=f"{name}.{j}.up")(x)
        elif j < i:
            for k in range(i - j - 1):
                x = _conv_bn_relu(x, x.shape[-1], f"{name}.{j}.{k}.0", f"{name}.{j}.{k}.1", stride=2)
            k = i - j - 1
            x = _bn(_conv(x, channels, f"{name}.{j}.{k}.0", stride=2), f"{name}.{j}.{k}.1")
        parts.append(x)
    return _relu(tf.keras.layers.Add(name=f"{name}.add")(parts), name)
