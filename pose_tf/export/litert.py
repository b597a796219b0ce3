"""Converts the signature `images` to LiteRT's format, formerly TensorFlow Lite's, in float32, float16 or int8."""

import re
import tempfile
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pose_tf import quiet
from pose_tf.export.inference import IN_FLOAT32
from pose_tf.geometry import CROP_SIZE
from pose_tf.model_files import INPUT, SIGNATURE

IN_FLOAT = {"downsample", *IN_FLOAT32}
"""Layers of detectors that are not quantized: the reduction of the normalized image, and the heatmaps."""


def convert(signature: Callable, network: str, precision: str, crops: np.ndarray | None = None) -> bytes:
    """The signature as a model for one crop at a time: with a fixed size, LiteRT computes it as a whole in advance.

    In float16, only weights are stored so. In int8, the convolutions of the detector and what lies between them compute
    with integers (Jacob et al., CVPR 2018), each output channel with its own scale. All else stays in float32: the
    input with its normalization and reduction, the last convolution, whose heatmaps determine the coordinates, the
    soft-argmax and the lifter.

    Args:
        signature: uint8 [1, 256, 256, 3] -> outputs by name.
        network: name of the detector's network, which begins the names of its operations.
        precision: `float32`, `float16` or `int8`.
        crops: uint8 [N, 256, 256, 3]: representative images, which give the ranges of activations; only for int8.
    """
    spec = tf.TensorSpec([1, CROP_SIZE, CROP_SIZE, 3], tf.uint8, INPUT)
    of_one = tf.function(lambda images: signature(images=images), input_signature=[spec])
    with tempfile.TemporaryDirectory() as folder, quiet.standard_error():
        tf.saved_model.save(tf.Module(), folder, signatures={SIGNATURE: of_one})

        def converter(**options):
            made = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[SIGNATURE])
            for name, value in options.items():
                setattr(made, name, value)
            return made

        optimized = {"optimizations": [tf.lite.Optimize.DEFAULT]}
        if precision == "float32":
            return converter().convert()
        if precision == "float16":
            made = converter(**optimized)
            made.target_spec.supported_types = [tf.float16]
            return made.convert()

        def examples():
            return ({INPUT: crop[None]} for crop in crops)

        made = converter(**optimized, representative_dataset=examples)
        options = tf.lite.experimental.QuantizationDebugOptions(
            denylisted_nodes=_outside(converter().convert(), network)
        )
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=made, debug_dataset=examples, debug_options=options
        )
        return debugger.get_nondebug_quantized_model()


def _outside(model, network):
    """Names of the tensors of a float32 model that are not to be quantized."""
    inside = re.compile(rf"{re.escape(network)}(_\d+)?/(?!({'|'.join(IN_FLOAT)})/)")
    names = [tensor["name"] for tensor in tf.lite.Interpreter(model_content=model).get_tensor_details()]
    return [name for name in names if not inside.match(name)]
