"""Tests of the model card: it describes the model that it comes with."""

import dataclasses

import pytest

from pose_tf.export.model_card import describe
from pose_tf.models import FeedForward, PoseEstimator
from tests.export.models import read_card


def test_the_card_tells_what_the_numbers_mean(exported, estimator):
    card = read_card(exported)
    assert card["joints"][0] == "Hip" and len(card["joints"]) == 17
    assert [1, 0] in card["bones"] and len(card["bones"]) == 16
    assert "mm" in card["outputs"]["pose3d"]
    assert card["flip_test"] == {"detector": True, "lifter": True}
    assert card["parameters"]["detector"] == estimator.detector.count_params()
    assert (card["version"], card["precision"], card["data"]) == (1, "float32", "none")


def test_the_card_names_every_input_and_output_of_the_signatures(exported, signatures):
    card = read_card(exported)
    inputs, outputs = (
        {name for signature in signatures.values() for name in names(signature)}
        for names in (lambda one: one.structured_input_signature[1], lambda one: one.structured_outputs)
    )
    assert set(card["inputs"]) == inputs
    assert set(card["outputs"]) == outputs


def test_joints_and_their_mirror_images_are_told_by_name(exported):
    joints, mirror = (read_card(exported)[key] for key in ("joints", "mirror"))
    for joint, other in zip(joints, mirror, strict=True):
        swapped = joint[0].translate(str.maketrans("RL", "LR")) + joint[1:]
        assert joints[other] == (swapped if swapped in joints else joint)


@pytest.mark.parametrize(("flip_detector", "flip_lifter"), [(False, True), (True, False)])
def test_a_card_describes_its_own_estimator(estimator, flip_detector, flip_lifter):
    statistics = dataclasses.replace(estimator.statistics, margin=1.75)
    other = PoseEstimator(
        estimator.detector, FeedForward(units=8), statistics, flip_detector=flip_detector, flip_lifter=flip_lifter
    )
    card = describe(other)
    assert card["crop_margin"] == 1.75 and card["frame"] == "camera"
    assert card["flip_test"] == {"detector": flip_detector, "lifter": flip_lifter}
    weights = sum(weight.size for weight in other.lifter.get_weights())
    assert card["parameters"]["lifter"] == weights != estimator.lifter.count_params()
