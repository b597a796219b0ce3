"""The bodies of the synthetic people: joints, sizes, and posed figures.

The world frame is in mm. For a person with heading 0, x points right and y forward; z points up, the floor is z = 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pose_tf.skeleton import H36M

HIP, SPINE, THORAX, NOSE, HEAD = map(H36M.index, ("Hip", "Spine", "Thorax", "Neck/Nose", "Head"))
HIPS, KNEES, ANKLES, SHOULDERS, ELBOWS, WRISTS = (  # Right, left.
    (H36M.index("R" + joint), H36M.index("L" + joint))
    for joint in ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist")
)
SIDES = (1.0, -1.0)  # Right, left: the sign of x in the body's frames.


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


class Figure(NamedTuple):
    """A posed body in any frame, in mm. The frames of its parts have the columns right, forward, up.

    Attributes:
        joints: [17, 3].
        pelvis, chest, head: [3, 3] frames.
        feet: [2, 3, 3] frames, right foot first.
        seat: height above the floor of the surface under the hips, or None for a person on their legs.
    """

    joints: np.ndarray
    pelvis: np.ndarray
    chest: np.ndarray
    head: np.ndarray
    feet: np.ndarray
    seat: float | None

    def moved(self, rotation: np.ndarray, translation: np.ndarray) -> Figure:
        """The figure, transformed by x -> rotation @ x + translation."""
        return Figure(
            self.joints @ rotation.T + translation,
            rotation @ self.pelvis,
            rotation @ self.chest,
            rotation @ self.head,
            rotation @ self.feet,
            self.seat,
        )


def make_body(rng: np.random.Generator, subject: int) -> Body:
    """A body of a subject. The subject determines the proportions; size and girth vary by 2 and 5 %."""
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
