"""Tests of postures: each action has its stance and hands, joints keep their limits, and a mirror image is one."""

import dataclasses

import numpy as np
import pytest

from pose_tf import skeleton
from pose_tf.synthetic import postures
from pose_tf.synthetic.postures import ARM_LIMITS, LEG_LIMITS, Angles, Posture, Reach, make_posture

ACTION = {name: number for number, name in skeleton.ACTIONS.items()}


def draw(action, count=200):
    return [make_posture(np.random.default_rng(seed), action) for seed in range(count)]


def test_every_action_has_postures():
    assert set(postures.ACTIONS) == set(skeleton.ACTIONS)
    for action in skeleton.ACTIONS:
        assert all(isinstance(posture, Posture) for posture in draw(action, 5))


@pytest.mark.parametrize("action", skeleton.ACTIONS)
def test_limbs_keep_their_limits(action):
    for posture in draw(action, 50):
        for limbs, limits in ((posture.legs, LEG_LIMITS), (posture.arms, ARM_LIMITS)):
            for limb in limbs:
                if isinstance(limb, Angles):
                    assert (limits[0] <= limb).all() and (limb <= limits[1]).all()
        for leg in posture.legs:
            if isinstance(leg, Reach):
                assert leg.anchor == "floor" and leg.offset[0] >= 55, "the feet cross"


def test_who_sits_rests_on_a_seat_and_who_walks_does_not():
    assert {posture.rests_on for posture in draw(ACTION["Sitting"])} == {"chair"}
    assert {posture.rests_on for posture in draw(ACTION["Sitting Down"])} == {"floor"}
    assert {posture.rests_on for posture in draw(ACTION["Walking"])} == {"legs"}
    assert {posture.rests_on for posture in draw(ACTION["Phoning"])} == {"legs", "chair"}


def test_a_phone_is_at_an_ear_on_either_side():
    ears = []
    for posture in draw(ACTION["Phoning"]):
        at_head = [isinstance(arm, Reach) and arm.anchor == "head" for arm in posture.arms]
        assert sum(at_head) == 1
        ears.append(at_head.index(True))
    assert 60 < sum(ears) < 140


def test_arms_swing_against_the_legs_on_their_side():
    """The correlation of the swings over many instants of many gaits."""
    for side in range(2):
        legs, arms = zip(
            *((posture.legs[side].flex, posture.arms[side].flex) for posture in draw(ACTION["Walking"], 400))
        )
        assert np.corrcoef(legs, arms)[0, 1] < -0.7


def test_legs_swing_in_opposite_directions():
    right, left = zip(*((p.legs[0].flex, p.legs[1].flex) for p in draw(ACTION["Walking"], 400)))
    assert np.corrcoef(right, left)[0, 1] < -0.9


def test_a_mirrored_posture_has_right_and_left_exchanged():
    right, left = Angles(10, 20, 30, 40), Reach("hip", (1, 2, 3))
    posture = Posture((right, left), (left, right), 0.9, 5, 6, (7, 8, 9), (10, 11, 12), (13, 14), "chair")
    mirrored = posture.mirrored()
    assert dataclasses.astuple(mirrored) == (
        *((left, right), (right, left), 0.9, 5, -6, (7, -8, -9), (10, -11, -12), (14, 13), "chair"),
    )
    assert mirrored.mirrored() == posture


def test_half_of_the_postures_are_mirrored():
    """Only the right knee kneels, unless the posture is mirrored."""
    kneeling = [p for p in draw(ACTION["Taking Photo"], 600) if p.rests_on == "legs" and isinstance(p.legs[0], Angles)]
    right = sum(posture.legs[0].flex < posture.legs[1].flex for posture in kneeling)
    assert len(kneeling) > 100
    assert 0.35 < right / len(kneeling) < 0.65


def test_a_seed_decides_the_posture():
    first, again, other = (make_posture(np.random.default_rng(seed), 9) for seed in (3, 3, 4))
    assert first == again != other
