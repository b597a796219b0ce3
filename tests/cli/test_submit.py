"""Tests of `pose-tf submit`."""

import json
import shutil

import numpy as np

from pose_tf.data import records


def test_a_truncated_test_set_leaves_no_submission(fails, sample_data, detector, lifter, tmp_path):
    cut = tmp_path / "cut.tfrecords"
    data = (sample_data / "test_set.tfrecords").read_bytes()
    cut.write_bytes(data[: len(data) * 2 // 3])
    models = (f"--detector={detector}", f"--lifter={lifter}")
    message = fails("submit", *models, f"--records={cut}", f"--output={tmp_path}/submission.csv.gz")
    assert "cut.tfrecords record " in message
    assert [path.name for path in tmp_path.iterdir()] == ["cut.tfrecords"]


def test_lines_follow_the_records_whatever_the_batches(run_tool, sample_data, sharp_detector, lifter, tmp_path):
    samples = list(records.read(f"{sample_data}/test_set.tfrecords", records.H36M_TEST))
    records.write(f"{tmp_path}/reversed.tfrecords", samples[::-1], records.H36M_TEST)
    models = (f"--detector={sharp_detector}", f"--lifter={lifter}")
    done = run_tool("submit", *models, f"--records={sample_data}/test_set.tfrecords", f"--output={tmp_path}/a.csv")
    assert f"6 poses in {tmp_path}/a.csv\n" in done.stdout
    flags = (f"--records={tmp_path}/reversed.tfrecords", f"--output={tmp_path}/b.csv.gz", "--batch_size=4")
    run_tool("submit", *models, *flags)
    forward, backward = (np.loadtxt(tmp_path / name, delimiter=",", skiprows=1) for name in ("a.csv", "b.csv.gz"))
    np.testing.assert_array_equal(backward[:, 0], [1, 2, 3, 4, 5, 6])
    np.testing.assert_allclose(backward[::-1, 1:], forward[:, 1:], atol=0.01)
    assert np.abs(forward[1:, 1:] - forward[:-1, 1:]).max(axis=1).min() > 0.1
    np.testing.assert_array_equal(forward[:, 1:4], 0)  # the hip


def test_the_name_of_the_file_is_checked_before_anything_is_read(fails):
    flags = ("--detector=nowhere", "--lifter=nowhere", "--records=nowhere")
    message = fails("submit", *flags, "--output=poses.txt")
    assert message == "error: --output=poses.txt must end in .csv.gz or .csv"


def test_a_test_set_without_records_is_named(fails, detector, lifter, tmp_path):
    records.write(f"{tmp_path}/empty.tfrecords", [], records.H36M_TEST)
    flags = (f"--detector={detector}", f"--lifter={lifter}", f"--records={tmp_path}/empty.tfrecords")
    assert f"{tmp_path}/empty.tfrecords holds no records" in fails("submit", *flags, f"--output={tmp_path}/a.csv")
    assert not (tmp_path / "a.csv").exists()


def test_poses_of_another_frame_are_brought_to_the_cameras(run_tool, sample_data, sharp_detector, lifter, tmp_path):
    """The same lifter, once declared to predict in the frame of the line of sight: its poses are turned about the
    camera by the direction of the hip, so that each joint has the same distance from the hip as before."""
    shutil.copytree(lifter, tmp_path / "sight")
    statistics = json.loads((tmp_path / "sight/statistics.json").read_text())
    (tmp_path / "sight/statistics.json").write_text(json.dumps(statistics | {"frame": "sight"}))
    tables = []
    for run in (lifter, tmp_path / "sight"):
        models = (f"--detector={sharp_detector}", f"--lifter={run}", f"--output={tmp_path}/a.csv")
        run_tool("submit", *models, f"--records={sample_data}/test_set.tfrecords")
        tables.append(np.loadtxt(tmp_path / "a.csv", delimiter=",", skiprows=1)[:, 1:].reshape(-1, 17, 3))
    camera, sight = tables
    np.testing.assert_allclose(np.linalg.norm(sight, axis=-1), np.linalg.norm(camera, axis=-1), atol=0.01)
    for sample, one, other in zip(records.read(f"{sample_data}/test_set.tfrecords", records.H36M_TEST), camera, sight):
        u, _, vt = np.linalg.svd(one.T @ other)
        axis = vt.T @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ u.T @ [0, 0, 1]  # where the line of sight points
        fx, cx, fy, cy = sample["intrinsics"][0]
        x, y = sample["offset"] + 128 / sample["scale"]  # the hip is near the middle of the crop
        expected = np.array([(x - cx) / fx, (y - cy) / fy, 1])
        expected /= np.linalg.norm(expected)
        assert np.degrees(np.arccos(axis @ expected)) < 2
