"""Tests of the reports for people: each number in its row and column, and pictures in their order."""

import numpy as np
import pytest

from pose_tf.evaluation.report import format_report, preview
from pose_tf.skeleton import H36M


def errors(mpjpe):
    """A part's errors: 3D metrics that can be told apart."""
    shares = {"pck3d": mpjpe / 100, "auc3d": mpjpe / 200}
    bones = {"bone_length_error": mpjpe / 5, "bone_symmetry_error": mpjpe / 10}
    return {"mpjpe": mpjpe, "pa_mpjpe": mpjpe / 2, "n_mpjpe": mpjpe / 4, **shares, **bones}


def part(mpjpe):
    return {
        "total": errors(mpjpe),
        "action_mean": errors(mpjpe + 1),
        "actions": {"Walking": errors(mpjpe + 2), "Eating": errors(mpjpe + 3)},
        "joints": {name: {"mpjpe": mpjpe + i, "pa_mpjpe": mpjpe + i / 2} for i, name in enumerate(H36M.joints)},
    }


@pytest.fixture
def report():
    pixels = {"pixel_error": 4.5678, "pixel_error_median": 3.25, "pck2d": 0.875, "pckh": 0.75, "pck2d_limbs": 0.7}
    shares = {joint: i / 100 for i, joint in enumerate(H36M.joints)} | {"LElbow": None, "LFoot": None, "RFoot": None}
    return {
        "samples": 7,
        "subjects": [9, 11],
        "pose2d": {"total": pixels, "joints": {}, "pck2d_joints": shares, "joints_outside": 5},
        "detected_2d": part(60),
        "true_2d": part(40),
        "mean_pose": part(20),
    }


def test_the_table_has_every_error_in_its_place(report):
    lines = format_report(report).splitlines()
    assert lines[0] == "7 samples of subject 9, 11"
    assert lines[2] == (
        "2D joints: mean error 4.57 px, median 3.25 px, PCK@0.2 torso 87.5 %, PCKh@0.5 75.0 % "
        "(without 5 joints outside the crop)"
    )
    assert lines[4].split() == ["limbs", "hip", "knee", "ankle", "shoulder", "elbow", "wrist"]
    assert lines[5].split() == ["PCK@0.2", "torso", "70.0%", "2.5%", "3.5%", "-", "12.5%", "15.0%", "14.5%"]
    lines = lines[3:]
    assert lines[4].split() == ["MPJPE", "PA-MPJPE", "N-MPJPE", "PCK@150mm", "AUC", "bones", "left/right"]
    assert lines[5].split() == ["detected", "2D", "60.00", "30.00", "15.00", "60.0%", "30.0%", "12.00", "6.00"]
    assert lines[6].split() == [
        "mean",
        "of",
        "the",
        "actions",
        "61.00",
        "30.50",
        "15.25",
        "61.0%",
        "30.5%",
        "12.20",
        "6.10",
    ]
    assert lines[7].split() == ["Walking", "62.00", "31.00", "15.50", "62.0%", "31.0%", "12.40", "6.20"]
    assert lines[8].split() == ["Eating", "63.00", "31.50", "15.75", "63.0%", "31.5%", "12.60", "6.30"]
    assert lines[9] == ""
    assert len({len(line) for line in lines[4:9]}) == 1, "the columns are not aligned"


def test_the_baseline_has_no_rows_of_actions_and_joints_are_those_of_the_first_part(report):
    text = format_report(report)
    assert text.count("Walking") == text.count("Eating") == 2
    assert text.count("mean of the actions") == 3
    joints = text.splitlines()[-18:]
    assert joints[0].split() == ["joint", "(detected", "2D)", "MPJPE", "PA-MPJPE"]
    assert joints[1].split() == ["Hip", "60.00", "60.00"]
    assert joints[17].split() == ["RWrist", "76.00", "68.00"]


def test_a_lifter_alone_has_its_own_parts_only(report):
    del report["pose2d"], report["detected_2d"]
    text = format_report(report)
    assert "detected 2D" not in text and "2D joints" not in text
    assert "joint (true 2D)" in text and "mean training pose" in text


def test_a_preview_has_a_row_per_sample_with_prediction_and_truth(rng):
    """A sample whose prediction equals the truth shows one skeleton in the image; another one shows two."""
    truth = rng.uniform(60, 200, (3, 17, 2)).astype(np.float32)
    pose3d = rng.normal(0, 300, (3, 17, 3)).astype(np.float32)
    arrays = {
        "image": np.full((3, 256, 256, 3), (50, 100, 150), np.uint8),
        "pose2d": truth.copy(),
        "pose3d": pose3d,
        "true_pose2d_crop": truth,
        "true_pose3d": pose3d,
    }
    sheet = preview(arrays)
    arrays["pose2d"][1] += 20
    other = preview(arrays)
    assert sheet.dtype == np.uint8 and sheet.shape == other.shape
    height = sheet.shape[0] // 3
    assert height >= 256 and sheet.shape[1] > 3 * 256
    changed = (sheet != other).any(axis=(1, 2))
    rows = np.flatnonzero(changed)
    assert height <= rows.min() < rows.max() < 2 * height
    for i in range(3):
        assert (sheet[i * height : (i + 1) * height] == (50, 100, 150)).all(axis=-1).sum() > 0.3 * 256**2
