"""Reads records on other machines: runs a dispatcher, or a worker on each machine that reads.

    pose-tf data-service --port=5050                                     the dispatcher
    pose-tf data-service --port=5051 --dispatcher=HOST:5050              a worker
    pose-tf train --config.data.service=HOST:5050 …

Workers open the records at the same paths as the run, so these must exist on every machine. Ctrl-C and SIGTERM stop the
service.
"""

import os
import signal
import socket
import threading
import time

from absl import flags

from pose_tf.cli import start_tensorflow
from pose_tf.errors import UserError, reason
from pose_tf.waiting import STOP_SIGNALS, waiting

_PORT = flags.DEFINE_integer("port", 5050, "Port to listen on.", lower_bound=1, upper_bound=65535)
_DISPATCHER = flags.DEFINE_string(
    "dispatcher", None, "host:port of the dispatcher; without it, this is the dispatcher."
)
_HOST = flags.DEFINE_string("host", None, "Name under which the run reaches this worker; default: the host name.")
_WORK_DIR = flags.DEFINE_string(
    "work_dir", None, "Directory in which the dispatcher saves its state, so that it survives a restart."
)


def main():
    try:
        with socket.socket() as probe:  # the service itself would silently share a port that is in use
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", _PORT.value))
    except OSError as error:
        raise UserError(f"--port={_PORT.value} cannot be used: {error.strerror}") from None
    start_tensorflow()
    import tensorflow as tf

    service = tf.data.experimental.service
    host = _HOST.value or socket.gethostname()
    if _DISPATCHER.value:
        _await_dispatcher()
        config = service.WorkerConfig(
            dispatcher_address=_DISPATCHER.value, worker_address=f"{host}:{_PORT.value}", port=_PORT.value
        )
        server = service.WorkerServer(config, start=False)
    else:
        config = service.DispatcherConfig(
            port=_PORT.value, work_dir=_WORK_DIR.value, fault_tolerant_mode=bool(_WORK_DIR.value)
        )
        server = service.DispatchServer(config, start=False)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own handler would run only after this call
    try:
        server.start()
    except tf.errors.OpError as error:
        raise UserError(f"the data service cannot start at --port={_PORT.value}: {reason(error)}") from None
    stop = threading.Event()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    what = f"worker of {_DISPATCHER.value}" if _DISPATCHER.value else "dispatcher"
    print(f"{what}, listening at {host}:{_PORT.value}", flush=True)
    stop.wait()
    os._exit(0)  # a normal exit of a worker would wait for a dispatcher that has gone


def _await_dispatcher():
    """Waits for the dispatcher. The worker itself would wait in a call that no signal can interrupt."""
    from pose_tf.data.service import NoAnswer, count_workers

    why = "not contacted yet"
    with waiting(lambda: f"the dispatcher at {_DISPATCHER.value} ({why})"):
        while why:
            try:
                count_workers(_DISPATCHER.value)
                why = ""
            except NoAnswer as error:
                why = str(error)
                time.sleep(1)
            except UserError as error:
                raise UserError(f"--dispatcher={_DISPATCHER.value}: {error}") from None
