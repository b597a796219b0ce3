"""Tests of the conversion of Human3.6M as VideoPose3D's users have it."""

import os
import pickle
import zipfile

import numpy as np
import pytest

from pose_tf.data.converters import convert
from pose_tf.data.poses import read_pose_file
from tests.data.converters.layouts import (
    KEPT_OF_32,
    LENSES,
    around_joints,
    in_crop,
    people_in_world,
    see,
    to_cameras,
    write_videopose3d,
)


def make_world(rng, frames=40):
    return {"S1": {"Directions 1": people_in_world(rng, frames), "Photo": people_in_world(rng, 8)}}


def with_noise(rng, pixels, sigma=4.0, outliers=0.03):
    """As a detector finds them: noise, and some joints far away."""

    def detect(view):
        far = rng.random((*view.shape[:2], 1)) < outliers
        return np.float32(view + rng.normal(0, sigma, view.shape) + far * rng.normal(0, 80, view.shape))

    return {s: {a: [detect(view) for view in views] for a, views in actions.items()} for s, actions in pixels.items()}


def options(folder, name="gt", every=1):
    paths = {"annotations": folder / "data_3d_h36m.npz", "poses2d": folder / f"data_2d_h36m_{name}.npz"}
    return {key: str(path) for key, path in paths.items()} | {"every": every}


def expected_clips(world, pixels, every=1):
    """(subject, action, camera, pose3d in mm, pose2d) in the order of the file."""
    numbers = {"Directions 1": 2, "Photo": 12, "WalkDog": 15, "SittingDown 2": 10}
    for subject, actions in world.items():
        for camera in range(4):
            for action, pose in actions.items():
                pose3d = 1000 * to_cameras(np.float64(pose))[camera][::every, KEPT_OF_32]
                yield (
                    int(subject[1:]),
                    numbers[action],
                    camera,
                    pose3d,
                    pixels[subject][action][camera][: len(pose) : every],
                )


def test_camera_coordinates_are_found_within_a_millimeter(tmp_path, output, rng):
    world = make_world(rng) | {"S11": {"WalkDog": people_in_world(rng, 30), "SittingDown 2": people_in_world(rng, 9)}}
    pixels = see(world)
    write_videopose3d(tmp_path, world, pixels)
    path, count, left_out = convert("videopose3d", str(output), **options(tmp_path))
    assert path == str(output / "videopose3d.npz") and count == 4 * (48 + 39) and not left_out
    poses, arrays, start = read_pose_file(path), np.load(path), 0
    assert poses.detected is None
    for number, (subject, action, camera, pose3d, pose2d) in enumerate(expected_clips(world, pixels)):
        part = slice(start, start + len(pose3d))
        start = part.stop
        assert set(poses.subject[part]) == {subject} and set(poses.action[part]) == {action}
        assert set(arrays["camera"][part]) == {camera} and set(arrays["clip"][part]) == {number}
        np.testing.assert_array_equal(arrays["frame"][part], np.arange(len(pose3d)))
        assert np.linalg.norm(poses.pose3d[part] - pose3d, axis=-1).max() < 1
        in_crops = [in_crop(pose, around_joints(pose)) for pose in np.float64(pose2d)]
        np.testing.assert_allclose(poses.pose2d_crop[part], in_crops, atol=0.01)
        (cx, cy), (fx, fy), *_ = LENSES[camera]
        np.testing.assert_allclose(arrays["intrinsics"][part], [(fx, cx, fy, cy)] * len(pose3d), atol=0.3)
    assert start == count


def test_the_pose_file_leads_back_into_the_images(tmp_path, output, rng):
    world = make_world(rng)
    pixels = see(world)
    write_videopose3d(tmp_path, world, pixels)
    arrays = np.load(convert("videopose3d", str(output), **options(tmp_path))[0])
    back = arrays["pose2d_crop"] / arrays["scale"][:, None, None] + arrays["offset"][:, None]
    expected = np.concatenate([pose2d for *_, pose2d in expected_clips(world, pixels)])
    np.testing.assert_allclose(back, expected, atol=0.01)


