"""Runs scripts on demand in separate processes, so that two frameworks or two versions can take turns."""

import json
import os
import statistics
import subprocess
import tempfile
import time

from pose_tf.errors import UserError

SECONDS = 2.0  # minimum duration of a turn


class Contestant:
    """A process of a script that ends with a call of `on_demand.serve`.

    Args:
        python: path of the interpreter.
        script: path of the script.
        arguments: its arguments; a dict is passed as JSON.

    Attributes:
        cold_start: seconds from the start of the process to the end of its first call; None before that.

    Raises:
        UserError: the interpreter cannot be run.
    """

    def __init__(self, python, script, *arguments):
        self.cold_start = None
        self._started = time.monotonic()
        arguments = [json.dumps(value) if isinstance(value, dict) else str(value) for value in arguments]
        self._command = [str(python), str(script), *arguments]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env=os.environ | {"TF_FORCE_GPU_ALLOW_GROWTH": "true"},  # several share a GPU
            )
        except OSError as error:
            raise UserError(f"{python} cannot be run: {error.strerror}") from None

    def __call__(self, calls: int) -> float:
        """Runs a number of calls and returns their duration in seconds.

        Raises:
            UserError: the process has died; the message contains its last line of output.
        """
        try:
            print(calls, file=self._process.stdin, flush=True)
            seconds = float(self._process.stdout.readline())
            self.cold_start = self.cold_start or time.monotonic() - self._started
            return seconds
        except (BrokenPipeError, ValueError):
            self._process.wait()
            self._errors.seek(0)
            last = (self._errors.read().strip().splitlines() or ["no reason given"])[-1]
            raise UserError(f"{' '.join(self._command)} failed: {last}") from None

    def peak_memory(self) -> int:
        """The most bytes of memory that the process has occupied so far."""
        with open(f"/proc/{self._process.pid}/status") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM:"))

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def take_turns(contestants, rounds: int) -> dict[str, list[float]]:
    """Lets functions or processes take turns, each of at least `SECONDS`, after two calls that do not count.

    Args:
        contestants: {name: function of a number of calls that returns their duration in seconds}.
        rounds: number of turns of each.

    Returns:
        The calls per second of each turn by name.
    """
    for call in contestants.values():
        call(2)  # tracing, compilation, and initialization of the libraries
    calls = {name: max(1, round(SECONDS / (call(2) / 2))) for name, call in contestants.items()}
    rates = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            rates[name].append(calls[name] / call(calls[name]))
    return rates


def timed(work):
    """A contestant in this process: the duration in seconds of `work`, a function of a number of calls."""

    def call(calls):
        start = time.monotonic()
        work(calls)
        return time.monotonic() - start

    return call


def spread(values) -> tuple[float, float, float]:
    """Minimum, median and maximum."""
    return min(values), statistics.median(values), max(values)
