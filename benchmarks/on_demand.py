"""How a script works on demand, so that several can take turns: see `contestant.py`. Needs nothing of this project."""

import sys
import time


def serve(work) -> None:
    """Reads numbers of calls from standard input, one a line, makes so many, and answers with the seconds.

    Args:
        work: makes a number of calls.
    """
    for line in sys.stdin:
        start = time.monotonic()
        work(int(line))
        print(time.monotonic() - start, flush=True)
