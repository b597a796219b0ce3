"""Stopping a training from outside, without losing what it has done."""

import contextlib
import signal
import time
from collections.abc import Iterator

import tensorflow as tf

from pose_tf.waiting import NEXT_WORD_SECONDS, end_process, say, signals_watched


class Interruption:
    """Notices SIGTERM and Ctrl-C at once, even in the middle of a call into TensorFlow that lasts for many steps.

    The training step looks at `requested`. A Ctrl-C after that interrupts the process at once. A training that waits
    for its input, as for a tf.data service without workers, would never come to look; it is ended. Use this as a
    context manager in the main thread; elsewhere it notices nothing.

    Args:
        source: what the input comes from, in words.
        patience: how many seconds a training that is to stop waits for its input.

    Attributes:
        requested: float32 variable on the host: 0, or 1 as soon as the training is to stop.
        input_since: float64 variable on the host: the time, in seconds of the epoch, since when the training has been
            waiting for its input, or 0.
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
        """For a body that waits for input outside of the training step."""
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
            say("stopping after the step in hand; Ctrl-C ends it at once, without a checkpoint")
        elif number == signal.SIGINT:
            self._interrupted_at = self._interrupted_at or time.time()

    def _look(self):
        now, since = time.time(), float(self.input_since)
        if self._interrupted_at and now - self._interrupted_at > 2:  # the main thread does not come to its handler
            end_process("error: interrupted", 1)
        if self._requested_at and since and now - max(since, self._requested_at) > self._patience:
            end_process(
                f"stopped while waiting for {self._source}; the same command goes on from the last checkpoint", 0
            )
        if since and now - max(since, self._said) > NEXT_WORD_SECONDS:
            say(f"waiting for {self._source} ({now - since:.0f} s)")
            self._said = now
