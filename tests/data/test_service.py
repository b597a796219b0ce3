"""Tests of asking a tf.data service for its workers."""

import concurrent.futures
import http.server
import socket
import threading

import grpc
import pytest

from pose_tf.data.service import NoAnswer, count_workers
from pose_tf.errors import UserError


@pytest.mark.parametrize("workers", [0, 2])
def test_the_workers_of_a_service_are_counted(service, workers):
    assert count_workers(service(workers)) == workers


@pytest.mark.parametrize(
    "address", ["localhost", ":5050", "localhost:", "localhost:0", "localhost:65536", "localhost:²", "grpc://a:1", ""]
)
def test_what_is_no_address_is_told(address):
    with pytest.raises(UserError, match="^it is not host:port$"):
        count_workers(address)


def test_nobody_who_listens_is_no_answer_yet():
    with socket.socket() as reserved:
        reserved.bind(("localhost", 0))
        with pytest.raises(NoAnswer, match="refused"):
            count_workers(f"localhost:{reserved.getsockname()[1]}")


def another_server():
    """A gRPC server that does not know the request."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("localhost:0")
    server.start()
    return port, lambda: server.stop(None)


def a_web_server():
    """It takes the request for a line that is not HTTP/1.1."""
    server = http.server.HTTPServer(("localhost", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port, server.shutdown


@pytest.mark.parametrize("start", [another_server, a_web_server])
def test_another_kind_of_server_is_no_service_that_may_still_come(start, monkeypatch):
    monkeypatch.setattr(http.server.BaseHTTPRequestHandler, "log_message", lambda *_: None)
    port, stop = start()
    try:
        with pytest.raises(UserError, match="another kind of server listens there") as caught:
            count_workers(f"localhost:{port}")
    finally:
        stop()
    assert not isinstance(caught.value, NoAnswer)
