"""The embedded sample data: labelled pictures of procedural people, made without any download.

A person is an articulated skeleton: an action picks a stance and what the hands do, joint angles and
two-bone reaches put the 17 joints in place, and `sample_render` draws the clothed body around them.
World frame: mm, x right and y forward of a person with heading 0, z up, floor at z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pose_tf.synthetic import sample_render
from pose_tf.synthetic.sample_render import (
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
)

SUBJECTS_TRAIN = (1, 5, 6, 7, 8)
IMAGE_SIZE = 256
HEADING_SPREAD_DEG = 40.0

# fx, cx, fy, cy of the four cameras, for pictures of 1000 x 1000 pixels.
INTRINSICS = np.array(
    [
        [1145.0, 512.5, 1143.8, 515.5],
        [1149.7, 508.8, 1147.6, 508.1],
        [1149.1, 519.8, 1148.8, 501.4],
        [1145.5, 515.0, 1144.8, 501.9],
    ],
    np.float32,
)


class Body(NamedTuple):
    """Sizes of one person. Lengths in mm; `girth` multiplies every thickness."""

    hip: float
    thigh: float
    shin: float
    ankle: float
    spine: float
    chest: float
    shoulder: float
    upper_arm: float
    forearm: float
    scale: float
    girth: float
    bust: float

    @property
    def leg(self) -> float:
        return self.thigh + self.shin


class Angles(NamedTuple):
    """A limb posed by joint angles in degrees; all zero hangs straight down.

    `flex` swings the limb forward, `abduction` outward, `rotation` turns it inward about itself, and
    `hinge` bends the knee backward or the elbow forward.
    """

    flex: float
    abduction: float
    rotation: float
    hinge: float


class Reach(NamedTuple):
    """A limb whose end (ankle, wrist) reaches for a point: mm from an anchor, x counted outward."""

    anchor: str
    offset: tuple[float, float, float]


Limb = Angles | Reach

LEG_LIMITS = np.array([[-30, -12, -65, 0], [125, 55, 35, 145]], float)
ARM_LIMITS = np.array([[-50, -2, -60, 4], [170, 160, 80, 145]], float)
FOOT_LIMITS = np.radians([-42, 22])


@dataclass(frozen=True)
class Posture:
    """What a person does, without the size of the body. Limbs are (right, left); angles in degrees.

    `hip_height` is in leg lengths. `lean` tips the pelvis forward, `roll` to the right. `spine` and
    `neck` are (bend forward, bend right, turn left).
    """

    legs: tuple[Limb, Limb]
    arms: tuple[Limb, Limb]
    hip_height: float = 1.0
    lean: float = 0.0
    roll: float = 0.0
    spine: tuple[float, float, float] = (0.0, 0.0, 0.0)
    neck: tuple[float, float, float] = (0.0, 0.0, 0.0)
    toes_out: tuple[float, float] = (8.0, 8.0)
    rests_on: str = "legs"  # Or "chair", "floor".

    def mirrored(self) -> Posture:
        """The same posture with right and left exchanged."""

        def flip(angles):
            return angles[0], -angles[1], -angles[2]

        return replace(
            self,
            legs=self.legs[::-1],
            arms=self.arms[::-1],
            toes_out=self.toes_out[::-1],
            roll=-self.roll,
            spine=flip(self.spine),
            neck=flip(self.neck),
        )


class Figure(NamedTuple):
    """A posed body in some frame, in mm; frames have the columns right, forward, up.

    joints [17, 3]; pelvis, chest and head [3, 3]; feet [2, 3, 3] frames, right then left; `seat` is
    the height above the floor of what the hips rest on, or None.
    """

    joints: np.ndarray
    pelvis: np.ndarray
    chest: np.ndarray
    head: np.ndarray
    feet: np.ndarray
    seat: float | None

    def moved(self, rotation: np.ndarray, translation: np.ndarray) -> Figure:
        """The figure under x -> rotation @ x + translation."""
        return Figure(
            self.joints @ rotation.T + translation,
            rotation @ self.pelvis,
            rotation @ self.chest,
            rotation @ self.head,
            rotation @ self.feet,
            self.seat,
        )


# ---------------------------------------------------------------------------------------- body


def make_body(rng: np.random.Generator, subject: int) -> Body:
    """A body of a subject: proportions belong to the subject, size and girth vary by 2 and 5 %."""
    own = np.random.default_rng([1750, subject])
    scale, legs, arms = own.uniform([0.90, 0.97, 0.96], [1.07, 1.03, 1.04])
    hip, shoulder, girth = own.uniform([0.93, 0.92, 0.86], [1.07, 1.10, 1.20])
    bust = own.choice([0.0, own.uniform(0.7, 1.2)])
    scale *= rng.uniform(0.98, 1.02)
    girth *= rng.uniform(0.95, 1.05)
    return Body(
        hip=132 * scale * hip,
        thigh=446 * scale * legs,
        shin=444 * scale * legs,
        ankle=82 * scale,
        spine=235 * scale,
        chest=255 * scale,
        shoulder=156 * scale * shoulder,
        upper_arm=280 * scale * arms,
        forearm=250 * scale * arms,
        scale=scale,
        girth=scale * girth,
        bust=bust,
    )


# ------------------------------------------------------------------------------------- posture

# Where a hand can go: anchor, mean offset in mm, spread in mm.
HAND_TARGETS = {
    "ear": ("head", (95, 40, -75), 12),
    "mouth": ("head", (45, 75, -95), 20),
    "viewfinder": ("head", (70, 170, -45), 25),
    "other_elbow": ("chest", (-95, 215, -235), 20),
    "waist": ("hip", (115, -5, 110), 20),
    "pocket": ("hip", (100, 50, 10), 15),
    "back": ("hip", (-60, -185, 60), 15),
    "knee": ("knee", (0, 0, 100), 30),
    "thigh": ("knee", (0, -170, 115), 30),
    "table": ("shoulder", (-40, 360, -260), 60),
    "gesture": ("shoulder", (60, 320, -180), 120),
    "forward": ("shoulder", (30, 470, -20), 120),
    "sideways": ("shoulder", (470, 120, 10), 120),
    "wave": ("shoulder", (230, 140, 260), 90),
    "overhead": ("shoulder", (60, 90, 470), 100),
    "leash": ("shoulder", (60, 330, -330), 80),
    "low": ("floor", (180, 520, 420), 140),
    "ground": ("floor", (270, -260, 40), 40),
}


def _hand(rng: np.random.Generator, name: str) -> Limb | None:
    if name == "swing":
        return None
    if name == "hang":
        return _angles(rng, ARM_LIMITS, (4, 9, 12, 18), (8, 4, 15, 12))
    anchor, offset, spread = HAND_TARGETS[name]
    return Reach(anchor, tuple(rng.normal(offset, spread)))


def _angles(rng: np.random.Generator, limits: np.ndarray, mean, spread) -> Angles:
    return Angles(*np.clip(rng.normal(mean, spread), *limits))


def _planted(rng: np.random.Generator, apart: float, ahead: float, spread: float = 30) -> Reach:
    """A foot on the floor, `apart` mm to its side and `ahead` mm in front of the hip."""
    return Reach("floor", (max(apart + rng.normal(0, 25), 55), ahead + rng.normal(0, spread), 0.0))


def standing(rng: np.random.Generator, arms: tuple[Limb, Limb]) -> Posture:
    """Upright on both feet, the weight sometimes on one leg."""
    apart, stride = rng.uniform(80, 230), rng.uniform(-110, 110)
    lean = rng.normal(2, 4)
    return Posture(
        legs=(_planted(rng, apart, stride), _planted(rng, apart, -stride)),
        arms=arms,
        hip_height=rng.uniform(0.97, 1.0),
        lean=lean,
        roll=rng.normal(0, 4),
        spine=tuple(rng.normal((3, 0, 0), (6, 5, 10))),
        neck=tuple(rng.normal((4, 0, 0), (11, 6, 24))),
        toes_out=tuple(rng.uniform(0, 25, 2)),
    )


def walking(rng: np.random.Generator, arms: tuple[Limb | None, Limb | None]) -> Posture:
    """One instant of a gait cycle; an arm that is free (None) swings against its leg."""
    phase, stride, swing = rng.uniform((0, 16, 8), (2 * np.pi, 30, 32))
    legs, swinging = [], []
    for angle in (phase, phase + np.pi):
        hip, knee = np.sin(angle), max(0.0, np.cos(angle - 0.2)) ** 1.5
        leg = (3 + stride * hip, 1, -5, 6 + rng.uniform(42, 58) * knee)
        arm = (-swing * hip, 8, 10, 15 + 30 * max(0.0, -hip))
        legs.append(_angles(rng, LEG_LIMITS, leg, (2, 2, 4, 3)))
        swinging.append(_angles(rng, ARM_LIMITS, arm, (4, 3, 8, 6)))
    return Posture(
        legs=tuple(legs),
        arms=tuple(arm or free for arm, free in zip(arms, swinging, strict=True)),
        lean=rng.normal(4, 3),
        spine=tuple(rng.normal((3, 0, 6 * np.sin(phase)), (4, 3, 3))),
        neck=tuple(rng.normal((2, 0, 0), (8, 5, 18))),
    )


def sitting(rng: np.random.Generator, arms: tuple[Limb, Limb]) -> Posture:
    """On a seat, thighs level, feet on the floor, leaning back or forward."""
    lean = rng.uniform(-18, 14)
    apart = rng.uniform(70, 240)
    return Posture(
        legs=tuple(_planted(rng, apart, rng.normal(400, 70), 40) for _ in SIDES),
        arms=arms,
        hip_height=rng.uniform(0.50, 0.60),
        lean=lean,
        spine=tuple(rng.normal((10 - 0.3 * lean, 0, 0), (8, 4, 9))),
        neck=tuple(rng.normal((4, 0, 0), (12, 6, 24))),
        toes_out=tuple(rng.uniform(-5, 25, 2)),
        rests_on="chair",
    )


def sitting_low(rng: np.random.Generator, arms: tuple[Limb, Limb]) -> Posture:
    """On the floor: legs stretched, crossed, or drawn up."""
    stretched, drawn_up = (84, 12, -8, rng.uniform(2, 40)), (118, 12, -6, rng.uniform(85, 115))
    crossed = ((104, 42, -60, 118), (94, 42, -60, 128))
    pair = ((stretched, stretched), crossed, (drawn_up, drawn_up))[rng.integers(3)]
    legs = tuple(_angles(rng, LEG_LIMITS, leg, (4, 4, 5, 4)) for leg in pair)
    lean = rng.uniform(-22, 2)
    return Posture(
        legs=legs,
        arms=arms,
        rests_on="floor",
        lean=lean,
        spine=tuple(rng.normal((16, 0, 0), (8, 4, 8))),
        neck=tuple(rng.normal((2, 0, 0), (10, 6, 22))),
    )


def crouching(rng: np.random.Generator, arms: tuple[Limb, Limb]) -> Posture:
    """Knees bent, the trunk brought forward over the feet."""
    depth = rng.uniform(0.15, 1.0)
    apart, stride = rng.uniform(110, 240), rng.uniform(-90, 90)
    ahead = 60 + 130 * np.sin(np.pi * 0.75 * depth)
    lean = rng.normal(18 + 22 * depth, 8)
    return Posture(
        legs=(_planted(rng, apart, ahead + stride), _planted(rng, apart, ahead - stride)),
        arms=arms,
        hip_height=0.92 - 0.52 * depth,
        lean=lean,
        spine=tuple(rng.normal((12, 0, 0), (7, 4, 8))),
        neck=tuple(rng.normal((-0.4 * lean, 0, 0), (10, 5, 18))),
        toes_out=tuple(rng.uniform(5, 30, 2)),
    )


def stooping(rng: np.random.Generator, arms: tuple[Limb, Limb]) -> Posture:
    """Bent at the hips with nearly straight legs."""
    lean = rng.uniform(20, 55)
    apart, stride = rng.uniform(90, 220), rng.uniform(-160, 160)
    return Posture(
        legs=(_planted(rng, apart, 60 + stride), _planted(rng, apart, 60 - stride)),
        arms=arms,
        hip_height=rng.uniform(0.86, 0.97),
        lean=lean,
        spine=tuple(rng.normal((18, 0, 0), (8, 5, 10))),
        neck=tuple(rng.normal((-0.35 * lean, 0, 0), (12, 5, 18))),
    )


def kneeling(rng: np.random.Generator, arms: tuple[Limb, Limb]) -> Posture:
    """The right knee on the floor, the left foot in front."""
    return Posture(
        legs=(
            _angles(rng, LEG_LIMITS, (rng.uniform(-10, 25), 6, 0, 95), (3, 3, 4, 6)),
            _angles(rng, LEG_LIMITS, (88, 10, -5, 86), (5, 4, 4, 5)),
        ),
        arms=arms,
        lean=rng.normal(8, 8),
        spine=tuple(rng.normal((8, 0, 0), (7, 4, 8))),
        neck=tuple(rng.normal((4, 0, 0), (10, 5, 18))),
    )


# Action number: stances, and what the two hands may do ("swing": as the legs walk).
ACTIONS = {
    2: ((standing, walking), ("forward hang", "sideways hang", "sideways waist")),
    3: ((standing,), ("gesture gesture", "gesture hang", "gesture pocket")),
    4: ((sitting,), ("mouth table", "table table", "mouth thigh")),
    5: ((standing,), ("wave hang", "overhead hang", "wave wave", "forward hang")),
    6: ((standing, walking, sitting), ("ear hang", "ear gesture", "ear waist")),
    7: ((standing, crouching), ("waist waist", "overhead overhead", "sideways sideways")),
    8: ((stooping, standing, crouching), ("low low", "low hang", "forward gesture")),
    9: ((sitting,), ("thigh thigh", "knee knee", "knee gesture", "hang thigh")),
    10: ((sitting_low,), ("knee knee", "ground ground", "ground knee")),
    11: ((standing, sitting), ("mouth hang", "mouth waist", "gesture pocket")),
    12: ((standing, crouching, kneeling), ("viewfinder viewfinder",)),
    13: ((standing,), ("other_elbow other_elbow", "pocket pocket", "hang hang", "back back")),
    14: ((walking,), ("swing swing",)),
    15: ((walking, stooping), ("leash hang", "forward hang")),
    16: ((walking,), ("swing swing", "gesture swing")),
}


def make_posture(rng: np.random.Generator, action: int) -> Posture:
    """A random posture of an action of Human3.6M (2 to 16), either hand being the busy one."""
    stances, hands = ACTIONS[action]
    stance = stances[rng.integers(len(stances))]
    names = hands[rng.integers(len(hands))].split()
    posture = stance(rng, tuple(_hand(rng, name) for name in names))
    return posture.mirrored() if rng.random() < 0.5 else posture


# ---------------------------------------------------------------------------------- kinematics


def _rotation(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    """Rx(x) Ry(y) Rz(z), degrees, [3, 3]."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.radians((x, y, z))), np.sin(np.radians((x, y, z)))
    return np.array(
        [
            [cy * cz, -cy * sz, sy],
            [cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy],
            [sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy],
        ]
    )


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`np.cross` for two single vectors, ten times as fast."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.sqrt(vector @ vector)


