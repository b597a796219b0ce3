"""Tests of the conversion of Human3.6M as h36m-fetch leaves it."""

import h5py
import numpy as np
import pytest

from tests.data.converters.layouts import (
    KEPT_OF_32,
    around_joints,
    dot_in,
    gray_of,
    in_crop,
    people_before_camera,
    pinhole,
    write_h36m_fetch,
    write_photo,
)

SIZE = (200, 200)
INTRINSICS = {"54138969": (228.0, 100.5, 227.0, 99.0), "60457274": (229.0, 98.5, 226.0, 101.0)}
UNIV = {"54138969": (200.0, 100.5, 205.0, 99.0), "60457274": (203.0, 98.5, 201.0, 101.0)}
FRAMES = {"54138969": np.array([1, 6, 9]), "60457274": np.array([1, 5])}
WRIST = 16


@pytest.fixture
def views(rng):
    """{camera: (frames, pose2d, pose3d, univ, intrinsics, of univ)}; the right wrist is in the middle of a pixel."""
    found = {}
    for camera, frames in FRAMES.items():
        fx, cx, fy, cy = INTRINSICS[camera]
        gx, _, gy, _ = UNIV[camera]
        pose3d = people_before_camera(rng, len(frames), 32)
        x, y = np.round(pinhole(pose3d, INTRINSICS[camera])[:, 27].T)
        pose3d[:, 27] = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones(len(x))], axis=-1) * pose3d[:, 27, 2:]
        pose2d = pinhole(pose3d, INTRINSICS[camera])
        univ = pose3d * [fx / gx, fy / gy, 1]
        found[camera] = (frames, pose2d, pose3d, univ, INTRINSICS[camera], UNIV[camera])
    return found


@pytest.fixture
def convert(converted):
    """convert(directory, every): the samples by camera and frame, and who is left out."""

    def run(folder, every=1):
        samples, left_out = converted("h36m_fetch", annotations=str(folder), every=every)
        return sorted(samples, key=lambda sample: (sample["camera"], sample["framd_id"])), left_out

    return run


def write_images(folder, views, dots=True):
    for camera, (frames, pose2d, *_) in views.items():
        for frame, pose in zip(frames, pose2d):
            write_photo(folder / "imageSequence" / camera / f"img_{frame:06d}.jpg", pose[27] if dots else None, SIZE)


@pytest.mark.parametrize(
    ("folder", "old", "action", "subaction"),
    [("Directions-1", False, 2, 1), ("WalkingDog-2", False, 15, 2), ("WalkTogether", True, 16, 1)],
)
def test_images_become_records(tmp_path, convert, views, folder, old, action, subaction):
    place = tmp_path / "processed" / "S11" / folder
    write_h36m_fetch(place, views, old)
    write_images(place, views)
    samples, left_out = convert(tmp_path / "processed")
    assert not left_out and len(samples) == 5
    expected = [(camera, i) for camera in views for i in range(len(FRAMES[camera]))]
    for (camera, i), sample in zip(expected, samples):
        _, pose2d, pose3d, univ, intrinsics, intrinsics_univ = views[camera]
        numbers = [int(sample[key]) for key in ("subject", "action", "subaction", "camera", "framd_id")]
        assert numbers == [11, action, subaction, int(camera), FRAMES[camera][i]]
        pose2d = pose2d[i, KEPT_OF_32]
        np.testing.assert_allclose(sample["pose2d"], pose2d, atol=1e-3)
        np.testing.assert_allclose(sample["pose2d_crop"], in_crop(pose2d, around_joints(pose2d)), atol=0.01)
        np.testing.assert_allclose(sample["pose3d"], (univ if old else pose3d)[i, KEPT_OF_32], atol=1e-3)
        np.testing.assert_allclose(sample["pose3d_univ"], univ[i, KEPT_OF_32], atol=1e-3)
        np.testing.assert_allclose(sample["intrinsics"], [intrinsics_univ if old else intrinsics], atol=1e-3)
        np.testing.assert_allclose(sample["intrinsics_univ"], [intrinsics_univ], atol=1e-3)
        np.testing.assert_allclose(dot_in(sample["image"]), sample["pose2d_crop"][WRIST], atol=1)


def test_one_image_out_of_several_is_taken_of_each_camera(tmp_path, convert, views):
    place = tmp_path / "S1" / "Posing-1"
    write_h36m_fetch(place, views)
    write_images(place, views)
    samples, _ = convert(tmp_path, every=2)
    assert [(sample["camera"], sample["framd_id"]) for sample in samples] == [
        (54138969, 1),
        (54138969, 9),
        (60457274, 1),
    ]


