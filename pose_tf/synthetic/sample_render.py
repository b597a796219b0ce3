"""Draws the people of the embedded sample data: a ray caster for rounded cones, clothes, a room.

Everything is in the camera frame (mm; x right, y down, z away) and in pixels of the 256 x 256 crop.
A body is some sixty solids of one kind, the round cone: two spheres and the cone around both,
flattened along an axis where a body is flat. Casting finds the nearest solid for each pixel; shading
then runs once, over the pixels found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from pose_tf.skeleton import H36M

if TYPE_CHECKING:
    from pose_tf.synthetic.sample import Body, Figure

HIP, SPINE, THORAX, NOSE, HEAD = map(H36M.index, ("Hip", "Spine", "Thorax", "Neck/Nose", "Head"))
HIPS, KNEES, ANKLES, SHOULDERS, ELBOWS, WRISTS = (  # Right, left.
    (H36M.index("R" + joint), H36M.index("L" + joint))
    for joint in ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist")
)
SIDES = (1.0, -1.0)  # Right, left: the sign of x in the body's frames.

SIZE = 256
TILE = 64  # Fabrics are tiles of 64 x 64 cells of 4 mm.
CELL_MM = 4.0

# Materials; TRUNK is shirt above the hem and trousers below it.
SKIN, HAIR, EYE, LIP, SHIRT, TROUSERS, SHOE, SOLE, SEAT, HAT, TRUNK = range(11)
ROUGH = np.array([0.03, 0.2, 0, 0, 0.16, 0.16, 0.05, 0, 0.1, 0.1, 0.16], np.float32)
SHINE = np.array([0.07, 0.12, 0.3, 0.1, 0.02, 0.02, 0.12, 0, 0.06, 0, 0.02], np.float32)


class View(NamedTuple):
    """The crop as a camera: intrinsics (fx, cx, fy, cy) in px, world up [3], a floor point [3]."""

    intrinsics: tuple[float, float, float, float]
    up: np.ndarray
    floor: np.ndarray

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """x/z of each column [256] and y/z of each row [256], float32."""
        fx, cx, fy, cy = self.intrinsics
        pixels = np.arange(SIZE)
        return ((pixels - cx) / fx).astype(np.float32), ((pixels - cy) / fy).astype(np.float32)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 3] in mm -> pixels [..., 2]."""
        fx, cx, fy, cy = self.intrinsics
        z = np.maximum(points[..., 2], 50.0)
        return np.stack([fx * points[..., 0] / z + cx, fy * points[..., 1] / z + cy], axis=-1)


class Look(NamedTuple):
    """What one person wears. Lengths of sleeves and legs: 0 to 2, where 1 is the elbow or knee."""

    tiles: np.ndarray  # Colour of each material, float32 [11, 64, 64, 3] in 0 to 1.
    sleeve: float
    trouser: float
    skirt: bool
    loose: float
    hem: float
    hair: str
    bare_feet: bool


class Solids:
    """A growing list of round cones, each with a material and the axes of its fabric."""

    def __init__(self):
        self._rows = []

    def __len__(self) -> int:
        return len(self._rows)

    def cone(self, a, b, radius_a, radius_b, material, flat=None, grain=None, is_open=False):
        """Adds the hull of two spheres.

        Args:
            a, b: centres [3], mm.
            radius_a, radius_b: mm.
            material: one of the constants above.
            flat: (unit axis [3], factor): thickness along the axis as a fraction of the round one.
            grain: (origin [3], axis u [3], axis v [3]) of the fabric; by default along the cone.
            is_open: without the sphere at b: a hem.
        """
        axis, factor = flat if flat is not None else ((1.0, 0.0, 0.0), 1.0)
        grain = grain if grain is not None else np.full((3, 3), np.nan)
        row = (*a, *b, radius_a, radius_b, *axis, 1 / factor - 1, material, is_open)
        self._rows.append((*row, *grain[0], *grain[1], *grain[2]))

    def arrays(self) -> dict[str, np.ndarray]:
        """All solids as arrays [N, ...]; `a`, `b` are the ends in the space where none is flat."""
        rows = np.array(self._rows)
        ends, radii = rows[:, :6].reshape(-1, 2, 3), rows[:, 6:8]
        along = ends[:, 1] - ends[:, 0]
        u = along / np.linalg.norm(along, axis=1, keepdims=True)
        default = np.stack([ends[:, 0], u, np.cross(u, (0.36, 0.48, 0.8))], axis=1)
        grain = rows[:, 14:].reshape(-1, 3, 3)
        axis, stretch = rows[:, 8:11], rows[:, 11]
        stretched = _stretch(ends, axis[:, None], stretch[:, None, None])
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


