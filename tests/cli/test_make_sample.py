"""Tests of `pose-tf make-sample`."""

import numpy as np

from pose_tf import skeleton
from pose_tf.data import records


def test_sample_data_is_the_same_for_the_same_seed(run_tool, sample_data, tmp_path):
    run_tool("make_sample_data", f"--output_dir={tmp_path}", "--num_train=40", "--num_test=6", "--num_poses=60")
    files = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    others = sorted(path.relative_to(sample_data) for path in sample_data.rglob("*") if path.is_file())
    assert files == [file for file in others if ".pose_tf" not in file.parts]  # which another test may have made
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


def test_another_seed_gives_other_images_and_poses(run_tool, tmp_path):
    for seed in (0, 1):
        flags = (f"--output_dir={tmp_path}/{seed}", "--num_train=1", "--num_test=1", "--num_poses=2", f"--seed={seed}")
        done = run_tool("make_sample_data", *flags)
        assert f"1 training and 1 test images in {tmp_path}/{seed}\n" in done.stdout
    poses, images = [], []
    for seed in "01":
        with np.load(tmp_path / seed / "poses.npz") as file:
            poses.append(file["pose3d"])
        (sample,) = records.read(f"{tmp_path}/{seed}/test_set.tfrecords", records.H36M_TEST)
        images.append(sample["image"])
    assert poses[0].shape == poses[1].shape == (2, 17, 3)
    assert np.abs(poses[0] - poses[1]).max() > 10
    assert (images[0] != images[1]).any()


def test_each_part_has_at_least_one_sample(fails, tmp_path):
    for name in ("num_train", "num_test", "num_poses"):
        assert f"--{name}=0" in fails("make_sample_data", f"--output_dir={tmp_path}/data", f"--{name}=0")
    assert not (tmp_path / "data").exists()
