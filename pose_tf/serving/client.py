"""Sends requests to an exported model on TF Serving, over gRPC or REST."""

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

from pose_tf.errors import UserError, reason
from pose_tf.skeleton import H36M, Skeleton

FIRST_WAIT_S = 0.25
"""Wait before the second attempt. The wait doubles with each attempt, up to `LONGEST_WAIT_S`. It varies at random by up
to half, so that clients that were rejected together do not return together."""
LONGEST_WAIT_S = 5.0
REASON_LENGTH = 500
"""Messages quote this many characters of the server's reason. Some reasons repeat the whole request."""
HOST_AND_PORT = r"(\[[^\s\]]+\]|[^\s/:\[\]]+):[0-9]{1,5}"
SINGLE_OUTPUT = "pose3d"
"""Name of the only output of `lift`. Over REST, TF Serving omits the name if a signature has one output."""
CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),  # default: 4 MiB
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),  # default: 1 s, in which attempts fail without a connection
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
    """A server cannot be reached, or its answer cannot be used. The message begins with the server's address."""


def is_address(text: str) -> bool:
    """Whether a text is an address that `Client` accepts rather than a path."""
    return "://" in text or bool(re.fullmatch(HOST_AND_PORT, text))


class Client:
    """A `Backend` that uses a model on a server. Threads can share it. It ignores proxies of the environment.

    Args:
        server: `HOST:PORT` for gRPC; `http://HOST:PORT` or `https://HOST:PORT` for REST.
        model: name of the model on the server.
        timeout_s: deadline of each attempt in seconds.
        attempts: number of attempts if the server is not available.
        skeleton: of the model's poses, which a server does not name.

    Attributes:
        card: description of the model: server, name of the model, joints and bones.
        takes_pixels: False. `PoseModel` sends images as files, which are smaller than pixels.
        takes_cameras: True. The server has no card, so it has to return poses in the frame of the camera.

    Raises:
        ServerError: `server` is not such an address.
    """

    takes_pixels = False
    takes_cameras = True

    def __init__(
        self,
        server: str,
        model: str = "pose",
        timeout_s: float = 10.0,
        attempts: int = 5,
        skeleton: Skeleton = H36M,
    ):
        self._name = server
        self._model = model
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._skeleton = skeleton
        self.card = {"server": server, "model": model, **skeleton.to_card()}
        self._url = self._channel = None
        if "://" in server:
            self._url = _parse_url(server)
        elif re.fullmatch(HOST_AND_PORT, server):
            self._channel = grpc.insecure_channel(server, options=CHANNEL_OPTIONS)
        if not (self._url or self._channel):
            raise ServerError(f"{self._name} must be HOST:PORT for gRPC, or http://HOST:PORT for REST")

    def predict(self, signature: str, inputs: dict[str, np.ndarray | list[bytes]]) -> dict[str, np.ndarray]:
        """Computes the outputs of a signature on the server.

        Args:
            signature: name of a signature that `export` describes.
            inputs: its inputs by name, each with N elements. Pass files as a list of bytes or an array of objects;
                NumPy's own byte strings lose trailing zeros.

        Returns:
            The outputs by name, float32 [N, …].

        Raises:
            ServerError: the host is unknown, the server is not available, does not answer in time or does not answer
                like TF Serving; it lacks the model or the signature; or it refuses the inputs, with a reason.
        """
        arrays = {
            key: value if isinstance(value, np.ndarray) else np.array(value, object) for key, value in inputs.items()
        }
        ask = self._ask_grpc if self._channel else self._ask_rest
        for attempt in itertools.count(1):
            try:
                return self._checked(ask(signature, arrays))
            except _UnavailableError as error:
                if attempt >= self._attempts:
                    tries = "1 attempt" if attempt == 1 else f"{attempt} attempts"
                    raise ServerError(f"{self._name} is not available after {tries}: {error}") from None
            wait_s = min(FIRST_WAIT_S * 2 ** (attempt - 1), LONGEST_WAIT_S)
            time.sleep(wait_s * random.uniform(0.5, 1.5))

    def _checked(self, outputs):
        """The outputs, if they have the joints of the skeleton."""
        found = np.shape(outputs.get(SINGLE_OUTPUT))[1:2]
        if found and found[0] != len(self._skeleton.joints):
            raise ServerError(
                f"{self._name} answers with {found[0]} joints, but the skeleton {self._skeleton} has another number; "
                "name the skeleton of its model"
            )
        return outputs

    def close(self) -> None:
        """Closes the connection."""
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
                raise self._not_tf_serving("it speaks another protocol; for REST, use http://HOST:PORT") from None
            raise self._failure(code, text, signature) from None
        if not answer.outputs:
            raise self._not_tf_serving("it answered without outputs")
        return {key: tf.make_ndarray(output) for key, output in answer.outputs.items()}

    def _ask_rest(self, signature, arrays):
        request = {"signature_name": signature, "inputs": {key: _to_json(array) for key, array in arrays.items()}}
        try:
            status, content_type, data = self._post(json.dumps(request, separators=(",", ":")).encode())
        except (socket.gaierror, UnicodeError):  # UnicodeError: a part of the name is empty or longer than 63 letters
            raise self._unknown_host() from None
        except TimeoutError:
            raise self._failure(grpc.StatusCode.DEADLINE_EXCEEDED, "", signature) from None
        except ssl.SSLError as error:
            problem = getattr(error, "verify_message", None) or error.reason
            raise ServerError(f"{self._name} cannot be reached over TLS: {problem}") from None
        except (OSError, http.client.IncompleteRead) as error:
            raise _UnavailableError(getattr(error, "strerror", None) or "the connection was closed") from None
        except http.client.HTTPException:
            raise self._not_tf_serving("it speaks another protocol; for gRPC, use HOST:PORT") from None
        try:
            answer = json.loads(data)
            if status == 200:
                return _outputs_of(answer)
            text = str(answer["error"])
        except (ValueError, TypeError, KeyError):
            if status == 503:  # from a proxy, which does not answer in TF Serving's format
                raise _UnavailableError("HTTP 503") from None
            raise self._not_tf_serving(f"it answered HTTP {status} with {content_type} without poses") from None
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
            connected = connection.sock  # the connection drops it if the server closes after the answer

            def keep_deadline():  # a socket's own timeout applies to each operation
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
        """The exception for a gRPC status and the server's message."""
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

    def _not_tf_serving(self, evidence):
        return ServerError(f"{self._name} does not answer like TF Serving: {evidence}")

    def _unknown_host(self):
        return ServerError(f"{self._name} names an unknown host")


class _UnavailableError(Exception):
    """The server is not available, but may answer later."""


def _parse_url(server):
    """Parts of the URL, or None if it is not a valid address of a server."""
    try:
        url = urllib.parse.urlsplit(server)
        usable = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        return None
    return url if usable and not re.search(r"[\s?#@]", server) else None


def _to_json(array):
    """An array in the JSON of TF Serving's REST interface: numbers unchanged, bytes in base 64."""
    if array.dtype.kind in "OS":
        return [{"b64": base64.b64encode(item).decode()} for item in array]
    return array.tolist()


def _outputs_of(answer):
    """Outputs in an answer, float32 arrays by name. Raises ValueError, TypeError or KeyError if it holds none."""
    outputs = answer["outputs"]
    if not isinstance(outputs, dict):
        outputs = {SINGLE_OUTPUT: outputs}
    if not outputs or not all(isinstance(value, list) for value in outputs.values()):
        raise ValueError
    return {key: np.array(value, np.float32) for key, value in outputs.items()}
