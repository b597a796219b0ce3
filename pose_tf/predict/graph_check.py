"""Checks that a SavedModel does nothing but compute. TensorFlow would also execute a graph that writes files."""

import os

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import attr_value_pb2, function_pb2
from tensorflow.core.protobuf import saved_model_pb2

from pose_tf.errors import UserError

COMPUTING = """
Assert Case CheckNumerics Const EnsureShape Fill Identity IdentityN If NoOp OnesLike PartitionedCall
Placeholder Range Rank Reshape Shape ShapeN Size StatefulPartitionedCall StatelessCase StatelessIf
StatelessWhile StopGradient TensorListElementShape TensorListFromTensor TensorListGetItem TensorListLength
TensorListReserve TensorListSetItem TensorListStack While ZerosLike

BroadcastArgs BroadcastTo ConcatV2 ExpandDims GatherNd GatherV2 InvertPermutation MirrorPad OneHot Pack Pad
PadV2 ReverseV2 ScatterNd Slice Split SplitV Squeeze StridedSlice TensorScatterAdd TensorScatterUpdate Tile
Transpose Unpack Where

Abs Add AddN AddV2 All Any ArgMax ArgMin BitwiseAnd BitwiseOr BitwiseXor Cast Ceil ClipByValue Cos Cumsum
DenseBincount DivNoNan Equal Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual IsFinite IsInf IsNan
LeftShift Less LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr Max Maximum Mean Min Minimum Mod Mul
MulNoNan Neg NotEqual Pow Prod RealDiv Reciprocal RightShift Rint Round Rsqrt Select SelectV2 Sign Sin Sqrt
Square SquaredDifference Sub Sum Tan Tanh TopKV2 TruncateDiv TruncateMod Xdivy

AvgPool BatchMatMulV2 BiasAdd Conv2D DepthwiseConv2dNative Einsum Elu Erf FusedBatchNormV3 LeakyRelu
LogSoftmax MatMul MaxPool Relu Relu6 Selu Sigmoid Softmax Softplus

AsString Bitcast CropAndResize DecodeAndCropJpeg DecodeBmp DecodeGif DecodeImage DecodeJpeg DecodePaddedRaw
DecodePng DecodeRaw ExtractJpegShape ImageProjectiveTransformV3 RegexFullMatch RegexReplace ResizeArea
ResizeBicubic ResizeBilinear ResizeNearestNeighbor ScaleAndTranslate StaticRegexFullMatch StaticRegexReplace
StringFormat StringJoin StringLength StringSplitV2 StringStrip StringToNumber Substr UnicodeDecode
"""
"""Operations without side effects: control flow, slicing, arithmetic, network layers, images and bytes."""
CHECKPOINT = {"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"}
"""Operations that TensorFlow adds to every SavedModel to save and restore it. No other part of the graph may call
them."""


def check_saved_model(path: str) -> None:
    """Refuses a SavedModel that could do more than compute.

    Args:
        path: its directory.

    Raises:
        UserError: it is damaged, `pose-tf export` did not write it, it has an operation that COMPUTING does not list,
            or a constant that is not finite.
    """
    try:
        with open(os.path.join(path, "saved_model.pb"), "rb") as file:
            (model,) = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except Exception:  # the type depends on the version of protobuf
        raise UserError(f"{path} is damaged: its saved_model.pb does not hold exactly one model") from None
    functions = model.graph_def.library.function
    names = {function.signature.name for function in functions}
    if not model.HasField("object_graph_def") or not all(map(_is_plain, model.object_graph_def.nodes)):
        raise UserError(f"{path} is refused: pose-tf export did not write it")
    nodes = [node for part in (model.graph_def.node, *(function.node_def for function in functions)) for node in part]
    known = {*COMPUTING.split(), *CHECKPOINT, *names}
    for node in nodes:
        if node.op not in known:
            raise UserError(f"{path} is refused: its graph has the operation {node.op}, which no export needs")
    callable_ = set(model.object_graph_def.concrete_functions).union(*map(_mentions, functions))
    callable_ |= {node.bare_concrete_function.concrete_function_name for node in model.object_graph_def.nodes}
    for function in functions:
        uses_files = CHECKPOINT & {node.op for node in function.node_def}
        if uses_files and (function.signature.name in callable_ or "api_implements" in function.attr):
            raise UserError(f"{path} is refused: its graph accesses files with the operation {min(uses_files)}")
    for node in nodes:
        _check_constant(path, node)


def _is_plain(node):
    """Whether an object of a SavedModel is a function or the map of functions. Others can run code during loading."""
    kind = node.WhichOneof("kind")
    plain = kind == "bare_concrete_function" or (
        kind == "user_object" and node.user_object.identifier in ("_generic_user_object", "signature_map")
    )
    return plain and not node.saveable_objects and not node.registered_saver


def _mentions(function: function_pb2.FunctionDef) -> set[str]:
    """Names of the functions that a function may call."""
    found, values = set(), []
    for node in function.node_def:
        found.add(node.op)
        values += node.attr.values()
    values += function.attr.values()
    while values:
        value: attr_value_pb2.AttrValue = values.pop()
        for called in (value.func, *value.list.func):
            found.add(called.name)
            values += called.attr.values()
    return found


def _check_constant(path, node):
    tensor = node.attr["value"].tensor
    if node.op == "Const" and tf.as_dtype(tensor.dtype).is_floating and not np.isfinite(tf.make_ndarray(tensor)).all():
        raise UserError(f"{path}: the weights '{node.name}' are not finite")
