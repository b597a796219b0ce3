"""Functions for tests of processes: run them, wait for their output and checkpoints, compare these, and end them."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import tensorflow as tf

from pose_tf.training.checkpoints import checkpoint_steps

ROOT = pathlib.Path(__file__).parents[2]
SIGNALS = [signal.SIGTERM, signal.SIGINT]
PROMPT = 5  # seconds


def assert_ends(process, number, *words):
    """Checks that a signal ends a process promptly, with a sentence of these words and without a traceback."""
    process.send_signal(number)
    assert process.wait(PROMPT) == 0, process.errors.read_text()
    text = process.errors.read_text()
    assert "Traceback" not in text
    for word in words:
        assert word in text.strip().splitlines()[-1]


def newest(workdir):
    """Step of the newest checkpoint; 0 if there is none."""
    return max(checkpoint_steps(str(workdir / "checkpoints")), default=0)


def wait_for_step(process, workdir, step):
    """Waits for a checkpoint of a step or a later one."""
    deadline = time.monotonic() + 200
    while newest(workdir) < step:
        assert process.poll() is None, process.errors.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.002)


def free_port():
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


def wait_for_output(process, text):
    deadline = time.monotonic() + 200
    while text not in process.errors.read_text():
        assert process.poll() is None, process.errors.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return process


def state(workdir):
    """All values of the newest checkpoint by name."""
    reader = tf.train.load_checkpoint(str(workdir / "checkpoints" / f"{newest(workdir):08d}" / "ckpt"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if "OBJECT" not in name}


def assert_same_state(workdir, other):
    ours, theirs = state(workdir), state(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def run(*command, cwd=ROOT, **environment):
    """Runs Python with arguments and added environment variables; the output of the finished process is text."""
    command = [sys.executable, *map(str, command)]
    environment = os.environ | environment
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
