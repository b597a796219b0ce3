"""Renders a person in a room: casts rays at the solids, shades the visible pixels, and develops the image like a photo.

All coordinates are in the camera frame (mm; x right, y down, z away) or in pixels of the 256 x 256 crop.
"""

import cv2
import numpy as np

from pose_tf.geometry import CROP_SIZE
from pose_tf.synthetic.anatomy import HIP, Body, Figure
from pose_tf.synthetic.body import add_seat, build_body
from pose_tf.synthetic.camera import View
from pose_tf.synthetic.clothes import ROUGH, SHINE, SHIRT, TROUSERS, TRUNK, make_look
from pose_tf.synthetic.room import floor_shadow, make_room
from pose_tf.synthetic.solids import cast, stretch_along
from pose_tf.synthetic.textures import CELL_MM, FABRIC_SIZE, noise
from pose_tf.synthetic.vectors import dot


def _surface(solids, depth, number, view):
    """Flat index, solid, position, normal, fabric cell and fabric axes of the pixels that show a solid."""
    pixels = np.flatnonzero(number.ravel() >= 0)
    which = number.ravel()[pixels]
    xs, ys = view.rays()
    t = depth.ravel()[pixels]
    point = np.stack([t * xs[pixels % CROP_SIZE], t * ys[pixels // CROP_SIZE], t], 1)

    along = solids["b"] - solids["a"]
    taper = solids["radii"][:, 0] - solids["radii"][:, 1]
    length = dot(along, along) - taper**2
    share = (along / length[:, None], solids["radii"][:, 0] * taper / length)
    grain = solids["grain"]
    columns = (solids["a"], along, *share, solids["axis"], solids["stretch"])
    columns += (grain[:, 1], grain[:, 2], dot(grain[:, 1:], grain[:, :1]))
    table = np.column_stack(columns).astype(np.float32)[which]
    a, along, per_mm, offset = table[:, :3], table[:, 3:6], table[:, 6:9], table[:, 9]
    axis, stretch, u, v = table[:, 10:13], table[:, 13:14], table[:, 14:17], table[:, 17:20]

    relative = stretch_along(point, axis, stretch) - a
    share = np.clip(dot(relative, per_mm) - offset, 0, 1)
    normal = stretch_along(relative - share[:, None] * along, axis, stretch)
    cells = np.stack([dot(u, point) - table[:, 20], dot(v, point) - table[:, 21]])
    cells = (cells / CELL_MM).astype(np.int32) & (FABRIC_SIZE - 1)
    return pixels, which, point, _normalize(normal), cells, (u, v)


def _normalize(vectors):
    return vectors / (np.sqrt(dot(vectors, vectors)) + 1e-6)[:, None]


def _smooth_normals(normal, pixels):
    """Normals [n, 3] averaged over 5 x 5 pixels, which rounds the seams between solids."""
    field = np.zeros((CROP_SIZE * CROP_SIZE, 3), np.float32)
    field[pixels] = normal
    field = cv2.GaussianBlur(field.reshape(CROP_SIZE, CROP_SIZE, 3), (5, 5), 1.2)
    return _normalize(field.reshape(-1, 3)[pixels])


def _hollows(depth, pixels):
    """The depth of a pixel below its surroundings, 0 to 1, for soft contact shadows."""
    flat = depth.ravel()[pixels]
    field = np.full(CROP_SIZE * CROP_SIZE, flat.max() + 100, np.float32)
    field[pixels] = flat
    field = field.reshape(CROP_SIZE, CROP_SIZE)
    below = field - cv2.blur(field, (13, 13))
    return np.clip(below.ravel()[pixels] / 160, 0, 1)


def _shade(rng, solids, look, hem, depth, number, view, light):
    """Flat indices [n] and colors float32 [n, 3] of the pixels that show a solid.

    `hem` is the plane where the shirt ends: (normal [3], height).
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

    creases = noise(rng, (5, 12), FABRIC_SIZE)[cells[0], cells[1]] * ROUGH[material]
    normal = normal + creases[:, None] * (grain[0] + 0.6 * grain[1])
    key = np.maximum(normal @ np.float32(light), 0)
    strength = rng.uniform(0.4, 0.75)
    ambient = (1.0 - strength) * (0.75 + 0.25 * (normal @ np.float32(view.up))) - 0.1 * normal[:, 2]
    shade = (ambient + strength * key) * (1 - 0.5 * _hollows(depth, pixels))
    color = look.tiles[material, cells[0], cells[1]]
    return pixels, color * shade[:, None] + gloss[:, None]


def _develop(rng, image):
    """Blur, exposure, color temperature, sensor noise: float32 0-255 -> uint8."""
    sigma = rng.uniform(0.45, 0.95)
    image = cv2.GaussianBlur(image, (5, 5), sigma)
    warmth, exposure, haze = rng.normal(0, 0.06), rng.uniform(0.7, 1.2), rng.uniform(0, 14)
    develop = np.zeros((3, 4))
    np.fill_diagonal(develop, exposure * np.array([1 + warmth, 1.0, 1 - warmth]))
    develop[:, 3] = haze
    image = cv2.transform(image, develop)
    grain = rng.standard_normal((CROP_SIZE, CROP_SIZE), np.float32) * np.float32(rng.uniform(1, 6))
    return cv2.add(image, cv2.merge([grain] * 3), dtype=cv2.CV_8U)


def render(rng: np.random.Generator, figure: Figure, body: Body, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Renders a person in a room.

    Args:
        rng: source of randomness for clothes, light, room and noise.
        figure: the posed body in the camera frame, mm.
        body: the sizes of the body.
        view: the crop as a camera.

    Returns:
        image uint8 [256, 256, 3] RGB, and the person's pixels bool [256, 256].
    """
    look = make_look(rng)
    person = build_body(figure, body, look)
    body_solids = len(person)
    if figure.seat:
        add_seat(person, figure, view, rng)
    solids = person.arrays()
    light = rng.normal(0, 0.5, 3) + view.up * rng.uniform(0.8, 1.6) - (0, 0, rng.uniform(0, 0.9))
    light /= np.sqrt(light @ light)

    shadow = 1 - rng.uniform(0.3, 0.65) * floor_shadow(solids, view, light)
    shadow *= 1 + rng.uniform(0.03, 0.2) * noise(rng, (3,), CROP_SIZE)  # Uneven light in the room.
    image = cv2.multiply(make_room(rng, view), cv2.merge([shadow] * 3), dtype=cv2.CV_32F)
    depth, number = cast(solids, view)
    pelvis_up = figure.pelvis[:, 2]
    hem = (pelvis_up, figure.joints[HIP] @ pelvis_up + look.hem)
    pixels, color = _shade(rng, solids, look, hem, depth, number, view, light)
    image.reshape(-1, 3)[pixels] = 255 * np.minimum(color, 1)
    return _develop(rng, image), (number >= 0) & (number < body_solids)
