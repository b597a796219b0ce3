"""Starts predict_marks.py, which needs no model, and names the files that it writes."""

import os
import pathlib
import subprocess
import sys

PREDICT = pathlib.Path(__file__).with_name("predict_marks.py")
KINDS = ("png", "views.png", "html", "json", "csv", "npz")


def command(*flags, **environment):
    """The `subprocess` arguments for predict_marks.py."""
    return {
        "args": [sys.executable, PREDICT, "--box=whole", *flags],
        "env": os.environ | {"PYTHONCOERCECLOCALE": "0"} | environment,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }


def expected(numbers=range(12)):
    return {f"{number}.{kind}" for number in numbers for kind in KINDS} | {f"v.{kind}" for kind in ("mp4", *KINDS[1:])}


def names(folder):
    return {path.name for path in folder.iterdir()}
