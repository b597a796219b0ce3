"""Tests of cleaning labels with a second opinion."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pose_tf import skeleton
from pose_tf.data import records
from pose_tf.errors import UserError
from pose_tf.starter.clean import JOINTS, LANDMARKS, OUTCOMES, BlazePose, Offsets, merge, upright

NAMES = list(LANDMARKS)
STANDING = np.float32(
    [(55, 100), (52, 150), (53, 200), (75, 100), (78, 150), (77, 200)]
    + [(82, 40), (90, 70), (95, 95), (48, 40), (40, 70), (35, 95)]
)
"""A person who faces the camera: the joints of LANDMARKS in px of an image."""
MIRRORED = [NAMES.index({"L": "R", "R": "L"}[name[0]] + name[1:]) for name in NAMES]


def whole_pose(joints):
    pose = np.zeros((17, 2), np.float32)
    pose[JOINTS] = joints
    return pose


def rotated(joints, degrees, scale=1.0):
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (joints - (65, 100)) @ turn.T + (128, 128)


@pytest.mark.parametrize("degrees", [0, 35, 90, 180, -120])
def test_the_square_is_turned_with_the_person(degrees):
    square = upright(whole_pose(rotated(STANDING, degrees)), size=200)
    inverse = cv2.invertAffineTransform(square)
    seen = rotated(STANDING, degrees) @ inverse[:, :2].T + inverse[:, 2]
    np.testing.assert_allclose(seen[[0, 3]].mean(axis=0), (99.5, 99.5), atol=1e-3)  # the hip is in the middle
    assert abs(seen[[6, 9], 0].mean() - 99.5) < 1e-3 and seen[6, 1] < 99.5  # the shoulders above it
    assert seen[6, 0] > seen[9, 0]  # and not mirrored
    # The farthest joint, a foot at (53, 200), has a distance of 100.72 px, and the side is 2.2 times that.
    assert np.linalg.norm(seen - 99.5, axis=1).max() == pytest.approx(200 / 2.2, abs=0.01)


def test_a_person_without_extent_has_a_square():
    assert np.isfinite(upright(np.full((17, 2), 50.0), size=256)).all()


def test_offsets_turn_and_scale_with_the_person(rng):
    """Labels have the hips nearer to each other than the second opinion, in every posture and size."""

    def people(count):
        joints, labels = [], []
        for _ in range(count):
            body = STANDING + rng.normal(0, 8, STANDING.shape)
            inner = body.copy()
            inner[0, 0] += 4
            inner[3, 0] -= 4
            degrees, scale = rng.uniform(-180, 180), rng.uniform(0.5, 2)
            joints.append(rotated(body, degrees, scale))
            labels.append(rotated(inner, degrees, scale))
        return np.array(joints), np.array(labels)

    joints, labels = people(400)
    labels[:50, 3] = np.nan  # not labeled
    labels[50:100, 0] += 300  # wrong
    offsets = Offsets(joints, labels)
    joints, labels = people(50)
    before, after = (np.linalg.norm(pose - labels, axis=-1) for pose in (joints, offsets(joints)))
    assert before[:, [0, 3]].mean() > 4
    assert after.mean() < 0.5


def outcome(label, detected, second, visible=1.0, joint="RWrist"):
    """What happens to the label of one joint; the others agree. Returns its place and the outcome."""
    place = NAMES.index(joint)
    labels, found, seen = (np.array([STANDING], np.float64) for _ in range(3))
    labels[0, place], found[0, place], seen[0, place] = label, detected, second
    visibility = np.ones((1, 12))
    visibility[0, place] = visible
    merged, outcomes = merge(labels, found, seen, visibility)
    others = np.arange(12) != place
    assert (outcomes[0, others] == OUTCOMES.index("averaged")).all()
    np.testing.assert_array_equal(merged[0, others], STANDING[others])
    return merged[0, place].tolist(), OUTCOMES[outcomes[0, place]]


def test_every_label_gets_what_the_opinions_say():
    """The torso is 66 px long, so joints within 16.5 px agree. The left wrist's label is (95, 95)."""
    none, here, near, there, far = (np.nan, np.nan), (35, 95), (35, 103), (10, 200), (200, 10)
    assert outcome(here, there, near) == ([35, 99], "averaged")
    assert outcome(here, there, (97, 95)) == ([96, 95], "swapped")
    assert outcome(here, near, there) == ([35, 95], "kept")
    assert outcome(here, there, there) == ([10, 200], "replaced")
    assert outcome(here, there, far, visible=0.9) == ([200, 10], "replaced")
    place, what = outcome(here, there, far, visible=0.5)
    assert what == "dropped" and np.isnan(place).all()
    assert outcome(none, near, here) == ([35, 95], "added")
    place, what = outcome(none, there, here)
    assert what == "unlabeled" and np.isnan(place).all()


# ---- the command


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
    write_model(folder / "other.tflite", np.zeros((1, 10)))

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


def test_other_files_than_blazepose_are_refused(folder, tmp_path):
    for path, message in (
        (tmp_path / "none.tflite", "none.tflite does not exist"),
        (folder / "other.tflite", "other.tflite is not BlazePose's landmark model"),
        (__file__, "is not a model of TensorFlow Lite"),
    ):
        with pytest.raises(UserError, match=message):
            BlazePose(str(path))
