"""Scripts that work on demand in processes of their own: two frameworks, or two versions of one, take turns."""

import json
import math
import subprocess
import sys
import time


class Contestant:
    """A script that calls `serve` in the end.

    Args:
        python: the interpreter.
        script: path.
        arguments: a dict is sent as JSON.
    """

    def __init__(self, python, script, *arguments):
        arguments = [json.dumps(value) if isinstance(value, dict) else str(value) for value in arguments]
        self._process = subprocess.Popen(
            [python, script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def __call__(self, calls: int) -> float:
        """Makes some calls; seconds, or not a number if the process has died."""
        try:
            print(calls, file=self._process.stdin, flush=True)
            return float(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):
            return math.nan

    def close(self):
        self._process.kill()
        self._process.wait()


def serve(work) -> None:
    """Reads numbers of calls from standard input, one a line, makes so many, and answers with the seconds.

    Args:
        work: makes a number of calls.
    """
    for line in sys.stdin:
        start = time.monotonic()
        work(int(line))
        print(time.monotonic() - start, flush=True)
