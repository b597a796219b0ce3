"""The solids of a clothed person, about sixty, and of the seat."""

import numpy as np

from pose_tf.synthetic.anatomy import (
    ANKLES,
    ELBOWS,
    HIP,
    HIPS,
    KNEES,
    NOSE,
    SHOULDERS,
    SIDES,
    SPINE,
    THORAX,
    WRISTS,
    Body,
    Figure,
)
from pose_tf.synthetic.clothes import EYE, HAIR, HAT, LIP, SEAT, SHIRT, SHOE, SKIN, SOLE, TROUSERS, TRUNK, Look
from pose_tf.synthetic.solids import Solids


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
    """Adds cloth around a chain of three points, down to `cover` (1: the middle point, 2: the end)."""
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


def add_seat(solids, figure, view, rng):
    """Adds a stool or a chair under a sitting person."""
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
