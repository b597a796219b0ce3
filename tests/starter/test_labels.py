"""Tests of a second opinion about labels."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.starter.labels import OUTCOMES, BlazePose, Offsets, merge, upright
from tests.starter.standing import NAMES, STANDING, rotated, whole_pose


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


def test_other_files_than_blazepose_are_refused(tmp_path):
    model = tf.function(lambda image: image + 1, input_signature=[tf.TensorSpec([1, 8])]).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([model], tf.Module())
    (tmp_path / "other.tflite").write_bytes(converter.convert())
    for path, message in (
        (tmp_path / "none.tflite", "none.tflite does not exist"),
        (tmp_path / "other.tflite", "other.tflite is not BlazePose's landmark model"),
        (__file__, "is not a model of TensorFlow Lite"),
    ):
        with pytest.raises(UserError, match=message):
            BlazePose(str(path))
