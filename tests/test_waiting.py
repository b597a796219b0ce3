"""Tests of waiting: it is reported in time, and signals end a process that waits, whatever it does meanwhile."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from pose_tf import waiting
from tests.conftest import ROOT


@pytest.fixture
def soon(monkeypatch):
    """The first report comes at once, the next one when the text changes."""
    monkeypatch.setattr(waiting, "FIRST_WORD_SECONDS", 0.0)


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_is_over_soon_is_not_reported(capfd):
    with waiting.waiting(lambda: "the dispatcher"):
        time.sleep(1.2)
    assert capfd.readouterr().err == ""


def test_a_report_says_whom_for_how_long_and_what_ends_it_and_is_not_repeated(soon, capfd):
    """It looks once a second."""
    rounds = []

    def whom():
        rounds.append(1)
        return "worker 1" if len(rounds) < 3 else "worker 2"

    with waiting.waiting(whom):
        wait_for(lambda: len(rounds) >= 3)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "waiting for worker 1 (1 s); SIGTERM or Ctrl-C ends this"
    assert [line.split(" (")[0] for line in lines] == ["waiting for worker 1", "waiting for worker 2"]


WAIT = """
import hashlib, time
from pose_tf.waiting import waiting
with waiting(lambda: "godot"):
    print("ready", flush=True)
    time.sleep(1000)
"""
BUSY = WAIT.replace("time.sleep(1000)", "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)")


@pytest.mark.parametrize("program", [WAIT, BUSY], ids=["asleep", "in a call of minutes"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_process_that_waits(program, number):
    """Python's own handlers run only after the call."""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
    finally:
        process.kill()
    assert (process.returncode, said) == (0, "stopped while waiting for godot\n")


def test_every_signal_is_told_to_the_thread_and_the_handlers_come_back():
    before, seen, seconds = signal.getsignal(signal.SIGTERM), [], []
    with waiting.signals_watched(seen.append, lambda: seconds.append(1), lambda *_: None):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
            wait_for(lambda: seen and seen[-1] == number)  # noqa: B023
    assert seen == [signal.SIGTERM, signal.SIGINT, signal.SIGTERM]
    assert len(seconds) >= 3  # each signal is also an occasion to look
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_of_the_main_thread_signals_stay_as_they_are():
    before, seen = signal.getsignal(signal.SIGINT), []

    def run():
        with waiting.waiting(lambda: "nobody"):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_process_ends_from_a_thread_with_its_last_words_and_status():
    """Although the main thread holds on, and a reader of its errors is gone."""
    program = """
import sys, threading, time
from pose_tf.waiting import end_process
print("result")
threading.Thread(target=end_process, args=("error: lost", 3)).start()
time.sleep(1000)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout, done.stderr) == (3, "result\n", "error: lost\n")
    closed = "import sys\nsys.stderr.close()\n" + program
    done = subprocess.run([sys.executable, "-c", closed], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (3, "result\n")