def test_missing_images_are_counted(tmp_path, convert, views):
    place = tmp_path / "S1" / "Posing-1"
    write_h36m_fetch(place, views)
    write_images(place, views, dots=False)
    (place / "imageSequence" / "54138969" / "img_000006.jpg").unlink()
    (place / "imageSequence" / "60457274" / "img_000001.jpg").write_bytes(b"no image")
    samples, left_out = convert(tmp_path)
    assert left_out == {"image missing": 1, "image damaged": 1}
    assert [sample["framd_id"] for sample in samples] == [1, 9, 5]
    assert abs(gray_of(samples[0]) - 60) < 3


# ------------------------------------------------------------------------------------------------------- damaged files


def replaced(key, change):
    def run(file):
        values = file[key][()]
        del file[key]
        file[key] = change(values)

    return run


def with_nan(values):
    values = np.float64(values)
    values.flat[3] = np.nan
    return values


FAULTS = {
    "no 2D joints": lambda file: file.pop("pose/2d"),
    "no frames": lambda file: file.pop("frame"),
    "no intrinsics": lambda file: file.pop("intrinsics/54138969"),
    "no poses": lambda file: file.pop("pose"),
    "a group in place of joints": lambda file: (file.pop("pose/2d"), file.create_group("pose/2d")),
    "fewer frames": replaced("frame", lambda values: values[:-1]),
    "17 joints": replaced("pose/3d", lambda values: values[:, :17]),
    "2D joints as 3D joints": replaced("pose/3d", lambda values: values[..., :2]),
    "flat joints": replaced("pose/2d", lambda values: values.reshape(len(values), -1)),
    "NaN joints": replaced("pose/2d", with_nan),
    "NaN joints in 3D": replaced("pose/3d", with_nan),
    "NaN joints of the universal skeleton": replaced("pose/3d-univ", with_nan),
    "NaN intrinsics": replaced("intrinsics/60457274", with_nan),
    "two intrinsics": replaced("intrinsics/60457274", lambda values: values[:2]),
    "words as joints": replaced("pose/2d", lambda values: np.full(values.shape, b"word")),
    "words as frames": replaced("frame", lambda values: np.full(values.shape, b"word")),
    "a word as camera": replaced("camera", lambda values: np.full(values.shape, b"left")),
    "NaN frames": replaced("frame", with_nan),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_file_is_refused(tmp_path, refusal, views, fault):
    place = tmp_path / "S1" / "Posing-1"
    write_h36m_fetch(place, views)
    write_images(place, views)
    with h5py.File(place / "annot.h5", "r+") as file:
        FAULTS[fault](file)
    assert str(place / "annot.h5") in refusal("h36m_fetch", annotations=str(tmp_path), every=1)


@pytest.mark.parametrize("size", [0, 50, 900, -4000])
def test_a_cut_file_is_refused(tmp_path, refusal, views, size):
    path = tmp_path / "S1" / "Posing-1" / "annot.h5"
    write_h36m_fetch(path.parent, views)
    path.write_bytes(path.read_bytes()[:size])
    assert str(path) in refusal("h36m_fetch", annotations=str(tmp_path), every=1)


def test_other_files_and_directories_are_refused(tmp_path, refusal):
    assert "has no S*/*/annot.h5" in refusal("h36m_fetch", annotations=str(tmp_path), every=1)
    path = tmp_path / "S1" / "Posing-1" / "annot.h5"
    path.parent.mkdir(parents=True)
    path.write_text("no HDF5 file")
    assert str(path) in refusal("h36m_fetch", annotations=str(tmp_path), every=1)
    path.unlink()
    path.mkdir()
    assert str(path) in refusal("h36m_fetch", annotations=str(tmp_path), every=1)


def test_pixels_that_the_camera_does_not_see_the_joints_at_are_refused(tmp_path, views, refusal):
    moved = {camera: (frames, pose2d + 8, *rest) for camera, (frames, pose2d, *rest) in views.items()}
    write_h36m_fetch(tmp_path / "S1" / "Posing-1", moved)
    message = refusal("h36m_fetch", annotations=str(tmp_path), every=1)
    assert "annot.h5 camera 54138969: its 3D joints project 11.3 px from its 2D joints in the median" in message
