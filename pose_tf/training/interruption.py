"""Stopping a training from outside, without losing what it has done."""

import signal
import socket
import threading

import tensorflow as tf


class Interruption:
    """Notices SIGTERM and Ctrl-C at once, even in the middle of a call into TensorFlow that lasts for many steps.

    Python runs a signal's handler only when such a call has returned. So the signal's number is written to a socket,
    and a thread that reads it sets `requested`, which the training step looks at. A second Ctrl-C interrupts as usual.
    Use it as a context manager in the main thread; elsewhere it notices nothing.

    Attributes:
        requested: float32 variable on the host: 0, or 1 as soon as the training is to stop.
    """

    def __init__(self):
        with tf.device("CPU:0"):
            self.requested = tf.Variable(0.0, trainable=False, name="stop_requested")

    def __enter__(self):
        self._replaced = {}
        if threading.current_thread() is not threading.main_thread():
            return self
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._replaced[number] = signal.signal(number, self._handle)
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def _handle(self, number, frame):
        del number, frame
        signal.signal(signal.SIGINT, self._replaced[signal.SIGINT])

    def _watch(self):
        while data := self._receiver.recv(1):
            if data[0] in self._replaced:
                self.requested.assign(1.0)

    def __exit__(self, *_):
        if self._replaced:
            for number, handler in self._replaced.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(self._wakeup)
            self._sender.close()  # ends the thread