def _swing(frame, angles: Angles, lengths, side: float, hinge_sign: float):
    """Forward kinematics of a limb: (middle, end) relative to its root, and its hinge axis."""
    upper = frame @ _rotation(angles.flex, -side * angles.abduction, side * angles.rotation)
    lower = upper @ _rotation(hinge_sign * angles.hinge)
    middle = -lengths[0] * upper[:, 2]
    return middle, middle - lengths[1] * lower[:, 2], upper[:, 0]


def _reach(target, pole, lengths, hinge_sign: float):
    """Two-bone inverse kinematics: (middle, end) relative to the root, and the hinge axis.

    The middle joint points toward `pole`; a target out of reach shortens to what the limb allows.
    """
    first, second = lengths
    closest = np.sqrt(first**2 + second**2 + 2 * first * second * np.cos(np.radians(145)))
    distance = np.clip(np.sqrt(target @ target), closest, 0.998 * (first + second))
    along = _unit(target)
    across = _unit(pole - (pole @ along) * along)
    cosine = (first**2 + distance**2 - second**2) / (2 * first * distance)
    middle = first * (cosine * along + np.sqrt(1 - cosine**2) * across)
    return middle, distance * along, hinge_sign * _cross(along, across)


def pose_figure(posture: Posture, body: Body) -> Figure:
    """Joint positions of a body in a posture, facing +y, its lowest point on the floor z = 0."""
    joints = np.zeros((17, 3))
    pelvis = _rotation(x=-posture.lean) @ _rotation(y=posture.roll)
    bend, side_bend, turn = (angle / 2 for angle in posture.spine)
    waist = pelvis @ _rotation(-bend, side_bend, turn)
    chest = waist @ _rotation(-bend, side_bend, turn)
    head = chest @ _rotation(-posture.neck[0], posture.neck[1], posture.neck[2])

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
    """How much the hip must sink so that the planted feet are within reach."""
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
    shin_up = _unit(knee - ankle)
    forward = _cross(shin_up, axis)
    level = _unit(np.array([-axis[1], axis[0], 0.0]) + 1e-6)
    pitch = np.clip(np.arctan2(level @ shin_up, level @ forward), *FOOT_LIMITS)
    toes = np.cos(pitch) * forward + np.sin(pitch) * shin_up
    feet[i] = np.stack([axis, toes, _cross(axis, toes)], axis=1)


