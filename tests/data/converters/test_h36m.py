"""Tests of the conversion of Human3.6M's original files."""

import numpy as np
import pytest

from pose_tf.data.converters import convert
from pose_tf.data.converters.actions import action_numbers
from pose_tf.data.poses import read_pose_file
from tests.data.converters.layouts import (
    KEPT_OF_32,
    around_joints,
    gray_of,
    in_crop,
    people_before_camera,
    pinhole,
    write_cdf,
    write_h36m,
    write_video,
)

INTRINSICS = (73.0, 31.5, 72.0, 33.0)
UNIV = (60.0, 31.5, 59.0, 33.0)
GRAYS = [30, 60, 90, 120, 150, 180]
FOLDERS = pytest.mark.parametrize("folders", ["MyPoseFeatures/{}", "{}", "Poses_{}"])


class Recording:
    """One action as one camera sees it."""

    def __init__(self, number, frames=6):
        self.pose3d = np.float32(people_before_camera(np.random.default_rng(number), frames, 32))
        self.pose2d = pinhole(np.float64(self.pose3d), INTRINSICS)
        self.univ = self.pose3d * np.float32([73 / 60, 72 / 59, 1])  # as if seen by the camera UNIV

    def write(self, root, subject, name, with_univ=True, **more):
        write_h36m(root, subject, name, self.pose2d, self.pose3d, self.univ if with_univ else None, **more)


def options(root, images=None, every=1):
    return {"annotations": str(root), "images": images and str(images), "every": every}


@FOLDERS
def test_frames_of_a_video_become_records_in_order(tmp_path, converted, folders):
    one = Recording(1)
    one.write(tmp_path / "poses", "S9", "Directions 1.54138969", folders=folders)
    write_video(tmp_path / "images" / "S9" / "Videos" / "Directions 1.54138969.mp4", GRAYS)
    samples, left_out = converted("h36m", **options(tmp_path / "poses", tmp_path / "images"))
    assert not left_out
    np.testing.assert_allclose([gray_of(sample) for sample in samples], GRAYS, atol=4)
    for i, sample in enumerate(samples):
        assert (sample["subject"], sample["action"], sample["subaction"], sample["camera"]) == (9, 2, 1, 54138969)
        assert sample["framd_id"] == i
        pose2d = one.pose2d[i, KEPT_OF_32]
        np.testing.assert_allclose(sample["pose3d"], one.pose3d[i, KEPT_OF_32], atol=1e-3)
        np.testing.assert_allclose(sample["pose3d_univ"], one.univ[i, KEPT_OF_32], atol=1e-3)
        np.testing.assert_allclose(sample["pose2d"], pose2d, atol=1e-3)
        np.testing.assert_allclose(sample["pose2d_crop"], in_crop(pose2d, around_joints(pose2d)), atol=0.01)
        np.testing.assert_allclose(sample["intrinsics"], [INTRINSICS], atol=1e-3)
        np.testing.assert_allclose(sample["intrinsics_univ"], [UNIV], atol=1e-3)
        np.testing.assert_allclose((pose2d - sample["offset"]) * sample["scale"], sample["pose2d_crop"], atol=0.01)


def test_colors_of_videos_are_kept(tmp_path, converted):
    Recording(1, frames=2).write(tmp_path, "S1", "Walking.54138969")
    write_video(tmp_path / "S1" / "Videos" / "Walking.54138969.mp4", [(30, 90, 200), (200, 90, 30)])
    samples, _ = converted("h36m", **options(tmp_path, tmp_path))
    colors = [sample["image"][118:138, 118:138].mean(axis=(0, 1)) for sample in samples]
    np.testing.assert_allclose(colors, [(200, 90, 30), (30, 90, 200)], atol=8)


def test_one_frame_out_of_several_is_taken(tmp_path, converted):
    one = Recording(1)
    one.write(tmp_path, "S1", "Walking.60457274")
    write_video(tmp_path / "S1" / "Videos" / "Walking.60457274.mp4", GRAYS)
    samples, _ = converted("h36m", **options(tmp_path, tmp_path, every=4))
    np.testing.assert_allclose([gray_of(sample) for sample in samples], [GRAYS[0], GRAYS[4]], atol=4)
    assert [sample["framd_id"] for sample in samples] == [0, 4]
    np.testing.assert_allclose(samples[1]["pose3d"], one.pose3d[4, KEPT_OF_32], atol=1e-3)


def test_what_the_videos_lack_is_counted(tmp_path, converted):
    for number, name in enumerate(["Eating", "Eating 2", "Sitting", "Posing"]):
        Recording(number).write(tmp_path, "S5", f"{name}.55011271", with_univ=False)
    (tmp_path / "S5/MyPoseFeatures/D2_Positions/Sitting.55011271.cdf").unlink()
    Recording(8).write(tmp_path, "S5", "_ALL 1.55011271")
    write_video(tmp_path / "S5" / "Videos" / "Eating.55011271.mp4", GRAYS[:4])
    write_video(tmp_path / "S5" / "Videos" / "Posing.55011271.mp4", GRAYS)
    video = tmp_path / "S5" / "Videos" / "Posing.55011271.mp4"
    video.write_bytes(b"no video")
    samples, left_out = converted("h36m", **options(tmp_path, tmp_path))
    assert left_out == {
        "frame missing in its video": 8,
        "video missing": 6,
        "frames without 2D joints": 6,
        "frames of other actions": 6,
    }
    assert [sample["framd_id"] for sample in samples] == [0, 1, 2, 3]
    np.testing.assert_array_equal(samples[0]["pose3d_univ"], samples[0]["pose3d"])
    np.testing.assert_array_equal(samples[0]["intrinsics_univ"], samples[0]["intrinsics"])


