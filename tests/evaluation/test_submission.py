"""Tests of the submission file: its header, its numbers, and that it is complete or not there."""

import csv
import gzip

import numpy as np
import pytest

from pose_tf import files
from pose_tf.evaluation.submission import write_submission


@pytest.fixture
def pose3d(rng):
    return rng.normal(0, 300, (3, 17, 3)) + [100, -200, 4000]


def rows_of(data):
    return list(csv.reader(data.decode().splitlines()))


def test_a_row_has_an_id_and_51_millimeters_relative_to_the_hip(pose3d, tmp_path):
    write_submission(f"{tmp_path}/submission.csv.gz", pose3d)
    header, *rows = rows_of(gzip.decompress((tmp_path / "submission.csv.gz").read_bytes()))
    assert header[:7] == ["Id", "Hip_x", "Hip_y", "Hip_z", "RHip_x", "RHip_y", "RHip_z"]
    assert header[-3:] == ["RWrist_x", "RWrist_y", "RWrist_z"] and len(header) == 52
    assert [row[0] for row in rows] == ["1", "2", "3"]
    for row, pose in zip(rows, pose3d, strict=True):
        assert row[1:4] == ["0.0000"] * 3
        np.testing.assert_allclose(np.float64(row[1:]).reshape(17, 3), pose - pose[0], atol=5.1e-5)


def test_a_name_without_gz_gives_the_same_uncompressed(pose3d, tmp_path):
    for name in ("a.csv.gz", "a.csv"):
        write_submission(f"{tmp_path}/{name}", pose3d)
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == (tmp_path / "a.csv").read_bytes()


def test_the_same_poses_give_the_same_bytes(pose3d, tmp_path, monkeypatch):
    write_submission(f"{tmp_path}/a.csv.gz", pose3d)
    monkeypatch.setattr("time.time", lambda: 2e9)  # gzip files usually hold the time
    write_submission(f"{tmp_path}/b.csv.gz", pose3d)
    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


def test_a_file_that_cannot_be_completed_leaves_the_one_before(pose3d, tmp_path, monkeypatch):
    write_submission(f"{tmp_path}/a.csv", pose3d)
    before = (tmp_path / "a.csv").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(files.UserError, match="a.csv cannot be written: No space left on device"):
        write_submission(f"{tmp_path}/a.csv", pose3d + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_bytes() == before
