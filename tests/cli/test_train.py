"""Tests of `pose-tf train`: its flags, what it leaves, and what it refuses."""

import json
import pathlib
import signal
import time

import cv2
import numpy as np
import pytest

from pose_tf.configs import hrnet_w48
from tests.cli.processes import run

ROOT = pathlib.Path(__file__).parents[2]


def test_print_config_prints_a_recipe_with_every_setting(no_tensorflow):
    flags = ("--config=hrnet_w48", "--print_config", "--config.model.modules=(1,2,3)", "--config.init_from=it's")
    done = run("-m", "pose_tf.cli", "train", *flags, PYTHONPATH=no_tensorflow)
    assert done.returncode == 0, done.stderr
    assert {"config.model.width = 48", "config.model.modules = (1, 2, 3)"} <= set(done.stdout.splitlines())
    config = hrnet_w48.get_config()
    config.model.modules, config.init_from, config.model.width = (0, 0, 0), "", 1
    exec(done.stdout, {"config": config})
    expected = hrnet_w48.get_config()
    expected.model.modules, expected.init_from = (1, 2, 3), "it's"
    assert config.to_dict() == expected.to_dict()


def test_a_run_needs_a_workdir(no_tensorflow):
    done = run("-m", "pose_tf.cli", "train", "--config=hrnet_w48", PYTHONPATH=no_tensorflow)
    assert (done.returncode, done.stderr) == (1, "error: --workdir is missing: give the directory of the run\n")


def test_training_leaves_a_model_curves_and_reports(detector, lifter):
    for workdir in (detector, lifter):
        names = {path.name for path in workdir.iterdir()}
        assert {"best.keras", "checkpoints", "config.json", "curves.png", "metrics.jsonl", "tensorboard"} <= names
        lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
        assert {line["split"] for line in lines} == {"train", "validation"}
        assert cv2.imread(str(workdir / "curves.png")) is not None
    assert json.loads((lifter / "statistics.json").read_text())["mean_mm"][0] == [0, 0, 0]


def test_a_finished_training_starts_again_and_changes_nothing(lifter, train_lifter):
    before = (lifter / "best.keras").read_bytes()
    train_lifter(lifter)
    assert (lifter / "best.keras").read_bytes() == before


def train_flags(workdir, *more, recipe="feed_forward"):
    return ("train", f"--config={ROOT}/configs/{recipe}.py", f"--workdir={workdir}", *more)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--config.model.unts=3"], ["unts"]),
        (["--config.model.units=many"], ["many"]),
        (["--config.precision=float8"], ["config.precision", "float8"]),
        (["--config.optimizer.schedule=zigzag"], ["config.optimizer.schedule", "zigzag"]),
        (["--config.loss=cubic"], ["config.loss", "cubic"]),
        (["--config.strategy=hope"], ["config.strategy", "hope"]),
        (["--config.model.name=resnet"], ["config.model.name", "resnet"]),
        (["--config.train.epochs=0.0"], ["config.train.epochs", "0.0", "above 0"]),
        (["--config.train.epochs=nan"], ["config.train.epochs", "nan"]),
        (["--config.seed=-1"], ["config.seed", "-1"]),
        (["--config.model.units=-64"], ["config.model.units", "-64"]),
        (["--config.train.steps_per_call=0"], ["config.train.steps_per_call", "at least 1"]),
        (["--config.train.checkpoints_kept=0"], ["config.train.checkpoints_kept", "at least 1"]),
        (["--config.optimizer.ema=1.0"], ["config.optimizer.ema", "1.0"]),
        (["--config.profile_steps=(5,)"], ["config.profile_steps", "(5,)"]),
        (["--config.batch_norm=group"], ["config.batch_norm", "group"]),
        (["--config.data.on_damage=hope"], ["config.data.on_damage", "hope"]),
        (["--config.data.batch_size=4096"], ["config.data.batch_size", "4096"]),
        (["--config.data.validation_subjects=(8,99)"], ["subject 99"]),
        (["--config.data.poses=/nowhere/poses.npz"], ["/nowhere/poses.npz"]),
    ],
)
def test_a_recipe_key_at_fault_is_named(fails, sample_data, tmp_path, flags, words):
    message = fails(*train_flags(tmp_path / "run", f"--data_dir={sample_data}", *flags))
    assert all(word in message for word in words)
    assert not (tmp_path / "run" / "best.keras").exists()


