"""Tests of the scripts quickstart.sh and test.sh, with an interpreter that only records its arguments."""

import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
STUB = """#!/bin/sh
case "$1" in
  -c) echo 3.11 ;;
  *) echo "$@" >> calls.txt ;;
esac
"""


@pytest.fixture
def checkout(tmp_path):
    """A checkout whose .venv is installed."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    for name in ("requirements.txt", "requirements-latest.txt", "requirements-people.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("python", "ruff"):
        make_program(tmp_path / ".venv" / "bin" / name, STUB)
    parts = [(tmp_path / f"requirements{part}.txt").read_text() for part in ("", "-people")]
    (tmp_path / ".venv" / "installed.txt").write_text("".join(parts))
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


def calls(checkout):
    path = checkout / "calls.txt"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def test_the_quickstart_runs_every_step_in_order(checkout):
    done = run(checkout, "quickstart.sh")
    assert done.returncode == 0, done.stderr
    names = ["predict", "make_sample_data", "inspect_records", "train", "train", "evaluate", "export", "predict"]
    assert calls(checkout) == [f"tools/{name}.py" for name in names]
    assert "TensorBoard      .venv/bin/tensorboard --logdir quickstart" in done.stdout


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
    last = (checkout / "calls.txt").read_text().splitlines()[-1]
    assert last == "-m pytest -n 2 --dist loadfile --no-loadscope-reorder tests/test_viz.py -k sheet"


def test_without_a_python_of_the_right_version_it_says_which_are(checkout):
    shutil.rmtree(checkout / ".venv")
    done = run(checkout, "test.sh", PYTHON="/nowhere/python")
    assert done.returncode == 1
    assert done.stderr.startswith("error: Python 3.11 is needed; set PYTHON=/path/to/python")
    done = run(checkout, "test.sh", "--latest", PYTHON="/nowhere/python")
    assert "error: Python 3.11 or 3.12 or 3.13 is needed" in done.stderr
