"""Tests of the ray caster of the synthetic people."""

import numpy as np

from pose_tf.synthetic.camera import View
from pose_tf.synthetic.clothes import SHIRT, SKIN
from pose_tf.synthetic.solids import Solids, cast


def test_cast_finds_a_sphere_where_it_is():
    view = View((500.0, 127.5, 500.0, 127.5), np.array([0.0, -1, 0]), np.array([0.0, 900, 3000]))
    solids = Solids()
    solids.cone(np.array([0.0, 0, 3000]), np.array([1.0, 0, 3000]), 300.0, 300.0, SKIN)
    solids.cone(np.array([-600.0, 0, 3500]), np.array([600.0, 0, 3500]), 200.0, 200.0, SHIRT)
    depth, number = cast(solids.arrays(), view)
    x = (127 - 127.5) / 500
    # |t (x, x, 1) - (0, 0, 3000)| = 300, up to the 1 mm between the sphere's two ends.
    nearest = (3000 - np.sqrt(3000**2 - (1 + 2 * x * x) * (3000**2 - 300**2))) / (1 + 2 * x * x)
    np.testing.assert_allclose(depth[127, 127], nearest, atol=0.1)
    np.testing.assert_allclose(depth[127, 185], 3300, atol=0.1)  # The front of the cylinder.
    assert (number[127, 127], number[127, 185], number[10, 127]) == (0, 1, -1)
    rows, columns = np.nonzero(number == 0)
    tangent = 500 * 300 / np.sqrt(3000**2 - 300**2)
    np.testing.assert_allclose(np.ptp(rows) + 1, 2 * tangent, atol=1.01)
    np.testing.assert_allclose(np.ptp(columns) + 1, 2 * tangent, atol=1.01)
