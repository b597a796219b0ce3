"""Tests of `pose-tf data-service`; those of waiting for it are in test_waiting_for_data.py."""

import signal
import socket

from tests.cli.processes import assert_same_state, free_port, wait_for_output


def test_a_training_reads_through_a_data_service_what_it_would_read_itself(start_tool, detector_flags, tmp_path):
    """With one worker the order is the same, too."""
    ports = [free_port() for _ in range(2)]

    def start_dispatcher():
        process = start_tool("data_service", f"--port={ports[0]}", f"--work_dir={tmp_path}/service")
        return wait_for_output(process, "dispatcher, listening at ")

    def start_worker():
        flags = (f"--port={ports[1]}", f"--dispatcher=localhost:{ports[0]}", "--host=localhost")
        return wait_for_output(start_tool("data_service", *flags), f"worker of localhost:{ports[0]}")

    dispatcher, worker = start_dispatcher(), start_worker()
    served = start_tool(*detector_flags("served", f"--config.data.service=localhost:{ports[0]}"))
    alone = start_tool(*detector_flags("alone"))
    assert served.wait() == 0, served.errors.read_text()
    assert alone.wait() == 0, alone.errors.read_text()
    assert_same_state(tmp_path / "served", tmp_path / "alone")
    assert list((tmp_path / "service").rglob("journal_*"))  # what a restarted dispatcher reads
    for process in (dispatcher, worker):
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_data_service_that_is_not_there_is_named(fails, detector_flags):
    for address in (f"localhost:{free_port()}", "nowhere"):
        message = fails(*detector_flags("run", f"--config.data.service={address}"))
        assert f"config.data.service={address} is not host:port of a service that answers" in message


def test_a_port_in_use_is_named(fails):
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert f"--port={port} cannot be used: Address already in use" in fails("data_service", f"--port={port}")
