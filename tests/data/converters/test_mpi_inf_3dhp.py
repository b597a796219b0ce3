"""Tests of the conversion of MPI-INF-3DHP."""

import numpy as np
import pytest
import scipy.io

from tests.data.converters.layouts import (
    KEPT_OF_28,
    around_joints,
    gray_of,
    in_crop,
    people_before_camera,
    pinhole,
    write_mpi_inf_3dhp,
    write_photo,
    write_video,
)

GRAYS = [40, 80, 120, 160, 200]
CENTERS = (31.5, 33.0)
FOLDER = "S3/Seq2"


def focal(camera):
    return 70.0 + camera, 71.0 + camera


class Sequence:
    """A sequence that several cameras see: arrays [C, T, 28, 2 or 3]."""

    def __init__(self, cameras, frames=5):
        rng = np.random.default_rng(cameras)
        self.intrinsics = [(fx, CENTERS[0], fy, CENTERS[1]) for fx, fy in map(focal, range(cameras))]
        self.annot3 = np.stack([people_before_camera(rng, frames, 28) for _ in range(cameras)])
        self.annot2 = np.stack([pinhole(pose, one) for pose, one in zip(self.annot3, self.intrinsics)])
        self.univ = self.annot3 * 0.9  # the same in the image

    def write(self, root, folder=FOLDER, **more):
        write_mpi_inf_3dhp(root / folder, self.annot2, self.annot3, self.univ, **more)


def check(samples, sequence, camera, frames):
    assert len(samples) == len(frames)
    for i, sample in zip(frames, samples):
        numbers = [int(sample[key]) for key in ("subject", "action", "subaction", "camera", "framd_id")]
        assert numbers == [3, -1, 2, camera, i]
        pose2d = sequence.annot2[camera, i, KEPT_OF_28]
        np.testing.assert_allclose(sample["pose2d"], pose2d, atol=1e-3)
        np.testing.assert_allclose(sample["pose2d_crop"], in_crop(pose2d, around_joints(pose2d)), atol=0.01)
        np.testing.assert_allclose(sample["pose3d"], sequence.annot3[camera, i, KEPT_OF_28], atol=1e-3)
        np.testing.assert_allclose(sample["pose3d_univ"], sequence.univ[camera, i, KEPT_OF_28], atol=1e-3)
        np.testing.assert_allclose(sample["intrinsics"], [sequence.intrinsics[camera]], atol=1e-3)
        np.testing.assert_allclose(sample["intrinsics_univ"], [sequence.intrinsics[camera]], atol=1e-3)


def test_frames_of_14_videos_become_records_in_order(tmp_path, converted):
    sequence = Sequence(14)
    sequence.write(tmp_path)
    for camera in (0, 8, 13):
        write_video(tmp_path / FOLDER / "imageSequence" / f"video_{camera}.avi", [gray + camera for gray in GRAYS])
    samples, left_out = converted("mpi_inf_3dhp", annotations=str(tmp_path), every=1)
    assert left_out == {"video missing": 55}
    for part, camera in enumerate((0, 8, 13)):
        found = samples[5 * part : 5 * part + 5]
        check(found, sequence, camera, range(5))
        np.testing.assert_allclose([gray_of(sample) for sample in found], [gray + camera for gray in GRAYS], atol=3)


@pytest.mark.parametrize("cameras", [1, 2])
@pytest.mark.parametrize("frames", [1, 5])
def test_one_camera_and_one_frame_keep_their_shape(tmp_path, converted, cameras, frames):
    sequence = Sequence(cameras, frames)
    sequence.write(tmp_path)
    for camera in range(cameras):
        write_video(tmp_path / FOLDER / "imageSequence" / f"video_{camera}.avi", GRAYS)
    samples, _ = converted("mpi_inf_3dhp", annotations=str(tmp_path), every=1)
    for camera in range(cameras):
        check(samples[frames * camera : frames * (camera + 1)], sequence, camera, range(frames))