def test_detections_take_the_place_of_true_joints(tmp_path, output, rng):
    world = {"S9": {"Directions 1": people_in_world(rng, 250), "Photo": people_in_world(rng, 150)}}
    pixels = see(world)
    noisy = with_noise(rng, pixels)
    for views in noisy["S9"].values():  # videos go on after the end of the motion capture
        views[1] = np.concatenate([views[1], views[1][-3:]])
    write_videopose3d(tmp_path, world, noisy, "cpn_ft_h36m_dbb")
    path, count, _ = convert("videopose3d", str(output), **options(tmp_path, "cpn_ft_h36m_dbb", every=2))
    poses, start = read_pose_file(path), 0
    assert count == 4 * 200
    arrays = np.load(path)
    for *_, camera, pose3d, pose2d in expected_clips(world, pixels, every=2):
        part = slice(start, start + len(pose3d))
        start = part.stop
        found, expected = (pose - pose[:, :1] for pose in (poses.pose3d[part], pose3d))
        assert np.linalg.norm(found - expected, axis=-1).mean() < 15, camera
        assert np.linalg.norm(poses.pose3d[part] - pose3d, axis=-1).mean() < 150, camera
        back = poses.pose2d_crop[part] / arrays["scale"][part, None, None] + arrays["offset"][part, None]
        assert np.linalg.norm(back - pose2d, axis=-1).mean() < 1.5
    seen = poses.detected / arrays["scale"][:, None, None] + arrays["offset"][:, None]
    expected = np.concatenate([pose2d for *_, pose2d in expected_clips(world, noisy, every=2)])
    np.testing.assert_allclose(seen, expected, atol=0.01)


def test_one_frame_out_of_several_is_taken(tmp_path, output, rng):
    world = make_world(rng)
    write_videopose3d(tmp_path, world, see(world))
    path, count, _ = convert("videopose3d", str(output), **options(tmp_path, every=5))
    assert count == 4 * (8 + 2)
    frames = np.load(path)["frame"]
    assert frames[:10].tolist() == [0, 5, 10, 15, 20, 25, 30, 35, 0, 5]


def test_17_joints_are_taken_as_they_are(tmp_path, output, rng):
    world = make_world(rng)
    pixels = see(world)
    few = {"S1": {action: pose[:, KEPT_OF_32] for action, pose in world["S1"].items()}}
    write_videopose3d(tmp_path, few, pixels)
    poses = read_pose_file(convert("videopose3d", str(output), **options(tmp_path))[0])
    expected = np.concatenate([pose3d for *_, pose3d, _ in expected_clips(world, pixels)])
    assert np.linalg.norm(poses.pose3d - expected, axis=-1).max() < 1


def test_actions_without_2d_joints_are_counted(tmp_path, output, rng):
    world = make_world(rng)
    pixels = see(world)
    del pixels["S1"]["Photo"]
    write_videopose3d(tmp_path, world, pixels)
    _, count, left_out = convert("videopose3d", str(output), **options(tmp_path))
    assert count == 4 * 40 and left_out == {"frames of actions without 2D joints": 8}


# ------------------------------------------------------------------------------------------------------- damaged files


def in_world(change):
    return lambda world, pixels: change(world["S1"])


def in_pixels(change):
    return lambda world, pixels: change(pixels["S1"])


def with_nan(actions):
    actions["Photo"][3, 5, 1] = np.nan


