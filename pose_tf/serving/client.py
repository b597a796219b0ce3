"""Asks an exported model that TF Serving serves, over gRPC or REST."""

import base64
import http.client
import itertools
import json
import random
import re
import socket
import ssl
import time
import urllib.parse

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from pose_tf import skeleton
from pose_tf.errors import UserError, reason

FIRST_WAIT_S = 0.25
"""Before the second attempt; it doubles each time, up to the longest. Half of it, at random, is added or taken away, so
that clients who were turned away together do not come back together."""
LONGEST_WAIT_S = 5.0
REASON_LENGTH = 500
"""Characters of a server's reason that are told: some repeat the request."""
HOST_AND_PORT = r"(\[[^\s\]]+\]|[^\s/:\[\]]+):[0-9]{1,5}"
SINGLE_OUTPUT = "pose3d"
"""Of `lift`. Over REST, TF Serving leaves out the name where a signature has one output."""
CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),  # 4 MiB otherwise
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),  # 1 s otherwise, in which attempts fail without being made
    ("grpc.max_reconnect_backoff_ms", 1000),
]
STATUS_OF_HTTP = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


class ServerError(UserError):
    """A server cannot be asked, or its answer cannot be used. The message begins with its address."""


def is_address(text: str) -> bool:
    """Whether a text is an address as `Client` takes them, of any host, rather than a path."""
    return "://" in text or bool(re.fullmatch(HOST_AND_PORT, text))


