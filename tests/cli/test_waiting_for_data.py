"""Tests that trainings and workers of a tf.data service name what they wait for, and that signals end them."""

import http.server
import signal
import socket
import threading
import time

import pytest

from tests.cli.processes import SIGNALS, assert_ends, free_port, newest, wait_for_output, wait_for_step


@pytest.mark.parametrize("number", SIGNALS)
def test_a_training_waits_for_a_worker_of_its_data_service_and_is_ended(start_tool, start_detector, number):
    port = free_port()
    dispatcher = wait_for_output(start_tool("data_service", f"--port={port}"), "dispatcher, listening at ")
    training = start_detector(f"--config.data.service=localhost:{port}")
    wait_for_output(training, f"waiting for a worker of the tf.data service at localhost:{port}")
    assert_ends(training, number, f"stopped while waiting for a worker of the tf.data service at localhost:{port}")
    assert_ends(dispatcher, number)


def test_a_training_whose_data_service_has_lost_its_worker_is_ended(start_tool, start_detector, tmp_path):
    port = free_port()
    dispatcher = wait_for_output(start_tool("data_service", f"--port={port}"), "dispatcher, listening at ")
    flags = (f"--port={free_port()}", f"--dispatcher=localhost:{port}", "--host=localhost")
    worker = wait_for_output(start_tool("data_service", *flags), "worker of")
    training = start_detector(f"--config.data.service=localhost:{port}", "--config.train.epochs=100000.0")
    wait_for_step(training, tmp_path / "run", 3)
    worker.kill()
    dispatcher.kill()
    step = -1
    while step < (step := newest(tmp_path / "run")):  # until the prefetched batches are used up
        time.sleep(12)
    training.send_signal(signal.SIGINT)
    assert training.wait(30) == 0, training.errors.read_text()
    text = training.errors.read_text()
    assert f"stopped while waiting for config.data.service=localhost:{port}" in text
    assert "Traceback" not in text


def test_another_kind_of_server_is_not_a_data_service(fails, detector_flags):
    with (
        http.server.ThreadingHTTPServer(("localhost", 0), http.server.BaseHTTPRequestHandler) as server,
        socket.create_server(("localhost", 0)) as silent,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for port in (server.server_port, silent.getsockname()[1]):
            message = fails(*detector_flags("run", f"--config.data.service=localhost:{port}"))
            assert f"config.data.service=localhost:{port} is not host:port of a service that answers" in message
            assert "another kind of server" in message
            message = fails("data_service", f"--port={free_port()}", f"--dispatcher=localhost:{port}")
            assert f"--dispatcher=localhost:{port}: another kind of server" in message
        server.shutdown()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_data_service_worker_that_waits_for_its_dispatcher_is_ended(start_tool, number):
    port = free_port()
    worker = start_tool("data_service", f"--port={free_port()}", f"--dispatcher=localhost:{port}")
    wait_for_output(worker, f"waiting for the dispatcher at localhost:{port} (")
    assert_ends(worker, number, f"stopped while waiting for the dispatcher at localhost:{port}")