FAULTS = {
    "NaN": in_world(with_nan),
    "16 joints": in_world(lambda actions: actions.update(Photo=np.zeros((5, 16, 3)))),
    "flat poses": in_world(lambda actions: actions.update(Photo=np.zeros((5, 96)))),
    "2D joints as 3D joints": in_world(lambda actions: actions.update(Photo=np.zeros((5, 32, 2)))),
    "words": in_world(lambda actions: actions.update(Photo="none")),
    "no array": in_world(lambda actions: actions.update(Photo=None)),
    "a list of words": in_world(lambda actions: actions.update(Photo=["a", "b"])),
    "lists of other lengths": in_world(lambda actions: actions.update(Photo=[[1.0], [1.0, 2.0]])),
    "millimeters": in_world(lambda actions: actions.update({key: 1000 * pose for key, pose in actions.items()})),
    "no actions": lambda world, pixels: world.update(S1=[1, 2]),
    "no 2D actions": lambda world, pixels: pixels.update(S1=3),
    "other subjects": lambda world, pixels: pixels.update(S5=pixels.pop("S1")),
    "a subject without a number": lambda world, pixels: [one.update(Sam=one.pop("S1")) for one in (world, pixels)],
    "no subjects": lambda world, pixels: (world.clear(), pixels.clear()),
    "no views": in_pixels(lambda actions: actions.update(Photo=None)),
    "views as a number": in_pixels(lambda actions: actions.update(Photo=3)),
    "views as words": in_pixels(lambda actions: actions.update(Photo=["a", "b", "c", "d"])),
    "16 joints in 2D": in_pixels(lambda actions: actions.update(Photo=[np.zeros((5, 16, 2))] * 4)),
    "NaN in 2D": in_pixels(lambda actions: actions["Photo"][0].fill(np.nan)),
    "constant 2D joints": in_pixels(lambda actions: [view.fill(5) for views in actions.values() for view in views]),
    "2D joints of nobody": in_pixels(
        lambda actions: (
            actions.pop("Directions 1"),
            actions.update(Photo=list(np.random.default_rng(0).uniform(0, 1000, (4, 4, 17, 2)))),
        )
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_poses_are_refused(tmp_path, refusal, rng, fault):
    world = make_world(rng, 10)
    pixels = see(world)
    FAULTS[fault](world, pixels)
    write_videopose3d(tmp_path, world, pixels)
    message = refusal("videopose3d", **options(tmp_path))
    assert str(tmp_path / "data_3d_h36m.npz") in message or str(tmp_path / "data_2d_h36m_gt.npz") in message


class Trap:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("place", ["root", "subject", "action", "view"])
def test_no_pickled_object_is_executed(tmp_path, monkeypatch, refusal, rng, place):
    monkeypatch.chdir(tmp_path)
    world = make_world(rng, 10)
    pixels = see(world)
    if place == "root":
        world = np.array(Trap(), object)
    elif place == "subject":
        world["S1"] = Trap()
    elif place == "action":
        world["S1"]["Photo"] = Trap()
    else:
        pixels["S1"]["Photo"][2] = Trap()
    write_videopose3d(tmp_path, world, pixels)
    assert ".npz" in refusal("videopose3d", **options(tmp_path))
    assert not (tmp_path / "executed").exists()
    with pytest.raises(FileNotFoundError):
        os.rmdir("executed")
    pickle.loads(pickle.dumps(Trap()))  # which would have made it
    assert (tmp_path / "executed").exists()


@pytest.mark.parametrize("which", ["annotations", "poses2d"])
def test_files_that_are_no_such_archives_are_refused(tmp_path, refusal, rng, which):
    world = make_world(rng, 10)
    write_videopose3d(tmp_path, world, see(world))
    chosen = options(tmp_path)
    path = chosen[which]
    with open(path, "rb") as file:
        data = file.read()
    middle = len(data) // 2
    flipped = data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]
    for content in (b"", b"text", data[:100], data[:-100], data[:middle], flipped):
        with open(path, "wb") as file:
            file.write(content)
        assert path in refusal("videopose3d", **chosen)
    key = "positions_3d" if which == "annotations" else "positions_2d"
    for arrays in ({}, {key: np.zeros((3, 17, 3))}, {key: np.array(["a"], object)}, {key: np.array([1, 2], object)}):
        np.savez(path, **arrays)
        assert path in refusal("videopose3d", **chosen)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{key}.npy", b"\x93NUMPY\x01\x00v\x00" + b"nonsense" * 20)
    assert path in refusal("videopose3d", **chosen)
    os.remove(path)
    assert refusal("videopose3d", **chosen) == f"{path} does not exist"
    os.mkdir(path)
    assert path in refusal("videopose3d", **chosen)