@pytest.mark.parametrize(
    ("name", "action"),
    [("Directions 2", 2), ("SittingDown", 10), ("Sitting Down 1", 10), ("TakingPhoto 1", 12), ("Photo", 12)]
    + [("WalkDog 1", 15), ("WalkingDog", 15), ("WalkTogether 1", 16), ("WalkingTogether", 16), ("Waiting 2", 13)],
)
def test_without_images_it_is_a_pose_file(tmp_path, output, name, action):
    one, other = Recording(1), Recording(2, frames=3)
    one.write(tmp_path / "in", "S1", f"{name}.54138969")
    other.write(tmp_path / "in", "S11", f"{name}.60457274")
    path, count, left_out = convert("h36m", str(output), name="poses", **options(tmp_path / "in"))
    assert path == str(output / "poses.npz") and count == 9 and not left_out
    poses = read_pose_file(path)
    assert poses.subject.tolist() == [1] * 6 + [11] * 3 and set(poses.action) == {action}
    assert poses.detected is None
    pose3d = np.concatenate([one.pose3d, other.pose3d])[:, KEPT_OF_32]
    np.testing.assert_allclose(poses.pose3d, pose3d, atol=1e-3)
    expected = [in_crop(pose, around_joints(pose)) for pose in one.pose2d[:, KEPT_OF_32]]
    np.testing.assert_allclose(poses.pose2d_crop[:6], expected, atol=0.01)


@pytest.mark.parametrize("majority", ["row_major", "column_major"])
def test_both_orders_of_cdf_files_are_read(tmp_path, output, majority):
    one = Recording(1)
    for kind, pose in (("D2_Positions", one.pose2d), ("D3_Positions_mono", one.pose3d)):
        write_cdf(tmp_path / "S1" / kind / "Walking.54138969.cdf", pose, majority)
    path, _, _ = convert("h36m", str(output), **options(tmp_path))
    np.testing.assert_allclose(read_pose_file(path).pose3d, one.pose3d[:, KEPT_OF_32], atol=1e-3)


# ------------------------------------------------------------------------------------------------------- damaged files


def replaced(kind, change):
    """Replaces the poses of a kind."""

    def run(folder, one):
        pose = one.pose2d if kind == "D2_Positions" else one.pose3d
        write_cdf(folder / kind / "Walking.54138969.cdf", change(pose.copy()))

    return run


def with_nan(pose):
    pose[2, 1, 0] = np.nan
    return pose


FAULTS = {
    "NaN": replaced("D3_Positions_mono", with_nan),
    "NaN in 2D": replaced("D2_Positions", with_nan),
    "3D joints in place of 2D": replaced("D2_Positions", lambda pose: np.concatenate([pose, pose[..., :1]], axis=-1)),
    "2D joints in place of 3D": replaced("D3_Positions_mono", lambda pose: pose[..., :2]),
    "17 joints": replaced("D3_Positions_mono", lambda pose: pose[:, :17]),
    "other joints": replaced("D2_Positions", lambda pose: pose[:, ::-1]),
    "pixels of another image": replaced(
        "D2_Positions", lambda pose: np.random.default_rng(0).normal(0, 40, pose.shape)
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_poses_are_refused(tmp_path, refusal, fault):
    one = Recording(1)
    one.write(tmp_path, "S1", "Walking.54138969", with_univ=False)
    FAULTS[fault](tmp_path / "S1" / "MyPoseFeatures", one)
    assert "Walking.54138969.cdf" in refusal("h36m", **options(tmp_path))


@pytest.mark.parametrize("size", [0, 4, 200, 1000, -300])
def test_a_cut_cdf_file_is_refused(tmp_path, refusal, size):
    Recording(1).write(tmp_path, "S1", "Walking.54138969")
    path = tmp_path / "S1/MyPoseFeatures/D3_Positions_mono/Walking.54138969.cdf"
    path.write_bytes(path.read_bytes()[:size])
    assert str(path) in refusal("h36m", **options(tmp_path))


@pytest.mark.parametrize("name", ["Walking", "Walking.left"])
def test_a_name_without_a_camera_is_refused(tmp_path, refusal, name):
    Recording(1).write(tmp_path, "S1", name)
    assert f"{name}.cdf" in refusal("h36m", **options(tmp_path))


def test_a_directory_without_poses_is_refused(tmp_path, refusal):
    assert str(tmp_path) in refusal("h36m", **options(tmp_path))
    assert str(tmp_path / "none") in refusal("h36m", **options(tmp_path / "none"))
    Recording(1).write(tmp_path, "S1", "_ALL.54138969")
    assert "6 frames of other actions" in refusal("h36m", **options(tmp_path))


@pytest.mark.parametrize(
    ("name", "others", "numbers"),
    [
        ("Directions", ["Directions", "Directions 1"], (2, 1)),
        ("Directions 1", ["Directions", "Directions 1"], (2, 2)),
        ("Directions 1", ["Directions 1", "Directions 2"], (2, 1)),
        ("Directions 2", ["Directions 1", "Directions 2"], (2, 2)),
        ("WalkDog", ["Walking", "WalkDog", "WalkDog 1"], (15, 1)),
        ("WalkingDog 1", ["Walking", "WalkDog", "WalkDog 1"], (15, 2)),
        ("Sitting Down-2", ["Sitting", "Sitting 1"], (10, 2)),
        ("Photo", [], (12, 1)),
        ("_ALL", [], (-1, 1)),
    ],
)
def test_recordings_of_a_subject_are_told_apart(name, others, numbers):
    assert action_numbers(name, others) == numbers
