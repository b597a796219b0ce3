"""Fixtures of the tests in this folder."""

import cv2
import numpy as np
import pytest

from pose_tf.predict import finders
from tests.predict.marks import marked


@pytest.fixture
def video(tmp_path):
    """A mark on a coarse texture that moves right by 2 px per frame and jitters up and down by 1 px; 30 frames."""
    path = f"{tmp_path}/walk.avi"
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"FFV1"), 10, (200, 100))  # lossless
    coarse = np.random.default_rng(0).integers(20, 120, (60, 60, 3), np.uint8)
    for i in range(30):
        x, y = 60 + 2 * i, 50 + (-1) ** i
        image = marked(200, 100)
        image[y - 30 : y + 30, x - 30 : x + 30] = coarse
        image[y - 2 : y + 2, x - 2 : x + 2] = 255
        writer.write(image)
    writer.release()
    return path


@pytest.fixture
def pedestrian_hog(monkeypatch):
    """Finds people with OpenCV's pedestrian detector. Rendered people stand and walk, but look odd to the network."""
    monkeypatch.setattr(finders, "people_finder", finders.PedestrianHOG)
