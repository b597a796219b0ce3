"""Converts the signature `images` to ONNX, in float32, for any number of crops."""

from collections.abc import Callable

import tensorflow as tf

from pose_tf import quiet
from pose_tf.errors import UserError
from pose_tf.geometry import CROP_SIZE
from pose_tf.model_files import INPUT

OPSET = 17


def convert(signature: Callable) -> bytes:
    """The signature as a model of ONNX, whose operations are all of the standard.

    Args:
        signature: uint8 [N, 256, 256, 3] -> outputs by name.

    Raises:
        UserError: tf2onnx is not installed.
    """
    try:
        import onnx
        import tf2onnx
    except ModuleNotFoundError as error:
        raise UserError(f"ONNX needs the package {error.name}: python -m pip install 'pose_tf[onnx]'") from None
    spec = tf.TensorSpec([None, CROP_SIZE, CROP_SIZE, 3], tf.uint8, INPUT)
    with quiet.standard_error():
        model, _ = tf2onnx.convert.from_function(signature, input_signature=[spec], opset=OPSET)
    without_elements = {tensor.name for tensor in model.graph.initializer if 0 in tensor.dims}
    for node in model.graph.node:
        if node.op_type == "Resize":
            _modernize(node)
        elif node.op_type == "Unsqueeze" and node.input[1] in without_elements:
            # tf2onnx writes this for tf.einsum. OpenVINO takes it for an Unsqueeze of axis 0.
            node.op_type = "Identity"
            del node.input[1]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    del model.graph.value_info[:]
    model.graph.name = model.producer_name = "pose_tf"
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _modernize(node):
    """Replaces what opset 13 removed, and tf2onnx still writes, by what is equal for upsampling by whole factors."""
    for attribute in node.attribute:
        if attribute.s == b"tf_half_pixel_for_nn":
            attribute.s = b"asymmetric"  # pixel i of the output is pixel floor(i / factor) of the input