def _place_arm(joints, i, side, posture, body, pelvis, chest, head) -> None:
    """Fills in the shoulder, elbow and wrist on side i; legs come first, for hands on knees."""
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
    """Whether no limb runs through another part of the body, and who sits touches the seat."""
    joints, g = figure.joints, body.girth
    arms = [_along(joints[elbow], joints[wrist], 0.0, 1.3) for elbow, wrist in zip(ELBOWS, WRISTS)]
    thighs = [_along(joints[hip], joints[knee], 0.4, 1.0) for hip, knee in zip(HIPS, KNEES)]
    shins = [_along(joints[knee], joints[ankle], 0.0, 1.0) for knee, ankle in zip(KNEES, ANKLES)]
    blocks = (  # Ellipsoids: frame, centre, semi-axes.
        (figure.chest, joints[[SPINE, SPINE, THORAX]].mean(0), (150 * g, 108 * g, 240 * g)),
        (figure.pelvis, joints[HIP], (170 * g, 105 * g, 120 * g)),
        (figure.head, joints[NOSE] - 50 * body.scale * figure.head[:, 1], (78, 92, 115)),
    )
    for frame, centre, axes in blocks:
        if ((((np.concatenate(arms) - centre) @ frame / axes) ** 2).sum(1) < 1).any():
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


