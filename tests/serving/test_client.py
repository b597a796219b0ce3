"""Tests of the client against a replacement for TF Serving: answers, retries and error messages."""

import concurrent.futures
import http.server
import socket
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from pose_tf.errors import UserError
from pose_tf.serving import client as client_module
from pose_tf.serving.client import Client
from tests.serving.prediction_service import PredictionService
from tests.serving.requests import INPUTS, complaint


@pytest.fixture
def free_address():
    """127.0.0.1:PORT on which no process listens, kept free for gRPC, which shares ports."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{reserved.getsockname()[1]}"


@pytest.fixture
def answer_http():
    """A function that starts a different kind of server, which sends the same answer to everything."""
    servers = []

    def start(status, content_type, body):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                server.paths.append(self.path)
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.paths = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def answer_socket():
    """A function that starts a server that handles connections with a given function; `address.count` counts them."""
    listening = socket.create_server(("127.0.0.1", 0))

    class Address(str):
        count = 0

    address = Address(f"127.0.0.1:{listening.getsockname()[1]}")

    def start(treat):
        def serve():
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                address.count += 1
                with connection:
                    treat(connection)

        threading.Thread(target=serve, daemon=True).start()
        return address

    yield start
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.fixture
def answer_grpc():
    """A function that starts a gRPC server that always sends the given answer; None: requests are unimplemented."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), options=[("grpc.max_send_message_length", -1)])

    class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            return self.answer

    def start(answer):
        servicer = Servicer()
        servicer.answer = answer
        if answer is not None:
            prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return f"127.0.0.1:{port}"

    yield start
    server.stop(grace=None).wait()


@pytest.mark.parametrize("signature", INPUTS)
def test_answers_are_those_of_the_saved_model(client, signatures, signature):
    expected = signatures[signature](**{key: tf.constant(value) for key, value in INPUTS[signature].items()})
    found = client.predict(signature, INPUTS[signature])
    assert set(found) == set(expected)
    for key, value in found.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, expected[key], rtol=1e-5, atol=1e-4)


def test_requests_and_answers_may_be_large(service, answer_grpc):
    images = np.zeros((24, 256, 256, 3), np.uint8)
    with Client(service.grpc, timeout_s=60) as client:
        assert client.predict("images", {"images": images})["pose3d"].shape == (24, 17, 3)
    large = predict_pb2.PredictResponse(outputs={"pose3d": tf.make_tensor_proto(np.ones(1_500_000, np.float32))})
    with Client(answer_grpc(large)) as client:
        assert client.predict("lift", INPUTS["lift"])["pose3d"].nbytes == 6_000_000


def test_threads_may_share_a_client(client):
    expected = client.predict("lift", INPUTS["lift"])["pose3d"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: client.predict("lift", INPUTS["lift"]), range(40)):
            np.testing.assert_array_equal(found["pose3d"], expected)


@pytest.mark.parametrize("name", ["http_proxy", "https_proxy", "grpc_proxy", "all_proxy"])
def test_proxies_of_the_environment_are_ignored(address, service, free_address, monkeypatch, name):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("no_grpc_proxy", raising=False)
    monkeypatch.setenv(name, f"http://{free_address}")
    with Client(address, timeout_s=60, attempts=1) as client:
        assert client.predict("lift", INPUTS["lift"])["pose3d"].shape == (2, 17, 3)


def test_a_server_that_is_not_available_is_asked_again(client, service):
    service.unavailable = 3
    assert client.predict("lift", INPUTS["lift"])["pose3d"].shape == (2, 17, 3)
    assert service.requests == 4


def test_in_the_end_the_client_gives_up(address, service):
    service.unavailable = 9
    message = complaint(Client(address, attempts=3))
    words = "The batch scheduling queue to which this task was submitted is full"
    assert message == f"{address} is not available after 3 attempts: {words}"
    assert service.requests == 3


def test_waits_grow_and_differ(address, service, monkeypatch):
    waits = []
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 1.0)
    monkeypatch.setattr(client_module, "LONGEST_WAIT_S", 3.0)
    monkeypatch.setattr(time, "sleep", lambda seconds: waits.append(seconds) if seconds else None)
    service.unavailable = 100
    for _ in range(20):
        complaint(Client(address, attempts=5))
    waits = np.reshape(waits, (20, 4))
    for column, middle in zip(waits.T, (1, 2, 3, 3)):
        assert middle / 2 <= column.min() < 0.8 * middle
        assert 1.2 * middle < column.max() <= middle * 1.5


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_where_nobody_listens(free_address, service, scheme):
    message = complaint(Client(scheme + free_address, attempts=2))
    assert message == f"{scheme}{free_address} is not available after 2 attempts: Connection refused"


def test_a_server_that_starts_late_is_found(exported, free_address, service, monkeypatch):
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.1)
    late = PredictionService(exported, grpc_port=int(free_address.split(":")[1]))
    starting = threading.Timer(0.3, late.__enter__)
    with Client(free_address, timeout_s=60, attempts=9) as client:
        starting.start()
        found = client.predict("lift", INPUTS["lift"])
    starting.join()
    late.__exit__()
    assert found["pose3d"].shape == (2, 17, 3)


def test_a_closed_connection_is_tried_again(answer_socket, service):
    address = answer_socket(lambda connection: connection.recv(10))
    message = complaint(Client(f"http://{address}", attempts=4))
    assert message.endswith("is not available after 4 attempts: Connection reset by peer")
    assert address.count == 4


def test_an_answer_that_breaks_off_is_no_answer(answer_socket, service):
    def break_off(connection):
        while not connection.recv(1 << 16).endswith(b"}"):
            pass
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"outputs": [[1.0]]}')

    address = answer_socket(break_off)
    message = complaint(Client(f"http://{address}", attempts=2))
    assert message.endswith("is not available after 2 attempts: the connection was closed")
    assert address.count == 2