def _stretch(vectors, axis, stretch):
    """Vectors [..., 3] with their part along the unit axis made 1 + stretch times as long."""
    return vectors + stretch * axis * _dot(vectors, axis)[..., None]


# ------------------------------------------------------------------------------------- casting


class _Pieces(NamedTuple):
    """Spheres and cones as the solution of their quadratic equation for the depth along a ray.

    With i, j a pixel's column and row from the middle of the piece's box, (1, j, j^2) @ form @
    (1, i, i^2) gives, for the four `forms`, the numbers f0 to f3 of
    depth = (sqrt(f0) + f1) / f2, and of depth * f3 + start, where a cone lasts from -0.5 to 0.5.
    """

    box: np.ndarray  # [P, 4] left, top, right, bottom (exclusive) in pixels.
    forms: np.ndarray  # [P, 4, 3, 3]
    start: np.ndarray  # [P]


def _pieces(solids: dict[str, np.ndarray], view: View) -> _Pieces:
    """Both spheres and the cone between them of N solids: 3 N pieces, in float32.

    The equation of the cone: Quilez, iquilezles.org/articles/intersectors (round cone). Made in
    float64 around the middle of each piece, where it loses nothing to cancellation.
    """
    a, b, (ra, rb) = solids["a"], solids["b"], solids["radii"].T
    axis, stretch = solids["axis"], solids["stretch"]
    along, taper = b - a, ra - rb
    body = _dot(along, along) - taper**2
    m1, m2 = -_dot(along, a), _stretch(along, axis, stretch[:, None])
    to_a, to_b = (-_stretch(end, axis, stretch[:, None]) for end in (a, b))
    rays2 = np.eye(3) + _outer(axis, axis) * (stretch * (stretch + 2))[:, None, None]
    start = m1 - taper * ra

    cone_half = body[:, None] * to_a - start[:, None] * m2
    cone_square = body[:, None, None] * rays2 - _outer(m2, m2)
    cone_rest = body * _dot(a, a) - m1**2 + 2 * m1 * taper * ra - _dot(along, along) * ra**2
    half = np.concatenate([to_a, to_b, cone_half])
    square = np.concatenate([rays2, rays2, cone_square])
    rest = np.concatenate([_dot(a, a) - ra**2, _dot(b, b) - rb**2, cone_rest])

    ends, radii = solids["ends"], solids["radii"]
    centres = view.project(ends)
    reach = 1.04 * view.intrinsics[0] * radii / np.maximum(ends[..., 2] - radii, 50.0) + 1
    low, high = centres - reach[..., None], centres + reach[..., None] + 1
    low = np.concatenate([low[:, 0], low[:, 1], low.min(1)])
    high = np.concatenate([high[:, 0], high[:, 1], high.max(1)])
    box = np.clip(np.concatenate([low, high], 1), 0, SIZE).astype(int)
    box[len(a) : 2 * len(a)][solids["open"]] = 0

    fx, cx, fy, cy = view.intrinsics
    to_ray = np.zeros((len(box), 3, 3))
    middle = (box[:, :2] + box[:, 2:]) // 2
    to_ray[:, 0, 0], to_ray[:, 1, 1], to_ray[:, 2, 2] = 1 / fx, 1 / fy, 1
    to_ray[:, 0, 2], to_ray[:, 1, 2] = (middle[:, 0] - cx) / fx, (middle[:, 1] - cy) / fy
    half = np.einsum("ni,nij->nj", half, to_ray)
    square = to_ray.transpose(0, 2, 1) @ square @ to_ray
    root = _outer(half, half) - rest[:, None, None] * square
    axial = np.einsum("ni,nij->nj", np.tile(m2 / body[:, None], (3, 1)), to_ray)
    constant = np.array([0.0, 0.0, 1.0])
    forms = [root, _outer(half, constant), -square, _outer(axial, constant)]
    forms = np.stack([_by_powers(form) for form in forms], axis=1)
    return _Pieces(box, np.float32(forms), np.float32(np.tile(start / body - 0.5, 3)))


def _by_powers(form):
    """The form p @ form @ p of p = (i, j, 1) as a matrix between (1, j, j^2) and (1, i, i^2)."""
    powers = np.zeros_like(form)
    powers[:, 0] = np.stack([form[:, 2, 2], form[:, 0, 2] + form[:, 2, 0], form[:, 0, 0]], axis=1)
    powers[:, 1, 0] = form[:, 1, 2] + form[:, 2, 1]
    powers[:, 1, 1] = form[:, 0, 1] + form[:, 1, 0]
    powers[:, 2, 0] = form[:, 1, 1]
    return powers


