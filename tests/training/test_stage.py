"""Tests of the part of a validation that both stages share."""

import numpy as np
import pytest

from pose_tf.geometry import UNLABELED_PX, inside_crop
from pose_tf.training.detector_stage import DetectorStage
from pose_tf.training.lifter_stage import LifterStage
from pose_tf.training.stage import Stage, mean_errors


def off_by(millimeters, count):
    """(target, predicted) of some poses whose joints have the given mean error."""
    target = np.random.default_rng(count).normal(0, 300, (count, 17, 3)).astype(np.float32)
    predicted = target.copy()
    predicted[:, 5, 0] += 17 * millimeters
    return target, predicted


def test_errors_are_means_over_the_samples_of_all_batches():
    errors = mean_errors([(10, 3), (50, 1)], lambda batch: [(["mpjpe"], *off_by(*batch), None)], lambda: False)
    assert errors == {"mpjpe": pytest.approx(20, abs=1e-3)}


def test_joints_of_no_weight_do_not_count():
    target = np.zeros((2, 17, 2), np.float32)
    predicted, weights = target.copy(), np.ones((2, 17), np.float32)
    predicted[0] += [3, 4]
    predicted[:, 7] = 900
    weights[:, 7] = 0
    errors = mean_errors([None], lambda _: [(["pixel_error"], target, predicted, weights)], lambda: False)
    assert errors == {"pixel_error": pytest.approx(2.5)}


def test_what_no_sample_allows_to_measure_is_left_out():
    """Without a shoulder there is no torso to measure by; with no joint at all there is no error."""
    target = np.full((2, 17, 2), 100, np.float32)
    target[:, 11] = UNLABELED_PX

    def errors():
        weights = inside_crop(target)
        return mean_errors([None], lambda _: [(["pixel_error", "pck2d"], target, target, weights)], lambda: False)

    assert errors() == {"pixel_error": 0.0}
    target[:] = UNLABELED_PX
    assert errors() == {}


def test_validations_do_not_depend_on_the_precision(mixed_bfloat16):
    errors = mean_errors([(10, 3)], lambda batch: [(["mpjpe"], *off_by(*batch), None)], lambda: False)
    assert errors == {"mpjpe": pytest.approx(10, abs=1e-3)}


def test_an_interruption_ends_a_validation_before_the_next_batch():
    predicted, answers = [], iter([False, False, True])

    def measure(batch):
        predicted.append(batch)
        return [(["mpjpe"], *off_by(1, 1), None)]

    assert mean_errors("abcd", measure, lambda: next(answers)) is None
    assert predicted == ["a", "b"]


@pytest.mark.parametrize("stage", [DetectorStage, LifterStage])
def test_stages_have_the_interface_and_its_defaults(stage):
    assert Stage in stage.__mro__
    for name in ("training_batches", "augment", "losses", "validate", "training_sheet", "validation_sheet"):
        assert name in vars(stage), name
    assert stage.validation_metric in ("pixel_error", "mpjpe")
    assert stage.counters == stage.shards == ()
    assert stage.statistics is None
