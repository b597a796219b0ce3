"""Compares the poses of a converted model with those of the SavedModel."""

import dataclasses

import numpy as np

from pose_tf import metrics
from pose_tf.errors import UserError
from pose_tf.evaluation.evaluator import report_2d
from pose_tf.export.examples import Examples
from pose_tf.skeleton import Skeleton

FEWEST_FOR_PCK = 100
"""PCK of fewer crops than that is not compared: a few joints would decide."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How far a converted model may be from the SavedModel.

    Attributes:
        pose2d_px: mean distance of the 2D joints.
        pose3d_mm: mean distance of the 3D joints.
        pck2d_lost: percent of PCK@0.2 of the labeled 2D joints.
    """

    pose2d_px: float
    pose3d_mm: float
    pck2d_lost: float


LIMITS = {
    "float32": Limits(pose2d_px=0.1, pose3d_mm=1.0, pck2d_lost=0.1),
    "float16": Limits(pose2d_px=0.5, pose3d_mm=5.0, pck2d_lost=0.5),
    "int8": Limits(pose2d_px=2.0, pose3d_mm=25.0, pck2d_lost=1.0),
}
"""By precision. The starter's are a third to a half of them."""
NAMES = {
    "pose2d_px": "its 2D joints are {:.2f} px from those of the SavedModel on average",
    "pose3d_mm": "its 3D joints are {:.1f} mm from those of the SavedModel on average",
    "pck2d_lost": "it loses {:.2f} points of PCK",
}


def compare(found: dict, expected: dict, examples: Examples, skeleton: Skeleton) -> dict:
    """The differences of two models on the same crops, for the model card.

    Args:
        found: {"pose2d": [N, J, 2] px, "pose3d": [N, J, 3] mm, "confidence": [N, J]} of the converted model.
        expected: the same of the SavedModel.
        examples: the crops with their labels.
        skeleton: of the poses.

    Returns:
        {"crops": N; "of": what they are; "pose2d_px", "pose3d_mm": mean distance of the joints; "pose2d_px_median";
        "confidence": mean difference}; and, of at least `FEWEST_FOR_PCK` labeled crops, "pck2d" and
        "pck2d_of_saved_model", PCK@0.2 in percent, and "pck2d_lost", their difference.
    """

    def distance(key):
        return np.linalg.norm(found[key] - expected[key], axis=-1)

    figures = {
        "crops": len(examples),
        "of": examples.origin,
        "pose2d_px": float(distance("pose2d").mean()),
        "pose2d_px_median": float(np.median(distance("pose2d"))),
        "pose3d_mm": float(distance("pose3d").mean()),
        "confidence": float(np.abs(found["confidence"] - expected["confidence"]).mean()),
    }
    if len(examples) >= FEWEST_FOR_PCK and metrics.can_measure("pck2d", skeleton):
        own, other = (
            report_2d(poses["pose2d"], examples.pose2d, ("pck2d",), skeleton)["total"]["pck2d"]
            for poses in (found, expected)
        )
        if own is not None:
            figures |= {"pck2d": 100 * own, "pck2d_of_saved_model": 100 * other, "pck2d_lost": 100 * (other - own)}
    return figures


def check(figures: dict, limits: Limits) -> None:
    """Refuses a converted model that is too far from the SavedModel.

    Raises:
        UserError: says by how much.
    """
    for name, limit in dataclasses.asdict(limits).items():
        value = figures.get(name, 0.0)
        if not value <= limit:  # NaN is too far
            raise UserError(f"{NAMES[name].format(value)} over {figures['crops']} crops, more than {limit:g}")


def describe(figures: dict) -> str:
    """The figures in one line."""
    pck = ", PCK {pck2d:.1f} % instead of {pck2d_of_saved_model:.1f} %".format(**figures) if "pck2d" in figures else ""
    return "{pose2d_px:.2f} px, {pose3d_mm:.1f} mm from the SavedModel{} ({crops} {of})".format(pck, **figures)
