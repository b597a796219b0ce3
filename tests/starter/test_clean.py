"""Tests of the command that cleans labels."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pose_tf import skeleton
from pose_tf.data import records
from pose_tf.starter.labels import LANDMARKS, upright
from tests.starter.standing import MIRRORED, NAMES, STANDING, rotated, whole_pose


def clean(*flags):
    return subprocess.run([sys.executable, "-m", "pose_tf.starter.clean", *flags], capture_output=True, text=True)


def write_model(path, outputs):
    """A model that takes an image of 64x64 pixels and returns constants."""

    @tf.function(input_signature=[tf.TensorSpec([1, 64, 64, 3])])
    def model(image):
        return tf.constant(outputs, tf.float32) + 0 * tf.reduce_sum(image)

    converter = tf.lite.TFLiteConverter.from_concrete_functions([model.get_concrete_function()], tf.Module())
    path.write_bytes(converter.convert())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs with labels, and a model whose opinion of each is `STANDING`, turned as the person is."""
    folder = tmp_path_factory.mktemp("clean")
    (folder / "data" / "mpii").mkdir(parents=True)
    inverse = cv2.invertAffineTransform(upright(whole_pose(STANDING), size=64))
    landmarks = np.zeros((39, 5))
    landmarks[list(LANDMARKS.values()), :2] = STANDING @ inverse[:, :2].T + inverse[:, 2]
    landmarks[:, 3] = 5  # visible
    write_model(folder / "model.tflite", landmarks.reshape(1, 195))

    jpeg = tf.io.encode_jpeg(np.full((256, 256, 3), 128, np.uint8)).numpy()
    order = [skeleton.MPII.index(name) for name in NAMES]

    def sample(joints, unlabeled=()):
        pose2d, visibility = np.zeros((16, 2), np.float32), np.zeros((1, 16), np.int64)
        pose2d[order], visibility[0, order] = joints, 1
        middle = skeleton.MPII.index("Hip")
        pose2d[middle], visibility[0, middle] = (joints[0] + joints[3]) / 2, 1
        for name in unlabeled:
            pose2d[skeleton.MPII.index(name)], visibility[0, skeleton.MPII.index(name)] = 0, 0
        return {"image": jpeg, "pose2d": pose2d, "visibility": visibility}

    wrong = np.float32(rotated(STANDING, 160))
    wrong[NAMES.index("LWrist")] = (128, 128)  # at the hip
    right = np.float32(rotated(STANDING, 160))
    exchanged = right[MIRRORED]
    samples = [sample(right), sample(exchanged), sample(wrong, ["RKnee"])]
    records.write(str(folder / "data" / "mpii" / "crowd.tfrecord"), samples, records.MPII)
    records.write(str(folder / "data" / "mpii" / "experts.tfrecord"), samples[::2], records.MPII)
    return folder


def flags(folder, **changes):
    values = {
        "data_dir": folder / "data",
        "trusted": "exp*",
        "detector": "starter",
        "blazepose": folder / "model.tflite",
        "output_dir": folder / "clean",
    }
    return [f"--{name}={value}" for name, value in (values | changes).items()]


def test_labels_are_cleaned_and_trusted_files_are_kept(folder):
    done = clean(*flags(folder))
    assert done.returncode == 0, done.stderr
    assert "3 photographs cleaned, 2 kept" in done.stdout and "swapped" in done.stdout
    before, after = (
        [
            list(records.read(str(folder / name / "mpii" / file), records.MPII))
            for file in ("crowd.tfrecord", "experts.tfrecord")
        ]
        for name in ("data", "clean")
    )
    for old, new in zip(before[1], after[1], strict=True):
        assert old["image"] == new["image"]
        np.testing.assert_array_equal(old["pose2d"], new["pose2d"])
        np.testing.assert_array_equal(old["visibility"], new["visibility"])
    order = [skeleton.MPII.index(name) for name in NAMES]
    wrist = NAMES.index("LWrist")
    for number, sample in enumerate(after[0]):
        assert sample["image"] == before[0][number]["image"]
        assert sample["visibility"][0, skeleton.MPII.index("Hip")] == 0
        errors = np.linalg.norm(sample["pose2d"][order] - rotated(STANDING, 160), axis=1)
        seen = sample["visibility"][0, order] > 0
        assert seen[wrist] and seen.sum() >= 11
        assert errors[seen].max() < 1  # px


def test_errors_are_one_sentence(folder):
    for changes, message in (
        ({"output_dir": folder / "data"}, "--output_dir is the directory of the data"),
        ({"trusted": "lsp*"}, "--trusted=lsp*: no file"),
    ):
        done = clean(*flags(folder, **changes))
        assert done.returncode == 1 and message in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
