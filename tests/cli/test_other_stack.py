"""Tests that TensorFlow 2.15 with Addons and current TensorFlow read each other's files.

Each test suite reads files that the other version's Python writes, so the two suites together test both directions.
"""

import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.training.checkpoints import checkpoint_steps
from tests.cli import stack_models

ROOT = pathlib.Path(__file__).parents[2]
OTHER = ROOT / (".venv-latest" if tf.__version__.startswith("2.15.") else ".venv") / "bin" / "python"
MODELS = ("hrnet", "feed_forward", "sem_gcn", "sem_gcn_grouped", "pose_estimator")
pytestmark = pytest.mark.skipif(
    not OTHER.exists(), reason=f"the other TensorFlow is not installed: {OTHER} does not exist"
)


def assert_equal(found, expected, tolerance=1e-5):
    """Compares values within a share of the largest one."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.fixture(scope="module")
def their_models(tmp_path_factory):
    """Directory of models of each kind, as .keras files and checkpoints."""
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([OTHER, "-m", "tests.cli.stack_models", folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def run_there(tool_command):
    """A function that runs a tool with the other TensorFlow."""

    def run(name, *flags):
        command = tool_command(name, *flags)
        command["args"][0] = str(OTHER)
        done = subprocess.run(**command, capture_output=True, timeout=900)
        assert done.returncode == 0, done.stderr

    return run


@pytest.fixture(scope="module")
def detector_flags(sample_data):
    """A function that returns the flags of a detector's run in a directory: 16 steps, a checkpoint after each."""

    def make(workdir):
        return (
            "train",
            f"--config={ROOT}/configs/quickstart_detector.py",
            f"--data_dir={sample_data}",
            f"--workdir={workdir}",
            "--config.precision=float32",
            "--config.model.width=4",
            "--config.augment.rotation=20.0",
            "--config.color.hue=0.1",
            "--config.data.batch_size=4",
            "--config.optimizer.ema=0.9",
            "--config.train.epochs=2.0",
            "--config.train.steps_per_call=1",
            "--config.train.validate_every_epochs=1.0",
            "--config.train.checkpoint_every_minutes=0.0",
            "--config.train.checkpoints_kept=100",
        )

    return make


@pytest.fixture(scope="module")
def their_runs(run_there, detector_flags, sample_data, tmp_path_factory):
    """Directory of a detector and a lifter that the other TensorFlow trained."""
    folder = tmp_path_factory.mktemp("runs")
    run_there(*detector_flags(folder / "detector"))
    run_there(
        "train",
        f"--config={ROOT}/configs/sem_gcn_recomposed.py",
        f"--config.data.poses={sample_data}/poses.npz",
        f"--workdir={folder}/lifter",
        "--config.precision=mixed_bfloat16",
        "--config.data.batch_size=8",
        "--config.train.epochs=2.0",
    )
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_keras_files_and_checkpoints_load_and_give_the_same(their_models, name):
    with np.load(their_models / f"{name}.npz") as file:
        expected = dict(file)
    x = expected.pop("x")
    model = tf.keras.models.load_model(their_models / f"{name}.keras", compile=False)
    found = stack_models.outputs(model, x)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert_equal(found[key], value)

    for weight in model.weights:
        weight.assign(tf.zeros_like(weight))
    tf.train.Checkpoint(model=model).read(str(their_models / f"{name}.ckpt")).assert_consumed()
    for key, value in stack_models.outputs(model, x).items():
        assert_equal(value, expected[key])


def test_trained_models_estimate_the_same(run_there, run_tool, their_runs, sample_data, tmp_path):
    flags = (f"--detector={their_runs}/detector", f"--lifter={their_runs}/lifter")
    flags += (f"--records={sample_data}/test_set.tfrecords",)
    run_there("submit", *flags, f"--output={tmp_path}/theirs.csv")
    run_tool("submit", *flags, f"--output={tmp_path}/ours.csv")
    theirs, ours = (np.loadtxt(tmp_path / name, delimiter=",", skiprows=1) for name in ("theirs.csv", "ours.csv"))
    assert_equal(ours, theirs)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("bfloat16", 1e-2)])
def test_exported_models_estimate_the_same(
    run_there, run_tool, their_runs, sample_data, tmp_path, precision, tolerance
):
    flags = (f"--detector={their_runs}/detector", f"--lifter={their_runs}/lifter", f"--precision={precision}")
    run_there("export", *flags, f"--output_dir={tmp_path}/model")
    flags = (f"--model={tmp_path}/model", f"--input={sample_data}/photos", f"--boxes={sample_data}/photos/boxes.csv")
    run_there("predict", *flags, f"--output_dir={tmp_path}/theirs")
    run_tool("predict", *flags, f"--output_dir={tmp_path}/ours")
    files = sorted((tmp_path / "theirs").glob("*.npz"))
    assert len(files) == 6
    for path in files:
        with np.load(path) as theirs, np.load(tmp_path / "ours" / path.name) as ours:
            for key in ("pose2d_px", "pose3d_mm", "confidence"):
                assert_equal(ours[key], theirs[key], tolerance)


def test_a_training_goes_on_where_the_other_one_was_killed(run_tool, their_runs, detector_flags, tmp_path):
    shutil.copytree(their_runs / "detector", tmp_path / "detector")
    for step in checkpoint_steps(f"{tmp_path}/detector/checkpoints"):
        if step > 10:
            shutil.rmtree(tmp_path / "detector" / "checkpoints" / f"{step:08d}")
    done = run_tool(*detector_flags(tmp_path / "detector"))
    assert "at step 10 of 16" in done.stderr
    before, theirs, ours = (
        tf.train.load_checkpoint(f"{folder}/detector/checkpoints/{step:08d}/ckpt")
        for folder, step in ((their_runs, 10), (their_runs, 16), (tmp_path, 16))
    )
    names = [name for name in theirs.get_variable_to_shape_map() if "OBJECT" not in name]
    weights = [name for name in names if name.startswith("model/") and not re.search("OPTIMIZER_SLOT|moving_", name)]
    averages = [name for name in names if name.startswith("average/")]
    for kind in (weights, averages):  # rounding differs, and Adam amplifies it
        way = np.sqrt(sum(np.sum((theirs.get_tensor(name) - before.get_tensor(name)) ** 2) for name in kind))
        apart = np.sqrt(sum(np.sum((theirs.get_tensor(name) - ours.get_tensor(name)) ** 2) for name in kind))
        assert apart < 0.01 * way
