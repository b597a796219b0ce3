"""Tests of rendered pictures: solids appear where they must, in their colors, and a seed decides everything else."""

import numpy as np
import pytest

from pose_tf.synthetic import anatomy, kinematics, render
from pose_tf.synthetic.camera import View
from pose_tf.synthetic.clothes import SHIRT
from pose_tf.synthetic.postures import Angles, Posture
from pose_tf.synthetic.solids import Solids
from pose_tf.synthetic.vectors import rotation_matrix

VIEW = View((500.0, 127.5, 500.0, 127.5), np.array([0.0, -1, 0]), np.array([0.0, 900, 4000]))
TO_CAMERA = rotation_matrix(x=90) @ rotation_matrix(z=180)
"""From the world to a level camera that the person faces."""


@pytest.fixture(scope="module")
def body():
    return anatomy.make_body(np.random.default_rng(0), 1)


@pytest.fixture(scope="module")
def figure(body):
    """A standing person in the camera frame, 4 m away."""
    posture = Posture((Angles(0, 3, 0, 3),) * 2, (Angles(0, 25, 0, 10),) * 2)
    return kinematics.pose_figure(posture, body).moved(TO_CAMERA, VIEW.floor)


def draw(figure, body, seed=0):
    return render.render(np.random.default_rng(seed), figure, body, VIEW)


def test_a_ball_in_place_of_the_person_is_a_disc_of_its_color(figure, body, monkeypatch):
    """Radius 300 mm, 2 m away, 200 mm left and 100 mm above the axis; a red shirt."""

    def ball(*_):
        solids = Solids()
        center = np.array([-200.0, -100, 2000])
        solids.cone(center, center + [1e-3, 0, 0], 300.0, 300.0, SHIRT)
        return solids

    look = render.make_look(np.random.default_rng(0))
    look.tiles[SHIRT] = (0.9, 0.05, 0.05)
    monkeypatch.setattr(render, "build_body", ball)
    monkeypatch.setattr(render, "make_look", lambda rng: look)
    image, mask = draw(figure, body)
    rows, columns = np.nonzero(mask)
    assert columns.mean() == pytest.approx(127.5 - 500 * 200 / 2000, abs=3)  # a disc off the axis is a little long
    assert rows.mean() == pytest.approx(127.5 - 500 * 100 / 2000, abs=3)
    radius = 500 * 300 / np.sqrt(2000**2 - 300**2)
    assert mask.sum() == pytest.approx(np.pi * radius**2, rel=0.03)
    red, green, blue = image[mask].astype(float).T
    assert np.mean((red > 1.5 * green) & (red > 1.5 * blue)) > 0.95
    red, green, blue = image[~mask].astype(float).T
    assert np.mean((red > 1.5 * green) & (red > 1.5 * blue)) < 0.5


def test_the_person_is_where_the_joints_are(figure, body):
    image, mask = draw(figure, body)
    assert image.shape == (256, 256, 3) and image.dtype == np.uint8
    assert mask.shape == (256, 256) and mask.dtype == bool
    x, y, z = figure.joints.T
    columns, rows = np.rint([127.5 + 500 * x / z, 127.5 + 500 * y / z]).astype(int)
    assert mask[rows, columns].all()
    right, left = (columns[anatomy.WRISTS[side]] for side in range(2))
    assert right < 120 < 135 < left  # faces the camera
    assert 0.05 < mask.mean() < 0.3


def test_a_seat_is_not_a_part_of_the_person(body):
    """It hides some of them."""
    hips = kinematics.pose_figure(Posture((Angles(85, 5, 0, 90),) * 2, (Angles(0, 25, 0, 10),) * 2), body)
    sitting = hips.moved(TO_CAMERA, VIEW.floor)._replace(seat=400.0)
    seated, alone = (draw(sitting._replace(seat=seat), body) for seat in (400.0, None))
    assert not (seated[1] & ~alone[1]).any()
    assert alone[1].sum() > 0.5 * seated[1].sum()
    assert (np.abs(seated[0].astype(int) - alone[0])[~alone[1]] > 20).mean() > 0.01


def test_a_seed_decides_the_picture_but_not_where_the_person_is(figure, body):
    (first, mask), (again, _), (other, _) = (draw(figure, body, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=-1).mean() > 0.9
    assert (mask & draw(figure, body, 4)[1]).sum() > 0.7 * mask.sum()
