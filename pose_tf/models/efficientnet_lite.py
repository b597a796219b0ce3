"""A small, fast 2D detector: EfficientNet-Lite under a feature pyramid."""

import math

import tensorflow as tf

from pose_tf.layers import BatchNormalization, DownSampling2D, UpSampling2D
from pose_tf.models.building import builds_layers

STAGES = (  # units, kernel, stride, expansion, channels (Tan and Le, ICML 2019, table 1)
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
VARIANTS = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2), 3: (1.2, 1.4), 4: (1.4, 1.8)}
"""Factors on channels and on units of the published EfficientNet-Lite0 to Lite4."""
STEM = 32
LEVELS = 4  # strides 4, 8, 16 and 32
EPSILON = 1e-3


@tf.keras.utils.register_keras_serializable("pose_tf")
class EfficientNetLite(tf.keras.Model):
    """EfficientNet-Lite (Tan and Le, ICML 2019; without squeeze-and-excitation, with ReLU6) under a feature pyramid.

    The features of strides 32, 16, 8 and 4 meet in a pyramid from the lowest resolution up (Lin et al., CVPR 2017),
    with one 3x3 convolution at each resolution; heatmaps come from stride 4. Layers of the backbone have the names of
    the public PyTorch code without their leading underscores, so that weights map by name.

    Args:
        variant: 0 to 4, for the published Lite0 to Lite4.
        num_joints: number of heatmaps.
        scale: the network sees the image at this relative size, 0.5 to 1: 0.75 turns 256 px into 192.
        pyramid: channels of the pyramid at strides 4, 8, 16 and 32.

    Call arguments:
        image: float [B, H, W, 3], ImageNet-normalized RGB; `scale`·H and `scale`·W divisible by 32.

    Returns:
        float32 [B, scale·H/4, scale·W/4, num_joints]: heatmap logits.

    Attributes:
        feature_layers: names of the pyramid's layers at strides 4, 8 and 16; see `pose_tf.models.features`.

    Raises:
        ValueError: an unknown variant, or a pyramid of another number of levels.
    """

    @builds_layers
    def __init__(
        self,
        variant: int = 0,
        num_joints: int = 17,
        scale: float = 0.75,
        pyramid: tuple[int, int, int, int] = (64, 96, 128, 128),
        **kwargs,
    ):
        if variant not in VARIANTS:
            raise ValueError(f"variant is {variant}; it can be {', '.join(map(str, VARIANTS))}")
        if len(pyramid) != LEVELS:
            raise ValueError(f"pyramid is {tuple(pyramid)}; it must have {LEVELS} levels")
        x = image = tf.keras.Input((None, None, 3), name="image")
        if scale != 1:
            x = DownSampling2D(scale, name="downsample")(x)
        features = _backbone(x, *VARIANTS[variant])
        x = _conv_bn(features[-1], pyramid[-1], 1, f"pyramid{LEVELS - 1}.lateral", relu=True)
        for level in reversed(range(LEVELS - 1)):
            name, channels = f"pyramid{level}", pyramid[level]
            above = x if x.shape[-1] == channels else _conv_bn(x, channels, 1, f"{name}.above")
            above = UpSampling2D(2, name=f"{name}.up")(above)
            x = tf.keras.layers.Add(name=f"{name}.add")(
                [above, _conv_bn(features[level], channels, 1, f"{name}.lateral")]
            )
            x = _conv_bn(x, channels, 3, f"{name}.conv", relu=True)
        heatmaps = tf.keras.layers.Conv2D(
            num_joints,
            1,
            kernel_initializer=tf.keras.initializers.RandomNormal(stddev=0.001),
            dtype="float32",
            name="final_layer",
        )(x)
        super().__init__(image, heatmaps, **{"name": f"efficientnet_lite{variant}", **kwargs})
        self.variant = variant
        self.num_joints = num_joints
        self.scale = scale
        self.pyramid = tuple(pyramid)
        self.feature_layers = [f"pyramid{level}.conv.relu" for level in range(LEVELS - 1)]

    def get_config(self):
        return {
            "name": self.name,
            "variant": self.variant,
            "num_joints": self.num_joints,
            "scale": self.scale,
            "pyramid": self.pyramid,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        del custom_objects
        return cls(**config)


def _backbone(x, width, depth):
    """Features of strides 4, 8, 16 and 32."""
    x = _relu6(_bn(_conv(x, STEM, 3, "conv_stem", stride=2), "bn0"), "bn0")
    features, number = [], 0
    for stage, (units, kernel, stride, expansion, channels) in enumerate(STAGES):
        if stage not in (0, len(STAGES) - 1):  # the Lite variants scale neither the first nor the last stage
            units = math.ceil(depth * units)
        if stride == 2 and stage > 1:
            features.append(x)
        for unit in range(units):
            x = _unit(x, kernel, stride if unit == 0 else 1, expansion, _scaled(channels, width), f"blocks.{number}")
            number += 1
    return [*features, x]


def _scaled(channels, width):
    """Channels times a factor, rounded to a multiple of 8 that is not more than a tenth smaller."""
    rounded = max(8, int(width * channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width * channels else rounded


def _unit(x, kernel, stride, expansion, channels, name):
    """Inverted residual unit: expansion, depthwise convolution, projection, and a skip connection."""
    y = x
    if expansion != 1:
        y = _relu6(_bn(_conv(x, expansion * x.shape[-1], 1, f"{name}.expand_conv"), f"{name}.bn0"), f"{name}.bn0")
    y = tf.keras.layers.DepthwiseConv2D(
        kernel, stride, "same", use_bias=False, depthwise_initializer="he_normal", name=f"{name}.depthwise_conv"
    )(y)
    y = _relu6(_bn(y, f"{name}.bn1"), f"{name}.bn1")
    y = _bn(_conv(y, channels, 1, f"{name}.project_conv"), f"{name}.bn2")
    if stride == 1 and x.shape[-1] == channels:
        y = tf.keras.layers.Add(name=f"{name}.add")([y, x])
    return y


def _conv(x, filters, kernel, name, stride=1):
    return tf.keras.layers.Conv2D(
        filters, kernel, stride, "same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def _bn(x, name):
    return BatchNormalization(momentum=0.99, epsilon=EPSILON, name=name)(x)


def _relu6(x, name):
    return tf.keras.layers.ReLU(6.0, name=f"{name}.relu")(x)


def _conv_bn(x, filters, kernel, name, relu=False):
    x = _bn(_conv(x, filters, kernel, name), f"{name}.bn")
    return _relu6(x, name) if relu else x
