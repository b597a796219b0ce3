"""Fixtures that run the tools like a user: as processes, from another directory."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.data import records
from tests.cli import forked
from tests.cli.processes import free_port
from tests.export.models import set_random_weights
from tests.predict.marks import marked, write_photo
from tests.predict.matroska import write_matroska

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tool_command(tmp_path_factory):
    """A function that returns the `subprocess` arguments for `tools/NAME.py FLAGS`, with added environment variables.

    `program`, if given, replaces the tool.
    """
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def make(name, *flags, program=None, **more):
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | more
        command = [sys.executable, str(program or ROOT / "tools" / f"{name}.py"), *map(str, flags)]
        return {"args": command, "cwd": elsewhere, "env": environment, "text": True}

    return make


@pytest.fixture(scope="session")
def run_tool(tool_command):
    """A function that runs `tools/NAME.py FLAGS` and returns the finished process, its output as text.

    The process is forked from one that has imported TensorFlow, unless the added variables may concern that import.
    """

    def run(name, *flags, ok=True, **environment):
        command = tool_command(name, *flags, **environment)
        if environment.keys() <= {"HOME"}:
            done = forked.run(command["args"], command["cwd"], timeout=900, **environment)
        else:
            done = subprocess.run(**command, capture_output=True, timeout=900)
        if ok:
            assert done.returncode == 0, done.stderr
        return done

    return run


def catch_interrupts():
    """Lets a process react to Ctrl-C. Shells make the processes that they start in the background ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start_tool(tool_command, tmp_path):
    """A function that starts a tool and returns the process, whose output goes to the file `errors`."""
    started = []

    def start(name, *flags, **environment):
        errors = tmp_path / f"errors{len(started)}.txt"
        with open(errors, "w") as file:
            command = tool_command(name, *flags, **environment)
            process = subprocess.Popen(**command, stdout=file, stderr=file, preexec_fn=catch_interrupts)
        process.errors = errors
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def fails(run_tool):
    """A function that runs a tool, checks for one sentence on stderr and exit status 1, and returns the sentence."""

    def run(name, *flags, **environment):
        done = run_tool(name, *flags, ok=False, **environment)
        assert done.returncode == 1, done.stdout
        assert "Traceback" not in done.stderr
        message = done.stderr.strip().splitlines()[-1]
        assert message.startswith("error: ")
        return message

    return run


@pytest.fixture(scope="session")
def sample_data(run_tool, tmp_path_factory):
    """A small sample data set: 40 training and 6 test images."""
    path = tmp_path_factory.mktemp("sample")
    run_tool("make_sample_data", f"--output_dir={path}", "--num_train=40", "--num_test=6", "--num_poses=60")
    return path


@pytest.fixture(scope="session")
def train_lifter(run_tool, sample_data):
    """A function that trains a lifter in a workdir for a few steps, with flags that replace its own."""

    def train(workdir, *flags):
        run_tool(
            "train",
            f"--config={ROOT}/configs/quickstart_lifter.py",
            f"--config.data.poses={sample_data}/poses.npz",
            f"--workdir={workdir}",
            "--config.model.units=32",
            "--config.data.batch_size=8",
            "--config.train.epochs=6.0",
            "--config.optimizer.warmup_steps=2",
            *flags,
        )

    return train


@pytest.fixture(scope="session")
def lifter(train_lifter, tmp_path_factory):
    """Workdir of a lifter trained for a few steps."""
    workdir = tmp_path_factory.mktemp("lifter")
    train_lifter(workdir)
    return workdir


@pytest.fixture(scope="session")
def train_detector(run_tool, sample_data):
    """A function that trains a tiny detector in a workdir for two steps, with flags that replace its own."""

    def train(workdir, *flags):
        run_tool(
            "train",
            f"--config={ROOT}/configs/quickstart_detector.py",
            f"--data_dir={sample_data}",
            f"--workdir={workdir}",
            "--config.model.width=4",
            "--config.precision=float32",
            "--config.train.epochs=1.0",
            *flags,
        )

    return train


@pytest.fixture(scope="session")
def detector(train_detector, tmp_path_factory):
    """Workdir of a tiny detector trained for two steps."""
    workdir = tmp_path_factory.mktemp("detector")
    train_detector(workdir)
    return workdir


