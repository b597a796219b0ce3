"""Tests that float32 keeps its precision: by default, the A100 and later GPUs round factors of products to 10 bits."""

import json
import subprocess
import sys

import pytest
import tensorflow as tf

from pose_tf.training import trainer
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def default_afterwards():
    yield
    tf.config.experimental.enable_tensor_float_32_execution(True)


@pytest.mark.parametrize("tf32", [False, True])
def test_a_training_multiplies_in_tf32_only_if_its_recipe_says_so(config, tmp_path, tf32):
    tf.config.experimental.enable_tensor_float_32_execution(not tf32)
    config.train.epochs, config.tf32 = 1.0, tf32
    trainer.train(config, None, str(tmp_path / "run"))
    assert tf.config.experimental.tensor_float_32_execution_enabled() == tf32


def test_a_run_from_before_there_was_the_key_is_resumed_and_either_value_may_follow(config, tmp_path, capsys):
    config.train.epochs = 1.0
    trainer.train(config, None, str(tmp_path))
    kept = json.loads((tmp_path / "config.json").read_text())
    assert kept.pop("tf32") is False
    (tmp_path / "config.json").write_text(json.dumps(kept))
    for tf32 in (True, False):
        config.tf32 = tf32
        trainer.train(config, None, str(tmp_path))
        assert "resuming" in capsys.readouterr().err
    with config.unlocked():
        del config["tf32"]  # a user's recipe of an earlier version
    trainer.train(config, None, str(tmp_path))
    assert not tf.config.experimental.tensor_float_32_execution_enabled()


def test_every_command_switches_tf32_off():
    program = """
import tensorflow as tf
from pose_tf import cli
enabled = tf.config.experimental.tensor_float_32_execution_enabled
before = enabled()
cli.run(lambda: print(before, enabled()))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == ["True", "False"], done.stderr
