"""The room behind a person: floor, walls, furniture, and the shadow on the floor."""

import cv2
import numpy as np

from pose_tf.geometry import CROP_SIZE
from pose_tf.synthetic.textures import random_color, wall_texture


def make_room(rng, view):
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
    room = np.zeros((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    for k, (_, point, u, v, pictures) in enumerate(planes):
        seen = nearest == closeness[k]
        rows, columns = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        if not len(rows):
            continue
        top, left, bottom, right = rows[0], columns[0], rows[-1] + 1, columns[-1] + 1
        mm = rng.uniform(10, 24)
        corner = point - CROP_SIZE / 2 * mm * (u + v) + rng.normal(0, 500) * u
        to_window = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]]) @ lens
        picture = cv2.warpPerspective(
            wall_texture(rng, pictures),
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
    color = 255 * random_color(rng)
    for k in range(3):
        for sign in (0, 1):
            face = [c for c in range(8) if (c >> k & 1) == sign]
            outward = axes[k] * (1 if sign else -1)
            if outward @ corners[face[0]] >= 0:
                continue
            quad = pixels[[face[0], face[1], face[3], face[2]]]
            shade = (0.62, 0.85, 1.05)[k]
            cv2.fillConvexPoly(room, quad, (shade * color).clip(0, 255).tolist(), shift=3)
            cv2.polylines(room, [quad], True, (0.5 * color).tolist(), 1, shift=3)


def floor_shadow(solids, view, light):
    """The fraction of the light that the solids block from the floor: float32 [256, 256], 0 to 1, soft."""
    ends, radii = solids["ends"], solids["radii"]
    sideways = np.cross(light, (0.0, 1.0, 0.0))
    sideways /= np.sqrt(sideways @ sideways)
    turns = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    ring = np.cos(turns)[:, None] * sideways + np.sin(turns)[:, None] * np.cross(light, sideways)
    rim = ends[:, :, None] + radii[:, :, None, None] * ring
    height = (rim - view.floor) @ view.up
    fallen = rim - (height / (light @ view.up))[..., None] * light
    pixels = np.clip(8 * view.project(fallen), -9000, 9000).astype(np.int32)
    dark = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    for outline in pixels.reshape(len(ends), -1, 2):
        cv2.fillConvexPoly(dark, cv2.convexHull(outline), 255, shift=3)
    xs, ys = view.rays()
    dark[view.up[0] * xs + (view.up[1] * ys[:, None] + view.up[2]) >= 0] = 0
    return cv2.blur(cv2.blur(dark, (9, 5)), (9, 5)).astype(np.float32) / 255
