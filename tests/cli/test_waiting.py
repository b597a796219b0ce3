"""Tests that waiting processes name what they wait for, and that SIGTERM and Ctrl-C end them promptly with status 0."""

import http.server
import json
import pathlib
import signal
import threading
import time

import pytest

from tests.cli.processes import (
    SIGNALS,
    assert_ends,
    free_port,
    newest,
    wait_for_output,
    wait_for_step,
)

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def start_worker(start_tool, sample_data, tmp_path):
    """A function that starts one of several workers of a lifter's run."""

    def start(addresses, index, *more, **options):
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        return start_tool(
            "train",
            f"--config={ROOT}/configs/feed_forward.py",
            f"--config.data.poses={sample_data}/poses.npz",
            f"--workdir={tmp_path}/run",
            *more,
            TF_CONFIG=json.dumps(cluster),
            **options,
        )

    return start


@pytest.mark.parametrize("number", SIGNALS)
def test_workers_that_wait_for_others_say_for_whom_and_why(start_worker, tmp_path, number):
    """Worker 2 is not started, and worker 3 does not exist. Worker 0 informs worker 1."""
    ports = [free_port() for _ in range(3)]
    addresses = [*(f"localhost:{port}" for port in ports), "no-such-host.invalid:1"]
    workers = [start_worker(addresses, index) for index in (0, 1)]
    for worker in workers:
        wait_for_output(
            worker, f"worker 2 at localhost:{ports[2]} (not started yet); worker 3 at no-such-host.invalid:1 "
        )
        assert "worker 3 at no-such-host.invalid:1 (its host name cannot be found" in worker.errors.read_text()
    for worker in reversed(workers):
        assert_ends(worker, number, "stopped while waiting for", f"worker 2 at localhost:{ports[2]}")
    assert not (tmp_path / "run").exists()


def test_a_worker_says_what_else_it_finds_at_the_others_addresses(start_worker):
    """A different kind of server, a process started as another worker, and one with another list of workers."""
    with http.server.ThreadingHTTPServer(("localhost", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        me, other, third = (f"localhost:{free_port()}" for _ in range(3))
        addresses = [me, f"localhost:{server.server_port}", other, third]
        worker = start_worker(addresses, 0)
        start_worker([me, addresses[1], third, other], 3)
        start_worker([me, third], 1)
        wait_for_output(worker, f"worker 2 at {other} (its TF_CONFIG says that it is worker 3)")
        wait_for_output(worker, f"worker 3 at {third} (its TF_CONFIG says that it is worker 1)")
        text = worker.errors.read_text()
        assert f"worker 1 at {addresses[1]} (does not answer)" in text or "is another kind of server" in text
        server.shutdown()


def test_two_processes_for_one_worker_are_one_too_many(start_worker):
    addresses = [f"localhost:{free_port()}" for _ in range(2)]
    first = start_worker(addresses, 0)
    wait_for_output(first, "waiting for worker 1")
    second = start_worker(addresses, 0)
    assert second.wait(100) == 1
    assert (
        f"this is worker 0 at {addresses[0]}, but port {addresses[0][10:]} cannot be used" in second.errors.read_text()
    )


def test_a_worker_that_waits_for_a_lost_one_is_ended(start_workers, tmp_path):
    workers, _ = start_workers("run", "--config.train.epochs=100000.0")
    wait_for_step(workers[0], tmp_path / "run", 20)
    workers[1].kill()
    wait_for_output(workers[0], "waiting for worker 1 at localhost")
    assert_ends(workers[0], signal.SIGTERM, "stopped while waiting for worker 1 at localhost")
    assert newest(tmp_path / "run") >= 20


@pytest.mark.parametrize(("hanging", "number"), enumerate(SIGNALS))
def test_a_worker_whose_peer_hangs_is_ended(start_workers, tmp_path, hanging, number):
    """TensorFlow notices within ten seconds that the other worker no longer responds."""
    workers, _ = start_workers("run", "--config.train.epochs=100000.0")
    wait_for_step(workers[0], tmp_path / "run", 20)
    workers[hanging].send_signal(signal.SIGSTOP)
    time.sleep(1)
    workers[1 - hanging].send_signal(number)
    assert workers[1 - hanging].wait(40) == 0, workers[1 - hanging].errors.read_text()
    text = workers[1 - hanging].errors.read_text()
    assert "stopped, but the connection to another worker was lost" in text
    assert "Traceback" not in text


@pytest.fixture
def program(tmp_path):
    """A function that writes a program: `tools/train.py` with changes to the training package."""

    def write(changes):
        (tmp_path / "program.py").write_text(
            f"""
import runpy, sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tools")!r}]
import pose_tf
from pose_tf.training import lifter_stage
{changes}
runpy.run_path({str(ROOT / "tools" / "train.py")!r}, run_name="__main__")
"""
        )
        return tmp_path / "program.py"

    return write


@pytest.mark.parametrize("number", SIGNALS)
def test_a_worker_that_waits_while_the_first_one_reads_the_data_is_ended(
    start_worker, program, sample_data, tmp_path, number
):
    slow = program("""
def index_records(*_):
    print("reading", flush=True)
    while True:
        time.sleep(0.1)
lifter_stage.index_records = index_records
""")
    addresses = [f"localhost:{free_port()}" for _ in range(2)]
    flags = ("--config.data.poses=", f"--data_dir={sample_data}")
    workers = [start_worker(addresses, index, *flags, program=slow) for index in (0, 1)]
    wait_for_output(workers[0], "reading")
    wait_for_output(workers[1], "waiting for worker 0, which reads the data (")
    assert_ends(workers[1], number, "stopped while waiting for worker 0, which reads the data")
    workers[0].send_signal(number)
    assert workers[0].wait(60) in (-signal.SIGTERM, 1)  # it does not wait, and has no checkpoint to save
    assert "Traceback" not in workers[0].errors.read_text()


@pytest.mark.parametrize(("signaled", "number"), enumerate(SIGNALS))
def test_all_workers_stop_while_the_first_one_validates(start_worker, program, tmp_path, signaled, number):
    slow = program("""
def validate(self, interrupted):
    print("validating", flush=True)
    while not interrupted():
        time.sleep(0.1)
lifter_stage.LifterStage.validate = validate
""")
    addresses = [f"localhost:{free_port()}" for _ in range(2)]
    flags = ("--config.data.batch_size=16", "--config.train.validate_every_epochs=1.0", "--config.model.units=32")
    workers = [start_worker(addresses, index, *flags, program=slow) for index in (0, 1)]
    wait_for_output(workers[0], "validating")
    time.sleep(1)
    workers[signaled].send_signal(number)
    for worker in workers:
        assert worker.wait(60) == 0, worker.errors.read_text()
    assert newest(tmp_path / "run") == 3
    assert "stopped at step 3; the same command resumes from there" in workers[0].errors.read_text()
