"""Tests of the room: floor, walls and furniture lie where they can, and shadows where the light throws them."""

import numpy as np
import pytest

from pose_tf.synthetic import room
from pose_tf.synthetic.camera import View
from pose_tf.synthetic.clothes import SKIN
from pose_tf.synthetic.room import floor_shadow, make_room
from pose_tf.synthetic.solids import Solids

VIEW = View((400.0, 127.5, 400.0, 60.0), np.array([0.0, -1, 0]), np.array([0.0, 900, 3000]))
"""A level camera at a height of 900 mm; the horizon is in row 60, the person's feet in row 180."""


def test_the_floor_is_below_the_horizon_and_walls_close_the_room(monkeypatch):
    def flat(rng, pictures):
        return np.full((256, 256, 3), (255, 0, 0) if not pictures else (0, 255, 0), np.uint8)

    monkeypatch.setattr(room, "wall_texture", flat)
    seen = 0
    for seed in range(20):
        made = make_room(np.random.default_rng(seed), VIEW)
        assert made.shape == (256, 256, 3) and made.dtype == np.uint8
        is_floor = (made == (255, 0, 0)).all(axis=-1)
        assert not is_floor[:60].any()
        assert (made.max(axis=-1) > 0).all(), "a hole in the room"
        seen += is_floor[180, 127]
    assert seen > 10, "the floor under the person is hidden"


def test_furniture_stands_on_the_floor_in_some_rooms(monkeypatch):
    monkeypatch.setattr(room, "wall_texture", lambda rng, pictures: np.full((256, 256, 3), 255, np.uint8))
    furnished = [(make_room(np.random.default_rng(seed), VIEW) < 255).any(axis=-1) for seed in range(30)]
    assert 5 < sum(pixels.any() for pixels in furnished) < 30
    nearest = 60 + 400 * 900 / (3000 + 450)  # row of the floor 450 mm behind the person
    assert max(np.nonzero(pixels)[0].max() for pixels in furnished if pixels.any()) <= nearest + 2


def test_a_seed_decides_the_room():
    first, again, other = (make_room(np.random.default_rng(seed), VIEW) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.5


def shadow_of_a_ball(light):
    """The shadow of a ball of radius 200 mm that floats 500 mm above the person's place on the floor."""
    solids = Solids()
    solids.cone(np.array([0.0, 400, 3000]), np.array([1.0, 400, 3000]), 200.0, 200.0, SKIN)
    return floor_shadow(solids.arrays(), VIEW, np.array(light))


@pytest.mark.parametrize(("light", "place"), [((0.6, -0.8, 0), (-375, 3000)), ((-0.28, -0.96, 0), (146, 3000))])
def test_a_shadow_falls_away_from_the_light(light, place):
    """500 mm of height over 0.8 of the light's height: 625 mm, of which 0.6 to the side, for example."""
    shadow = shadow_of_a_ball(light)
    assert shadow.shape == (256, 256) and shadow.dtype == np.float32
    x, z = place
    column, row = round(127.5 + 400 * x / z), round(60 + 400 * 900 / z)
    assert shadow[row, column] > 0.95
    rows, columns = np.nonzero(shadow > 0.5)
    assert columns.mean() == pytest.approx(column, abs=2)
    assert rows.mean() == pytest.approx(row, abs=3)
    assert shadow.min() >= 0 and shadow.max() <= 1
    half_width = 200 / abs(light[1]) * 400 / z  # an ellipse, along the light
    assert np.ptp(columns) / 2 == pytest.approx(half_width, abs=3)


def test_a_low_light_throws_no_shadow_into_the_sky():
    shadow = shadow_of_a_ball((0.0, -0.1, -0.995))  # 5 m behind the ball
    assert shadow[:50].max() == 0
