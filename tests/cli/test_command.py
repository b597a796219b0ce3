"""Tests of `pose-tf`: its commands, the ways to start them, and the installed package."""

import os
import pathlib
import re
import shutil
import subprocess
import sysconfig

import pytest

from pose_tf.cli import COMMANDS
from tests.cli.processes import run

ROOT = pathlib.Path(__file__).parents[2]
TOOLS = {"serve-client": "serving_client", "inspect": "inspect_records", "make-sample": "make_sample_data"}


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


def test_every_command_has_a_file_of_tests():
    tested = {path.name for path in (ROOT / "tests" / "cli").glob("test_*.py")}
    assert tested > {f"test_{command.replace('-', '_')}.py" for command in COMMANDS}


def test_a_tool_runs_the_code_of_its_checkout_whatever_is_installed(tmp_path):
    (tmp_path / "pose_tf").mkdir()
    (tmp_path / "pose_tf" / "__init__.py").write_text("raise RuntimeError('another version')\n")
    done = run(ROOT / "tools" / "train.py", "--config=quickstart_lifter", "--print_config", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "config.model.units = " in done.stdout


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "tools").glob("[a-z]*.py")))
def test_help_explains_the_tool_and_exits_0(run_tool, name):
    done = run_tool(name, "--help")
    assert f"python tools/{name}.py --" in done.stdout


@pytest.mark.parametrize("arguments", [["trian"], []])
def test_an_unknown_command_is_one_sentence(arguments):
    done = run("-m", "pose_tf.cli", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"error: .*\n", done.stderr)
    assert not arguments or "'trian' is not a command of python -m pose_tf.cli; the commands are p" in done.stderr


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


def test_the_installed_command_predicts_makes_data_and_trains_from_another_directory(installed, tmp_path):
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
    shutil.copy(ROOT / "docs" / "basketball1.png", tmp_path / "photo.png")
    assert re.search(r"photo.png: \d \w+, results poses/photo", pose_tf("predict", "photo.png"))
    assert (tmp_path / "poses" / "photo.views.png").exists()
