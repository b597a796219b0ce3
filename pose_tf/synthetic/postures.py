"""Random postures of the synthetic people: an action determines a stance and the targets of both hands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from pose_tf.synthetic.anatomy import SIDES


class Angles(NamedTuple):
    """A limb posed by joint angles in degrees. With all angles zero it hangs straight down.

    `flex` swings the limb forward, `abduction` swings it outward, `rotation` turns it inward about its axis, and
    `hinge` bends the knee backward or the elbow forward.
    """

    flex: float
    abduction: float
    rotation: float
    hinge: float


class Reach(NamedTuple):
    """A limb whose end (ankle or wrist) reaches for a point. The offset from the anchor is in mm, with x outward."""

    anchor: str
    offset: tuple[float, float, float]


Limb = Angles | Reach

LEG_LIMITS = np.array([[-30, -12, -65, 0], [125, 55, 35, 145]], float)
ARM_LIMITS = np.array([[-50, -2, -60, 4], [170, 160, 80, 145]], float)


@dataclass(frozen=True)
class Posture:
    """A posture, independent of the size of the body. Limbs are (right, left); angles are in degrees.

    `hip_height` is in leg lengths. `lean` tips the pelvis forward, `roll` tips it to the right. `spine` and `neck` are
    (bend forward, bend right, turn left).
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
    """One instant of a gait cycle. A free arm (None) swings opposite to the leg on its side."""
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


# Action number: stances, and targets of both hands ("swing": the arm swings with the gait).
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
    """A random posture of an action of Human3.6M (2 to 16), mirrored at random."""
    stances, hands = ACTIONS[action]
    stance = stances[rng.integers(len(stances))]
    names = hands[rng.integers(len(hands))].split()
    posture = stance(rng, tuple(_hand(rng, name) for name in names))
    return posture.mirrored() if rng.random() < 0.5 else posture
