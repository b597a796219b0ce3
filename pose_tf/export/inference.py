"""Networks for inference only: fewer operations, and constants instead of variables."""

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from pose_tf.choices import PRECISIONS
from pose_tf.errors import check_choice
from pose_tf.models.building import builds_layers

CONVOLUTIONS = (tf.keras.layers.Conv2D, tf.keras.layers.DepthwiseConv2D)
IN_FLOAT32 = {"final_layer"}  # float32 in any precision, since its heatmaps determine the coordinates


@builds_layers
def fold_batch_norm(model: tf.keras.Model, precision: str) -> tf.keras.Model:
    """Copies a network and folds each batch normalization into the convolution before it.

    γ·(W∗x + b − μ) / √(σ² + ε) + β = (γ/√(σ² + ε)·W) ∗ x + γ·(b − μ)/√(σ² + ε) + β.

    Args:
        model: a functional Keras model, which stays unchanged.
        precision: `float32` or `bfloat16`: precision of the copy, independent of the model's.

    Returns:
        A model with the same inputs and outputs for inference.

    Raises:
        UserError: unknown precision.
    """
    check_choice("precision", precision, PRECISIONS)
    policy = "float32" if precision == "float32" else f"mixed_{precision}"
    folded = {}  # batch normalizations by the name of their convolution
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            before = layer.inbound_nodes[0].inbound_layers  # a single layer, not a list, for one input
            seen_by_others = len(before.outbound_nodes) > 1 or before.name in model.output_names
            if isinstance(before, CONVOLUTIONS) and not seen_by_others:
                folded[before.name] = layer
    gone = {layer.name for layer in folded.values()}

    def copy(layer):
        dtype = "float32" if layer.name in IN_FLOAT32 else policy
        if layer.name in gone:
            return tf.keras.layers.Activation("linear", dtype=dtype, name=layer.name)
        changes = {"use_bias": True} if layer.name in folded else {}
        return type(layer).from_config({**layer.get_config(), "dtype": dtype, **changes})

    result = tf.keras.models.clone_model(model, clone_function=copy)
    for layer in model.layers:
        if layer.name in folded:
            result.get_layer(layer.name).set_weights(_folded_weights(layer, folded[layer.name]))
        elif layer.name not in gone:
            result.get_layer(layer.name).set_weights(layer.get_weights())
    return result


def _folded_weights(conv, bn):
    kernel, *bias = (np.float64(weight) for weight in conv.get_weights())
    mean, variance = np.float64(bn.moving_mean), np.float64(bn.moving_variance)
    gamma = np.float64(bn.gamma) if bn.scale else 1.0
    beta = np.float64(bn.beta) if bn.center else 0.0
    factor = gamma / np.sqrt(variance + bn.epsilon)
    depthwise = isinstance(conv, tf.keras.layers.DepthwiseConv2D)  # [k, k, channels, outputs of each channel]
    return [kernel * (factor.reshape(kernel.shape[2:]) if depthwise else factor), factor * (sum(bias) - mean) + beta]


def freeze(function, *specs: tf.TensorSpec):
    """Replaces the variables of a function by constants, so that TensorFlow folds what depends only on them.

    Args:
        function: a function of tensors.
        specs: specs of these tensors.

    Returns:
        A function of such tensors with the same results in the same structure.
    """
    traced = tf.function(function).get_concrete_function(*specs)
    frozen = convert_variables_to_constants_v2(traced)

    def call(*values):
        return tf.nest.pack_sequence_as(traced.structured_outputs, tf.nest.flatten(frozen(*values)))

    return call