@pytest.fixture
def damaged_data(tmp_path):
    """A data directory whose only shard is damaged: whoever reads it says so."""
    (tmp_path / "h36").mkdir()
    (tmp_path / "h36" / "damaged.tfrecord").write_bytes(b"not a record")
    return tmp_path


@pytest.mark.parametrize(
    ("recipe", "flags", "sentence"),
    [
        ("feed_forward", [], "h36/damaged.tfrecord"),  # without a conflict, the data is read
        ("hrnet_w32", ["--config.model.downsample=8", "--config.train.half_size_until=0.5"], "too small for config.mo"),
        ("hrnet_w32", ["--config.loss.integral=0.0"], "config.loss has no factor above 0"),
        ("hrnet_w32", ["--config.data.mix.h36=0.0"], "config.data.mix has no share above 0"),
        ("hrnet_w32", ["--config.data.mix.mpii=0.02"], "is less than one of the 16 samples in a batch"),
        ("hrnet_w32", ["--config.decoding.method=argmax"], "which config.loss.integral and integral_l1 cannot train"),
        ("hrnet_w32", ["--config.occlusion.min_count=9"], "above config.occlusion.max_count"),
        ("feed_forward", ["--config.data.batch_size=0"], "set at least one of them"),
        ("feed_forward", ["--config.data.replica_batch_size=3"], "as config.data.replica_batch_size 3 says"),
        ("sem_gcn", ["--config.data.batch_size=1"], "set config.batch_norm = frozen"),
        ("feed_forward", ["--config.strategy=multi_worker"], "the environment variable TF_CONFIG is not set"),
    ],
)
def test_settings_that_conflict_are_refused_before_any_data_is_read(
    fails, damaged_data, tmp_path, recipe, flags, sentence
):
    more = (f"--data_dir={damaged_data}", *flags)
    message = fails(*train_flags(tmp_path / "run", *more, recipe=recipe))
    assert sentence in message
    assert (tmp_path / "run").exists() == (not flags)


def test_settings_that_several_workers_cannot_share_are_refused_before_any_data_is_read(start_workers, damaged_data):
    """XLA compiles no communication between workers."""
    flags = ("--config.jit_compile=True", "--config.batch_norm=synchronized", "--config.data.poses=")
    workers, _ = start_workers("run", f"--data_dir={damaged_data}", *flags)
    for process in workers:
        assert process.wait(200) == 1
        text = process.errors.read_text()
        assert "Traceback" not in text
        message = text.splitlines()[-1]
        assert message.startswith("error: config.jit_compile is True and config.batch_norm 'synchronized', which do")
        assert "on 2 replicas" in message
    assert not (damaged_data / "run").exists()


def test_a_missing_recipe_is_named(fails, tmp_path):
    assert "nowhere.py does not exist" in fails("train", "--config=nowhere.py", f"--workdir={tmp_path}")


def test_missing_data_is_named(fails, tmp_path):
    assert "no training data: give data_dir or config.data.poses" in fails(*train_flags(tmp_path / "run"))
    (tmp_path / "empty" / "h36").mkdir(parents=True)
    assert "empty/h36 contains no records" in fails(*train_flags(tmp_path / "run", f"--data_dir={tmp_path}/empty"))


def test_a_workdir_that_cannot_be_written_is_named(fails, sample_data, tmp_path):
    (tmp_path / "file").write_text("")
    message = fails(*train_flags(tmp_path / "file" / "run", f"--data_dir={sample_data}"))
    assert "file/run cannot be written" in message


