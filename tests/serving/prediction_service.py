"""A replacement for TF Serving in tests. No package registry has the binary of TF Serving.

It answers the same two protocols, built from the same messages, with a SavedModel that Python has loaded. Status codes
and messages are those of the sources of TF Serving 2.15.1. It does not put requests together into batches, watches no
directory, and supports only the columnar format of REST. The tests with it show how the client behaves. They do not
show that TF Serving behaves in the same way.
"""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import re
import threading
import time

import google.protobuf
import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    status_pb2,
)

HTTP_STATUS = {
    tf.errors.INVALID_ARGUMENT: 400,
    tf.errors.FAILED_PRECONDITION: 400,
    tf.errors.NOT_FOUND: 404,
    tf.errors.UNAVAILABLE: 503,
}
"""HTTP status codes by error code, as in `http_server.cc`."""


class PredictionService:
    """Serves one model on two ports of this machine while the context lasts.

    Args:
        path: directory of one version of an exported model.
        model: name of the model for clients.
        grpc_port: port for gRPC; 0 for any free one.

    Attributes:
        grpc: address for gRPC, HOST:PORT.
        rest: address for REST, http://HOST:PORT.
        ready: whether the model is loaded; set it to False to act like a server that has just started.
        unavailable: number of next requests to reject as if the queue were full.
        delay_s: time in seconds added to each request.
        requests: number of requests so far.
    """

    def __init__(self, path: str, model: str = "pose", grpc_port: int = 0):
        self.model = model
        self.ready = True
        self.unavailable = 0
        self.delay_s = 0.0
        self.requests = 0
        self._lock = threading.Lock()
        self._loaded = tf.saved_model.load(path)
        self._port = grpc_port

    def __enter__(self):
        self._grpc = grpc.server(
            concurrent.futures.ThreadPoolExecutor(8),
            options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Prediction(self), self._grpc)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelStatus(self), self._grpc)
        self.grpc = f"127.0.0.1:{self._grpc.add_insecure_port(f'127.0.0.1:{self._port}')}"
        self._grpc.start()

        self._rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Rest)
        self._rest.service = self
        self.rest = f"http://127.0.0.1:{self._rest.server_port}"
        threading.Thread(target=self._rest.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self._grpc.stop(grace=None).wait()
        self._rest.shutdown()
        self._rest.server_close()

    def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        """Returns the model's outputs or raises one of `tf.errors`."""
        with self._lock:
            self.requests += 1
            turned_away = self.unavailable > 0
            self.unavailable -= turned_away
        if turned_away:
            raise tf.errors.UnavailableError(
                None, None, "The batch scheduling queue to which this task was submitted is full"
            )
        time.sleep(self.delay_s)
        signature = self.signature(request.model_spec)
        specs = signature.structured_input_signature[1]
        sent, needed = set(request.inputs), set(specs)
        if sent != needed:
            raise _invalid(
                f"input size does not match signature: {len(sent)}!={len(needed)} len({{{','.join(sorted(sent))}}}) != "
                f"len({{{','.join(sorted(needed))}}}). Sent extra: {{{','.join(sorted(sent - needed))}}}. "
                f"Missing but required: {{{','.join(sorted(needed - sent))}}}."
            )
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        for key, value in inputs.items():
            if not specs[key].is_compatible_with(value):
                raise _invalid(f"{key} is {value.dtype.name} {value.shape}, not {specs[key]}")
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(request.model_spec)
        for key, value in signature(**inputs).items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value.numpy()))
        return response

    def signature(self, model_spec, missing: str = 'Serving signature key "{}" not found.'):
        """Returns the function for a request or raises one of `tf.errors`."""
        if not self.ready or model_spec.name != self.model:
            raise tf.errors.NotFoundError(None, None, f"Servable not found for request: Latest({model_spec.name})")
        name = model_spec.signature_name or "serving_default"
        if name not in self._loaded.signatures:
            raise tf.errors.FailedPreconditionError(None, None, missing.format(name))
        return self._loaded.signatures[name]

    def status(self, model: str) -> get_model_status_pb2.GetModelStatusResponse:
        """Returns whether the model is ready or raises `tf.errors.NotFoundError`."""
        if model != self.model:
            raise tf.errors.NotFoundError(None, None, f"Could not find any versions of model {model}")
        states = get_model_status_pb2.ModelVersionStatus
        response = get_model_status_pb2.GetModelStatusResponse()
        state = states.AVAILABLE if self.ready else states.LOADING
        response.model_version_status.add(version=1, state=state, status=status_pb2.StatusProto())
        return response


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, service):
        self._service = service

    def Predict(self, request, context):
        try:
            return self._service.predict(request)
        except tf.errors.OpError as error:
            _abort(context, error)


class _ModelStatus(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, service):
        self._service = service

    def GetModelStatus(self, request, context):
        try:
            return self._service.status(request.model_spec.name)
        except tf.errors.OpError as error:
            _abort(context, error)


def _abort(context, error):
    codes = {code.value[0]: code for code in grpc.StatusCode}
    context.abort(codes[error.error_code], error.message)


class _Rest(http.server.BaseHTTPRequestHandler):
    """Paths and formats of TF Serving's REST interface."""

    def do_GET(self):
        match = re.fullmatch("/v1/models/([^/:]+)", self.path)
        self._answer(match, lambda: self._status(match[1]))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match = re.fullmatch("/v1/models/([^/:]+):predict", self.path)
        self._answer(match, lambda: self._predict(match[1], body))

    def log_message(self, *arguments):
        pass

    def _answer(self, match, make):
        try:
            if not match:
                raise _invalid(f"Malformed request: {self.command} {self.path}")
            status, answer = 200, make()
        except tf.errors.OpError as error:
            status, answer = HTTP_STATUS.get(error.error_code, 500), {"error": error.message}
        data = json.dumps(answer, indent=4).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the client's deadline has passed
            self.wfile.write(data)

    def _status(self, model):
        response = self.server.service.status(model)
        # protobuf 5 renamed the argument that includes default values.
        defaults = "including_default_value_fields"
        if int(google.protobuf.__version__.split(".")[0]) >= 5:
            defaults = "always_print_fields_with_no_presence"
        return json_format.MessageToDict(response, preserving_proto_field_name=True, **{defaults: True})

    def _predict(self, model, body):
        try:
            sent = json.loads(body)
        except ValueError:
            raise _invalid("JSON Parse error: Invalid value.") from None
        request = predict_pb2.PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = sent.get("signature_name", "")
        missing = 'Serving signature name: "{}" not found in signature def'
        specs = self.server.service.signature(request.model_spec, missing).structured_input_signature[1]
        values = sent["inputs"] if isinstance(sent["inputs"], dict) else {next(iter(specs)): sent["inputs"]}
        for key, spec in specs.items():
            if key not in values:
                raise _invalid(f"Missing named input: {key} in 'inputs' object.")
            request.inputs[key].CopyFrom(tf.make_tensor_proto(_from_json(values[key], spec.dtype)))
        outputs = self.server.service.predict(request).outputs
        values = {key: tf.make_ndarray(value).tolist() for key, value in outputs.items()}
        return {"outputs": values if len(values) > 1 else next(iter(values.values()))}


def _from_json(value, dtype):
    try:
        if dtype == tf.string:
            return np.array([base64.b64decode(item["b64"]) for item in value], object)
        return np.array(value, dtype.as_numpy_dtype)
    except (KeyError, TypeError, ValueError) as error:
        raise _invalid(f"JSON Value: is not of expected type: {dtype.name}: {error}") from None


def _invalid(message):
    return tf.errors.InvalidArgumentError(None, None, message)