@pytest.fixture(scope="session")
def sharp_detector(detector, tmp_path_factory):
    """A copy of the detector's workdir with weights like those after many steps: every image has other joints."""
    workdir = tmp_path_factory.mktemp("sharp_detector")
    shutil.copytree(detector, workdir, dirs_exist_ok=True)
    model = tf.keras.models.load_model(workdir / "best.keras")
    set_random_weights(model, np.random.default_rng(0))
    model.save(workdir / "best.keras")
    return workdir


@pytest.fixture(scope="session")
def model(run_tool, sharp_detector, lifter, tmp_path_factory):
    """Directory of the exported model of both; tests do not change it."""
    path = tmp_path_factory.mktemp("model")
    run_tool("export", f"--detector={sharp_detector}", f"--lifter={lifter}", f"--output_dir={path}")
    return path


@pytest.fixture(scope="session")
def shards(sample_data, tmp_path_factory):
    """The 40 records of the sample data, 8 of each of five subjects, in 8 files."""
    folder = tmp_path_factory.mktemp("shards")
    (whole,) = (sample_data / "h36").iterdir()
    samples = list(records.read(str(whole), records.H36M))
    for i in range(8):
        records.write(f"{folder}/h36/{i}.tfrecord", samples[i::8], records.H36M)
    return folder


@pytest.fixture
def detector_flags(shards, tmp_path):
    """A function that returns the flags of a small run in a directory: 5 epochs of 8 steps."""

    def make(name, *more):
        return (
            "train",
            f"--config={ROOT}/configs/hrnet_cpu.py",
            f"--data_dir={shards}",
            f"--workdir={tmp_path / name}",
            "--config.model.width=4",
            "--config.model.stem=4",
            "--config.model.blocks=1",
            "--config.model.downsample=4",
            "--config.color.brightness=0.2",
            "--config.optimizer.ema=0.9",
            "--config.optimizer.warmup_steps=3",
            "--config.data.batch_size=4",
            "--config.train.epochs=5.0",
            "--config.train.half_size_until=0.0",
            "--config.train.steps_per_call=3",
            "--config.train.report_every_steps=4",
            "--config.train.validate_every_epochs=2.0",
            "--config.train.checkpoint_every_minutes=0.0",
            *more,
        )

    return make


@pytest.fixture
def start_cluster(start_tool):
    """A function that starts two workers with the same flags, and one that restarts one of them."""

    def make(*flags, **options):
        addresses = [f"localhost:{free_port()}" for _ in range(2)]

        def start(worker):
            cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": worker}}
            return start_tool(*flags, "--config.strategy=multi_worker", TF_CONFIG=json.dumps(cluster), **options)

        return [start(0), start(1)], start

    return make


@pytest.fixture
def start_workers(start_cluster, sample_data, tmp_path):
    """A function that starts the two workers of a lifter's run; see `start_cluster`."""
    return lambda name, *more: start_cluster(
        "train",
        f"--config={ROOT}/configs/feed_forward_recomposed.py",
        f"--config.data.poses={sample_data}/poses.npz",
        f"--workdir={tmp_path / name}",
        "--config.model.units=32",
        "--config.data.replica_batch_size=8",
        "--config.data.batch_size=16",
        "--config.train.epochs=40.0",
        "--config.train.steps_per_call=10",
        "--config.train.validate_every_epochs=20.0",
        "--config.train.checkpoint_every_minutes=0.0",
        *more,
    )


@pytest.fixture
def start_detector(start_tool, detector_flags):
    """A function that starts the run of a small detector and ends its processes after the test."""
    return lambda *flags, **environment: start_tool(*detector_flags("run", *flags), **environment)


@pytest.fixture(scope="session")
def no_tensorflow(tmp_path_factory):
    """A folder for PYTHONPATH where importing TensorFlow fails."""
    folder = tmp_path_factory.mktemp("no_tensorflow")
    (folder / "tensorflow.py").write_text("raise RuntimeError('TensorFlow is imported')\n")
    return str(folder)


@pytest.fixture
def photos(tmp_path):
    """A folder of 12 photos and a video."""
    (tmp_path / "in").mkdir()
    for number in range(12):
        write_photo(tmp_path / "in" / f"{number}.jpg", (50, 40))
    write_matroska(tmp_path / "in" / "v.mkv", [0, 0.1, 0.2], [marked(100, 80, (50, 40))] * 3)
    return tmp_path / "in"
