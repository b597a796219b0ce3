"""Tests of packing two runs as the starter."""

import json
import subprocess
import sys

import numpy as np
import pytest

from pose_tf.models import EfficientNetLite, FeedForward, load_keras
from pose_tf.models.statistics import PoseStatistics
from pose_tf.starter.pack import halve
from pose_tf.workdir import Workdir


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with the runs of a detector and of a lifter."""
    folder = tmp_path_factory.mktemp("runs")
    recipes = {
        "detector": {"model": {"name": "efficientnet_lite0"}, "init_from": "/home/user/imagenet.pth"},
        "lifter": {"model": {"name": "feed_forward"}, "data": {"poses": "/home/user/cmu.npz"}},
    }
    models = {"detector": EfficientNetLite(0, scale=0.5, pyramid=(8, 8, 8, 8)), "lifter": FeedForward(units=16)}
    for stage, model in models.items():
        (folder / stage).mkdir()
        model.save(folder / stage / "best.keras")
        (folder / stage / "config.json").write_text(
            json.dumps({"stage": stage, "flip_test": True, "decoding": {"beta": 1.0}, **recipes[stage]})
        )
    statistics = PoseStatistics(np.zeros((17, 3), np.float32), np.ones((17, 3), np.float32), margin=1.3)
    (folder / "lifter" / "statistics.json").write_text(json.dumps(statistics.to_json()))
    metrics = [
        {"step": step, "split": "validation", "mpjpe": error} for step, error in ((1, 50.0), (2, 40.0), (3, 45.0))
    ]
    (folder / "lifter" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    return folder


def pack(runs, output_dir):
    (output_dir / "card.json").write_text(json.dumps({"data": "some photographs", "training": "before"}))
    flags = [f"--{stage}={runs}/{stage}" for stage in ("detector", "lifter")]
    command = [sys.executable, "-m", "pose_tf.starter.pack", *flags]
    return subprocess.run(
        [*command, f"--output_dir={output_dir}", "--beta=8", "--confidence_beta=2"],
        capture_output=True,
        text=True,
    )


def test_weights_are_stored_in_float16(runs):
    data = (runs / "detector" / "best.keras").read_bytes()
    halved = halve(data)
    assert len(halved) < 0.6 * len(data)
    assert halve(data) == halved  # nothing of the time


def test_two_runs_are_packed(runs, tmp_path):
    done = pack(runs, tmp_path)
    assert done.returncode == 0, done.stderr
    for stage in ("detector", "lifter"):
        before, after = (load_keras(str(folder / stage / "best.keras")) for folder in (runs, tmp_path))
        for old, new in zip(before.get_weights(), after.get_weights(), strict=True):
            np.testing.assert_array_equal(new, np.float32(np.float16(old)))
    assert Workdir(str(tmp_path / "detector")).config().init_from == "imagenet.pth"
    assert Workdir(str(tmp_path / "detector")).config().decoding.beta == 8.0
    assert Workdir(str(tmp_path / "detector")).config().decoding.confidence_beta == 2.0
    assert Workdir(str(tmp_path / "lifter")).config().data.poses == "cmu.npz"
    assert Workdir(str(tmp_path / "lifter")).statistics().margin == 1.3
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["data"] == "some photographs"  # as it was
    assert card["validation_errors"] == {"detector": {}, "lifter": {"step": 2, "mpjpe": 40.0}}
    assert card["training"]["detector"]["model"] == {"name": "efficientnet_lite0"}
