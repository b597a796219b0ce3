"""What the tests of this folder share."""

import pytest

from pose_tf.training.monitor import Monitor


@pytest.fixture(autouse=True)
def no_curves(request, monkeypatch):
    """Leaves out `curves.png`: drawing it takes longer than training. Tests that ask for `curves` have it."""
    if "curves" not in request.fixturenames:
        monkeypatch.setattr(Monitor, "draw_curves", lambda self: None)


@pytest.fixture
def curves():
    """For a test of the curves."""
