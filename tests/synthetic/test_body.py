"""Tests of the solids of people and seats: they follow the joints, are dressed as told, and stand on the floor."""

import numpy as np
import pytest

from pose_tf.synthetic import anatomy, kinematics
from pose_tf.synthetic.body import add_seat, build_body
from pose_tf.synthetic.camera import View
from pose_tf.synthetic.clothes import HAIR, HAT, SEAT, SHIRT, SHOE, SKIN, SOLE, TROUSERS, make_look
from pose_tf.synthetic.postures import Angles, Posture
from pose_tf.synthetic.solids import Solids

HANGING = Angles(0, 15, 0, 10)
UPRIGHT = View((500.0, 127.5, 500.0, 127.5), np.array([0.0, 0, 1]), np.zeros(3))


@pytest.fixture(scope="module")
def body():
    return anatomy.make_body(np.random.default_rng(0), 1)


@pytest.fixture(scope="module")
def figure(body):
    """A person who stands straight, as symmetric as a body is."""
    return kinematics.pose_figure(Posture((Angles(0, 3, 0, 3),) * 2, (HANGING,) * 2), body)


@pytest.fixture
def look():
    """Long trousers, long sleeves, shoes and short hair; `_replace` changes it."""
    look = make_look(np.random.default_rng(0))
    return look._replace(sleeve=1.95, trouser=1.97, skirt=False, loose=1.1, hem=20, hair="short", bare_feet=False)


def inside(arrays, point):
    """Whether a point lies in one of the solids, whose flat ones count as round: an upper limit of each."""
    start, end = arrays["ends"][:, 0], arrays["ends"][:, 1]
    along = end - start
    share = np.clip(((point - start) * along).sum(1) / (along**2).sum(1), 0, 1)
    radius = arrays["radii"][:, 0] + share * (arrays["radii"][:, 1] - arrays["radii"][:, 0])
    return np.linalg.norm(point - start - share[:, None] * along, axis=1) < radius


def materials_at(figure, body, look, point):
    arrays = build_body(figure, body, look).arrays()
    return set(arrays["material"][inside(arrays, point)])


def test_every_joint_is_inside_the_body(figure, body, look):
    arrays = build_body(figure, body, look).arrays()
    assert 40 < len(arrays["radii"]) < 80
    assert all(inside(arrays, joint).any() for joint in figure.joints)


def test_a_symmetric_person_has_symmetric_solids(figure, body, look):
    arrays = build_body(figure, body, look).arrays()
    x, y, z = arrays["ends"].mean(axis=1).T
    mass = arrays["radii"].mean(axis=1)
    assert np.abs(x).max() > 200
    assert abs((mass * x).sum() / mass.sum()) < 1e-6
    mirrored = {(round(a, 3), round(b, 3), round(c, 3)) for a, b, c in zip(-x, y, z)}
    assert all(any(np.allclose(one, other, atol=2e-3) for other in mirrored) for one in zip(x, y, z))


def test_sleeves_end_where_the_look_says(figure, body, look):
    elbow, wrist = figure.joints[anatomy.ELBOWS[0]], figure.joints[anatomy.WRISTS[0]]
    shoulder = figure.joints[anatomy.SHOULDERS[0]]
    for share, sleeve, dressed in ((0.5, 0.3, False), (0.3, 0.62, True), (1.5, 1.2, False), (1.3, 1.95, True)):
        start, end = (shoulder, elbow) if share < 1 else (elbow, wrist)
        found = materials_at(figure, body, look._replace(sleeve=sleeve), start + share % 1 * (end - start))
        assert (SHIRT in found) == dressed, (share, sleeve)
    assert SKIN in materials_at(figure, body, look._replace(sleeve=0.0), elbow)


def test_trousers_end_where_the_look_says(figure, body, look):
    knee, ankle = figure.joints[anatomy.KNEES[1]], figure.joints[anatomy.ANKLES[1]]
    middle = (knee + ankle) / 2
    assert TROUSERS in materials_at(figure, body, look, middle)
    assert TROUSERS not in materials_at(figure, body, look._replace(trouser=0.85), middle)


def test_feet_are_bare_or_have_shoes_with_soles(figure, body, look):
    with_shoes = set(build_body(figure, body, look).arrays()["material"])
    bare = set(build_body(figure, body, look._replace(bare_feet=True)).arrays()["material"])
    assert with_shoes - bare == {SHOE, SOLE}


@pytest.mark.parametrize(("hair", "hat", "on_top"), [("bald", False, False), ("cap", True, True), ("bun", False, True)])
def test_the_head_has_what_the_look_says(figure, body, look, hair, hat, on_top):
    arrays = build_body(figure, body, look._replace(hair=hair)).arrays()
    assert (HAT in arrays["material"]) == hat
    material = set(arrays["material"][inside(arrays, figure.joints[anatomy.HEAD] - [0, 0, 30])])
    assert bool({HAIR, HAT} & material) == on_top


def test_a_person_stands_on_the_floor(figure, body, look):
    arrays = build_body(figure, body, look).arrays()
    flat = arrays["stretch"] > 0
    lowest = arrays["ends"][..., 2] - arrays["radii"] / (1 + arrays["stretch"] * np.abs(arrays["axis"][:, 2]))[:, None]
    assert flat.any()
    assert -10 < lowest.min() < 10


@pytest.mark.parametrize("seed", range(8))
def test_a_seat_stands_on_the_floor_below_the_hips(figure, seed):
    solids = Solids()
    add_seat(solids, figure._replace(seat=450.0), UPRIGHT, np.random.default_rng(seed))
    arrays = solids.arrays()
    assert set(arrays["material"]) == {SEAT}
    centers, (x, y, _) = arrays["ends"], figure.joints[anatomy.HIP]
    assert centers[..., 2].min() == pytest.approx(0, abs=1e-6)
    assert np.count_nonzero(np.abs(centers[..., 2]) < 1e-6) == 4  # legs
    cushion = centers[np.abs(arrays["axis"][:, 2]) > 0.9]
    np.testing.assert_allclose(cushion[..., 2], 450 - 22)
    np.testing.assert_allclose(cushion[..., :2].mean(axis=(0, 1)), [x, y], atol=1e-6)


def test_some_seats_have_a_back_behind_the_person(figure):
    heights = []
    for seed in range(40):
        solids = Solids()
        add_seat(solids, figure._replace(seat=450.0), UPRIGHT, np.random.default_rng(seed))
        ends = solids.arrays()["ends"].reshape(-1, 3)
        heights.append(ends[:, 2].max())
        if heights[-1] > 500:
            assert ends[ends[:, 2].argmax(), 1] < figure.joints[anatomy.HIP, 1] - 150
    assert 5 < sum(height > 700 for height in heights) < 30
