"""Tests that the package uses Keras 2 or explains how to get it."""

import os
import subprocess
import sys

import pytest
import tensorflow as tf

from pose_tf.keras_version import check_keras

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(script, **environment):
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"} | environment
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("first", ["import pose_tf, tensorflow as tf", "import tensorflow as tf, pose_tf"])
def test_keras_2_is_in_force_however_it_is_imported(first):
    done = run(
        f"{first}\n"
        "from tensorflow.keras.layers import Dense\n"
        "from tensorflow import keras\n"
        "print(Dense.__module__, keras.layers.Dense.__module__, tf.keras.layers.Dense.__module__)"
    )
    assert done.returncode == 0, done.stderr
    (module,) = set(done.stdout.split())
    assert module in ("keras.src.layers.core.dense", "tf_keras.src.layers.core.dense")


def test_importing_the_package_does_not_import_tensorflow():
    done = run("import sys, pose_tf; print('tensorflow' in sys.modules, pose_tf.HRNet.__module__)")
    assert done.stdout.split() == ["False", "pose_tf.models.hrnet"], done.stderr


@pytest.mark.parametrize(("environment", "used"), [({}, "1"), ({"TF_ENABLE_ONEDNN_OPTS": "0"}, "0")])
def test_onednn_is_used_unless_the_user_disables_it(monkeypatch, environment, used):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    done = run("import pose_tf, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])", **environment)
    assert done.stdout.split() == [used], done.stderr


def test_keras_3_is_refused(monkeypatch):
    monkeypatch.setattr(tf.keras, "__version__", "3.15.1", raising=False)
    with pytest.raises(ImportError, match="this process has Keras 3.15.1: set TF_USE_LEGACY_KERAS=1 before"):
        check_keras()


@pytest.mark.skipif(tf.__version__.startswith("2.15."), reason="this TensorFlow has Keras 2 built in")
@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import tensorflow as tf; tf.keras.__version__; import pose_tf", "this process has Keras 3"),
        (
            "import sys; sys.modules['tf_keras'] = None; import pose_tf",
            f'pip install "tf_keras=={tf.__version__[:4]}.*"',
        ),
    ],
)
def test_a_process_without_keras_2_is_refused(script, words):
    done = run(script)
    assert done.returncode != 0
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: pose_tf needs Keras 2")
    assert words in message


@pytest.mark.skipif(tf.__version__.startswith("2.15."), reason="this TensorFlow has Keras 2 built in")
def test_the_command_refuses_keras_3_in_one_sentence():
    done = subprocess.run(
        [sys.executable, "-m", "pose_tf.cli", "train", "--help"],
        cwd=ROOT,
        env=os.environ | {"TF_USE_LEGACY_KERAS": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: pose_tf needs Keras 2, and this process has Keras 3")
    assert "Traceback" not in done.stderr
