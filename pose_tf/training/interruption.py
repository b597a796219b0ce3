"""Stopping a run from outside without losing its progress."""

import contextlib
import signal
import time
from collections.abc import Iterator

import tensorflow as tf

from pose_tf.waiting import NEXT_WORD_SECONDS, end_process, say, signals_watched


class Interruption:
    """Notices SIGTERM and Ctrl-C immediately, even during a call into TensorFlow that takes many steps.

    The training step checks `requested`. A second Ctrl-C interrupts the process immediately. A run that waits for its
    input, such as a tf.data service without workers, never reaches that check, so the process is ended. Use this as a
    context manager in the main thread; in other threads it has no effect.

    Args:
        source: where the input comes from, for messages.
        patience: how many seconds a run waits for its input after a stop was requested.

    Attributes:
        requested: float32 variable on the host: 0, or 1 once a stop is requested.
        input_since: float64 variable on the host: the time (seconds since the Unix epoch) at which the run began to
            wait for its input, or 0 if it does not wait.
    """

    def __init__(self, source: str = "the input", patience: float = 4.0):
        self._source, self._patience = source, patience
        self._requested_at = 0.0
        self._interrupted_at = 0.0
        with tf.device("CPU:0"):
            self.requested = tf.Variable(0.0, trainable=False, name="stop_requested")
            self.input_since = tf.Variable(0.0, trainable=False, dtype=tf.float64, name="input_since")

    def __enter__(self):
        self._handled = False
        self._said = 0.0
        self._watched = signals_watched(self._request, self._look, self._handle)
        self._watched.__enter__()
        return self

    def __exit__(self, *error):
        self._watched.__exit__(*error)

    @contextlib.contextmanager
    def input(self) -> Iterator[None]:
        """Marks a body that waits for input outside the training step."""
        self.input_since.assign(time.time())
        yield
        self.input_since.assign(0.0)

    def _handle(self, number, frame):
        del frame
        if self._handled and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._handled = True

    def _request(self, number):
        if not self._requested_at:
            self._requested_at = time.time()
            self.requested.assign(1.0)
            say("stopping after the next step; Ctrl-C again stops immediately, without a checkpoint")
        elif number == signal.SIGINT:
            self._interrupted_at = self._interrupted_at or time.time()

    def _look(self):
        now, since = time.time(), float(self.input_since)
        if self._interrupted_at and now - self._interrupted_at > 2:  # the main thread does not reach its handler
            end_process("error: interrupted", 1)
        if self._requested_at and since and now - max(since, self._requested_at) > self._patience:
            end_process(
                f"stopped while waiting for {self._source}; the same command resumes from the last checkpoint", 0
            )
        if since and now - max(since, self._said) > NEXT_WORD_SECONDS:
            say(f"waiting for {self._source} ({now - since:.0f} s)")
            self._said = now
