"""Tests of bodies and postures of the synthetic people: anatomy, plausibility, and the look of each action."""

import numpy as np
import pytest

from pose_tf.skeleton import ACTIONS, H36M
from pose_tf.synthetic import anatomy, kinematics
from pose_tf.synthetic.postures import Angles, Posture, Reach

JOINT = {name: i for i, name in enumerate(H36M.joints)}


@pytest.fixture(scope="module")
def figures():
    """Bodies, and their figures before heading and camera are applied, 20 per action."""
    made = []
    for action in ACTIONS:
        rng = np.random.default_rng(action)
        for i in range(20):
            body = anatomy.make_body(rng, subject=i)
            made.append((action, body, kinematics.make_figure(rng, action, body)))
    return made


def test_joint_angles_move_limbs_where_they_say():
    body = anatomy.make_body(np.random.default_rng(0), 1)

    def limbs(angles):
        posture = Posture(legs=(angles,) * 2, arms=(angles,) * 2)
        joints = kinematics.pose_figure(posture, body).joints
        ends = ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist")
        return {side + end: joints[JOINT[side + end]] for side in "RL" for end in ends}

    bent = limbs(Angles(0, 0, 0, 90))
    for side in "RL":  # Right, forward, up: the shin goes back, the forearm forward.
        np.testing.assert_allclose(bent[side + "Foot"] - bent[side + "Knee"], (0, -body.shin, 0), atol=1)
        np.testing.assert_allclose(bent[side + "Wrist"] - bent[side + "Elbow"], (0, body.forearm, 0), atol=1)
    flexed, abducted = limbs(Angles(90, 0, 0, 0)), limbs(Angles(0, 90, 0, 0))
    for side, outward in (("R", 1), ("L", -1)):
        for start, end, length in (
            ("Hip", "Knee", body.thigh),
            ("Shoulder", "Elbow", body.upper_arm),
        ):
            forward = flexed[side + end] - flexed[side + start]
            np.testing.assert_allclose(forward, (0, length, 0), atol=1)
            sideways = abducted[side + end] - abducted[side + start]
            np.testing.assert_allclose(sideways, (outward * length, 0, 0), atol=1)


def test_knees_and_elbows_bend_the_human_way(figures):
    for action, _, figure in figures:
        joints = figure.joints
        for hip, knee, ankle, foot in zip(anatomy.HIPS, anatomy.KNEES, anatomy.ANKLES, figure.feet, strict=True):
            thigh, shin = joints[knee] - joints[hip], joints[ankle] - joints[knee]
            hinge, toes, _ = foot.T
            bend = np.degrees(np.arctan2(-np.cross(thigh, shin) @ hinge, thigh @ shin))
            assert -1 < bend < 147, action
            assert abs(shin @ hinge) < 1 and toes @ figure.pelvis[:, 0] < 0.97
            assert hinge @ figure.pelvis[:, 0] > 0.2, "the kneecap points backward"
        for shoulder, elbow, wrist in zip(anatomy.SHOULDERS, anatomy.ELBOWS, anatomy.WRISTS, strict=True):
            upper, fore = joints[elbow] - joints[shoulder], joints[wrist] - joints[elbow]
            cosine = upper @ fore / np.linalg.norm(upper) / np.linalg.norm(fore)
            assert np.degrees(np.arccos(cosine)) < 147


def test_feet_stand_on_the_floor_and_toes_point_forward(figures):
    for action, body, figure in figures:
        height = figure.joints[:, 2] / body.scale
        assert height.min() > 20, action
        lowest = min(height[[*anatomy.ANKLES, *anatomy.KNEES]].min(), height[JOINT["Hip"]])
        assert lowest < 130, action
        if figure.seat is None:
            soles = figure.joints[list(anatomy.ANKLES)] - body.ankle * figure.feet[:, :, 2]
            assert soles[:, 2].min() < 75 * body.scale, action
        assert min(foot[:, 1] @ figure.pelvis[:, 1] for foot in figure.feet) > -0.95


def test_every_action_is_plausible(figures):
    assert all(kinematics.is_plausible(figure, body) for _, body, figure in figures)


def test_action_decides_the_posture(figures):
    def heights(action):
        return [figure.joints[0, 2] / body.leg for number, body, figure in figures if number == action]

    assert min(heights(14)) > 0.9  # Walking.
    assert min(heights(9)) > 0.4 and max(heights(9)) < 0.8  # Sitting.
    assert max(heights(10)) < 0.25  # Sitting down, on the floor.


def test_implausible_figures_are_recognized():
    body = anatomy.make_body(np.random.default_rng(0), 1)
    free = Angles(0, 15, 0, 10)
    through = Reach("chest", (-150, 0, -250))
    legs = (Angles(0, 3, 0, 3),) * 2
    crossed = (Angles(0, -10, 0, 3),) * 2
    for good, posture in (
        (True, Posture(legs=legs, arms=(free, free))),
        (False, Posture(legs=legs, arms=(free, through))),
        (False, Posture(legs=crossed, arms=(free, free))),
    ):
        assert kinematics.is_plausible(kinematics.pose_figure(posture, body), body) is good
