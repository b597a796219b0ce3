"""The vector algebra of the synthetic people. Rotation matrices are [3, 3] and act on column vectors."""

import numpy as np


def rotation_matrix(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """Rx(x) Ry(y) Rz(z), degrees, [3, 3]."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians((x, y, z))), np.sin(np.radians((x, y, z)))
    return np.array(
        [
            [cy * cz, -cy * sz, sy],
            [cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy],
            [sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy],
        ]
    )


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`np.cross` for two single vectors, ten times as fast."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def unit(vector: np.ndarray) -> np.ndarray:
    """A single vector [3] scaled to length 1."""
    return vector / np.sqrt(vector @ vector)


def dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner products [...] of vectors [..., 3]."""
    return np.einsum("...i,...i->...", a, b)


def outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Outer products [..., 3, 3] of vectors [..., 3]."""
    return a[..., :, None] * b[..., None, :]
