"""Tests of the comparison with the SavedModel: literal differences, and what they lead to."""

import numpy as np
import pytest

from pose_tf.errors import UserError
from pose_tf.export.comparison import LIMITS, Limits, check, compare, describe
from pose_tf.export.examples import Examples
from pose_tf.geometry import UNLABELED_PX
from pose_tf.skeleton import H36M

LSHOULDER, RHIP = H36M.index("LShoulder"), H36M.index("RHip")


def poses(count):
    pose2d = np.tile(np.linspace(60, 190, 17, dtype=np.float32)[:, None], (count, 1, 2))
    return {"pose2d": pose2d, "pose3d": np.zeros((count, 17, 3)), "confidence": np.ones((count, 17))}


def examples(pose2d):
    return Examples(np.zeros((len(pose2d), 1, 1, 3), np.uint8), pose2d, "records of h36")


def test_differences_are_mean_distances():
    found, expected = poses(2), poses(2)
    found["pose2d"][0, 0] += (3, 4)
    found["pose3d"][1, :, 1] += 34
    found["confidence"][1] -= 0.5
    figures = compare(found, expected, examples(np.full((2, 17, 2), UNLABELED_PX, np.float32)), H36M)
    assert figures == {
        "crops": 2,
        "of": "records of h36",
        "pose2d_px": pytest.approx(5 / 34, rel=1e-5),
        "pose2d_px_median": 0,
        "pose3d_mm": pytest.approx(17),
        "confidence": 0.25,
    }


def test_pck_is_compared_on_labeled_joints():
    """The torso has the length of the diagonal from the right hip to the left shoulder, a fifth of which is allowed."""
    truth = poses(100)["pose2d"]
    allowed = 0.2 * np.linalg.norm(truth[0, LSHOULDER] - truth[0, RHIP])
    found, expected = poses(100), poses(100)
    found["pose2d"][:50, 3, 0] += 1.01 * allowed
    expected["pose2d"][:50, 3, 0] += 0.99 * allowed
    figures = compare(found, expected, examples(np.float32(truth)), H36M)
    assert figures["pck2d_of_saved_model"] == 100
    assert figures["pck2d"] == pytest.approx(100 - 50 / 17, abs=0.01)
    assert figures["pck2d_lost"] == pytest.approx(50 / 17, abs=0.01)
    assert describe(figures).endswith("PCK 97.1 % instead of 100.0 % (100 records of h36)")
    assert "pck2d" not in compare(poses(99), poses(99), examples(np.float32(truth[:99])), H36M)


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (
            {"pose2d_px": 2.01},
            "its 2D joints are 2.01 px from those of the SavedModel on average over 9 crops, more than 2",
        ),
        ({"pose3d_mm": 30.04}, "its 3D joints are 30.0 mm from"),
        ({"pck2d_lost": 1.5}, "it loses 1.50 points of PCK over 9 crops, more than 1"),
        ({"pose2d_px": np.nan}, "nan px"),
    ],
)
def test_what_is_too_far_is_refused_with_its_figure(figures, words):
    close = {"crops": 9, "pose2d_px": 0.1, "pose3d_mm": 2.0, "pck2d_lost": -1.0}
    check(close, LIMITS["int8"])
    with pytest.raises(UserError, match=words):
        check(close | figures, LIMITS["int8"])


def test_more_precision_has_narrower_limits():
    assert LIMITS["float32"] == Limits(0.1, 1.0, 0.1)
    for precise, coarse in (("float32", "float16"), ("float16", "int8")):
        assert LIMITS[precise].pose2d_px < LIMITS[coarse].pose2d_px
        assert LIMITS[precise].pose3d_mm < LIMITS[coarse].pose3d_mm
