"""A replacement for TF Serving, and clients of it."""

import pytest
import tensorflow as tf

from pose_tf.serving import client as client_module
from pose_tf.serving.client import Client
from tests.serving.prediction_service import PredictionService


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(exported).signatures


@pytest.fixture(scope="module")
def running(exported):
    with PredictionService(exported) as service:
        yield service


@pytest.fixture
def service(running, monkeypatch):
    """The replacement without faults, and a client with short waits."""
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.01)
    running.ready, running.unavailable, running.delay_s, running.requests = True, 0, 0.0, 0
    return running


@pytest.fixture(params=["grpc", "rest"])
def address(request, service):
    return getattr(service, request.param)


@pytest.fixture
def client(address):
    with Client(address, timeout_s=60) as client:
        yield client
