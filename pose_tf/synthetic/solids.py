"""The solids of bodies and furniture, and a ray caster for them.

Every solid is a round cone: two spheres and the cone around both, flattened along an axis if the body part is flat.
"""

from typing import NamedTuple

import numpy as np

from pose_tf.geometry import CROP_SIZE
from pose_tf.synthetic.camera import View
from pose_tf.synthetic.vectors import dot, outer


class Solids:
    """A growing list of round cones, each with a material and the axes of its fabric."""

    def __init__(self):
        self._rows = []

    def __len__(self) -> int:
        return len(self._rows)

    def cone(self, a, b, radius_a, radius_b, material, flat=None, grain=None, is_open=False):
        """Adds the hull of two spheres.

        Args:
            a, b: centers [3], mm.
            radius_a, radius_b: mm.
            material: one of the constants of `clothes.py`.
            flat: (unit axis [3], factor): thickness along the axis as a fraction of the round one.
            grain: (origin [3], axis u [3], axis v [3]) of the fabric; by default along the cone.
            is_open: leave out the sphere at b, as at a hem.
        """
        axis, factor = flat if flat is not None else ((1.0, 0.0, 0.0), 1.0)
        grain = grain if grain is not None else np.full((3, 3), np.nan)
        row = (*a, *b, radius_a, radius_b, *axis, 1 / factor - 1, material, is_open)
        self._rows.append((*row, *grain[0], *grain[1], *grain[2]))

    def arrays(self) -> dict[str, np.ndarray]:
        """All solids as arrays [N, ...]. `a` and `b` are the ends after undoing the flattening."""
        rows = np.array(self._rows)
        ends, radii = rows[:, :6].reshape(-1, 2, 3), rows[:, 6:8]
        along = ends[:, 1] - ends[:, 0]
        u = along / np.linalg.norm(along, axis=1, keepdims=True)
        default = np.stack([ends[:, 0], u, np.cross(u, (0.36, 0.48, 0.8))], axis=1)
        grain = rows[:, 14:].reshape(-1, 3, 3)
        axis, stretch = rows[:, 8:11], rows[:, 11]
        stretched = stretch_along(ends, axis[:, None], stretch[:, None, None])
        return {
            "ends": ends,
            "radii": radii,
            "a": stretched[:, 0],
            "b": stretched[:, 1],
            "axis": axis,
            "stretch": stretch,
            "material": rows[:, 12].astype(np.int64),
            "open": rows[:, 13] > 0,
            "grain": np.where(np.isnan(grain), default, grain),
        }


def stretch_along(vectors, axis, stretch):
    """Vectors [..., 3], stretched along the unit axis by the factor 1 + stretch."""
    return vectors + stretch * axis * dot(vectors, axis)[..., None]


class _Pieces(NamedTuple):
    """Spheres and cones, given by the solution of their quadratic equation for the depth along a ray.

    Let i and j be a pixel's column and row, counted from the middle of the piece's box. For the four `forms`,
    (1, j, j^2) @ form @ (1, i, i^2) gives the numbers f0 to f3. The depth is (sqrt(f0) + f1) / f2. A cone extends from
    -0.5 to 0.5 in depth * f3 + start.
    """

    box: np.ndarray  # [P, 4] left, top, right, bottom (exclusive) in pixels.
    forms: np.ndarray  # [P, 4, 3, 3]
    start: np.ndarray  # [P]


