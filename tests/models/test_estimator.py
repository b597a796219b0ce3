"""Tests of the estimator: from pixels to millimeters with known detectors and lifters, mirror images, round trips."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.models import FeedForward, PoseEstimator, SemGCN
from pose_tf.models.decoding import Decoding
from pose_tf.models.estimator import detect, heatmap_confidence, lift, normalize_images, normalize_pose2d
from pose_tf.models.statistics import PoseStatistics

MIRROR = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]
FLIPS = {"flip_detector": True, "flip_lifter": True}


@pytest.fixture
def statistics(rng):
    return PoseStatistics(rng.normal(size=(17, 3)).astype(np.float32) * 300, rng.uniform(1, 200, (17, 3)).astype("f4"))


@pytest.fixture
def images(rng):
    """Coarse noise, to which a small detector responds."""
    return rng.integers(0, 256, (3, 16, 16, 3), np.uint8).repeat(16, 1).repeat(16, 2)


def small_detector():
    """A detector of one asymmetric convolution."""
    image = tf.keras.Input((256, 256, 3))
    x = tf.keras.layers.AveragePooling2D(4)(image)
    x = tf.keras.layers.Conv2D(17, 3, padding="same", kernel_initializer="random_normal", dtype="float32")(x)
    return tf.keras.Model(image, 20 * x)


def estimator(statistics, lifter=None, **kwargs):
    return PoseEstimator(small_detector(), lifter or FeedForward(units=16), statistics, **kwargs)


def test_images_are_normalised_as_for_imagenet():
    images = np.array([[[[0, 0, 0], [255, 255, 255], [124, 116, 104]]]], np.uint8)
    expected = [[-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]]
    normalized = normalize_images(images)
    assert normalized.dtype == tf.float32
    np.testing.assert_allclose(normalized[0, 0, :2], expected, rtol=1e-5)
    np.testing.assert_allclose(normalized[0, 0, 2], np.zeros(3), atol=0.01)


def test_lifters_see_pixels_from_minus_one_to_one():
    np.testing.assert_array_equal(normalize_pose2d(tf.constant([0.0, 64.0, 128.0, 256.0])), [-1, -0.5, 0, 1])


def test_detect_finds_the_peaks_with_full_confidence(images):
    heatmaps = np.zeros((3, 64, 64, 17), np.float32)
    for b in range(3):
        for j in range(17):
            heatmaps[b, 3 * j, 60 - j - b, j] = 1000
    pose2d, confidence = detect(lambda images, training: heatmaps, images)
    expected = [[[4 * (60 - j - b) + 1.5, 4 * 3 * j + 1.5] for j in range(17)] for b in range(3)]
    np.testing.assert_allclose(pose2d, expected, atol=1e-3)
    np.testing.assert_array_equal(confidence, np.ones((3, 17)))


def test_confidence_may_come_from_a_lower_beta_than_the_position(rng, images):
    heatmaps = tf.constant(rng.normal(0, 2, (3, 64, 64, 17)), tf.float32)
    pose2d, confidence = detect(
        lambda images, training: heatmaps, images, decoding=Decoding(beta=5.0, confidence_beta=0.5)
    )
    sharp, full = detect(lambda images, training: heatmaps, images, decoding=Decoding(beta=5.0))
    np.testing.assert_array_equal(pose2d, sharp)
    np.testing.assert_allclose(confidence, heatmap_confidence(0.5 * heatmaps, (pose2d - 1.5) / 4), rtol=1e-4)
    assert np.abs(confidence - full).max() > 0.1


def test_confidence_is_the_share_of_mass_within_16_px():
    heatmaps = np.zeros((1, 64, 64, 3), np.float32)
    pose2d = np.float32([[[129.5, 129.5], [129.5, 129.5], [1.5, 1.5]]])
    heatmaps[0, 32, 32, 1] = heatmaps[0, 32, 36, 1] = heatmaps[0, 32, 37, 1] = heatmaps[0, 10, 10, 1] = 100
    disc = sum(dx * dx + dy * dy <= 16 for dx in range(-4, 5) for dy in range(-4, 5))
    quarter = sum(dx * dx + dy * dy <= 16 for dx in range(5) for dy in range(5))
    confidence = heatmap_confidence(tf.constant(heatmaps), (pose2d - 1.5) / 4)
    np.testing.assert_allclose(confidence, [[disc / 4096, 0.5, quarter / 4096]], rtol=1e-5)


def test_lift_restores_millimetres_and_puts_the_hip_at_the_origin(statistics, rng):
    standardized = rng.normal(size=(2, 17, 3)).astype(np.float32)
    seen = []
    pose3d = lift(lambda x, training: seen.append(x) or standardized, statistics, tf.fill([2, 17, 2], 64.0))
    expected = standardized * statistics.std + statistics.mean
    np.testing.assert_allclose(pose3d, expected - expected[:, :1], atol=1e-3)
    np.testing.assert_array_equal(seen[0], np.full((2, 17, 2), -0.5))


@pytest.mark.parametrize("flips", [{}, FLIPS], ids=["plain", "flip test"])
def test_outputs_of_a_batch(statistics, images, flips):
    model = estimator(statistics, **flips)
    result = model(images)
    assert {key: (value.shape, value.dtype) for key, value in result.items()} == {
        "pose2d": ((3, 17, 2), tf.float32),
        "pose3d": ((3, 17, 3), tf.float32),
        "confidence": ((3, 17), tf.float32),
    }
    np.testing.assert_array_equal(result["pose3d"][:, 0], np.zeros((3, 3)))
    np.testing.assert_allclose(model.lift(result["pose2d"]), result["pose3d"], atol=1e-3)
    assert np.ptp(result["pose2d"], axis=0).max() > 1
    assert result["confidence"].numpy().min() >= 0 and result["confidence"].numpy().max() <= 1
    alone = model(images[1:2])
    for key in result:
        np.testing.assert_allclose(alone[key], result[key][1:2], rtol=1e-3, atol=1e-2)


def test_with_flip_test_a_mirror_image_gives_the_mirrored_person(statistics, images):
    model = estimator(statistics, **FLIPS)
    direct, mirrored = model(images), model(images[:, :, ::-1])
    np.testing.assert_allclose(mirrored["pose2d"], direct["pose2d"].numpy()[:, MIRROR] * [-1, 1] + [255, 0], atol=1e-2)
    np.testing.assert_allclose(mirrored["pose3d"], direct["pose3d"].numpy()[:, MIRROR] * [-1, 1, 1], atol=0.1)
    np.testing.assert_allclose(mirrored["confidence"], direct["confidence"].numpy()[:, MIRROR], atol=1e-3)


def test_without_flip_test_it_need_not(statistics, images):
    model = estimator(statistics)
    direct, mirrored = model(images), model(images[:, :, ::-1])
    difference = mirrored["pose3d"].numpy() - direct["pose3d"].numpy()[:, MIRROR] * [-1, 1, 1]
    assert np.abs(difference).max() > 10


def test_flip_test_averages_the_heatmaps(statistics, images):
    detector = small_detector()
    seen = normalize_images(images)
    mirrored = detector(seen[:, :, ::-1]).numpy()[:, :, ::-1][..., MIRROR]
    expected, _ = detect(lambda x, training: (detector(seen) + mirrored) / 2, images)
    np.testing.assert_allclose(detect(detector, images, flip_test=True)[0], expected, atol=1e-3)


@pytest.mark.parametrize("options", [{"flip_detector": True}, {"flip_lifter": True}], ids=str)
def test_each_half_of_the_flip_test_acts_on_its_stage(statistics, images, options):
    model = estimator(statistics)
    flipped = PoseEstimator(model.detector, model.lifter, statistics, **options)
    difference = np.abs(flipped(images)["pose2d"] - model(images)["pose2d"]).max()
    assert (difference > 0.1) == ("flip_detector" in options)
    pose2d = model(images)["pose2d"]
    assert (np.abs(flipped.lift(pose2d) - model.lift(pose2d)).max() > 1) == ("flip_lifter" in options)


def test_flip_test_averages_the_poses_of_both_sides(statistics, rng):
    lifter, pose2d = FeedForward(units=16), rng.uniform(0, 256, (2, 17, 2)).astype(np.float32)
    mirrored = lift(lifter, statistics, pose2d[:, MIRROR] * np.float32([-1, 1]) + np.float32([255, 0]))
    expected = (lift(lifter, statistics, pose2d) + mirrored.numpy()[:, MIRROR] * [-1, 1, 1]) / 2
    np.testing.assert_allclose(lift(lifter, statistics, pose2d, flip_test=True), expected, atol=0.05)


def test_the_models_run_in_inference_mode_even_inside_training(statistics, images):
    model = estimator(statistics, FeedForward(units=16, dropout=0.5))
    weights = model.get_weights()
    image = tf.keras.Input((256, 256, 3), dtype=tf.uint8)
    inside = tf.keras.Model(image, model(image))
    np.testing.assert_array_equal(inside(images, training=True)["pose3d"], model(images)["pose3d"])
    assert all(np.array_equal(*pair) for pair in zip(weights, model.get_weights()))


def test_mixed_precision_returns_float32(statistics, images, mixed_bfloat16):
    result = estimator(statistics, **FLIPS)(images)
    assert {value.dtype for value in result.values()} == {tf.float32}
    assert all(np.isfinite(value).all() for value in result.values())


def test_as_a_graph_of_unknown_batch_size(statistics, images):
    model = estimator(statistics, **FLIPS)
    graph = tf.function(model, input_signature=[tf.TensorSpec([None, 256, 256, 3], tf.uint8)])
    for key, value in model(images).items():
        np.testing.assert_allclose(graph(images)[key], value, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("lifter", [FeedForward, SemGCN])
def test_saved_model_file_keeps_weights_statistics_and_options(tmp_path, statistics, images, lifter):
    options = {"units": 8} if lifter is FeedForward else {"channels": 8, "num_blocks": 1}
    model = estimator(statistics, lifter(**options), flip_lifter=True, name="product")
    expected = model(images)
    model.save(tmp_path / "model.keras")
    again = tf.keras.models.load_model(tmp_path / "model.keras")
    assert (type(again), type(again.lifter), again.name) == (PoseEstimator, lifter, "product")
    assert (again.flip_detector, again.flip_lifter) == (False, True)
    np.testing.assert_array_equal(again.statistics.mean, statistics.mean)
    np.testing.assert_array_equal(again.statistics.std, statistics.std)
    for key, value in again(images).items():
        np.testing.assert_allclose(value, expected[key], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("order", ["tensorflow as tf, pose_tf", "pose_tf, tensorflow as tf"])
def test_saved_model_file_loads_in_a_new_process_after_importing_the_package(tmp_path, statistics, images, order):
    model = estimator(statistics)
    expected = model(images)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    code = (
        f"import sys, numpy as np, {order}\n"
        "model = tf.keras.models.load_model(sys.argv[1] + '/model.keras')\n"
        "result = model(np.load(sys.argv[1] + '/images.npy'))\n"
        "np.savez(sys.argv[1] + '/result.npz', **{key: value.numpy() for key, value in result.items()})\n"
    )
    root = pathlib.Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=root)
    result = np.load(tmp_path / "result.npz")
    for key, value in expected.items():
        np.testing.assert_allclose(result[key], value, rtol=1e-5, atol=1e-3)
