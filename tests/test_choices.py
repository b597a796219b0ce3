"""Tests of the choices: flags can offer them without TensorFlow, and the library takes each of them and no other."""

import subprocess
import sys

import numpy as np
import pytest

from pose_tf.choices import ALIGNMENTS, METHODS
from pose_tf.errors import UserError
from pose_tf.models.decoding import Decoding
from tests.conftest import ROOT


def test_a_flag_can_offer_them_without_loading_tensorflow():
    program = """
import sys
import pose_tf.choices
print([name for name in ("numpy", "tensorflow", "cv2") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_every_choice_is_a_way_of_its_own_to_decode():
    """Heatmaps with a peak, another value beside it, and a background: no two choices agree."""
    heatmaps = np.full((1, 64, 64, 1), 0.2, np.float32)
    heatmaps[0, 20, 30], heatmaps[0, 20, 31] = 8, 7
    found = {
        (method, alignment): tuple(np.ravel(Decoding(method, alignment=alignment)(heatmaps)).round(2))
        for method in METHODS
        for alignment in ALIGNMENTS
    }
    assert len(set(found.values())) == len(found) == 8


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("method", "soft-argmax", "soft_argmax, debiased, argmax, unshifted_argmax"),
        ("method", None, "soft_argmax, debiased, argmax, unshifted_argmax"),
        ("alignment", "center", "half_pixel, corner"),
    ],
)
def test_nothing_else_is_taken(name, value, known):
    with pytest.raises(UserError, match=f"^decoding.{name} is '{value}'; it can be {known}$"):
        Decoding(**{name: value})
