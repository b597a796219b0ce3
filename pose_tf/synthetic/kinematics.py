"""Computes the 17 joints of a body from a posture, by joint angles or two-bone reaches, and checks plausibility."""

import numpy as np

from pose_tf.synthetic.anatomy import (
    ANKLES,
    ELBOWS,
    HEAD,
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
from pose_tf.synthetic.postures import Angles, Posture, Reach, make_posture, standing
from pose_tf.synthetic.vectors import cross, rotation_matrix, unit

FOOT_LIMITS = np.radians([-42, 22])


def _swing(frame, angles: Angles, lengths, side: float, hinge_sign: float):
    """Forward kinematics of a limb: (middle, end) relative to its root, and its hinge axis."""
    upper = frame @ rotation_matrix(angles.flex, -side * angles.abduction, side * angles.rotation)
    lower = upper @ rotation_matrix(hinge_sign * angles.hinge)
    middle = -lengths[0] * upper[:, 2]
    return middle, middle - lengths[1] * lower[:, 2], upper[:, 0]


def _reach(target, pole, lengths, hinge_sign: float):
    """Two-bone inverse kinematics: (middle, end) relative to the root, and the hinge axis.

    The middle joint points toward `pole`. A target out of reach is moved to the nearest distance that the limb allows.
    """
    first, second = lengths
    closest = np.sqrt(first**2 + second**2 + 2 * first * second * np.cos(np.radians(145)))
    distance = np.clip(np.sqrt(target @ target), closest, 0.998 * (first + second))
    along = unit(target)
    across = unit(pole - (pole @ along) * along)
    cosine = (first**2 + distance**2 - second**2) / (2 * first * distance)
    middle = first * (cosine * along + np.sqrt(1 - cosine**2) * across)
    return middle, distance * along, hinge_sign * cross(along, across)


def pose_figure(posture: Posture, body: Body) -> Figure:
    """Joint positions of a body in a posture, facing +y, its lowest point on the floor z = 0."""
    joints = np.zeros((17, 3))
    pelvis = rotation_matrix(x=-posture.lean) @ rotation_matrix(y=posture.roll)
    bend, side_bend, turn = (angle / 2 for angle in posture.spine)
    waist = pelvis @ rotation_matrix(-bend, side_bend, turn)
    chest = waist @ rotation_matrix(-bend, side_bend, turn)
    head = chest @ rotation_matrix(-posture.neck[0], posture.neck[1], posture.neck[2])

    joints[HIP, 2] = posture.hip_height * body.leg + body.ankle
    for side, joint in zip(SIDES, HIPS, strict=True):
        joints[joint] = joints[HIP] + side * body.hip * pelvis[:, 0]
    if posture.rests_on == "legs":
        joints[[HIP, *HIPS], 2] -= _excess_height(posture, body, joints)
    joints[SPINE] = joints[HIP] + body.spine * waist[:, 2]
    joints[THORAX] = joints[SPINE] + body.chest * chest[:, 2]
    joints[NOSE] = joints[THORAX] + body.scale * head @ (0, 50, 106)
    joints[HEAD] = joints[NOSE] + body.scale * head @ (0, -38, 108)

    feet = np.zeros((2, 3, 3))
    for i, side in enumerate(SIDES):
        _place_leg(joints, feet, i, side, posture, body, pelvis)
    for i, side in enumerate(SIDES):
        _place_arm(joints, i, side, posture, body, pelvis, chest, head)

    joints[:, 2] -= _lowest_point(joints, feet, body)
    seat = {"legs": None, "chair": joints[HIP, 2] - 88 * body.girth, "floor": 0.0}
    return Figure(joints, pelvis, chest, head, feet, seat[posture.rests_on])


def _excess_height(posture: Posture, body: Body, joints: np.ndarray) -> float:
    """The distance in mm by which the hip must sink to bring the planted feet within reach."""
    excess = 0.0
    for side, hip, limb in zip(SIDES, HIPS, posture.legs, strict=True):
        if isinstance(limb, Reach):
            across = np.hypot(side * limb.offset[0] - joints[hip, 0], limb.offset[1])
            reachable = np.sqrt(max((0.997 * body.leg) ** 2 - across**2, 0.0))
            excess = max(excess, joints[hip, 2] - body.ankle - reachable)
    return excess


def _place_leg(joints, feet, i, side, posture, body, pelvis) -> None:
    """Fills in the knee, the ankle and the frame of the foot on side i."""
    limb, lengths, root = posture.legs[i], (body.thigh, body.shin), joints[HIPS[i]]
    if isinstance(limb, Angles):
        knee, ankle, axis = _swing(pelvis, limb, lengths, side, -1.0)
    else:
        target = np.array([side * limb.offset[0], limb.offset[1], body.ankle + limb.offset[2]])
        toes = np.radians(posture.toes_out[i])
        pole = np.array([side * np.sin(toes), np.cos(toes), 0.35])
        knee, ankle, axis = _reach(target - root, pole, lengths, 1.0)
    joints[KNEES[i]], joints[ANKLES[i]] = root + knee, root + ankle

    # The foot lies flat as far as the ankle allows.
    shin_up = unit(knee - ankle)
    forward = cross(shin_up, axis)
    level = unit(np.array([-axis[1], axis[0], 0.0]) + 1e-6)
    pitch = np.clip(np.arctan2(level @ shin_up, level @ forward), *FOOT_LIMITS)
    toes = np.cos(pitch) * forward + np.sin(pitch) * shin_up
    feet[i] = np.stack([axis, toes, cross(axis, toes)], axis=1)


def _place_arm(joints, i, side, posture, body, pelvis, chest, head) -> None:
    """Fills in the shoulder, elbow and wrist on side i. The legs must be in place, because hands may rest on knees."""
    limb, lengths = posture.arms[i], (body.upper_arm, body.forearm)
    raised = isinstance(limb, Reach) and limb.anchor == "shoulder" and limb.offset[2] > 150
    lift = np.radians(12 if raised else -11)
    collar = np.array([side * np.cos(lift), 0, np.sin(lift)])
    root = joints[THORAX] + body.shoulder * chest @ collar
    if isinstance(limb, Angles):
        elbow, wrist, _ = _swing(chest, limb, lengths, side, 1.0)
    else:
        origin, frame = {
            "shoulder": (root, chest),
            "chest": (joints[THORAX], chest),
            "head": (joints[NOSE], head),
            "hip": (joints[HIPS[i]], pelvis),
            "knee": (joints[KNEES[i]], np.eye(3)),
            "floor": (joints[HIP] * (1, 1, 0), np.eye(3)),
        }[limb.anchor]
        target = origin + frame @ (body.scale * np.array(limb.offset) * (side, 1, 1))
        pole = {"head": (0.6, 0.15, -1.0)}.get(limb.anchor, (1.0 if raised else 0.75, -0.55, -0.6))
        pole = chest @ (pole * np.array([side, 1, 1]))
        elbow, wrist, _ = _reach(target - root, pole, lengths, -1.0)
    joints[SHOULDERS[i]], joints[ELBOWS[i]], joints[WRISTS[i]] = root, root + elbow, root + wrist


def _lowest_point(joints: np.ndarray, feet: np.ndarray, body: Body) -> float:
    """Height of the lowest point of the body's surface, in mm."""
    soles = joints[list(ANKLES), None] + body.scale * np.einsum(
        "fij,pj->fpi", feet, np.array([[0, 150, -76], [0, -40, -82]])
    )
    knees = joints[list(KNEES), 2] - 58 * body.girth
    wrists = joints[list(WRISTS), 2] - 30 * body.girth
    seat = joints[HIP, 2] - 96 * body.girth
    return min(soles[..., 2].min(), knees.min(), wrists.min(), seat)


def is_plausible(figure: Figure, body: Body) -> bool:
    """Whether no limb runs through another part of the body, and a sitting person touches the seat."""
    joints, g = figure.joints, body.girth
    arms = [_along(joints[elbow], joints[wrist], 0.0, 1.3) for elbow, wrist in zip(ELBOWS, WRISTS)]
    thighs = [_along(joints[hip], joints[knee], 0.4, 1.0) for hip, knee in zip(HIPS, KNEES)]
    shins = [_along(joints[knee], joints[ankle], 0.0, 1.0) for knee, ankle in zip(KNEES, ANKLES)]
    blocks = (  # Ellipsoids: frame, center, semi-axes.
        (figure.chest, joints[[SPINE, SPINE, THORAX]].mean(0), (150 * g, 108 * g, 240 * g)),
        (figure.pelvis, joints[HIP], (170 * g, 105 * g, 120 * g)),
        (figure.head, joints[NOSE] - 50 * body.scale * figure.head[:, 1], (78, 92, 115)),
    )
    for frame, center, axes in blocks:
        if ((((np.concatenate(arms) - center) @ frame / axes) ** 2).sum(1) < 1).any():
            return False
    if figure.seat is not None and joints[HIP, 2] - 88 * g > figure.seat + 50:
        return False
    right_leg, left_leg = (np.concatenate(leg) for leg in zip(thighs, shins))
    gaps = (_gap(right_leg, left_leg), _gap(np.concatenate(arms), np.concatenate(thighs)))
    return bool(gaps[0] > 85 * g and gaps[1] > 72 * g and _gap(*arms) > 45 * g)


def _along(start: np.ndarray, end: np.ndarray, first: float, last: float) -> np.ndarray:
    """Eight points [8, 3] on the line through `start` (0) and `end` (1)."""
    return start + np.linspace(first, last, 8)[:, None] * (end - start)


def _gap(first: np.ndarray, second: np.ndarray) -> float:
    """The smallest distance between two sets of points."""
    return np.sqrt(((first[:, None] - second) ** 2).sum(-1).min())


def make_figure(rng: np.random.Generator, action: int, body: Body) -> Figure:
    """A plausible figure of an action, in the world frame with heading 0."""
    for _ in range(40):
        figure = pose_figure(make_posture(rng, action), body)
        if is_plausible(figure, body):
            return figure
    return pose_figure(standing(rng, (Angles(0, 14, 10, 15), Angles(0, 14, 10, 15))), body)
