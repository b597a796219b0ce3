"""Tests of the detector's training step: what it sees, and that all of it can run on a GPU."""

import importlib.util
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import kernels

from pose_tf.data import records
from pose_tf.data.occluders import OccluderBank
from pose_tf.data.pipeline import Share
from pose_tf.data.sample import render_sample
from pose_tf.errors import UserError
from pose_tf.training.stages import DetectorStage
from pose_tf.training.workdir import Workdir

RECIPE = pathlib.Path(__file__).parents[2] / "configs" / "hrnet_w32.py"


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    samples = [render_sample(0, i, subject) for i, subject in enumerate((1, 5, 8))]
    records.write(f"{folder}/h36/a.tfrecord", samples, records.H36M)
    return folder


@pytest.fixture
def config(tmp_path):
    spec = importlib.util.spec_from_file_location("hrnet_w32", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.model.width = config.model.stem = 4
    config.model.modules, config.model.blocks = (1, 1, 1), 1
    config.data.batch_size = 2
    config.occlusion.bank = f"{tmp_path}/bank.npz"
    config.occlusion.probability = 1.0
    OccluderBank((np.full((50, 50, 4), (255, 0, 255, 255), np.uint8),)).save(config.occlusion.bank)
    return config


def make_stage(config, data_dir, tmp_path):
    return DetectorStage(config, str(data_dir), Workdir(str(tmp_path)))


def test_training_images_are_occluded_and_jittered_and_validation_images_are_not(config, data_dir, tmp_path):
    config.color.brightness = 0.0
    stage = make_stage(config, data_dir, tmp_path)
    batch = next(iter(stage.training_batches(0, Share())))
    images, pose2d = stage.augment(batch, [0, 0])
    assert images.dtype == tf.float32
    np.testing.assert_array_equal(pose2d, batch["pose2d"])
    changed = np.abs(images - tf.cast(batch["image"], tf.float32)).max(axis=-1)
    assert (changed > 1).mean() > 0.9  # colours, nearly everywhere
    again, _ = stage.augment(batch, [0, 0])
    other, _ = stage.augment(batch, [0, 1])
    np.testing.assert_array_equal(again, images)
    assert (other.numpy() != images.numpy()).mean() > 0.5
    magenta = (images.numpy() @ [1, -2, 1]) > 300
    assert magenta.any(axis=(1, 2)).all()

    (validation,) = stage.validation_images
    (truth,) = [sample for sample in records.read(f"{data_dir}/h36/a.tfrecord", records.H36M) if sample["subject"] == 8]
    np.testing.assert_array_equal(validation["image"][0], truth["image"])
    assert stage.augmented_pictures().shape == (256, 512, 3)


def test_a_missing_bank_says_what_to_do(config, data_dir, tmp_path):
    config.occlusion.bank = "nowhere.npz"
    with pytest.raises(UserError, match=r"config.occlusion.bank: nowhere.npz does not exist; tools/build_occluders.py"):
        make_stage(config, data_dir, tmp_path)


def test_a_loss_that_the_argmax_cannot_train_is_refused(config, data_dir, tmp_path):
    config.decoding.method = "argmax"
    with pytest.raises(UserError, match="config.decoding.method is 'argmax', which config.loss.integral"):
        make_stage(config, data_dir, tmp_path)


@pytest.mark.parametrize("loss", ["heatmap", "released_heatmap", "distribution"])
def test_the_losses_of_heatmaps_train_whatever_the_decoding(config, data_dir, tmp_path, loss):
    config.decoding.method, config.loss.integral, config.loss[loss] = "argmax", 0.0, 1.0
    stage = make_stage(config, data_dir, tmp_path)
    batch = next(iter(stage.training_batches(0, Share())))
    with tf.GradientTape() as tape:
        losses = stage.losses(stage.augment(batch, [0, 0]), 0.0)
    assert set(losses) == {loss, "loss", "pixel_error"}
    gradients = tape.gradient(losses["loss"], stage.model.trainable_variables)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert any(np.any(gradient != 0) for gradient in gradients)


def gpu_kernels(operation):
    """Kernels for the GPU, of the operation's types."""
    node = operation.node_def
    return [
        kernel
        for kernel in kernels.get_registered_kernels_for_op(node.op).kernel
        if kernel.device_type in ("GPU", "DEFAULT")
        and all(node.attr[rule.name].type in rule.allowed_values.list.type for rule in kernel.constraint)
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


def test_the_training_step_stays_on_the_gpu(config, data_dir, tmp_path):
    config.augment.flip, config.augment.rotation, config.augment.scale, config.color.hue = 0.5, 20.0, 0.1, 0.1
    config.train.half_size_until = 0.5
    stage = make_stage(config, data_dir, tmp_path)

    @tf.function
    def step(batch, seed, progress):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(stage.losses(stage.augment(batch, seed), progress)["loss"])
        return tape.gradient(loss, stage.model.trainable_variables)

    batch = {"image": tf.TensorSpec([2, 256, 256, 3], tf.uint8), "pose2d": tf.TensorSpec([2, 17, 2], tf.float32)}
    function = step.get_concrete_function(batch, tf.TensorSpec([2], tf.int64), tf.TensorSpec([]))
    operations = list(operations_of(function.graph))
    types = {operation.type for operation in operations}
    assert {"InplaceUpdate", "ResourceGather", "ImageProjectiveTransformV3", "Conv2DBackpropInput", "AvgPool"} <= types
    assert not types & {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
    assert not {operation.type for operation in operations if not gpu_kernels(operation)}
    # Some ops compute sizes, axes and parameters in the host's memory: no images, and nothing that grows with them.
    on_host = [
        result.shape
        for operation in operations
        if has_results_in_host_memory(operation) and operation.type != "BroadcastGradientArgs"
        for result in operation.outputs
    ]
    assert on_host
    assert not [shape for shape in on_host if not shape.is_fully_defined() or shape.num_elements() > 100]
