"""Tests of bodies and figures: human sizes that belong to the subject, and joints that can be moved."""

import numpy as np
import pytest

from pose_tf.skeleton import H36M
from pose_tf.synthetic import anatomy
from pose_tf.synthetic.anatomy import Figure, make_body

LENGTHS = ("hip", "thigh", "shin", "spine", "chest", "shoulder", "upper_arm", "forearm")


@pytest.fixture(scope="module")
def bodies():
    return [make_body(np.random.default_rng(number), number) for number in range(200)]


def proportions(body):
    lengths = np.array([getattr(body, name) for name in LENGTHS])
    return lengths / lengths.sum()


def test_bodies_have_human_sizes(bodies):
    """Adults from about 1.5 to 1.9 m: the sum of shin, thigh, trunk, neck and head, with the sole."""
    heights = [body.ankle + body.leg + body.spine + body.chest + body.scale * (106 + 108) for body in bodies]
    assert 1450 < min(heights) < 1600 < 1750 < max(heights) < 1950
    for body in bodies:
        assert body.leg == body.thigh + body.shin
        assert 0.95 < body.thigh / body.shin < 1.05
        assert 1.0 < body.upper_arm / body.forearm < 1.25
        assert 1.4 < body.leg / (body.upper_arm + body.forearm) < 1.9
        assert body.hip < body.shoulder * 1.1
        assert min(body) >= 0


def test_a_subject_always_has_the_same_proportions_and_nearly_the_same_size():
    bodies = [make_body(np.random.default_rng(number), 7) for number in range(50)]
    for body in bodies:
        np.testing.assert_allclose(proportions(body), proportions(bodies[0]), rtol=1e-9)
        assert body.bust == bodies[0].bust
    for name, most in (("scale", 1.02 / 0.98), ("thigh", 1.02 / 0.98)):
        sizes = [getattr(body, name) for body in bodies]
        assert 1.02 < max(sizes) / min(sizes) <= most + 1e-9
    girths = [body.girth / body.scale for body in bodies]
    assert 1.05 < max(girths) / min(girths) <= 1.05 / 0.95 + 1e-9


def test_other_subjects_have_other_proportions():
    first, second = (make_body(np.random.default_rng(0), subject) for subject in (1, 5))
    assert np.abs(proportions(first) / proportions(second) - 1).max() > 0.02


def test_joints_of_both_sides_are_named_right_first():
    for pair, name in zip(
        (anatomy.HIPS, anatomy.KNEES, anatomy.ANKLES, anatomy.SHOULDERS, anatomy.ELBOWS, anatomy.WRISTS),
        ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist"),
        strict=True,
    ):
        assert [H36M.joints[joint] for joint in pair] == [f"R{name}", f"L{name}"]
    assert anatomy.SIDES == (1, -1)


def test_a_moved_figure_turns_its_frames_and_moves_its_joints(rng):
    joints, frames = rng.normal(size=(17, 3)), rng.normal(size=(5, 3, 3))
    figure = Figure(joints, *frames[:3], frames[3:], seat=450.0)
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # x to y, y to -x
    moved = figure.moved(quarter, np.array([1000.0, 0, 5]))
    x, y, z = joints.T
    np.testing.assert_allclose(moved.joints, np.stack([1000 - y, x, z + 5], axis=1))
    for before, after in zip(
        (figure.pelvis, figure.chest, figure.head, *figure.feet), (moved.pelvis, moved.chest, moved.head, *moved.feet)
    ):
        np.testing.assert_allclose(after, [-before[1], before[0], before[2]])
    assert moved.seat == 450
