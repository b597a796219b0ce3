"""Tests of the cameras: known points lie at computed pixels, and everybody fits into the image."""

import numpy as np
import pytest

from pose_tf.synthetic.anatomy import make_body
from pose_tf.synthetic.camera import INTRINSICS, View, make_camera
from pose_tf.synthetic.kinematics import make_figure

VIEW = View((400.0, 127.5, 200.0, 100.0), np.array([0.0, -1, 0]), np.array([0.0, 900, 3000]))


def test_a_known_point_lies_at_the_computed_pixel():
    points = np.array([[0.0, 0, 1000], [250, 0, 1000], [0, -500, 2000], [250, 500, 500]])
    expected = [[127.5, 100], [227.5, 100], [127.5, 50], [327.5, 300]]
    np.testing.assert_allclose(VIEW.project(points), expected)
    np.testing.assert_allclose(VIEW.project(points.reshape(2, 2, 3)), np.reshape(expected, (2, 2, 2)))


def test_a_point_behind_the_camera_has_a_pixel_on_its_side():
    ((x, y),) = VIEW.project(np.array([[100.0, -100, -5000]]))
    assert (x, y) == (127.5 + 400 * 100 / 50, 100 - 200 * 100 / 50)


def test_rays_pass_through_the_middle_of_their_pixels():
    columns, rows = VIEW.rays()
    assert columns.shape == rows.shape == (256,) and columns.dtype == rows.dtype == np.float32
    points = np.array([[columns[i], rows[j], 1] for i, j in ((0, 0), (17, 200), (255, 3))], float) * 1234
    np.testing.assert_allclose(VIEW.project(points), [[0, 0], [17, 200], [255, 3]], atol=1e-3)


@pytest.fixture(scope="module")
def placed():
    """[(camera number, figure, rotation, translation)] of people who walk, sit, and sit on the floor."""
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        figure = make_figure(rng, (14, 9, 10)[seed % 3], make_body(rng, seed))
        found.append((seed % 4, figure, *make_camera(rng, figure, INTRINSICS[seed % 4])))
    return found


def test_a_camera_sees_the_whole_person_upright(placed):
    for number, figure, rotation, translation in placed:
        fx, cx, fy, cy = INTRINSICS[number].astype(float)
        x, y, z = (figure.joints @ rotation.T + translation).T
        assert z.min() > 1500
        pixels = np.stack([fx * x / z + cx, fy * y / z + cy])
        assert pixels.min() > 30 and pixels.max() < 970
        assert (rotation @ (0, 0, 1))[1] < -0.8, "up in the world is not up in the image"


def test_a_camera_is_a_rigid_motion_at_a_persons_height(placed):
    heights, distances = [], []
    for _, _, rotation, translation in placed:
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        x, y, height = -rotation.T @ translation
        assert x == pytest.approx(0, abs=1e-6)
        heights.append(height)
        distances.append(-y)
    assert 1200 <= min(heights) < 1400 and 1800 < max(heights) <= 2000
    assert 3000 <= min(distances) < 3500 and 6000 < max(distances) <= 6500
