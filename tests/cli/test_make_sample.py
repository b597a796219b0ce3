"""Tests of `pose-tf make-sample`."""

import numpy as np

from pose_tf import skeleton
from pose_tf.data import records


def test_sample_data_is_the_same_for_the_same_seed(run_tool, sample_data, tmp_path):
    run_tool("make_sample_data", f"--output_dir={tmp_path}", "--num_train=40", "--num_test=6", "--num_poses=60")
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    others = sorted(path.relative_to(sample_data) for path in sample_data.rglob("*") if path.is_file())
    assert files == [file for file in others if file.parts[0] != ".pose_tf"]  # which another test may have made
    for file in files:
        assert (tmp_path / file).read_bytes() == (sample_data / file).read_bytes()


def test_pose_files_hold_poses_of_the_training_subjects_that_have_no_image(sample_data):
    with np.load(sample_data / "poses.npz") as poses:
        subjects, counts = np.unique(poses["subject"], return_counts=True)
        pose3d, action = poses["pose3d"], poses["action"]
    assert dict(zip(subjects, counts)) == {1: 12, 5: 12, 6: 12, 7: 12, 8: 12}
    assert set(action) <= set(skeleton.ACTIONS)
    for path in sample_data.rglob("h36/*"):
        pose3d = np.concatenate([pose3d, [sample["pose3d"] for sample in records.read(str(path), records.H36M)]])
    assert len(np.unique(pose3d, axis=0)) == len(pose3d) == 60 + 40 + 6