class Client:
    """A model on a server, which threads may share. It connects directly, whatever proxies the environment names.

    Args:
        server: `HOST:PORT` is asked over gRPC; `http://HOST:PORT` and `https://HOST:PORT` over REST.
        model: its name there.
        timeout_s: deadline of each attempt.
        attempts: how often a server that is not available is asked.

    Attributes:
        card: the server, the model's name there, joints and bones: what is known of it here.
        takes_pixels: False. `PoseModel` sends images as files, which compress well.

    Raises:
        ServerError: `server` is not such an address.
    """

    takes_pixels = False

    def __init__(self, server: str, model: str = "pose", timeout_s: float = 10.0, attempts: int = 5):
        self._name = server
        self._model = model
        self._timeout_s = timeout_s
        self._attempts = attempts
        self.card = {
            "server": server,
            "model": model,
            "joints": list(skeleton.H36M.joints),
            "bones": [list(bone) for bone in skeleton.H36M.bones],
        }
        self._url = self._channel = None
        if "://" in server:
            self._url = _parse_url(server)
        elif re.fullmatch(HOST_AND_PORT, server):
            self._channel = grpc.insecure_channel(server, options=CHANNEL_OPTIONS)
        if not (self._url or self._channel):
            raise ServerError(f"{self._name} has to be HOST:PORT for gRPC, or http://HOST:PORT for REST")

    def predict(self, signature: str, inputs: dict[str, np.ndarray | list[bytes]]) -> dict[str, np.ndarray]:
        """The model's answer.

        Args:
            signature: one of those that `export` describes.
            inputs: what it takes, N of each. Files are a list of bytes or an array of objects; NumPy's own strings lose
                zeros at their ends.

        Returns:
            The signature's outputs, float32 [N, …].

        Raises:
            ServerError: the server is not known, not available, late, or no TF Serving; it has no such model or
                signature; or it refuses the inputs, with its reason.
        """
        arrays = {
            key: value if isinstance(value, np.ndarray) else np.array(value, object) for key, value in inputs.items()
        }
        ask = self._ask_grpc if self._channel else self._ask_rest
        for attempt in itertools.count(1):
            try:
                return ask(signature, arrays)
            except _UnavailableError as error:
                if attempt >= self._attempts:
                    raise ServerError(f"{self._name} is not available, asked {attempt} times: {error}") from None
            wait_s = min(FIRST_WAIT_S * 2 ** (attempt - 1), LONGEST_WAIT_S)
            time.sleep(wait_s * random.uniform(0.5, 1.5))

    def close(self) -> None:
        """Ends the connection."""
        if self._channel:
            self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def _ask_grpc(self, signature, arrays):
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.model_spec.signature_name = signature
        for key, array in arrays.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(array))
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        try:
            answer = stub.Predict(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            code, text = error.code(), error.details() or ""
            if "errors resolving" in text:
                raise self._unknown_host() from None
            if "parsing HTTP/2" in text or code == grpc.StatusCode.UNIMPLEMENTED:
                raise self._stranger("it speaks another protocol; with http:// it is asked over REST") from None
            raise self._failure(code, text, signature) from None
        if not answer.outputs:
            raise self._stranger("it answered without outputs")
        return {key: tf.make_ndarray(output) for key, output in answer.outputs.items()}

    def _ask_rest(self, signature, arrays):
        request = {"signature_name": signature, "inputs": {key: _to_json(array) for key, array in arrays.items()}}
        try:
            status, content_type, data = self._post(json.dumps(request, separators=(",", ":")).encode())
        except (socket.gaierror, UnicodeError):  # no domain name has a part without letters, or of more than 63
            raise self._unknown_host() from None
        except TimeoutError:
            raise self._failure(grpc.StatusCode.DEADLINE_EXCEEDED, "", signature) from None
        except ssl.SSLError as error:
            problem = getattr(error, "verify_message", None) or error.reason
            raise ServerError(f"{self._name} cannot be connected to securely: {problem}") from None
        except (OSError, http.client.IncompleteRead) as error:
            raise _UnavailableError(getattr(error, "strerror", None) or "the connection was closed") from None
        except http.client.HTTPException:
            raise self._stranger("it speaks another protocol; without http:// it is asked over gRPC") from None
        try:
            answer = json.loads(data)
            if status == 200:
                return _outputs_of(answer)
            text = str(answer["error"])
        except (ValueError, TypeError, KeyError):
            if status == 503:  # of a proxy, which does not answer as TF Serving would
                raise _UnavailableError("HTTP 503") from None
            raise self._stranger(f"it answered HTTP {status} with {content_type} that holds no poses") from None
        raise self._failure(STATUS_OF_HTTP.get(status, grpc.StatusCode.UNKNOWN), text, signature)

    def _post(self, data):
        """HTTP status, content type and body of the answer to a request, all before the deadline."""
        deadline = time.monotonic() + self._timeout_s
        secure = self._url.scheme == "https"
        connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(
            self._url.hostname, self._url.port, timeout=self._timeout_s
        )
        path = f"{self._url.path.rstrip('/')}/v1/models/{urllib.parse.quote(self._model, safe='')}:predict"
        try:
            connection.connect()
            connected = connection.sock  # which the connection forgets when the answer will be the last

            def keep_deadline():  # a socket's own limit is for each of its operations
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError
                connected.settimeout(left_s)

            keep_deadline()
            connection.request("POST", path, data, {"Content-Type": "application/json"})
            keep_deadline()
            answer = connection.getresponse()
            chunks = []
            while chunk := answer.read1(1 << 20):
                chunks.append(chunk)
                keep_deadline()
            if answer.length:
                raise http.client.IncompleteRead(b"", answer.length)
            return answer.status, answer.headers.get_content_type(), b"".join(chunks)
        finally:
            connection.close()

    def _failure(self, code, text, signature):
        """The exception that tells what a status of gRPC and the server's words mean."""
        text = reason(tf.errors.UnknownError(None, None, text or code.name))[:REASON_LENGTH]
        if code == grpc.StatusCode.UNAVAILABLE:
            return _UnavailableError(re.sub(r"^failed to connect to all addresses; .*: (?=[^:]+$)", "", text))
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return ServerError(f"{self._name} did not answer within {self._timeout_s:g} s")
        if re.search("[Ss]erving signature (key|name)", text):
            return ServerError(f"{self._name} has no signature '{signature}' in its model '{self._model}'")
        if code == grpc.StatusCode.NOT_FOUND:
            return ServerError(f"{self._name} has no model '{self._model}' that is ready: {text}")
        if code == grpc.StatusCode.INVALID_ARGUMENT:
            return ServerError(f"{self._name} refused the request: {text}")
        return ServerError(f"{self._name} failed with {code.name}: {text}")

    def _stranger(self, evidence):
        return ServerError(f"{self._name} is no TF Serving: {evidence}")

    def _unknown_host(self):
        return ServerError(f"{self._name} names a host that is not known")


class _UnavailableError(Exception):
    """The server may answer a moment later."""


def _parse_url(server):
    """Parts of the address, or None if it is none that can be asked."""
    try:
        url = urllib.parse.urlsplit(server)
        usable = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        return None
    return url if usable and not re.search(r"[\s?#@]", server) else None


def _to_json(array):
    """Numbers as they are, bytes in base 64, as TF Serving's REST interface wants them."""
    if array.dtype.kind in "OS":
        return [{"b64": base64.b64encode(item).decode()} for item in array]
    return array.tolist()


def _outputs_of(answer):
    """float32 arrays, as all outputs are. ValueError, TypeError or KeyError if the answer holds none."""
    outputs = answer["outputs"]
    if not isinstance(outputs, dict):
        outputs = {SINGLE_OUTPUT: outputs}
    if not outputs or not all(isinstance(value, list) for value in outputs.values()):
        raise ValueError
    return {key: np.array(value, np.float32) for key, value in outputs.items()}
