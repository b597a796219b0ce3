"""Tests of signals that stop a run while the main thread is busy."""

import os
import signal
import threading
import time

import pytest

from pose_tf.training.interruption import Interruption


def is_requested(interruption, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not float(interruption.requested):
        time.sleep(0.01)
    return bool(float(interruption.requested))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_requests_a_stop_and_the_handlers_come_back(number, capfd):
    before = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    with Interruption() as interruption:
        assert not is_requested(interruption, 0.1)
        os.kill(os.getpid(), number)
        assert is_requested(interruption, 10)
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == before
    assert "stopping after the next step" in capfd.readouterr().err


def test_a_second_ctrl_c_ends_the_run_at_once():
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        os.kill(os.getpid(), signal.SIGINT)
        assert is_requested(interruption, 10)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)


def test_waiting_for_input_is_timed_while_it_lasts():
    interruption = Interruption()
    assert float(interruption.input_since) == 0
    with interruption.input():
        assert abs(time.time() - float(interruption.input_since)) < 5
    assert float(interruption.input_since) == 0


def test_outside_of_the_main_thread_signals_stay_as_they_are():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run():
        with Interruption():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]
