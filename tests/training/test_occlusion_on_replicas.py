"""Tests that the paper's detector trains with occlusion on two devices, and resumes exactly.

tests/cli/test_interrupted_training.py does the same with two workers of two devices, of which one is killed.
"""

import multiprocessing
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.training import detector_stage, trainer
from pose_tf.training.monitor import Monitor
from pose_tf.training.strategy import make_strategy
from tests.training.replicas import make_config, make_data, use_devices

STEPS = 4


def train_and_resume(folder):
    """Trains on two devices for four steps, then resumes from the second step.

    Returns:
        The devices of the replicas, and those that hold a copy of the occluders: for the first and the resumed run.
    """
    use_devices("mirrored", None)
    strategy = make_strategy("mirrored")
    trainer.make_strategy = lambda *_: strategy
    trainer.check_values = lambda _: None  # the network is smaller than recipes allow
    Monitor.draw_curves = lambda *_: None  # drawing takes longer than the steps
    banks, make = [], detector_stage.OcclusionAugmenter
    detector_stage.OcclusionAugmenter = lambda **options: banks.append(make(**options)) or banks[-1]

    config = make_config(folder, "detector", "float32", "replica", False)
    config.strategy, config.occlusion.probability, config.train.half_size_until = "mirrored", 1.0, 0.0
    config.flip_test, config.data.batch_size = False, 16
    config.train.epochs, config.train.steps_per_call = float(STEPS), 1
    config.train.validate_every_epochs, config.train.checkpoint_every_minutes = 2.0, 0.0
    trainer.train(config, folder, f"{folder}/whole")
    shutil.copytree(f"{folder}/whole", f"{folder}/resumed")
    for step in range(3, STEPS + 1):
        shutil.rmtree(f"{folder}/resumed/checkpoints/{step:08d}")
    trainer.train(config, folder, f"{folder}/resumed")
    copies = [strategy.experimental_local_results(layer.bank.atlas.cells) for layer in banks]
    return list(strategy.extended.worker_devices), [[copy.device for copy in cells] for cells in copies]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("data"))
    make_data(folder)
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """The result of `train_and_resume`, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(train_and_resume, [folder])


def state(workdir):
    reader = tf.train.load_checkpoint(os.path.join(workdir, "checkpoints", f"{STEPS:08d}", "ckpt"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if "OBJECT" not in name}


@pytest.mark.usefixtures("trained")
def test_it_ends_with_the_same_weights_when_it_is_resumed(folder):
    whole, resumed = state(f"{folder}/whole"), state(f"{folder}/resumed")
    assert whole.keys() == resumed.keys()
    for key in whole:
        np.testing.assert_array_equal(whole[key], resumed[key], err_msg=key)
    assert not any("occluder" in key for key in whole)


def test_every_device_has_a_copy_of_the_occluders(trained):
    devices, (fresh, resumed) = trained
    assert fresh == resumed == devices
    assert len(devices) == 2
