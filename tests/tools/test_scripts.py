"""Tests of the scripts quickstart.sh and test.sh, with an interpreter that only records its arguments."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
STUB = """#!/bin/sh
case "$1 $2" in
  -c*) echo 3.11 ;;
  "-m venv") for last; do mkdir -p "$last/bin"; done; cp "$0" "$last/bin/python"; cp "$0" "$last/bin/ruff" ;;
  *) echo "$@" >> calls.txt ;;
esac
"""
"""In place of Python: makes a virtual environment of itself, and records all other calls."""


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose .venv is installed."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "fast.txt", tmp_path / "tests")
    for name in ("requirements.txt", "requirements-latest.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("python", "ruff"):
        make_program(tmp_path / ".venv" / "bin" / name, STUB)
    shutil.copy(ROOT / "requirements.txt", tmp_path / ".venv" / "installed.txt")
    return tmp_path


def make_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def run(checkout, script, *arguments, **environment):
    return subprocess.run(
        [checkout / "tools" / script, *arguments],
        cwd="/",
        env={key: value for key, value in os.environ.items() if key != "PYTHON"} | environment,
        capture_output=True,
        text=True,
    )


def all_calls(checkout):
    path = checkout / "calls.txt"
    return path.read_text().splitlines() if path.exists() else []


def calls(checkout):
    return [call.split()[0] for call in all_calls(checkout)]


def test_the_quickstart_runs_every_step_in_order(checkout):
    done = run(checkout, "quickstart.sh")
    assert done.returncode == 0, done.stderr
    names = ["predict", "make_sample_data", "inspect_records", "train", "train", "evaluate", "export", "predict"]
    assert calls(checkout) == [f"tools/{name}.py" for name in names]
    assert "TensorBoard      .venv/bin/tensorboard --logdir quickstart" in done.stdout
    told = re.findall(r"quickstart/(\S+)", done.stdout.partition("== Done")[2])
    expected = "photo/ records.png detector/curves.png lifter/curves.png test.png poses/ report.json model/"
    assert told == expected.split()
    written = re.findall(r"--(?:output|workdir|preview)\w*=quickstart/(\S+)", "\n".join(all_calls(checkout)))
    assert {path.partition("/")[0] for path in told} == {*written} - {"data"}


def test_the_quickstart_ends_with_the_step_that_fails(checkout):
    make_program(
        checkout / ".venv" / "bin" / "python", STUB.replace(">> calls.txt", '>> calls.txt; test "$1" != tools/train.py')
    )
    assert run(checkout, "quickstart.sh").returncode == 1
    assert calls(checkout)[-1] == "tools/train.py" and len(calls(checkout)) == 4


def test_an_unknown_argument_of_the_quickstart_is_named(checkout):
    done = run(checkout, "quickstart.sh", "--fast")
    assert (done.returncode, done.stderr) == (1, "error: unknown argument '--fast'; the only one is --latest\n")


def test_arguments_of_the_tests_go_to_pytest(checkout):
    assert run(checkout, "test.sh", "tests/test_viz.py", "-k", "sheet").returncode == 0
    assert all_calls(checkout) == [
        "check .",
        "format --check .",
        "-m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/test_viz.py -k sheet",
    ]


def test_the_fast_tests_are_those_of_the_list(checkout):
    assert run(checkout, "test.sh", "--fast", "-x").returncode == 0
    listed = [line for line in (ROOT / "tests" / "fast.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(listed) > 10
    assert all_calls(checkout)[-1].split("--no-loadscope-reorder ")[1].split() == [*listed, "-x"]


@pytest.mark.parametrize(
    ("flags", "venv", "requirements"),
    [((), ".venv", "requirements.txt"), (("--latest",), ".venv-latest", "requirements-latest.txt")],
)
def test_dependencies_and_the_package_are_installed_once_and_again_after_a_change(checkout, flags, venv, requirements):
    shutil.rmtree(checkout / ".venv")
    make_program(checkout / "python", STUB)
    python = {"PYTHON": str(checkout / "python")}
    first = run(checkout, "test.sh", *flags, **python)
    assert first.returncode == 0, first.stderr
    assert f"== Installing into {venv}\n" in first.stdout
    quietly = "-m pip install --quiet --disable-pip-version-check"
    installed = [
        f"{quietly} -r {requirements}",
        f"{quietly} --no-deps --no-build-isolation --editable .",
    ]
    tested = ["check .", "format --check .", "-m pytest -n 2 --dist loadfile --no-loadscope-reorder"]
    assert all_calls(checkout) == installed + tested
    assert (checkout / venv / "bin" / "python").exists()
    for environment in ({}, python):
        assert "Installing" not in run(checkout, "test.sh", *flags, **environment).stdout
    assert all_calls(checkout)[len(installed) :] == 3 * tested
    with open(checkout / requirements, "a") as file:
        file.write("another==1.0\n")
    run(checkout, "test.sh", *flags, **python)
    assert all_calls(checkout)[-5:] == installed + tested


def test_without_a_python_of_the_right_version_it_says_which_are(checkout):
    shutil.rmtree(checkout / ".venv")
    done = run(checkout, "test.sh", PYTHON="/nowhere/python")
    assert done.returncode == 1
    assert done.stderr.startswith("error: Python 3.11 is needed; set PYTHON=/path/to/python")
    done = run(checkout, "test.sh", "--latest", PYTHON="/nowhere/python")
    assert "error: Python 3.11 or 3.12 or 3.13 is needed" in done.stderr