def _pieces(solids: dict[str, np.ndarray], view: View) -> _Pieces:
    """Both spheres and the cone between them of N solids: 3 N pieces, in float32.

    The equation of the cone is from Quilez, iquilezles.org/articles/intersectors (round cone). It is computed in
    float64 around the middle of each piece, to avoid cancellation.
    """
    a, b, (ra, rb) = solids["a"], solids["b"], solids["radii"].T
    axis, stretch = solids["axis"], solids["stretch"]
    along, taper = b - a, ra - rb
    body = dot(along, along) - taper**2
    m1, m2 = -dot(along, a), stretch_along(along, axis, stretch[:, None])
    to_a, to_b = (-stretch_along(end, axis, stretch[:, None]) for end in (a, b))
    rays2 = np.eye(3) + outer(axis, axis) * (stretch * (stretch + 2))[:, None, None]
    start = m1 - taper * ra

    cone_half = body[:, None] * to_a - start[:, None] * m2
    cone_square = body[:, None, None] * rays2 - outer(m2, m2)
    cone_rest = body * dot(a, a) - m1**2 + 2 * m1 * taper * ra - dot(along, along) * ra**2
    half = np.concatenate([to_a, to_b, cone_half])
    square = np.concatenate([rays2, rays2, cone_square])
    rest = np.concatenate([dot(a, a) - ra**2, dot(b, b) - rb**2, cone_rest])

    ends, radii = solids["ends"], solids["radii"]
    centers = view.project(ends)
    reach = 1.04 * view.intrinsics[0] * radii / np.maximum(ends[..., 2] - radii, 50.0) + 1
    low, high = centers - reach[..., None], centers + reach[..., None] + 1
    low = np.concatenate([low[:, 0], low[:, 1], low.min(1)])
    high = np.concatenate([high[:, 0], high[:, 1], high.max(1)])
    box = np.clip(np.concatenate([low, high], 1), 0, CROP_SIZE).astype(int)
    box[len(a) : 2 * len(a)][solids["open"]] = 0

    fx, cx, fy, cy = view.intrinsics
    to_ray = np.zeros((len(box), 3, 3))
    middle = (box[:, :2] + box[:, 2:]) // 2
    to_ray[:, 0, 0], to_ray[:, 1, 1], to_ray[:, 2, 2] = 1 / fx, 1 / fy, 1
    to_ray[:, 0, 2], to_ray[:, 1, 2] = (middle[:, 0] - cx) / fx, (middle[:, 1] - cy) / fy
    half = np.einsum("ni,nij->nj", half, to_ray)
    square = to_ray.transpose(0, 2, 1) @ square @ to_ray
    root = outer(half, half) - rest[:, None, None] * square
    axial = np.einsum("ni,nij->nj", np.tile(m2 / body[:, None], (3, 1)), to_ray)
    constant = np.array([0.0, 0.0, 1.0])
    forms = [root, outer(half, constant), -square, outer(axial, constant)]
    forms = np.stack([_by_powers(form) for form in forms], axis=1)
    return _Pieces(box, np.float32(forms), np.float32(np.tile(start / body - 0.5, 3)))


def _by_powers(form):
    """Rewrites the form p @ form @ p of p = (i, j, 1) as a matrix between (1, j, j^2) and (1, i, i^2)."""
    powers = np.zeros_like(form)
    powers[:, 0] = np.stack([form[:, 2, 2], form[:, 0, 2] + form[:, 2, 0], form[:, 0, 0]], axis=1)
    powers[:, 1, 0] = form[:, 1, 2] + form[:, 2, 1]
    powers[:, 1, 1] = form[:, 0, 1] + form[:, 1, 0]
    powers[:, 2, 0] = form[:, 1, 1]
    return powers


def cast(solids: dict[str, np.ndarray], view: View) -> tuple[np.ndarray, np.ndarray]:
    """The nearest solid along each pixel's ray.

    Returns:
        depth float32 [256, 256] in mm (infinity if the ray hits no solid), and the number of the solid (-1 if none).
    """
    depth = np.full((CROP_SIZE, CROP_SIZE), np.inf, np.float32)
    number = np.full((CROP_SIZE, CROP_SIZE), -1, np.int16)
    pieces = _pieces(solids, view)
    count = len(solids["a"])
    powers = np.arange(-CROP_SIZE, CROP_SIZE, dtype=np.float32) ** np.arange(3)[:, None].astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):  # The root is NaN for rays that miss.
        for n, (left, top, right, bottom) in enumerate(pieces.box.tolist()):
            if left >= right or top >= bottom:
                continue
            i, j = CROP_SIZE - (left + right) // 2, CROP_SIZE - (top + bottom) // 2
            is_cone = n >= 2 * count
            forms = pieces.forms[n] if is_cone else pieces.forms[n, :3]
            values = powers[:, top + j : bottom + j].T @ forms @ powers[:, left + i : right + i]
            t = np.sqrt(values[0], out=values[0])
            t += values[1]
            t /= values[2]
            nearer = t < depth[top:bottom, left:right]
            if is_cone:
                nearer &= (np.abs(t * values[3] + pieces.start[n]) < 0.5) & (t > 0)
            np.copyto(depth[top:bottom, left:right], t, where=nearer)
            number[top:bottom, left:right][nearer] = n % count
    return depth, number