def test_reasons_are_told_in_short(answer_http, service):
    server = answer_http(400, "application/json", b'{"error": "' + b"x" * 100_000 + b'"}')
    assert len(complaint(Client(f"http://127.0.0.1:{server.server_port}"))) < 600


def test_a_deadline_is_kept_and_not_tried_again(address, service):
    service.delay_s = 2.0
    begin = time.monotonic()
    assert complaint(Client(address, timeout_s=0.3)).endswith("did not answer within 0.3 s")
    assert 0.3 <= time.monotonic() - begin < 1.5
    assert service.requests == 1
    service.delay_s = 0.0
    assert Client(address, timeout_s=60).predict("lift", INPUTS["lift"])["pose3d"].shape == (2, 17, 3)


def test_the_deadline_is_for_the_whole_answer(answer_socket, service):
    def trickle(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _ in range(4):
                connection.sendall(b" ")
                time.sleep(1.9)
        except OSError:
            pass

    begin = time.monotonic()
    assert "did not answer within 2 s" in complaint(Client(f"http://{answer_socket(trickle)}", timeout_s=2.0))
    assert time.monotonic() - begin < 3.3  # each byte comes in less than the deadline, the third after 3.8 s


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_the_deadline_is_for_connecting_too(service, scheme):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        begin = time.monotonic()
        message = complaint(Client(f"{scheme}127.0.0.1:{full.getsockname()[1]}", timeout_s=0.5))
        assert message.endswith("did not answer within 0.5 s")
        assert time.monotonic() - begin < 2


def test_models_and_signatures_that_are_not_there(address, service):
    with Client(address, model="face") as client:
        assert complaint(client).endswith(
            "has no model 'face' that is ready: Servable not found for request: Latest(face)"
        )
    with Client(address) as client:
        assert complaint(client, "embed").endswith("has no signature 'embed' in its model 'pose'")
        service.ready = False
        assert "has no model 'pose' that is ready" in complaint(client)


@pytest.mark.parametrize("server", ["a..b:8500", "http://a..b:8501", "http://nobody.invalid:8501"])
def test_hosts_that_are_not_known(server):
    assert complaint(Client(server)) == f"{server} names an unknown host"


NO_ADDRESSES = ["", "localhost", "localhost:", "localhost:port", ":8500", "::1:8500", "a b:80"] + [
    "http://",
    "http://a:b",
    "http://a:99999",
    "http://a?b",
    "http://me@a:80",
    "ftp://a:21",
]


@pytest.mark.parametrize("server", NO_ADDRESSES)
def test_what_is_no_address(server):
    with pytest.raises(UserError) as error:
        Client(server)
    assert str(error.value) == f"{server} must be HOST:PORT for gRPC, or http://HOST:PORT for REST"


@pytest.mark.parametrize("status", [200, 302, 404, 502])
def test_a_web_server_is_no_tf_serving(answer_http, service, status):
    server = answer_http(status, "text/html; charset=utf-8", b"<html>Welcome</html>")
    url = f"http://127.0.0.1:{server.server_port}/proxy/"
    message = complaint(Client(url))
    assert message == f"{url} does not answer like TF Serving: it answered HTTP {status} with text/html without poses"
    assert server.paths == ["/proxy/v1/models/pose:predict"]


def test_a_proxy_whose_server_is_away_is_asked_again(answer_http, service):
    server = answer_http(503, "text/html", b"<html>Come back later</html>")
    assert complaint(Client(f"http://127.0.0.1:{server.server_port}", attempts=3)).endswith(
        "after 3 attempts: HTTP 503"
    )
    assert len(server.paths) == 3


NO_POSES = {
    "nothing": b"",
    "no text": b"\xff",
    "no object": b"[1]",
    "no outputs": b'{"predictions": [[0.0]]}',
    "empty outputs": b'{"outputs": {}}',
    "null": b'{"outputs": null}',
    "words": b'{"outputs": {"pose3d": ["x"]}}',
    "ragged": b'{"outputs": [[1.0, 2.0], [3.0]]}',
    "half": b'{"outputs": [[1.0',
}


@pytest.mark.parametrize("name", NO_POSES)
def test_answers_without_poses(answer_http, service, name):
    server = answer_http(200, "application/json", NO_POSES[name])
    message = complaint(Client(f"http://127.0.0.1:{server.server_port}"))
    assert message.endswith("does not answer like TF Serving: it answered HTTP 200 with application/json without poses")


def test_answers_without_poses_over_grpc(answer_grpc):
    assert complaint(Client(answer_grpc(predict_pb2.PredictResponse()))).endswith("it answered without outputs")


def test_the_protocols_taken_for_each_other(answer_http, answer_grpc, service):
    server = answer_http(200, "text/html", b"<html></html>")
    message = complaint(Client(f"127.0.0.1:{server.server_port}"))
    assert message.endswith(
        "does not answer like TF Serving: it speaks another protocol; for REST, use http://HOST:PORT"
    )
    message = complaint(Client(f"http://{service.grpc}"))
    assert message.endswith("does not answer like TF Serving: it speaks another protocol; for gRPC, use HOST:PORT")
    assert "does not answer like TF Serving" in complaint(Client(answer_grpc(None)))


def test_a_connection_that_is_not_secure(service):
    message = complaint(Client(service.rest.replace("http", "https"), attempts=2))
    assert "cannot be reached over TLS" in message


def test_the_stand_in_tells_its_state(service):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "pose"
    with grpc.insecure_channel(service.grpc) as channel:
        status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus(request)
    assert status.model_version_status[0].state == get_model_status_pb2.ModelVersionStatus.AVAILABLE