# -------------------------------------------------------------------------------------- camera


def project(points: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Pinhole projection: points [..., 3] in the camera frame, intrinsics (fx, cx, fy, cy) -> px."""
    fx, cx, fy, cy = np.asarray(intrinsics, np.float64).reshape(4)
    x, y, z = np.moveaxis(np.asarray(points, np.float64), -1, 0)
    return np.stack([fx * x / z + cx, fy * y / z + cy], axis=-1)


def make_camera(rng: np.random.Generator, figure: Figure, intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World to camera (rotation [3, 3], translation [3]) with the whole figure in the picture."""
    distance, height = rng.uniform(3000, 6500), rng.uniform(1200, 2000)
    position = np.array([0.0, -distance, height])
    aim = np.array([rng.normal(0, 400), 0.0, rng.uniform(650, 1150)])
    roll = rng.normal(0, 1.5)
    middle = figure.joints[HIP]
    for _ in range(8):
        forward = _unit(aim - position)
        right = _unit(_cross(forward, (0, 0, 1)))
        rotation = _rotation(z=roll) @ np.stack([right, _cross(forward, right), forward])
        pixels = project((figure.joints - position) @ rotation.T, intrinsics)
        if pixels.min() > 30 and pixels.max() < 970:
            break
        aim = (aim + middle) / 2
    return rotation, -rotation @ position


def pose_sample(seed: int, index: int, subject: int) -> dict[str, np.ndarray | int | float]:
    """`render_sample` without its image, in a tenth of the time."""
    return _compose(np.random.default_rng([seed, index]), index, subject)[0]


def render_sample(seed: int, index: int, subject: int) -> dict[str, np.ndarray | int | float]:
    """One labelled picture of a procedural person, with the keys of a Human3.6M record.

    A pure function of its arguments: the same call gives the same bytes in any process (another
    type of processor may round a few pixels to the neighbouring grey level).

    Args:
        seed: of the data set, >= 0.
        index: of the sample, >= 0; also its `framd_id`.
        subject: number of the person, >= 0: decides the proportions of the body.

    Returns:
        image uint8 [256, 256, 3] RGB; offset float32 [2] px and scale float, with
        pose2d_crop = (pose2d - offset) * scale; pose2d_crop, pose2d float32 [17, 2] px; pose3d
        float32 [17, 3] mm in the camera frame (x right, y down, z away); pose3d_univ, the same
        array, because a procedural person needs no other canonical camera; intrinsics and
        intrinsics_univ float32 [1, 4], fx, cx, fy, cy of the 1000 x 1000 picture; ints framd_id,
        camera (1 to 4), subject, action (2 to 16) and subaction (1 or 2).
    """
    sample, _ = render_sample_with_mask(seed, index, subject)
    return sample


def render_sample_with_mask(
    seed: int, index: int, subject: int
) -> tuple[dict[str, np.ndarray | int | float], np.ndarray]:
    """`render_sample`, and the pixels that show the person: bool [256, 256]."""
    rng = np.random.default_rng([seed, index])
    labels, figure, body, view = _compose(rng, index, subject)
    image, mask = sample_render.render(rng, figure, body, view)
    return {"image": image, **labels}, mask


def _compose(rng: np.random.Generator, index: int, subject: int):
    """Labels of a random sample, and what is to be rendered: the figure, its body and the view."""
    body = make_body(rng, subject)
    action, subaction = int(rng.integers(2, 17)), int(rng.integers(1, 3))
    camera = int(rng.integers(4))
    figure = make_figure(rng, action, body)
    # 180 degrees faces the camera. Most people do, so that a network of a few minutes can tell left from right.
    heading = _rotation(z=rng.normal(180, HEADING_SPREAD_DEG))
    figure = figure.moved(heading, np.zeros(3))
    rotation, translation = make_camera(rng, figure, INTRINSICS[camera])
    figure = figure.moved(rotation, translation)

    pose3d = figure.joints.astype(np.float32)
    pose2d = project(pose3d, INTRINSICS[camera])
    low, high = pose2d.min(axis=0), pose2d.max(axis=0)
    scale = rng.uniform(0.74, 0.86) * IMAGE_SIZE / (high - low).max()
    offset = (low + high) / 2 - (IMAGE_SIZE - 1) / 2 / scale
    fx, cx, fy, cy = INTRINSICS[camera].astype(np.float64)
    view = sample_render.View(
        intrinsics=(fx * scale, (cx - offset[0]) * scale, fy * scale, (cy - offset[1]) * scale),
        up=rotation[:, 2],
        floor=translation,
    )
    labels = {
        "offset": offset.astype(np.float32),
        "scale": float(np.float32(scale)),
        "pose2d_crop": ((pose2d - offset) * scale).astype(np.float32),
        "pose2d": pose2d.astype(np.float32),
        "pose3d": pose3d,
        "pose3d_univ": pose3d.copy(),
        "intrinsics": INTRINSICS[camera][None].copy(),
        "intrinsics_univ": INTRINSICS[camera][None].copy(),
        "framd_id": int(index),
        "camera": camera + 1,
        "subject": int(subject),
        "action": action,
        "subaction": subaction,
    }
    return labels, figure, body, view
