"""Fixtures of the tests in this folder."""

import pytest

from pose_tf.training.monitor import Monitor


@pytest.fixture(autouse=True)
def no_curves(request, monkeypatch):
    """Skips `curves.png`, which takes longer to draw than the run. Tests that request `curves` draw it."""
    if "curves" not in request.fixturenames:
        monkeypatch.setattr(Monitor, "draw_curves", lambda self: None)


@pytest.fixture
def curves():
    """Enables `curves.png` for a test."""
