"""Threads that share a piece of work."""

import concurrent.futures
import os
import threading
from collections.abc import Callable, Iterable


def in_parallel(function: Callable, items: Iterable, stop: threading.Event, threads: int | None = None) -> None:
    """Calls a function with each item, in threads.

    Args:
        function: its results are ignored.
        items: the arguments of the calls.
        stop: set after a failure or an interruption, so that the calls that are running may end early.
        threads: calls at a time; by default one for each core.

    Raises:
        Exception: the first one that a call raises, after the others have ended. Calls that wait are left out.
    """
    with concurrent.futures.ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        waiting = [pool.submit(function, item) for item in items]
        try:
            for future in concurrent.futures.as_completed(waiting):
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
