"""What a machine can do at most, and what a network asks of it."""

import os
import statistics
import time
from collections.abc import Callable

SIZE = 2048


def flops(model, batch_size: int, training: bool = False) -> int:
    """Operations of the matrix products and convolutions of a Keras model's call; a multiply-add counts as two.

    Those of a training step are three times as many, because each has a gradient for both of its factors.
    """
    import tensorflow as tf

    size = (256, 256) if model.input_shape[1] is None else model.input_shape[1:-1]
    graph = tf.function(lambda x: model(x, training=training)).get_concrete_function(
        tf.TensorSpec((batch_size, *size, model.input_shape[-1]))
    )
    total = 0
    for operation in graph.graph.get_operations():
        if operation.type == "Conv2D":
            terms = operation.inputs[1].shape[:-1].num_elements()
        elif operation.type == "DepthwiseConv2dNative":
            terms = operation.inputs[1].shape[:2].num_elements()
        elif operation.type in ("MatMul", "BatchMatMulV2"):
            transposed = operation.get_attr("transpose_a" if operation.type == "MatMul" else "adj_x")
            terms = operation.inputs[0].shape[-2 if transposed else -1]
        else:
            continue
        total += 2 * operation.outputs[0].shape.num_elements() * terms
    return (3 if training else 1) * total


def measure_product(precision: str) -> Callable[[], float]:
    """A function that measures the operations per second of one large matrix product in TensorFlow.

    Args:
        precision: of Keras or of an exported model.
    """
    import tensorflow as tf

    a = tf.cast(tf.random.stateless_normal((SIZE, SIZE), [0, 0]), precision.removeprefix("mixed_"))
    multiply = tf.function(lambda: tf.reduce_sum(a @ a))
    return _per_second(lambda: multiply().numpy())


def measure_int8_product() -> Callable[[], float]:
    """The same in LiteRT, with integers of 8 bits."""
    import numpy as np
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    from pose_tf import quiet

    a = tf.random.stateless_normal((SIZE, SIZE), [0, 0])
    multiply = tf.function(lambda x: x @ a).get_concrete_function(tf.TensorSpec((SIZE, SIZE)))
    with quiet.standard_error():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([multiply])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: iter([[a.numpy()]])
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        interpreter = Interpreter(model_content=converter.convert(), num_threads=len(os.sched_getaffinity(0)))
        interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], np.ones((SIZE, SIZE), np.int8))
    return _per_second(interpreter.invoke)


def _per_second(multiply, repetitions=5):
    def measure():
        start = time.monotonic()
        for _ in range(repetitions):
            multiply()
        return repetitions * 2 * SIZE**3 / (time.monotonic() - start)

    return measure


def peaks() -> dict[str, float]:
    """Operations per second by precision of an exported model; LiteRT computes float16 in float32."""
    found = {}
    for precision, make in {
        "float32": lambda: measure_product("float32"),
        "bfloat16": lambda: measure_product("bfloat16"),
        "int8": measure_int8_product,
    }.items():
        measure = make()
        measure()
        found[precision] = statistics.median(measure() for _ in range(5))
    return found | {"float16": found["float32"]}
