"""Lets a script work on demand, so that several scripts can take turns: see `contestant.py`. Uses no other module."""

import sys
import time


def serve(work) -> None:
    """Reads a number of calls from each line of standard input, makes the calls, and prints their duration in seconds.

    Args:
        work: a function that makes the given number of calls.
    """
    for line in sys.stdin:
        start = time.monotonic()
        work(int(line))
        print(time.monotonic() - start, flush=True)