def test_another_recipe_in_the_same_workdir_is_refused(fails, sample_data, lifter):
    message = fails(*train_flags(lifter, f"--data_dir={sample_data}"))
    assert str(lifter) in message
    assert "config." in message


def test_a_second_training_in_a_workdir_is_refused_and_the_first_goes_on(fails, start_tool, sample_data, tmp_path):
    flags = train_flags(
        tmp_path / "run",
        f"--config.data.poses={sample_data}/poses.npz",
        "--config.model.units=32",
        "--config.train.epochs=100000.0",
    )
    process = start_tool(*flags)
    while not (tmp_path / "run" / "config.json").exists():
        assert process.poll() is None, process.errors.read_text()
        time.sleep(0.1)
    message = fails(*flags)
    assert f"{tmp_path}/run is in use by process {process.pid} on " in message
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, process.errors.read_text()


def test_poses_in_other_units_are_named(fails, sample_data, tmp_path):
    with np.load(sample_data / "poses.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "meters.npz", **arrays | {"pose3d": arrays["pose3d"] / 1000})
    np.savez(tmp_path / "normalized.npz", **arrays | {"pose2d_crop": arrays["pose2d_crop"] / 128 - 1})
    message = fails(*train_flags(tmp_path / "run", f"--config.data.poses={tmp_path}/meters.npz"))
    assert f"{tmp_path}/meters.npz: 'pose3d' must be in millimeters" in message and "meters?" in message
    message = fails(*train_flags(tmp_path / "run", f"--config.data.poses={tmp_path}/normalized.npz"))
    assert "'pose2d_crop' must be in pixels of the 256x256 crop" in message and "normalized coordinates?" in message


def test_a_damaged_shard_stops_training_with_its_name(fails, sample_data, tmp_path):
    (tmp_path / "h36").mkdir()
    (shard,) = (sample_data / "h36").iterdir()
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "h36" / "flipped.tfrecord").write_bytes(data)
    message = fails(*train_flags(tmp_path / "run", f"--data_dir={tmp_path}"))
    assert "flipped.tfrecord record " in message


LOSE_ONCE = """
import os, sys, types
sys.modules["tensorflow"] = types.SimpleNamespace(__version__="0", keras=types.SimpleNamespace(__version__="2"),
    config=types.SimpleNamespace(experimental=types.SimpleNamespace(enable_tensor_float_32_execution=bool)))
trainer = sys.modules["pose_tf.training.trainer"] = types.ModuleType("trainer")
class WorkerLost(Exception):
    pass
def train(config, data_dir, workdir):
    if os.path.exists(workdir):
        print("again", config.seed, data_dir)
    else:
        os.mkdir(workdir)
        raise WorkerLost("another worker is gone")
trainer.WorkerLost, trainer.train = WorkerLost, train
sys.modules["pose_tf.training"] = types.ModuleType("training")
sys.modules["pose_tf.models"] = types.ModuleType("models")
"""


@pytest.mark.parametrize("start", [["tools/train.py"], ["-m", "pose_tf.cli", "train"], ["pose-tf", "train"]])
def test_a_run_that_has_lost_a_worker_starts_again(tmp_path, start):
    (tmp_path / "sitecustomize.py").write_text(LOSE_ONCE)
    (tmp_path / "pose-tf").write_text("from pose_tf.cli import main\nmain()\n")
    start = [str(tmp_path / "pose-tf") if word == "pose-tf" else word for word in start]
    flags = ("--config=feed_forward", "--config.seed=3", f"--workdir={tmp_path}/run", "--data_dir=d")
    done = run(*start, *flags, PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert (done.returncode, done.stdout) == (0, "again 3 d\n"), done.stderr
    assert done.stderr == "warning: another worker is gone; restarting from the last checkpoint\n"
