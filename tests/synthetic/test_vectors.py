"""Tests of the vector algebra: turns in the right direction, and shortcuts that equal NumPy."""

import numpy as np
import pytest

from pose_tf.synthetic.vectors import cross, dot, outer, rotation_matrix, unit

X, Y, Z = np.eye(3)


@pytest.mark.parametrize(("axis", "start", "end"), [("x", Y, Z), ("y", Z, X), ("z", X, Y)])
def test_a_quarter_turn_follows_the_right_hand(axis, start, end):
    np.testing.assert_allclose(rotation_matrix(**{axis: 90}) @ start, end, atol=1e-12)


def test_turns_about_z_come_first_and_about_x_last():
    np.testing.assert_allclose(rotation_matrix(90, 90, 90) @ X, Z, atol=1e-12)  # z: to y; y: stays; x: to z
    np.testing.assert_allclose(rotation_matrix(90, 90, 0) @ Z, X, atol=1e-12)


def test_a_rotation_keeps_lengths_and_handedness(rng):
    for angles in rng.uniform(-180, 180, (20, 3)):
        matrix = rotation_matrix(*angles)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)


def test_products_are_those_of_numpy(rng):
    a, b = rng.normal(size=(2, 4, 5, 3))
    np.testing.assert_allclose(cross(a[0, 0], b[0, 0]), np.cross(a[0, 0], b[0, 0]))
    np.testing.assert_allclose(dot(a, b), (a * b).sum(-1))
    for i, j in np.ndindex(4, 5):
        np.testing.assert_allclose(outer(a, b)[i, j], np.outer(a[i, j], b[i, j]))


def test_a_unit_vector_has_length_1_and_the_same_direction():
    np.testing.assert_allclose(unit(np.array([2.0, -3.0, 6.0])), np.array([2.0, -3.0, 6.0]) / 7)
