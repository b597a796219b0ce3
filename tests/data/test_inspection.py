"""Tests of what an inspection of records reports besides damage."""

import re

import numpy as np
import pytest

from pose_tf.data import records
from pose_tf.data.inspection import format_inspection, inspect, joints_outside, problems


def test_it_reports_how_subjects_and_actions_lie_in_the_files(make_sample, tmp_path):
    """Each video is a file, so a shuffle has to mix videos."""
    for number in range(4):
        samples = [make_sample(number) | {"subject": 1 + number % 2, "action": 2 + number} for _ in range(3)]
        records.write(f"{tmp_path}/h36/{number}.tfrecord", samples, records.H36M)
    found = inspect(str(tmp_path))
    assert found.in_files == [(1, 1)] * 4
    assert "4 files; on average, one holds 1.0 of 2 subjects and 1.0 of 4 actions" in format_inspection(found)
    assert not found.faults


def test_records_in_meters_are_a_fault_although_they_project(make_sample, tmp_path):
    samples = [make_sample(number) for number in range(3)]
    for sample in samples:
        sample["pose3d"] = np.float32(sample["pose3d"] / 1000)
    records.write(f"{tmp_path}/h36/a.tfrecord", samples, records.H36M)
    (fault,) = inspect(str(tmp_path)).faults
    assert fault.startswith(f"{tmp_path}/h36: 'pose3d' must be in millimeters") and fault.endswith("are these meters?")


def test_consistent_samples_have_no_problems(make_sample):
    assert [problems(make_sample(number)) for number in range(20)] == [[]] * 20


HUMAN36M_LENS = (-0.2083, 0.2555, -0.0025, -0.00076, -0.00161)  # of camera 54138969: k1, k2, k3, p1, p2


def seen_through_a_lens(sample, offset, lens=HUMAN36M_LENS):
    """The sample, moved by `offset` mm and projected by a camera of Human3.6M (the camera model of that dataset)."""
    pose3d = sample["pose3d"].astype(float) * [0.7, 0.7, 1] + offset
    fx, cx, fy, cy = sample["intrinsics"][0].astype(float)
    x, y = (pose3d[:, :2] / pose3d[:, 2:]).T
    k1, k2, k3, p1, p2 = lens
    r2 = x**2 + y**2
    bend = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + p1 * y + p2 * x
    pose2d = np.stack([fx * (x * bend + p2 * r2) + cx, fy * (y * bend + p1 * r2) + cy], axis=-1)
    return sample | {
        "pose3d": np.float32(pose3d),
        "pose2d": np.float32(pose2d),
        "pose2d_crop": np.float32((pose2d - sample["offset"]) * sample["scale"]),
    }


@pytest.mark.parametrize("offset", [(0, 0, 0), (900, 0, 0), (-1100, 300, 500), (1000, -700, 0), (0, 900, 0)])
def test_the_distortion_of_human36m_is_no_problem(make_sample, offset):
    for number in range(10):
        sample = seen_through_a_lens(make_sample(number), offset)
        assert problems(sample) == []
    assert np.abs(sample["pose2d"] - seen_through_a_lens(sample, 0, (0,) * 5)["pose2d"]).max() > 0.5


def test_what_no_lens_explains_is_a_problem(make_sample):
    rng = np.random.default_rng(0)
    for number in range(10):
        for offset in ((0, 0, 0), (900, 300, 0)):
            good = seen_through_a_lens(make_sample(number), offset)
            joint, swapped = good["pose2d"].copy(), good["pose2d"].copy()
            joint[number] += rng.choice([-4, 4], 2)
            swapped[[2, 5]] = swapped[[5, 2]]
            for pose2d in (joint, swapped, good["pose2d"] + [3, 0], good["pose2d"] + rng.uniform(-4, 4, (17, 2))):
                crop = (pose2d - good["offset"]) * good["scale"]
                bad = good | {"pose2d": np.float32(pose2d), "pose2d_crop": np.float32(crop)}
                (problem,) = problems(bad)
                assert re.fullmatch(r"pose3d projects \d+\.\d\d px away from pose2d", problem)


@pytest.mark.parametrize(
    ("key", "shift", "expected"),
    [
        ("pose2d_crop", 3.25, ["pose2d crops to 3.25 px away from pose2d_crop"]),
        ("pose2d_crop", -0.9, []),
        ("intrinsics", (0, -7.5, 0, 0), ["pose3d projects 7.50 px away from pose2d"]),
        ("intrinsics", (0, 0, 0, 0.9), []),
        ("intrinsics_univ", 100, []),
        ("pose3d", (0, 0, -9000), ["pose3d has joints behind the camera"]),
    ],
)
def test_problems_name_the_step_that_does_not_fit(make_sample, key, shift, expected):
    sample = make_sample(0)
    sample[key] = np.float32(sample[key] + np.asarray(shift))
    assert problems(sample) == expected


def test_problems_finds_one_wrong_joint_and_the_order_of_the_intrinsics(make_sample):
    sample = make_sample(0)
    sample["pose2d"][11, 1] += 40
    first, second = problems(sample)
    assert re.fullmatch(r"pose3d projects (39\.9|40\.0)\d px away from pose2d", first)
    assert re.fullmatch(r"pose2d crops to \d+\.\d\d px away from pose2d_crop", second)
    sample = make_sample(0)
    sample["intrinsics"] = sample["intrinsics"][:, [0, 2, 1, 3]]  # fx, fy, cx, cy
    assert re.fullmatch(r"pose3d projects \d+\.\d\d px away from pose2d", problems(sample)[0])


@pytest.mark.parametrize(
    ("joints", "expected"),
    [
        ([], 0),
        ([(-0.4, 100), (100, 255.4)], 0),
        ([(-0.6, 100)], 1),
        ([(100, 255.6), (300, 300), (-1, 3)], 3),
        ([(3, 255.6)] * 17, 17),
    ],
)
def test_joints_outside(joints, expected):
    pose = np.full((17, 2), 128, np.float32)
    pose[: len(joints)] = np.reshape(joints, (-1, 2))
    assert joints_outside({"pose2d_crop": pose}) == expected
