"""Tests of `pose-tf`: its commands, the ways to start them, and the installed package."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest

from pose_tf.cli import COMMANDS
from pose_tf.cli._flags import find_recipe
from pose_tf.configs import hrnet_w48
from pose_tf.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
TOOLS = {"serve-client": "serving_client", "inspect": "inspect_records", "make-sample": "make_sample_data"}


def run(*command, cwd=ROOT, **environment):
    command = [sys.executable, *map(str, command)]
    environment = os.environ | environment
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def no_tensorflow(tmp_path_factory):
    """A folder for PYTHONPATH where importing TensorFlow fails."""
    folder = tmp_path_factory.mktemp("no_tensorflow")
    (folder / "tensorflow.py").write_text("raise RuntimeError('TensorFlow is imported')\n")
    return str(folder)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_does_not_import_tensorflow(command, no_tensorflow):
    done = run("-m", "pose_tf.cli", command, "--help", PYTHONPATH=no_tensorflow)
    assert done.returncode == 0, done.stderr
    assert f"\n    python -m pose_tf.cli {command} --" in done.stdout
    assert re.search(r"\nflags:\n  --", done.stdout)


def test_help_lists_every_command_with_a_sentence(no_tensorflow):
    done = run("-m", "pose_tf.cli", "--help", PYTHONPATH=no_tensorflow)
    assert done.returncode == 0, done.stderr
    lines = dict(re.findall(r"^  ([a-z-]+) +(\S.*\.)$", done.stdout, re.MULTILINE))
    assert tuple(lines) == COMMANDS
    assert lines["inspect"] == "Checks every record of a data directory and reports what it holds."


def test_every_command_has_a_tool_and_every_tool_a_command():
    tools = {TOOLS.get(command, command.replace("-", "_")) for command in COMMANDS}
    assert {path.stem for path in (ROOT / "tools").glob("[a-z]*.py")} == tools


@pytest.mark.parametrize("arguments", [["trian"], []])
def test_an_unknown_command_is_one_sentence(arguments):
    done = run("-m", "pose_tf.cli", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"error: .*\n", done.stderr)
    assert not arguments or "'trian' is not a command of python -m pose_tf.cli; the commands are p" in done.stderr


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("hrnet_w48", "configs/hrnet_w48.py"),
        ("released/sem_gcn", "configs/released/sem_gcn.py"),
        ("configs/hrnet_w48.py", "configs/hrnet_w48.py"),
    ],
)
def test_a_recipe_is_found_by_name_and_by_path(monkeypatch, config, expected):
    monkeypatch.chdir(ROOT)
    assert pathlib.Path(find_recipe(config)).samefile(ROOT / expected)


@pytest.mark.parametrize("name", ["hrnet_w33", "base", "configs", "nowhere.py"])
def test_an_unknown_recipe_lists_those_that_exist(monkeypatch, name):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=rf"^--config={name} does not exist; .* recipes feed_forward, .*, sem_gcn"):
        find_recipe(name)


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


def test_a_required_flag_that_is_missing_is_named(no_tensorflow):
    done = run("-m", "pose_tf.cli", "evaluate", PYTHONPATH=no_tensorflow)
    assert (done.returncode, done.stderr) == (1, "error: --lifter is missing; see --help\n")


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


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Program folder of a virtual environment with the package installed; it shares the other packages of this one."""
    folder = tmp_path_factory.mktemp("venv")
    assert run("-m", "venv", "--without-pip", folder).returncode == 0
    purelib = sysconfig.get_path("purelib", "venv", {"base": folder, "platbase": folder})
    (pathlib.Path(purelib) / "here.pth").write_text(sysconfig.get_path("purelib") + "\n")
    source = tmp_path_factory.mktemp("source")
    for name in ("pose_tf", "configs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = (f"--python={folder}/bin/python", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index")
    done = run("-m", "pip", *pip, source)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def test_the_installed_command_makes_data_and_trains_from_another_directory(installed, tmp_path):
    def pose_tf(*arguments):
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [installed / "pose-tf", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "usage: pose-tf COMMAND [flags]" in pose_tf("--help")
    assert "\n    pose-tf train --config=hrnet_w32 --data_dir" in pose_tf("train", "--help")
    small = ("--config=quickstart_lifter", "--config.model.units=16", "--config.train.epochs=2.0")
    assert "config.model.units = 16\n" in pose_tf("train", *small, "--print_config")
    assert "config.loss.released_heatmap = 1.0\n" in pose_tf("train", "--config=released/hrnet_w32", "--print_config")
    pose_tf("make-sample", "--output_dir=data", "--num_train=1", "--num_test=1", "--num_poses=200")
    assert "model run/best.keras" in pose_tf("train", *small, "--workdir=run", "--config.data.poses=data/poses.npz")
    assert (tmp_path / "run" / "config.json").exists()
