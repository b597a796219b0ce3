"""Runs commands in processes forked from one that has imported TensorFlow, which saves five seconds per command.

Each has its own arguments, working directory, streams and exit status, like a process that is started anew.
"""

import io
import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
import unittest.mock

ROOT = pathlib.Path(__file__).parents[2]
PRELOADED = ["pose_tf.evaluation.evaluator", "pose_tf.export.saved_model", "pose_tf.training.trainer"]
QUIET = {"OPENCV_LOG_LEVEL": "OFF", "OPENCV_FFMPEG_LOGLEVEL": "-8"}
"""As commands set it before they import OpenCV, which is imported already here."""

_context = multiprocessing.get_context("forkserver")


def run(command: list[str], cwd, timeout: float, **environment: str) -> subprocess.CompletedProcess:
    """Runs [interpreter, script, flags…], as `subprocess.run` does with `capture_output` and `text`.

    Variables added to the environment come too late for the start of Python and of TensorFlow.

    Raises:
        subprocess.TimeoutExpired: the process did not end in time and was killed.
    """
    _context.set_forkserver_preload(PRELOADED)
    with tempfile.TemporaryDirectory() as folder:
        outputs = [os.path.join(folder, name) for name in ("out", "err")]
        process = _context.Process(target=_become, args=(command[1:], str(cwd), outputs, environment))
        with unittest.mock.patch.dict(os.environ, QUIET):
            process.start()  # the first also starts the process that the others are forked from
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(command, timeout)
        out, err = (pathlib.Path(path).read_text(errors="surrogateescape") for path in outputs)
    return subprocess.CompletedProcess(command, process.exitcode, out, err)


def _become(arguments, cwd, outputs, environment):
    os.chdir(cwd)
    os.environ.update(environment)
    for number, path in enumerate([os.devnull, *outputs]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(open(number, "wb", closefd=False), errors=errors, line_buffering=number == 2)  # noqa: SIM115
        for number, errors in ((1, "strict"), (2, "backslashreplace"))
    )
    sys.argv = arguments
    sys.path[0] = os.path.dirname(arguments[0])
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
