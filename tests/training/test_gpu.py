"""Tests that a training step can run on a GPU. TensorFlow lists the operations with GPU kernels on any machine."""

import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

from pose_tf.layers.dropout import dropout_seed
from pose_tf.training.detector_stage import DetectorStage
from pose_tf.training.lifter_stage import LifterStage
from tests.training.recipes import recipe


def gpu_kernels(operation):
    """GPU kernels for the types and options of an operation."""
    node = operation.node_def

    def allows(rule):
        value, allowed = node.attr[rule.name], rule.allowed_values.list
        return value.type in allowed.type or value.s in allowed.s

    return [
        kernel
        for kernel in kernels.get_registered_kernels_for_op(node.op).kernel
        if kernel.device_type in ("GPU", "DEFAULT") and all(map(allows, kernel.constraint))
    ]


def has_results_in_host_memory(operation):
    results = {result.name for result in operation.op_def.output_arg}
    return all(results & set(kernel.host_memory_arg) for kernel in gpu_kernels(operation))


def operations_of(graph):
    yield from graph.get_operations()
    for operation in graph.get_operations():
        for name in ("then_branch", "else_branch", "body", "cond", "f"):
            if operation.node_def.attr[name].HasField("func"):
                yield from operations_of(graph._get_function(operation.node_def.attr[name].func.name).graph)


def check_step(stage, batch):
    """Types of the operations in a stage's step; checks that all have GPU kernels."""

    @tf.function
    def step(batch, seed, progress):
        with tf.GradientTape() as tape, dropout_seed(seed):
            loss = tf.reduce_mean(stage.losses(stage.augment(batch, seed, progress))["loss"])
        return tape.gradient(loss, stage.model.trainable_variables)

    function = step.get_concrete_function(batch, tf.TensorSpec([2], tf.int64), tf.TensorSpec([]))
    operations = list(operations_of(function.graph))
    types = {operation.type for operation in operations}
    assert not types & {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
    assert not {operation.type for operation in operations if not gpu_kernels(operation)}
    # Some ops compute sizes, axes and parameters in host memory, but no data that grows with the images.
    on_host = [
        result.shape
        for operation in operations
        if has_results_in_host_memory(operation) and operation.type != "BroadcastGradientArgs"
        for result in operation.outputs
    ]
    assert on_host
    assert not [shape for shape in on_host if not shape.is_fully_defined() or shape.num_elements() > 100]
    return types


DETECTORS = {
    "hrnet": {"Conv2DBackpropInput", "AvgPool"},
    "efficientnet_lite0": {"DepthwiseConv2dNativeBackpropFilter", "ResizeBilinear"},
}


@pytest.mark.parametrize("name", DETECTORS)
def test_the_detectors_step_stays_on_the_gpu(detector_config, data_dir, name):
    config = detector_config
    if name != "hrnet":
        with config.unlocked():
            config.model = {"name": name, "scale": 0.5, "pyramid": (8, 8, 8, 8)}
    config.augment.update(flip=0.5, rotation=20.0, scale=0.1, shift=0.1, half_body=0.2)
    config.color.hue = 0.1
    config.train.half_size_until = 0.5
    batch = {"image": tf.TensorSpec([2, 256, 256, 3], tf.uint8), "pose2d_crop": tf.TensorSpec([2, 17, 2], tf.float32)}
    types = check_step(DetectorStage(config, str(data_dir)), batch)
    assert {"InplaceUpdate", "ResourceGather", "ImageProjectiveTransformV3", *DETECTORS[name]} <= types
    # They sum in a random order, which `config.deterministic` does not allow.
    assert not types & {"ResizeNearestNeighborGrad", "ResizeBilinearGrad"}


@pytest.mark.parametrize(
    ("name", "typical"), [("feed_forward_recomposed", "Bitcast"), ("sem_gcn_recomposed", "FusedBatchNormGradV3")]
)
def test_the_lifters_step_stays_on_the_gpu(poses, name, typical):
    config = recipe(name)
    config.data.poses = poses
    config.augment.noise_px = 2.0
    if "dropout" in config.model:
        config.model.dropout = 0.5
    batch = {"pose2d_crop": tf.TensorSpec([8, 17, 2], tf.float32), "pose3d": tf.TensorSpec([8, 17, 3], tf.float32)}
    assert typical in check_step(LifterStage(config, None), batch)
