"""Tests of the synthetic data set on the disk: its files hold the samples that their numbers say."""

import csv
import os
import types
from multiprocessing.pool import ThreadPool

import cv2
import numpy as np
import pytest

from pose_tf.data import records
from pose_tf.synthetic import sample_data
from pose_tf.synthetic.sample import pose_sample, render_sample

SEED, TRAIN, TEST, POSES = 3, 12, 7, 6
SUBJECTS = (1, 5, 6, 7, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """12 training images in shards of ten, 7 test images and 6 poses, made by threads instead of processes."""
    folder = tmp_path_factory.mktemp("sample")
    threads = cv2.getNumThreads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sample_data.multiprocessing, "get_context", lambda _: types.SimpleNamespace(Pool=ThreadPool))
        patch.setattr(sample_data, "SAMPLES_PER_SHARD", 10)
        sample_data.write_sample_data(str(folder), TRAIN, TEST, POSES, SEED)
    cv2.setNumThreads(threads)
    return folder


@pytest.fixture(scope="module")
def train(folder):
    return [list(records.read(shard, records.H36M)) for shard in records.list_shards(str(folder))]


@pytest.fixture(scope="module")
def test_samples(folder):
    return list(records.read(str(folder / "test" / "h36" / "sample-00000-of-00001.tfrecord"), records.H36M))


def same(sample, other, keys=records.H36M.fields):
    return all(np.array_equal(np.ravel(sample[key]), np.ravel(np.float32(other[key]))) for key in keys)


def test_the_folder_has_the_layout_of_the_courses_data(folder):
    found = sorted(os.path.relpath(path, folder) for path in folder.rglob("*") if path.is_file())
    assert found == [
        "h36/sample-00000-of-00002.tfrecord",
        "h36/sample-00001-of-00002.tfrecord",
        "mpii/sample.tfrecord",
        "photos/boxes.csv",
        *(f"photos/person{number}.png" for number in range(6)),
        "poses.npz",
        "test/h36/sample-00000-of-00001.tfrecord",
        "test_set.tfrecords",
    ]


def test_training_images_are_of_five_subjects_in_turn(train):
    assert [len(shard) for shard in train] == [10, 2]
    for number, sample in enumerate(sum(train, [])):
        assert sample["framd_id"] == number
        assert sample["subject"] == SUBJECTS[number % 5]
        assert same(sample, render_sample(SEED, number, SUBJECTS[number % 5]))


def test_test_images_are_of_another_subject_and_their_poses_lie_apart(folder, test_samples):
    unlabeled = list(records.read(str(folder / "test_set.tfrecords"), records.H36M_TEST))
    assert len(unlabeled) == len(test_samples) == TEST
    for number, (sample, without) in enumerate(zip(test_samples, unlabeled, strict=True), TRAIN):
        assert sample["subject"] == 9
        assert same(sample, render_sample(SEED, number, 9))
        assert set(without) == set(records.H36M_TEST.fields) and not any("pose" in key for key in without)
        np.testing.assert_array_equal(without["image"], sample["image"])


def test_poses_are_others_than_those_of_the_images(folder):
    with np.load(folder / "poses.npz") as arrays:
        assert arrays["subject"].tolist() == [1, 5, 6, 7, 8, 1]
        for i in range(POSES):
            expected = pose_sample(SEED, TRAIN + TEST + i, SUBJECTS[i % 5])
            for key in ("pose2d_crop", "pose3d", "subject"):
                np.testing.assert_array_equal(arrays[key][i], expected[key])


def test_photos_are_the_first_test_images_with_a_box_around_each_person(folder, test_samples):
    with open(folder / "photos" / "boxes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"person{number}.png" for number in range(6)]
    for row, sample in zip(rows, test_samples):
        image = cv2.imread(str(folder / "photos" / row["file"]))[..., ::-1]
        np.testing.assert_array_equal(image, sample["image"])
        x, y, width, height = (float(row[key]) for key in ("x", "y", "width", "height"))
        low, high = sample["pose2d_crop"].min(axis=0), sample["pose2d_crop"].max(axis=0)
        assert (low > (x, y)).all() and (high < (x + width, y + height)).all()
        np.testing.assert_allclose((low + high) / 2, (x + width / 2, y + height / 2), atol=0.11)
        assert width < 1.5 * (high - low)[0] + 1 and height < 1.5 * (high - low)[1] + 1


def test_every_tenth_training_image_is_also_a_jpeg_with_the_joints_of_mpii(folder, train):
    found = list(records.read(str(folder / "mpii" / "sample.tfrecord"), records.MPII))
    assert len(found) == 2
    joints = {0: 3, 4: 5, 2: 1, 15: 13, 12: 14}  # right ankle, left knee, right hip, left wrist, right shoulder
    for sample, own in zip(found, (train[0][0], train[1][0]), strict=True):
        image = cv2.imdecode(np.frombuffer(sample["image"], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        assert np.abs(image.astype(int) - own["image"]).mean() < 6  # JPEG
        for joint, other in joints.items():
            np.testing.assert_array_equal(sample["pose2d"][joint], own["pose2d_crop"][other])
