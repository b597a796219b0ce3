"""Waiting for other processes: report it, and end on SIGTERM and Ctrl-C."""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
END = 0  # no signal has this number
FIRST_WORD_SECONDS, NEXT_WORD_SECONDS = 5.0, 60.0
"""How long a process waits before its first report, and before it repeats an unchanged report."""


@contextlib.contextmanager
def signals_watched(on_signal: Callable[[int], None], on_second: Callable[[], None], handler) -> Iterator[None]:
    """Calls `on_signal` at every SIGTERM and Ctrl-C, and `on_second` every second, in a thread.

    Python runs a signal handler only after a call into TensorFlow returns, which may be never. But it writes the
    signal's number to a socket immediately, and a thread can read that. Outside the main thread, signals are unchanged.

    Args:
        on_signal: called with the signal's number.
        on_second: called without arguments.
        handler: the Python handler, for when the main thread is free to run it.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)

    def watch():
        while True:
            number = receiver.recv(1)[0] if select.select([receiver], [], [], 1.0)[0] else None
            if number == END:
                return
            if number in STOP_SIGNALS:
                on_signal(number)
            on_second()

    replaced = {}
    if threading.current_thread() is threading.main_thread():
        before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        replaced = {number: signal.signal(number, handler) for number in STOP_SIGNALS}
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        if replaced:
            for number, old in replaced.items():
                signal.signal(number, old)
            signal.set_wakeup_fd(before)
        sender.setblocking(True)
        sender.sendall(bytes([END]))
        thread.join()
        sender.close()
        receiver.close()


@contextlib.contextmanager
def waiting(whom: Callable[[], str]) -> Iterator[None]:
    """Reports on standard error that the body waits; SIGTERM and Ctrl-C end the process with status 0.

    The process ends immediately, so the body must not leave anything half-written.

    Args:
        whom: returns a description of what the body waits for.
    """
    start = time.monotonic()
    due, said = FIRST_WORD_SECONDS, None

    def leave(number):
        del number
        end_process(f"stopped while waiting for {whom()}", 0)

    def speak():
        nonlocal due, said
        seconds, text = time.monotonic() - start, whom()
        if seconds >= due or (said and text != said):
            say(f"waiting for {text} ({seconds:.0f} s); SIGTERM or Ctrl-C ends this")
            due, said = seconds + NEXT_WORD_SECONDS, text

    with signals_watched(leave, speak, lambda *_: None):
        yield


def say(text: str) -> None:
    """Prints a line on standard error, from any thread."""
    with contextlib.suppress(OSError, ValueError):  # the reader may be gone
        print(text, file=sys.stderr, flush=True)


def end_process(text: str, status: int) -> None:
    """Ends the process from any thread, whatever the other threads do."""
    say(text)
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(status)
