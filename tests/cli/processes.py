"""Functions for tests of running processes: wait for their output and checkpoints, and end them."""

import signal
import socket
import time

from pose_tf.training.checkpoints import checkpoint_steps

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