def cast(solids: dict[str, np.ndarray], view: View) -> tuple[np.ndarray, np.ndarray]:
    """The nearest solid along each pixel's ray.

    Returns:
        depth float32 [256, 256], mm (infinity where nothing is), and the solid's number, -1: none.
    """
    depth = np.full((SIZE, SIZE), np.inf, np.float32)
    number = np.full((SIZE, SIZE), -1, np.int16)
    pieces = _pieces(solids, view)
    count = len(solids["a"])
    powers = np.arange(-SIZE, SIZE, dtype=np.float32) ** np.arange(3)[:, None].astype(np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):  # The root of a ray that misses is NaN.
        for n, (left, top, right, bottom) in enumerate(pieces.box.tolist()):
            if left >= right or top >= bottom:
                continue
            i, j = SIZE - (left + right) // 2, SIZE - (top + bottom) // 2
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


def _dot(a, b):
    return np.einsum("...i,...i->...", a, b)


def _outer(a, b):
    return a[..., :, None] * b[..., None, :]


# ------------------------------------------------------------------------------------- shading


def _surface(solids, depth, number, view):
    """Of the pixels that show a solid: flat index, solid, position, normal and fabric cell."""
    pixels = np.flatnonzero(number.ravel() >= 0)
    which = number.ravel()[pixels]
    xs, ys = view.rays()
    t = depth.ravel()[pixels]
    point = np.stack([t * xs[pixels % SIZE], t * ys[pixels // SIZE], t], 1)

    along = solids["b"] - solids["a"]
    taper = solids["radii"][:, 0] - solids["radii"][:, 1]
    length = _dot(along, along) - taper**2
    share = (along / length[:, None], solids["radii"][:, 0] * taper / length)
    grain = solids["grain"]
    columns = (solids["a"], along, *share, solids["axis"], solids["stretch"])
    columns += (grain[:, 1], grain[:, 2], _dot(grain[:, 1:], grain[:, :1]))
    table = np.column_stack(columns).astype(np.float32)[which]
    a, along, per_mm, offset = table[:, :3], table[:, 3:6], table[:, 6:9], table[:, 9]
    axis, stretch, u, v = table[:, 10:13], table[:, 13:14], table[:, 14:17], table[:, 17:20]

    relative = _stretch(point, axis, stretch) - a
    share = np.clip(_dot(relative, per_mm) - offset, 0, 1)
    normal = _stretch(relative - share[:, None] * along, axis, stretch)
    cells = np.stack([_dot(u, point) - table[:, 20], _dot(v, point) - table[:, 21]])
    cells = (cells / CELL_MM).astype(np.int32) & (TILE - 1)
    return pixels, which, point, _normalised(normal), cells, (u, v)


def _normalised(vectors):
    return vectors / (np.sqrt(_dot(vectors, vectors)) + 1e-6)[:, None]


def _smooth_normals(normal, pixels):
    """Normals [n, 3] averaged over 5 x 5 pixels, which rounds the seams between solids."""
    field = np.zeros((SIZE * SIZE, 3), np.float32)
    field[pixels] = normal
    field = cv2.GaussianBlur(field.reshape(SIZE, SIZE, 3), (5, 5), 1.2)
    return _normalised(field.reshape(-1, 3)[pixels])


def _hollows(depth, pixels):
    """0 to 1: how deep a pixel lies below its surroundings, for soft contact shadows."""
    flat = depth.ravel()[pixels]
    field = np.full(SIZE * SIZE, flat.max() + 100, np.float32)
    field[pixels] = flat
    field = field.reshape(SIZE, SIZE)
    below = field - cv2.blur(field, (13, 13))
    return np.clip(below.ravel()[pixels] / 160, 0, 1)


def _shade(rng, solids, look, hem, depth, number, view, light):
    """Flat indices [n] and colours float32 [n, 3] of the pixels that show a solid.

    `hem` is (normal [3], height): the plane where the shirt ends.
    """
    pixels, which, point, normal, cells, grain = _surface(solids, depth, number, view)
    material = solids["material"][which]
    above = point @ np.float32(hem[0]) > hem[1]
    material = np.where(material == TRUNK, np.where(above, SHIRT, TROUSERS), material)
    normal = _smooth_normals(normal, pixels)
    half = light - np.array([0, 0, 1.0])
    half /= np.sqrt(half @ half)
    gloss = np.maximum(normal @ np.float32(half), 0)
    for _ in range(4):  # To the power of 16.
        gloss *= gloss
    gloss *= SHINE[material]

    creases = _noise(rng, (5, 12), TILE)[cells[0], cells[1]] * ROUGH[material]
    normal = normal + creases[:, None] * (grain[0] + 0.6 * grain[1])
    key = np.maximum(normal @ np.float32(light), 0)
    strength = rng.uniform(0.4, 0.75)
    ambient = (1.0 - strength) * (0.75 + 0.25 * (normal @ np.float32(view.up))) - 0.1 * normal[:, 2]
    shade = (ambient + strength * key) * (1 - 0.5 * _hollows(depth, pixels))
    colour = look.tiles[material, cells[0], cells[1]]
    return pixels, colour * shade[:, None] + gloss[:, None]


def _noise(rng, scales, size):
    """Smooth noise float32 [size, size], standard deviation near 1: a sum over growing grid sizes."""
    total = np.zeros((1, 1), np.float32)
    for scale in scales:
        total = cv2.resize(total, (scale, scale), interpolation=cv2.INTER_CUBIC)
        total += rng.standard_normal((scale, scale), np.float32)
    total *= np.float32(1 / np.sqrt(len(scales)))
    return cv2.resize(total, (size, size), interpolation=cv2.INTER_CUBIC)


# --------------------------------------------------------------------------------- the clothes


def _colour(rng, saturation=(0.0, 0.85), value=(0.1, 0.95)):
    """A random colour float32 [3]."""
    hue = rng.uniform(0, 1)
    chroma, bright = rng.uniform(*saturation) ** 1.6, rng.uniform(*value)
    wheel = np.abs(np.mod(hue * 6 + np.array([0, 4, 2]), 6) - 3) - 1
    return (bright * (1 + chroma * (np.clip(wheel, 0, 1) - 1))).astype(np.float32)


def _fabric(rng, plain):
    """A tile float32 [64, 64, 3] of cloth: plain, stripes along or across, checks, or a print."""
    tile = np.empty((TILE, TILE, 3), np.float32)
    tile[:] = _colour(rng)
    kind = 0 if plain else rng.integers(6)
    if kind:
        period = TILE // rng.choice([2, 3, 4])
        wave = np.arange(TILE) % period < period * rng.uniform(0.25, 0.6)
        across, along = wave[:, None], wave[None, :]
        chosen = {
            1: across,
            2: along,
            3: across ^ along,
            4: across & along,
            5: _noise(rng, (8, 16), TILE) > 0.4,
        }[int(kind)]
        tile[np.broadcast_to(chosen, (TILE, TILE))] = _colour(rng)
    return tile * (1 + 0.05 * _noise(rng, (7, 31), TILE))[..., None]


def make_look(rng: np.random.Generator) -> Look:
    """Random skin, hair and clothes."""
    pale, dark = np.array([0.94, 0.76, 0.66]), np.array([0.40, 0.26, 0.18])
    tone = rng.beta(1.2, 2.0)
    skin = (pale + tone * (dark - pale)) * rng.normal(1, 0.03, 3)
    blond, black = np.array([0.72, 0.56, 0.33]), np.array([0.07, 0.06, 0.06])
    hair = blond + rng.beta(3, 1.2) ** 0.5 * (black - blond)
    if rng.random() < 0.12:
        hair = np.full(3, rng.uniform(0.5, 0.8))

    tiles = np.empty((len(ROUGH), TILE, TILE, 3), np.float32)
    tiles[SKIN] = skin
    tiles[HAIR] = hair * (1 + 0.18 * _noise(rng, (6, 40), TILE))[..., None]
    tiles[EYE] = 0.08
    tiles[LIP] = skin * (0.85, 0.66, 0.66)
    tiles[SHIRT] = _fabric(rng, plain=rng.random() < 0.4)
    tiles[TROUSERS] = _fabric(rng, plain=rng.random() < 0.75)
    tiles[SHOE] = _colour(rng, saturation=(0, 0.6))
    tiles[SOLE] = rng.choice([0.08, 0.85])
    tiles[SEAT] = _colour(rng)
    tiles[HAT] = _colour(rng)
    return Look(
        tiles=tiles,
        sleeve=rng.choice([0.0, 0.45, 0.62, 1.2, 1.95, 1.95]) + rng.uniform(0, 0.05),
        trouser=rng.choice([0.45, 0.85, 1.3, 1.97, 1.97, 1.97, 1.97]) + rng.uniform(0, 0.03),
        skirt=bool(rng.random() < 0.12),
        loose=rng.uniform(1.03, 1.22),
        hem=rng.uniform(-15, 80),
        hair=str(rng.choice(["short", "short", "long", "bun", "bald", "cap"])),
        bare_feet=bool(rng.random() < 0.1),
    )


# ------------------------------------------------------------------------------------ the body


def build_body(figure: Figure, body: Body, look: Look) -> Solids:
    """The solids of a clothed person."""
    solids = Solids()
    hip, knees = figure.joints[HIP], figure.joints[list(KNEES)]
    if look.skirt and ((hip - knees) @ figure.pelvis[:, 2]).min() > 0.85 * body.thigh:
        points = (hip, knees.mean(0), knees.mean(0))
        _garment(solids, points, (120, 190, 190), min(look.trouser, 0.99), body, look)
    _add_trunk(solids, figure, body, look)
    _add_head(solids, figure, body, look)
    for i, side in enumerate(SIDES):
        _add_leg(solids, figure, body, look, i, side)
        _add_arm(solids, figure, body, look, i)
    return solids


def _add_trunk(solids, figure, body, look):
    joints, g = figure.joints, body.girth
    right, forward, up = figure.chest.T
    hip, spine, thorax = joints[HIP], joints[SPINE], joints[THORAX]
    grain = (thorax, up, right)
    shirt, trunk = {"material": SHIRT, "grain": grain}, {"material": TRUNK, "grain": grain}
    waist = 128 * g * look.loose
    ribs = thorax - 118 * body.scale * up - 8 * g * forward
    solids.cone(spine, ribs, waist, 150 * g * look.loose**0.5, flat=(forward, 0.66), **shirt)

    pelvis_right, pelvis_forward, pelvis_up = figure.pelvis.T
    belly = hip + 15 * pelvis_up
    solids.cone(spine, belly, waist, 146 * g * look.loose, flat=(pelvis_forward, 0.7), **trunk)
    half = 0.42 * body.hip * pelvis_right
    solids.cone(hip - half, hip + half, 108 * g, 108 * g, flat=(pelvis_forward, 0.9), **trunk)
    for side, joint in zip(SIDES, HIPS, strict=True):
        seat = joints[joint] - pelvis_forward * 42 * g - side * 52 * g * pelvis_right
        solids.cone(seat, seat - 25 * g * pelvis_up, 84 * g, 80 * g, **trunk)

    neck = thorax + body.scale * (35 * up - 12 * forward)
    for side, joint in zip(SIDES, SHOULDERS, strict=True):
        shoulder = joints[joint]
        inner = shoulder - side * 25 * g * right
        chest = ribs + side * 62 * g * right + 40 * g * forward
        solids.cone(inner, thorax - 55 * up, 54 * g, 75 * g, flat=(forward, 0.9), **shirt)
        solids.cone(neck - 18 * up, inner + 8 * up, 46 * g, 42 * g, **shirt)
        bust = 50 + 26 * body.bust
        solids.cone(chest, chest - 10 * up, bust * g, bust * g, **shirt)
        blade = ribs + side * 70 * g * right - 38 * g * forward
        solids.cone(blade, blade + 50 * up, 62 * g, 55 * g, **shirt)


def _add_head(solids, figure, body, look):
    nose, thorax, s = figure.joints[NOSE], figure.joints[THORAX], body.scale
    right, forward, up = figure.head.T

    def at(x, y, z):
        return nose + s * (x * right + y * forward + z * up)

    narrow = (right, 0.86)
    solids.cone(at(0, -55, 18), at(0, -34, -62), 86 * s, 52 * s, SKIN, flat=narrow)
    solids.cone(thorax - 15 * s * up, at(0, -70, -40), 58 * body.girth, 52 * body.girth, SKIN)
    solids.cone(at(0, 22, 2), at(0, 32, -26), 9 * s, 14 * s, SKIN)
    solids.cone(at(-17, 10, -58), at(17, 10, -58), 10 * s, 10 * s, LIP)
    hair = HAT if look.hair == "cap" else HAIR
    for side in SIDES:
        solids.cone(at(side * 30, 20, 6), at(side * 34, 18, 6), 9 * s, 8 * s, EYE)
        solids.cone(at(side * 20, 24, 27), at(side * 42, 15, 27), 7 * s, 6 * s, HAIR)
        solids.cone(at(side * 74, -55, 8), at(side * 74, -52, -22), 17 * s, 13 * s, SKIN)
    if look.hair == "bald":
        return
    solids.cone(at(0, -72, 36), at(0, -84, -14), 88 * s, 72 * s, hair, flat=(right, 0.92))
    solids.cone(at(0, -44, 52), at(0, -60, 52), 72 * s, 80 * s, hair)
    if look.hair == "cap":
        solids.cone(at(0, 10, 62), at(0, 60, 50), 60 * s, 55 * s, HAT, flat=(up, 0.15))
    if look.hair == "long":
        back = thorax - 90 * s * figure.chest[:, 2] - 95 * s * figure.chest[:, 1]
        solids.cone(at(0, -100, 0), back, 78 * s, 60 * s, HAIR)
        for side in SIDES:
            solids.cone(at(side * 62, -70, 20), at(side * 66, -75, -100), 32 * s, 26 * s, HAIR)
    if look.hair == "bun":
        solids.cone(at(0, -165, 60), at(0, -168, 55), 38 * s, 36 * s, HAIR)


def _garment(solids, points, radii, cover, body, look, material=TROUSERS):
    """Cloth around a chain of three points, down to `cover` (1: the middle point, 2: the end)."""
    for k in range(2):
        share = min(cover - k, 1.0)
        if share <= 0.02:
            return
        end = points[k] + share * (points[k + 1] - points[k])
        first, last = radii[k], radii[k] + share * (radii[k + 1] - radii[k])
        g = body.girth * look.loose
        solids.cone(points[k], end, first * g, last * g, material, is_open=cover <= k + 1)


def _add_leg(solids, figure, body, look, i, side):
    g, s = body.girth, body.scale
    hip, knee, ankle = figure.joints[[HIPS[i], KNEES[i], ANKLES[i]]]
    foot_right, toes, top = figure.feet[i].T
    hip = hip - side * 0.3 * body.hip * figure.pelvis[:, 0]
    top_thigh = hip + 0.12 * (knee - hip)
    calf = knee + 0.28 * (ankle - knee) - 14 * g * np.cross(foot_right, (ankle - knee) / body.shin)
    if look.trouser < 1:
        solids.cone(top_thigh, knee, 80 * g, 54 * g, SKIN)
    solids.cone(knee, ankle, 53 * g, 36 * g, SKIN)
    covered = TROUSERS if look.trouser > 1.2 else SKIN
    solids.cone(calf, calf + 0.3 * (ankle - knee), 50 * g, 40 * g, covered)
    radii = (86, 62, 46 if look.trouser > 1.5 else 56)
    _garment(solids, (top_thigh, knee, ankle), radii, look.trouser, body, look)

    def at(forward, height):
        return ankle + s * (forward * toes + height * top)

    shoe, sole = (SKIN, SKIN) if look.bare_feet else (SHOE, SOLE)
    solids.cone(at(0, 0), at(-18, -42), 40 * s, 40 * s, shoe)
    solids.cone(at(-15, -42), at(125, -58), 41 * s, 32 * s, shoe, flat=(top, 0.85))
    solids.cone(at(-20, -68), at(138, -70), 42 * s, 40 * s, sole, flat=(top, 0.33))


def _add_arm(solids, figure, body, look, i):
    g, s = body.girth, body.scale
    shoulder, elbow, wrist = figure.joints[[SHOULDERS[i], ELBOWS[i], WRISTS[i]]]
    forearm = (wrist - elbow) / body.forearm
    solids.cone(elbow, wrist, 42 * g, 27 * g, SKIN)
    if look.sleeve < 1:
        solids.cone(shoulder, elbow, 50 * g, 39 * g, SKIN)
    if look.sleeve > 0.1:
        radii = (54, 44, 36)
        _garment(solids, (shoulder, elbow, wrist), radii, look.sleeve, body, look, SHIRT)

    bend = np.cross(forearm, (elbow - shoulder) / body.upper_arm)
    flat = bend / (np.sqrt(bend @ bend) + 1e-3)
    thin = (flat, 0.55) if flat @ flat > 0.5 else None
    solids.cone(wrist + 20 * s * forearm, wrist + 75 * s * forearm, 32 * g, 38 * g, SKIN, flat=thin)
    solids.cone(wrist + 80 * s * forearm, wrist + 140 * s * forearm, 34 * g, 22 * g, SKIN, flat=thin)


def _add_seat(solids, figure, view, rng):
    """A stool or a chair under a sitting person."""
    up = view.up
    forward = figure.pelvis[:, 1] - (figure.pelvis[:, 1] @ up) * up
    forward /= np.sqrt(forward @ forward)
    right = np.cross(forward, up)
    hip = figure.joints[HIP]
    top = view.floor + up * (figure.seat - 22) + (hip - view.floor) - up * ((hip - view.floor) @ up)
    front, back = top + 90 * forward, top - 90 * forward
    for side in SIDES:
        a, b = front + side * 120 * right, back + side * 120 * right
        solids.cone(a, b, 100, 100, SEAT, flat=(up, 0.25))
        for leg in (a, b):
            foot = leg + side * 25 * right
            solids.cone(leg, foot - up * ((foot - view.floor) @ up), 20, 16, SEAT)
    solids.cone(front, back, 190, 190, SEAT, flat=(up, 0.12))
    if rng.random() < 0.4:
        low = back - 130 * forward + 60 * up
        solids.cone(low, low + 330 * up, 200, 190, SEAT, flat=(forward, 0.13))


# ------------------------------------------------------------------------------------ the room


def _texture(rng, pictures):
    """Paint, tiles, planks or squares under noise, and `pictures` hung on it: uint8 [256, 256, 3]."""
    base = 255 * _colour(rng, saturation=(0.0, 0.5), value=(0.25, 0.95))
    colours = np.empty((SIZE, SIZE, 3), np.uint8)
    colours[:] = base
    for _ in range(pictures):
        x, y, w, h = rng.integers((0, 0, 6, 6), (SIZE, SIZE, 80, 80)).tolist()
        colour = (255 * _colour(rng)).tolist()
        if rng.random() < 0.75:
            cv2.rectangle(colours, (x, y), (x + w, y + h), colour, -1)
            cv2.rectangle(colours, (x, y), (x + w, y + h), (0.5 * base).tolist(), 1)
        else:
            cv2.ellipse(colours, (x, y), (w // 2, h // 2), 0, 0, 360, colour, -1)

    relief = 1 + rng.uniform(0.02, 0.14) * _noise(rng, (5, 37, 96), SIZE)
    kind = rng.choice(["plain", "plain", "tiles", "planks", "squares"])
    period = int(rng.integers(8, 40))
    step = np.arange(SIZE) // period
    if kind == "tiles":
        relief[::period] *= 0.75
        relief[:, ::period] *= 0.75
    elif kind == "planks":
        relief *= np.float32(rng.normal(1, 0.1, step[-1] + 1))[step, None]
    elif kind == "squares":
        dark = np.float32(rng.uniform(0.6, 0.95))
        relief *= np.where((step[:, None] ^ step) & 1, dark, np.float32(1))
    return cv2.multiply(colours, cv2.merge([relief] * 3), dtype=cv2.CV_8U)


def _room(rng, view):
    """A floor, two walls meeting in a corner, blocks of furniture: uint8 [256, 256, 3]."""
    fx, cx, fy, cy = view.intrinsics
    lens = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    up, origin = view.up, view.floor
    ahead = np.array([0.0, 0.0, 1.0]) - up[2] * up
    ahead /= np.sqrt(ahead @ ahead)
    angle = rng.uniform(-0.6, 0.6)
    ahead = np.cos(angle) * ahead + np.sin(angle) * np.cross(up, ahead)
    side = np.cross(ahead, up) * rng.choice([-1.0, 1.0])
    planes = (  # Normal, a point, two directions in the plane, number of pictures.
        (up, origin, side, ahead, 0),
        (ahead, origin + rng.uniform(700, 3500) * ahead, side, up, rng.choice([2, 8, 30])),
        (side, origin + rng.uniform(900, 4000) * side, ahead, up, rng.choice([2, 8, 30])),
    )
    xs, ys = view.rays()
    closeness = [(n[0] * xs + (n[1] * ys[:, None] + n[2])) / np.float32(n @ point) for n, point, *_ in planes]
    nearest = np.maximum.reduce(closeness)
    room = np.zeros((SIZE, SIZE, 3), np.uint8)
    for k, (_, point, u, v, pictures) in enumerate(planes):
        seen = nearest == closeness[k]
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        if not len(rows):
            continue
        top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
        mm = rng.uniform(10, 24)
        corner = point - SIZE / 2 * mm * (u + v) + rng.normal(0, 500) * u
        to_window = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ lens
        picture = cv2.warpPerspective(
            _texture(rng, pictures),
            to_window @ np.stack([mm * u, mm * v, corner], axis=1),
            (int(right - left), int(bottom - top)),
            borderMode=cv2.BORDER_REFLECT_101,
        )
        window = (slice(top, bottom), slice(left, right))
        room[window] = cv2.copyTo(picture, seen[window].view(np.uint8), room[window])
    for _ in range(rng.integers(0, 5)):
        _draw_block(rng, room, view, ahead, side)
    return room


def _draw_block(rng, room, view, ahead, side):
    """A piece of furniture: a box on the floor behind the person."""
    size = rng.uniform((200, 200, 250), (1100, 700, 1700))
    turn = rng.uniform(0, np.pi / 2)
    axes = np.stack(
        [
            np.cos(turn) * side + np.sin(turn) * ahead,
            np.cos(turn) * ahead - np.sin(turn) * side,
            view.up,
        ]
    )
    where = view.floor + rng.uniform(900, 2600) * ahead + rng.uniform(-1700, 1700) * side
    signs = np.array([[(c >> k & 1) - 0.5 * (k < 2) for k in range(3)] for c in range(8)])
    corners = where + (signs * size) @ axes
    if corners[:, 2].min() < view.floor[2] + 450:
        return
    pixels = (8 * view.project(corners)).astype(np.int32)
    colour = 255 * _colour(rng)
    for k in range(3):
        for sign in (0, 1):
            face = [c for c in range(8) if (c >> k & 1) == sign]
            outward = axes[k] * (1 if sign else -1)
            if outward @ corners[face[0]] >= 0:
                continue
            quad = pixels[[face[0], face[1], face[3], face[2]]]
            shade = (0.62, 0.85, 1.05)[k]
            cv2.fillConvexPoly(room, quad, (shade * colour).clip(0, 255).tolist(), shift=3)
            cv2.polylines(room, [quad], True, (0.5 * colour).tolist(), 1, shift=3)


def _shadow(solids, view, light):
    """How much of the light the solids keep from the floor: float32 [256, 256], 0 to 1, soft."""
    ends, radii = solids["ends"], solids["radii"]
    sideways = np.cross(light, (0.0, 1.0, 0.0))
    sideways /= np.sqrt(sideways @ sideways)
    turns = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    ring = np.cos(turns)[:, None] * sideways + np.sin(turns)[:, None] * np.cross(light, sideways)
    rim = ends[:, :, None] + radii[:, :, None, None] * ring
    height = (rim - view.floor) @ view.up
    fallen = rim - (height / (light @ view.up))[..., None] * light
    pixels = np.clip(8 * view.project(fallen), -9000, 9000).astype(np.int32)
    dark = np.zeros((SIZE, SIZE), np.uint8)
    for outline in pixels.reshape(len(ends), -1, 2):
        cv2.fillConvexPoly(dark, cv2.convexHull(outline), 255, shift=3)
    xs, ys = view.rays()
    dark[view.up[0] * xs + (view.up[1] * ys[:, None] + view.up[2]) >= 0] = 0
    return cv2.blur(cv2.blur(dark, (9, 5)), (9, 5)).astype(np.float32) / 255


# ----------------------------------------------------------------------------------- the photo


def _develop(rng, picture):
    """Blur, exposure, colour temperature, sensor noise: float32 0-255 -> uint8."""
    sigma = rng.uniform(0.45, 0.95)
    picture = cv2.GaussianBlur(picture, (5, 5), sigma)
    warmth, exposure, haze = rng.normal(0, 0.06), rng.uniform(0.7, 1.2), rng.uniform(0, 14)
    develop = np.zeros((3, 4))
    np.fill_diagonal(develop, exposure * np.array([1 + warmth, 1.0, 1 - warmth]))
    develop[:, 3] = haze
    picture = cv2.transform(picture, develop)
    grain = rng.standard_normal((SIZE, SIZE), np.float32) * np.float32(rng.uniform(1, 6))
    return cv2.add(picture, cv2.merge([grain] * 3), dtype=cv2.CV_8U)


def render(rng: np.random.Generator, figure: Figure, body: Body, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Draws a person in a room.

    Args:
        rng: decides clothes, light, room and noise.
        figure: in the camera frame, mm.
        body: its sizes.
        view: the crop's camera.

    Returns:
        image uint8 [256, 256, 3] RGB, and the person's pixels bool [256, 256].
    """
    look = make_look(rng)
    person = build_body(figure, body, look)
    body_solids = len(person)
    if figure.seat:
        _add_seat(person, figure, view, rng)
    solids = person.arrays()
    light = rng.normal(0, 0.5, 3) + view.up * rng.uniform(0.8, 1.6) - (0, 0, rng.uniform(0, 0.9))
    light /= np.sqrt(light @ light)

    shadow = 1 - rng.uniform(0.3, 0.65) * _shadow(solids, view, light)
    shadow *= 1 + rng.uniform(0.03, 0.2) * _noise(rng, (3,), SIZE)  # Uneven light in the room.
    picture = cv2.multiply(_room(rng, view), cv2.merge([shadow] * 3), dtype=cv2.CV_32F)
    depth, number = cast(solids, view)
    pelvis_up = figure.pelvis[:, 2]
    hem = (pelvis_up, figure.joints[HIP] @ pelvis_up + look.hem)
    pixels, colour = _shade(rng, solids, look, hem, depth, number, view, light)
    picture.reshape(-1, 3)[pixels] = 255 * np.minimum(colour, 1)
    return _develop(rng, picture), (number >= 0) & (number < body_solids)
