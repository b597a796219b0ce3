"""Fixtures of the tests in this folder."""

import numpy as np
import pytest

from pose_tf.data import records
from pose_tf.data.occluders import OccluderBank
from pose_tf.synthetic.sample import SUBJECTS_TRAIN, render_sample
from pose_tf.training.monitor import Monitor
from tests.training.recipes import recipe


@pytest.fixture(autouse=True)
def no_curves(request, monkeypatch):
    """Skips `curves.png`, which takes longer to draw than the run. Tests that request `curves` draw it."""
    if "curves" not in request.fixturenames:
        monkeypatch.setattr(Monitor, "draw_curves", lambda self: None)


@pytest.fixture
def curves():
    """Enables `curves.png` for a test."""


@pytest.fixture
def poses(tmp_path, rng):
    """An .npz of 60 random poses in front of a camera."""
    pose3d = rng.normal(0, 300, (60, 17, 3)) + [0, 0, 5000]
    pose2d = pose3d[..., :2] / pose3d[..., 2:] * 1000 + 128
    np.savez(tmp_path / "poses.npz", pose2d_crop=pose2d, pose3d=pose3d, subject=np.resize(SUBJECTS_TRAIN, 60))
    return str(tmp_path / "poses.npz")


@pytest.fixture
def config(poses):
    """A small lifter that trains on `poses` for 24 steps."""
    config = recipe("feed_forward_recomposed")
    config.data.poses = poses
    config.data.batch_size = 8
    config.model.units = 16
    config.optimizer.warmup_steps = 2
    config.train.epochs = 4.0
    config.train.report_every_steps = 4
    return config


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Records of three images, of the subjects 1, 5 and 8."""
    folder = tmp_path_factory.mktemp("data")
    samples = [render_sample(0, i, subject) for i, subject in enumerate((1, 5, 8))]
    records.write(f"{folder}/h36/a.tfrecord", samples, records.H36M)
    return folder


@pytest.fixture
def detector_config(tmp_path):
    """A small detector whose images are all occluded by magenta."""
    config = recipe("hrnet_w32")
    config.model.width = config.model.stem = 4
    config.model.modules, config.model.blocks = (0, 0, 1), 0
    config.data.batch_size = 2
    config.occlusion.bank = f"{tmp_path}/bank.npz"
    config.occlusion.probability = 1.0
    OccluderBank((np.full((50, 50, 4), (255, 0, 255, 255), np.uint8),)).save(config.occlusion.bank)
    return config
