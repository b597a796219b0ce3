"""Fixtures of all tests."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gc
import pathlib
import random

import numpy as np
import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parents[1]


SLOWEST = (
    "test_waiting.py",
    "test_interrupted_training.py",
    "test_waiting_for_data.py",
    "test_other_stack.py",
    "test_switches.py",
    "test_predict_batch.py",
)


def pytest_collection_modifyitems(items):
    """Starts with the slowest files, so that no process runs one of them while the other has nothing left to do."""
    items.sort(key=lambda item: SLOWEST.index(item.path.name) if item.path.name in SLOWEST else len(SLOWEST))


@pytest.fixture(scope="session")
def shared_data():
    """Path of the reference inputs and outputs beside a checkout; they are not part of the repository."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no reference data at {path}")
    return path


@pytest.fixture(scope="module", autouse=True)
def frozen_heap():
    """Excludes all objects of earlier modules from garbage collection, which would take a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seeded():
    """Gives weights the same initial values in every run."""
    random.seed(0)
    tf.random.set_seed(0)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def mixed_bfloat16():
    """Sets the Keras policy to mixed_bfloat16 for one test."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    tf.keras.mixed_precision.set_global_policy(before)


@pytest.fixture
def random_rotation(rng):
    """Function that draws a uniform rotation matrix of D dimensions, without reflection."""

    def draw(dimensions=3):
        q, r = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))
        q *= np.sign(np.diag(r))
        q[:, 0] *= np.linalg.det(q)
        return q

    return draw


@pytest.fixture(scope="session")
def estimator():
    """A small PoseEstimator with weights like those after training; tests do not change it."""
    from tests.export.models import make_estimator

    return make_estimator()


@pytest.fixture(scope="session")
def exported(estimator, tmp_path_factory):
    """Directory of the estimator's exported model, version 1; tests do not change it."""
    from pose_tf.export.saved_model import export

    return export(estimator, str(tmp_path_factory.mktemp("export") / "model"), card={"data": "none"})


@pytest.fixture(scope="session")
def exported_files(estimator, tmp_path_factory):
    """The estimator as files: LiteRT in three precisions, and ONNX; tests do not change them."""
    for package in ("ai_edge_litert", "onnxruntime", "tf2onnx"):
        pytest.importorskip(package)
    from tests.export.models import export_files

    return export_files(estimator, tmp_path_factory.mktemp("files"))