def test_extracted_frames_are_numbered_from_one(tmp_path, converted):
    sequence = Sequence(1)
    sequence.write(tmp_path)
    for i in (1, 3, 5):
        write_photo(tmp_path / FOLDER / "imageFrames" / "video_0" / f"frame_{i:06d}.jpg", size=(60 + i, 64))
    samples, left_out = converted("mpi_inf_3dhp", annotations=str(tmp_path), every=1)
    assert left_out == {"image missing": 2}
    samples = sorted(samples, key=lambda sample: sample["framd_id"])
    check(samples, sequence, 0, [0, 2, 4])


def test_some_videos_may_be_extracted(tmp_path, converted):
    sequence = Sequence(2)
    sequence.write(tmp_path)
    for i in range(5):
        write_photo(tmp_path / FOLDER / "imageFrames" / "video_0" / f"frame_{i + 1:06d}.jpg", size=(64, 64))
    write_video(tmp_path / FOLDER / "imageSequence" / "video_1.avi", GRAYS)
    samples, left_out = converted("mpi_inf_3dhp", annotations=str(tmp_path), every=1)
    assert not left_out
    samples.sort(key=lambda sample: (sample["camera"], sample["framd_id"]))
    check(samples[:5], sequence, 0, range(5))
    check(samples[5:], sequence, 1, range(5))
    np.testing.assert_allclose([gray_of(sample) for sample in samples], [60] * 5 + GRAYS, atol=3)


def test_one_frame_out_of_several_is_taken(tmp_path, converted):
    sequence = Sequence(1)
    sequence.write(tmp_path)
    write_video(tmp_path / FOLDER / "imageSequence" / "video_0.avi", GRAYS)
    samples, _ = converted("mpi_inf_3dhp", annotations=str(tmp_path), every=3)
    check(samples, sequence, 0, [0, 3])
    np.testing.assert_allclose([gray_of(sample) for sample in samples], [GRAYS[0], GRAYS[3]], atol=3)


def changed(key, change):
    def run(content):
        for i in range(len(content[key])):
            content[key][i, 0] = change(content[key][i, 0].copy())

    return run


def with_nan(values):
    values[1, 2] = np.nan
    return values


FAULTS = {
    "no 2D joints": lambda content: content.pop("annot2"),
    "no cameras": lambda content: content.pop("cameras"),
    "no universal skeleton": lambda content: content.pop("univ_annot3"),
    "more cameras": lambda content: content.update(cameras=np.arange(3)[None]),
    "cameras as a word": lambda content: content.update(cameras="left"),
    "NaN cameras": lambda content: content.update(cameras=np.array([[0, np.nan]])),
    "NaN": changed("annot3", with_nan),
    "NaN in 2D": changed("annot2", with_nan),
    "17 joints": changed("annot3", lambda values: values[:, :51]),
    "3D joints as 2D joints": changed("annot2", lambda values: np.concatenate([values, values[:, :28]], axis=1)),
    "2D joints as 3D joints": changed("annot3", lambda values: values[:, :56]),
    "another number of frames": changed("annot2", lambda values: values[:-1]),
    "no frames": lambda content: [
        changed(key, lambda v: v[:0])(content) for key in ("annot2", "annot3", "univ_annot3")
    ],
    "words": changed("annot2", lambda values: np.full(values.shape, "word")),
    "other pixels": changed("annot2", lambda values: values[:, ::-1]),
    "one array": lambda content: content.update(annot2=np.zeros((5, 56))),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_file_is_refused(tmp_path, refusal, fault):
    Sequence(2).write(tmp_path)
    path = tmp_path / FOLDER / "annot.mat"
    content = {key: value for key, value in scipy.io.loadmat(path).items() if not key.startswith("__")}
    FAULTS[fault](content)
    scipy.io.savemat(path, content)
    assert str(path) in refusal("mpi_inf_3dhp", annotations=str(tmp_path), every=1)


def test_cut_files_and_other_directories_are_refused(tmp_path, refusal):
    assert "has no S*/Seq*/annot.mat" in refusal("mpi_inf_3dhp", annotations=str(tmp_path), every=1)
    Sequence(2).write(tmp_path)
    path = tmp_path / FOLDER / "annot.mat"
    data = path.read_bytes()
    for part in (b"", data[:130], data[:600], data[:-40], b"no MATLAB file"):
        path.write_bytes(part)
        assert str(path) in refusal("mpi_inf_3dhp", annotations=str(tmp_path), every=1)
