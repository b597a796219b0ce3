"""The package has Keras 2 or says what to do."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

from pose_tf.keras_version import require_keras_2

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def test_keras_2_is_in_force_without_further_ado():
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    script = "import pose_tf, tensorflow as tf; print(tf.keras.Model.__module__)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("keras.src.engine.training", "tf_keras.src.engine.training")


def test_keras_3_is_refused(monkeypatch):
    monkeypatch.setattr(tf.keras, "__version__", "3.15.1", raising=False)
    with pytest.raises(ImportError, match="this process has Keras 3.15.1: set TF_USE_LEGACY_KERAS=1 before"):
        require_keras_2()


@pytest.mark.skipif(tf.__version__.startswith("2.15."), reason="this TensorFlow has no Keras 3")
def test_keras_3_that_is_there_already_is_refused():
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "0"}
    script = "import tensorflow as tf; tf.keras.__version__; import pose_tf"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "ImportError: pose_tf needs Keras 2, and this process has Keras 3" in done.stderr
