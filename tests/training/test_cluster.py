"""Tests of the workers of a run: how TF_CONFIG names them, and how they wait for each other at the start."""

import concurrent.futures
import contextlib
import json
import socket
import time

import pytest
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.training import cluster, strategy
from pose_tf.training.cluster import Cluster, read_tf_config, wait_for_workers
from tests.training.replicas import free_port


def tf_config(workers=("a:1", "b:2"), type_="worker", index=0, **jobs):
    workers = list(workers) if isinstance(workers, tuple) else workers
    described = {"worker": workers, **jobs}
    return json.dumps({"cluster": described, "task": {"type": type_, "index": index}})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "no 'cluster'"),
        ("3", "no 'cluster'"),
        ('{"cluster": ["a:1"], "task": {"type": "worker", "index": 0}}', "no 'cluster'"),
        ('{"cluster": {"worker": ["a:1"]}}', "no 'task'"),
        ('{"cluster": {"worker": ["a:1"]}, "task": "worker"}', "no 'task'"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps"}}', 'type is "ps"'),
        ('{"cluster": {}, "task": {"type": "worker", "index": 0}}', "index is 0"),
        (tf_config("a:1"), 'worker is "a:1", which is not a list'),
        (tf_config([]), r"worker is \[\], which is not a list"),
        (tf_config({"0": "a:1"}), "which is not a list"),
        (tf_config([["a", 1]]), r'\["a", 1\] is not an address host:port'),
        (tf_config(["a"]), '"a" is not an address host:port'),
        (tf_config(["a:"]), '"a:" is not an address host:port'),
        (tf_config([":1"]), '":1" is not an address host:port'),
        (tf_config(["a:x"]), '"a:x" is not an address host:port'),
        (tf_config(["a:²"]), "is not an address host:port"),
        (tf_config(["a:-1"]), '"a:-1" is not an address host:port'),
        (tf_config(["grpc://a:1"]), '"grpc://a:1" is not an address host:port'),
        (tf_config(["a..b:1"]), '"a..b:1" is not an address host:port'),
        (tf_config(["a:0"]), "port of a:0 is not in 1 to 65535"),
        (tf_config(["a:70000"]), "port of a:70000 is not in 1 to 65535"),
        (tf_config(("a:1", "b:2", "a:1")), "lists a:1 2 times"),
        (tf_config(chief=["a:1"]), "lists a:1 2 times"),
        (tf_config(chief=["c:1", "d:1"]), "has 2 chiefs"),
        (tf_config(ps=["c:1"]), "its cluster has 'ps'"),
        (tf_config(evaluator=["c:1"]), "its cluster has 'evaluator'"),
        (tf_config(type_="evaluator"), 'type is "evaluator"'),
        (tf_config(type_="chief"), "index is 0; it must be that of a chief in its cluster"),
        (tf_config(type_=None), "type is null"),
        (tf_config(index=2), "index is 2; it must be a whole number from 0 to 1"),
        (tf_config(index=-1), "index is -1; it must be a whole number from 0 to 1"),
        (tf_config(index=True), "index is true; it must be a whole number from 0 to 1"),
        (tf_config(index=0.0), "index is 0.0; it must be a whole number from 0 to 1"),
        (tf_config(index="0"), 'index is "0"; it must be a whole number from 0 to 1, without quotes'),
        (tf_config(index=None), "index is null"),
    ],
)
@pytest.mark.parametrize("name", ["auto", "multi_worker"])
def test_a_tf_config_that_is_none_is_refused_in_a_sentence(monkeypatch, name, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=f"^TF_CONFIG: .*{words}.*; the expected form is {{"):
        strategy.make_strategy(name)


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_tf_config_is_none(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="the environment variable TF_CONFIG is not set"):
        strategy.make_strategy("multi_worker")
    assert isinstance(strategy.make_strategy("auto"), tf.distribute.OneDeviceStrategy)


@pytest.mark.parametrize(("kind", "index", "expected"), [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)])
def test_a_chief_is_the_first_worker(monkeypatch, kind, index, expected):
    monkeypatch.setenv("TF_CONFIG", tf_config(("a:1", "[::1]:65535"), kind, index, chief=["c:1"]))
    assert read_tf_config() == Cluster(("c:1", "a:1", "[::1]:65535"), expected)


# ------------------------------------------------------------------------------------------------ waiting for the start


@pytest.fixture
def addresses():
    return tuple(f"localhost:{free_port()}" for _ in range(3))


@pytest.fixture
def told(monkeypatch):
    """Polls often; holds what the workers wait for, as the report of a worker that waits would tell it."""
    seen = []

    @contextlib.contextmanager
    def waiting(whom):
        seen.append(whom)
        yield

    monkeypatch.setattr(cluster, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(cluster, "waiting", waiting)
    return seen


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        yield threads


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("last", [0, 1, 2])
def test_all_workers_start_when_the_last_one_is_there(addresses, told, pool, last):
    early = [pool.submit(wait_for_workers, Cluster(addresses, i)) for i in range(3) if i != last]
    until(lambda: len(told) == 2 and all(addresses[last] in whom() for whom in told))
    time.sleep(0.2)
    assert not any(worker.done() for worker in early)
    for worker in (pool.submit(wait_for_workers, Cluster(addresses, last)), *early):
        worker.result(timeout=20)
    for address in addresses:  # the addresses are free for TensorFlow
        with socket.create_server(("localhost", int(address.rpartition(":")[2]))):
            pass


def test_a_single_worker_waits_for_nobody(told):
    wait_for_workers(Cluster(("localhost:1",), 0))
    assert not told


def answer(listener, reply):
    """Answers one request."""
    connection, _ = listener.accept()
    with connection:
        connection.sendall(reply)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (lambda addresses: {"worker": 2, "addresses": addresses}, "its TF_CONFIG says that it is worker 2"),
        (lambda addresses: {"worker": 1, "addresses": ["a:1"]}, "its TF_CONFIG lists other workers: a:1"),
        (lambda addresses: {"worker": 1}, "is still training, or is another kind of server"),
        (lambda addresses: "HTTP/1.1 400 Bad Request", "is still training, or is another kind of server"),
    ],
    ids=["another number", "other workers", "half an answer", "a web server"],
)
def test_who_answers_something_else_is_awaited_with_the_reason(addresses, pool, reply, words):
    reply = reply(addresses)
    data = reply.encode() if isinstance(reply, str) else json.dumps(reply).encode() + b"\n"
    with socket.create_server(("localhost", int(addresses[1].rpartition(":")[2]))) as listener:
        answered = pool.submit(answer, listener, data)
        me = cluster._Attendance(Cluster(addresses[:2], 0))
        me.poll(pool)
        answered.result(timeout=20)
    assert me.awaited == [f"worker 1 at {addresses[1]} ({words})"]
    assert not me.may_go


def test_a_port_in_use_is_named(addresses):
    with socket.create_server(("", int(addresses[1].rpartition(":")[2]))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"this is worker 1 at {addresses[1]}, but port {port} cannot be used: "):
            wait_for_workers(Cluster(addresses, 1))
