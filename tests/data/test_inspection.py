"""What an inspection of records reports beside damage."""

import numpy as np

from pose_tf.data import records
from pose_tf.data.inspection import format_inspection, inspect


def test_it_reports_how_subjects_and_actions_lie_in_the_files(make_sample, tmp_path):
    """Videos, each a file, are what a shuffle has to mix."""
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
