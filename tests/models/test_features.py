"""Tests of image features at the joints: sampling, and the layers that a detector shares."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.models import EfficientNetLite, FeedForward, HRNet, SemGCN
from pose_tf.models.features import feature_channels, sample_features, with_features

DETECTORS = {
    "hrnet": lambda: HRNet(width=4, stem=4, modules=(1, 1, 1), blocks=1),
    "efficientnet": lambda: EfficientNetLite(0, scale=0.5, pyramid=(4, 6, 8, 10)),
}


@pytest.mark.parametrize(("side", "stride"), [(64, 4), (16, 16), (2, 128)])
def test_features_between_cells_are_interpolated(side, stride):
    """A map whose channels are the position of each cell in pixels gives the joint's own position."""
    places = np.arange(side) * stride + (stride - 1) / 2
    x, y = np.meshgrid(places, places)
    maps = [tf.constant(np.stack([x, y], axis=-1)[None].repeat(2, 0), tf.float32)]
    pose2d = np.float32([[[128, 64.5], [places[0], places[1]]], [[-30, 100], [255, 300]]])
    low, high = places[0], places[-1]
    expected = np.clip(pose2d, low, high)
    np.testing.assert_allclose(sample_features(maps, tf.constant(pose2d)), expected, atol=1e-3)


def test_features_of_all_maps_are_joined_and_do_not_move_joints(rng):
    maps = [tf.constant(rng.normal(size=(3, side, side, side)), tf.float32) for side in (8, 4)]
    pose2d = tf.constant(rng.uniform(0, 255, (3, 17, 2)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([pose2d, *maps])
        found = sample_features(maps, pose2d)
        total = tf.reduce_sum(found)
    assert found.shape == (3, 17, 12)
    of_pose, *of_maps = tape.gradient(total, [pose2d, *maps])
    assert of_pose is None
    for gradient, values in zip(of_maps, maps):
        assert float(tf.reduce_sum(gradient)) == pytest.approx(3 * 17 * values.shape[-1], rel=1e-4)


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_gives_features_of_several_resolutions(rng, name):
    detector = DETECTORS[name]()
    images = tf.constant(rng.normal(size=(2, 128, 128, 3)), tf.float32)
    heatmaps, *maps = with_features(detector)(images, training=False)
    np.testing.assert_allclose(heatmaps, detector(images, training=False), atol=1e-5)
    sides = [values.shape[1] for values in maps]
    assert len(sides) >= 2 and sides == sorted(set(sides), reverse=True)
    assert feature_channels(detector) == sum(values.shape[-1] for values in maps)
    assert {id(weight) for weight in with_features(detector).weights} <= {id(weight) for weight in detector.weights}


@pytest.mark.parametrize(
    "make", [lambda **more: FeedForward(units=16, **more), lambda **more: SemGCN(channels=8, **more)]
)
def test_lifters_start_without_a_use_for_features_and_learn_one(rng, make):
    joints = tf.constant(rng.normal(size=(4, 17, 2)), tf.float32)
    features = [tf.constant(rng.normal(size=(4, 17, 5)), tf.float32) for _ in range(2)]
    lifter = make(features=5)
    one, other = (lifter([joints, values], training=False).numpy() for values in features)
    np.testing.assert_array_equal(one, other)
    join = lifter.get_layer("features.join")
    join.kernel.assign(rng.normal(size=join.kernel.shape))
    one, other = (lifter([joints, values], training=False).numpy() for values in features)
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize("make", [FeedForward, SemGCN])
def test_confidences_are_a_third_input_which_pixels_leave_alone(make):
    lifter = make(confidence=True, raw_pixels=True)
    assert lifter.input_shape == (None, 17, 3)
    pixels = lifter.get_layer("pixels")
    np.testing.assert_allclose(pixels(np.float32([[[0.5, -1, 0.25]]])), [[[192, 0, 0.25]]])
    again = type(lifter).from_config(lifter.get_config())
    assert (again.confidence, again.features, again.input_shape) == (True, 0, (None, 17, 3))
