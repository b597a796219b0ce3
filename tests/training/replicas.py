"""Small runs on several devices or workers of this machine."""

import json
import os
import socket

import numpy as np
import tensorflow as tf

from pose_tf.data import records
from pose_tf.data.occluders import OccluderBank
from pose_tf.models import efficientnet_lite
from pose_tf.synthetic.sample import render_sample
from tests.training.recipes import recipe

NETWORKS = {
    "detector": "hrnet_w32",
    "feed_forward": "feed_forward_recomposed",
    "sem_gcn": "sem_gcn_recomposed",
    "end_to_end": "end_to_end",
}
SMALL_STAGES = tuple((1, kernel, stride, 1, 4) for _, kernel, stride, _, _ in efficientnet_lite.STAGES)


def make_config(folder, stage, precision, batch_norm, jit_compile):
    config = recipe(NETWORKS[stage])
    config.precision, config.batch_norm, config.jit_compile = precision, batch_norm, jit_compile
    config.data.batch_size, config.data.validation_subjects = 4, (8,)
    config.optimizer.clip_norm, config.optimizer.ema = 1.0, 0.9
    if stage == "detector":
        config.model.width = config.model.stem = 4
        config.model.modules, config.model.blocks, config.model.downsample = (0, 0, 1), 0, 4
        config.occlusion.bank, config.train.half_size_until = f"{folder}/bank.npz", 0.5
    elif stage == "end_to_end":
        efficientnet_lite.STAGES = SMALL_STAGES
        config.model.scale, config.model.pyramid = 0.5, (4, 4, 4, 4)
        config.lifter.channels, config.lifter.num_blocks, config.lifter.non_local = 8, 1, True
        config.bones.length = config.bones.symmetry = config.bones.direction = 0.1
        config.occlusion.bank, config.occlusion.probability = f"{folder}/bank.npz", 0.5
    elif stage == "feed_forward":
        config.model.units, config.model.num_blocks, config.model.dropout = 8, 1, 0.5
    else:
        config.model.channels, config.model.num_blocks, config.model.non_local = 8, 1, True
    return config


def use_devices(strategy, tf_config):
    """Prepares this process for a strategy: two devices, or its place in a cluster."""
    if tf_config:
        os.environ["TF_CONFIG"] = tf_config
    if strategy == "mirrored":
        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def tf_configs():
    """TF_CONFIG of two workers on this machine."""
    cluster = {"worker": [f"localhost:{free_port()}" for _ in range(2)]}
    return [json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}) for index in range(2)]


def make_data(folder):
    samples = [render_sample(0, i, subject) for i, subject in enumerate((1,) * 16 + (8,))]
    records.write(f"{folder}/h36/a.tfrecord", samples, records.H36M)
    OccluderBank((np.full((90, 60, 4), 200, np.uint8),)).save(f"{folder}/bank.npz")
