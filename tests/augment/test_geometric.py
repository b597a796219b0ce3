"""Tests of the geometric augmentation: joints stay on their landmarks, options work as documented, seeds decide."""

import warnings

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import geometry
from pose_tf.augment import GeometricAugmenter
from pose_tf.augment.geometric import half_bodies, move_images, transform_images

HEIGHT, WIDTH = 128, 160
MIRROR = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]


@pytest.fixture
def pose(rng):
    """17 joints within 40 px of the center."""
    angle, radius = rng.uniform(0, 2 * np.pi, 17), rng.uniform(5, 40, 17)
    return np.stack([79.5 + radius * np.cos(angle), 63.5 + radius * np.sin(angle)], -1).astype(np.float32)


def blobs(pose):
    """One image for each joint, with a bright spot there."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    spots = [250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.5**2)) for x, y in pose]
    return np.round(spots).astype(np.uint8)[..., None].repeat(3, -1)


def centroids(images):
    images = images.numpy()[..., 0].astype(float)
    rows, columns = np.indices(images.shape[1:])
    mass = images.sum((1, 2))
    return np.stack([(images * columns).sum((1, 2)) / mass, (images * rows).sum((1, 2)) / mass], -1)


@pytest.mark.parametrize(
    "options",
    [
        {"flip": 0.0, "rotation": 180.0},
        {"flip": 0.0, "scale": 0.3},
        {"flip": 0.0, "rotation": 45.0, "scale": 0.3},
        {"flip": 0.0, "shift": 0.1},
        {"flip": 0.0, "half_body": 1.0},
        {"flip": 0.0, "half_body": 0.5, "rotation": 45.0, "scale": 0.1, "shift": 0.05},
        {"flip": 1.0},
        {"flip": 1.0, "rotation": 90.0, "scale": 0.2},
    ],
    ids=str,
)
def test_joints_move_with_the_image(pose, options):
    images, poses = GeometricAugmenter(**options)(blobs(pose), np.stack([pose] * 17), [1, 2])
    assert (images.shape, images.dtype) == ((17, HEIGHT, WIDTH, 3), tf.uint8)
    assert (poses.shape, poses.dtype) == ((17, 17, 2), tf.float32)
    for spot in range(17):
        joint = MIRROR[spot] if options["flip"] else spot
        if not np.all((poses[spot, joint] > 8) & (poses[spot, joint] < [WIDTH - 9, HEIGHT - 9])):
            assert options.get("half_body")  # the other half may leave the image
            continue
        np.testing.assert_allclose(centroids(images)[spot], poses[spot, joint], atol=0.3)
        assert np.linalg.norm(poses[spot, joint] - pose[spot]) > 1e-3


def test_without_options_nothing_changes(pose, rng):
    images = rng.integers(0, 256, (3, HEIGHT, WIDTH, 3), np.uint8)
    poses = np.stack([pose] * 3)
    result = GeometricAugmenter(flip=0.0)(images, poses, [1, 2])
    np.testing.assert_array_equal(result[0], images)
    np.testing.assert_array_equal(result[1], poses)


def test_a_certain_flip_mirrors_exactly(pose, rng):
    images = rng.integers(0, 256, (3, HEIGHT, WIDTH, 3), np.uint8)
    mirrored, poses = GeometricAugmenter(flip=1.0)(images, np.stack([pose] * 3), [1, 2])
    np.testing.assert_array_equal(mirrored, images[:, :, ::-1])
    np.testing.assert_allclose(poses[0], pose[MIRROR] * [-1, 1] + [WIDTH - 1, 0], atol=1e-4)


def test_a_flip_mirrors_the_3d_pose(pose, rng):
    pose3d = rng.normal(0, 300, (3, 17, 3)).astype(np.float32)
    images = np.zeros((3, HEIGHT, WIDTH, 3), np.uint8)
    _, _, mirrored = GeometricAugmenter(flip=1.0)(images, np.stack([pose] * 3), [1, 2], pose3d)
    np.testing.assert_allclose(mirrored, pose3d[:, MIRROR] * [-1, 1, 1], rtol=1e-6)
    _, _, same = GeometricAugmenter(flip=0.0)(images, np.stack([pose] * 3), [1, 2], pose3d)
    np.testing.assert_array_equal(same, pose3d)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_flips_happen_with_their_probability(probability):
    images = np.zeros((4000, 1, 2, 3), np.uint8)
    images[:, :, 0] = 255
    flipped = GeometricAugmenter(probability)(images, np.zeros((4000, 17, 2), np.float32), [3, 4])
    share = (flipped[0].numpy()[:, 0, 1, 0] == 255).mean()
    assert share == pytest.approx(probability, abs=4 * (probability * (1 - probability) / 4000) ** 0.5)
    np.testing.assert_array_equal(flipped[1].numpy()[:, 0, 0] == 1, flipped[0].numpy()[:, 0, 1, 0] == 255)


def test_angles_and_scales_are_uniform_in_their_ranges():
    images, poses = np.zeros((4000, 3, 3, 3), np.uint8), np.ones((4000, 17, 2), np.float32)
    poses[:, 5] = [11, 1]
    _, moved = GeometricAugmenter(0.0, rotation=30.0, scale=0.2)(images, poses, [5, 6])
    arm = moved.numpy()[:, 5] - moved.numpy()[:, 0]
    angle, factor = np.degrees(np.arctan2(arm[:, 1], arm[:, 0])), np.linalg.norm(arm, axis=-1) / 10
    for values, low, high in ((angle, -30, 30), (factor, 0.8, 1.2)):
        assert low - 1e-3 <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high + 1e-3
        shares, _ = np.histogram(values, 4, (low, high))
        np.testing.assert_allclose(shares / 4000, np.full(4, 0.25), atol=0.03)
    assert abs(np.corrcoef(angle, factor)[0, 1]) < 0.06


def test_shifts_are_uniform_in_their_range():
    images, poses = np.zeros((4000, 20, 10, 3), np.uint8), np.ones((4000, 17, 2), np.float32)
    _, moved = GeometricAugmenter(0.0, shift=0.2)(images, poses, [5, 6])
    shift = moved.numpy()[:, 0] - 1
    for values, largest in ((shift[:, 0], 2), (shift[:, 1], 4)):
        assert 0.98 * largest < np.abs(values).max() <= largest + 1e-4
        shares, _ = np.histogram(values, 4, (-largest, largest))
        np.testing.assert_allclose(shares / 4000, np.full(4, 0.25), atol=0.03)
    assert abs(np.corrcoef(shift.T)[0, 1]) < 0.06


UPPER = [7, 8, 9, 10, 11, 12, 13, 14, 15, 16]
LOWER = [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("upper, joints", [(True, UPPER), (False, LOWER)], ids=["upper", "lower"])
def test_a_half_body_fills_two_thirds_of_the_image(rng, upper, joints):
    poses = rng.uniform(100, 120, (1, 17, 2)).astype(np.float32)
    poses[0, joints[1]], poses[0, joints[2]] = [20, 40], [100, 90]
    poses[0, joints[3:]] = [50, 60]
    poses[0, joints[0]] = [50, 60]
    center, factor = half_bodies(tf.constant(poses), tf.constant([256.0, 240.0]), tf.constant([upper]))
    np.testing.assert_allclose(center, [[60, 65]], atol=1e-4)
    np.testing.assert_allclose(factor, [240 / (1.5 * 80)], atol=1e-5)


@pytest.mark.parametrize("side, expected", [(300.0, 1.0), (160.0, 1.0), (80.0, 2.0), (40.0, 2.5), (0.0, 2.5)])
def test_a_half_body_is_not_enlarged_too_much_and_not_reduced(side, expected):
    poses = np.full((1, 17, 2), 10, np.float32)
    poses[0, 5, 1] += side
    _, factor = half_bodies(tf.constant(poses), tf.constant([240.0, 256.0]), tf.constant([False]))
    np.testing.assert_allclose(factor, [expected], rtol=1e-6)


def test_half_bodies_come_from_labeled_joints_only():
    poses = np.full((2, 17, 2), geometry.UNLABELED_PX, np.float32)
    poses[0, [1, 2, 3]] = [[10, 10], [30, 50], [20, 90]]
    poses[1, [1, 2]] = [[10, 10], [30, 50]]  # two joints are too few
    center, factor = half_bodies(tf.constant(poses), tf.constant([240.0, 240.0]), tf.constant([False, False]))
    np.testing.assert_allclose(center, [[20, 50], [119.5, 119.5]])
    np.testing.assert_allclose(factor, [240 / (1.5 * 80), 1.0])


def test_half_bodies_are_chosen_with_their_probability(pose):
    poses = np.stack([pose] * 4000)
    images = np.zeros((4000, HEIGHT, 2, 3), np.uint8)
    _, moved = GeometricAugmenter(0.0, half_body=0.3)(images, poses, [3, 4])
    same = np.abs(moved.numpy() - poses).max((1, 2)) < 1e-3
    assert same.mean() == pytest.approx(0.7, abs=0.03)
    results = np.unique(np.round(moved.numpy()[~same], 2), axis=0, return_counts=True)[1]
    np.testing.assert_allclose(results / 4000, [0.15, 0.15], atol=0.02)  # upper and lower bodies


def test_the_seed_decides(pose):
    layer = GeometricAugmenter(0.5, 30.0, 0.2, 0.1, 0.2)
    poses = np.stack([pose] * 17)
    first = layer(blobs(pose), poses, [1, 2])
    tf.random.set_seed(7)
    second = GeometricAugmenter(0.5, 30.0, 0.2, 0.1, 0.2)(blobs(pose), poses, tf.constant([1, 2]))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    for seed in ([1, 3], [2, 2]):
        assert np.abs(layer(blobs(pose), poses, seed)[1] - first[1]).mean() > 1
    assert np.ptp(first[1].numpy()[:, 0], axis=0).min() > 0.1


def test_in_a_graph_of_unknown_batch_size(pose):
    layer = GeometricAugmenter(0.5, 30.0, 0.2)
    signature = [
        tf.TensorSpec([None, HEIGHT, WIDTH, 3], tf.uint8), tf.TensorSpec([None, 17, 2]), tf.TensorSpec([2], tf.int32)
    ]  # fmt: skip
    graph = tf.function(lambda *args: layer(*args), input_signature=signature)
    poses, seed = np.stack([pose] * 17), np.int32([1, 2])
    expected, result = layer(blobs(pose), poses, seed), graph(blobs(pose), poses, seed)
    assert np.abs(result[0].numpy().astype(int) - expected[0].numpy()).max() <= 1
    np.testing.assert_allclose(result[1], expected[1], atol=1e-3)


def test_mixed_precision_keeps_exact_pixels(pose, mixed_bfloat16):
    poses = np.stack([pose] * 17)
    images, moved = GeometricAugmenter(0.0, 30.0, 0.2)(blobs(pose), poses, [1, 2])
    assert (images.dtype, moved.dtype) == (tf.uint8, tf.float32)
    np.testing.assert_allclose(centroids(images), moved.numpy()[range(17), range(17)], atol=0.3)


def rotated(image, degrees, factor=1.0):
    center = tf.constant([[(image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2]], tf.float32)
    angle = tf.constant([np.deg2rad(degrees)], tf.float32)
    return move_images(image[None], angle, tf.constant([factor]), center, center)[0]


@pytest.mark.parametrize("degrees, quarters", [(0, 0), (90, -1), (180, 2), (-90, 1)])
def test_positive_angles_turn_clockwise(rng, degrees, quarters):
    image = rng.integers(0, 256, (9, 9, 3), np.uint8)
    result = rotated(image, degrees).numpy().astype(int)
    assert np.abs(result - np.rot90(image, quarters))[1:-1, 1:-1].max() <= 1


def test_doubling_keeps_the_center_and_spreads_the_rest(rng):
    image = rng.integers(0, 256, (9, 9, 3), np.uint8)
    assert np.abs(rotated(image, 0, 2.0).numpy()[::2, ::2].astype(int) - image[2:7, 2:7]).max() <= 1


def test_what_comes_from_outside_is_black():
    white = np.full((20, 20, 3), 255, np.uint8)
    result = rotated(white, 0, 0.5).numpy()
    assert (result[6:14, 6:14] == 255).all()
    assert not result[:4].any() and not result[:, 16:].any()
    assert not rotated(white, 45).numpy()[0, 0].any()


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_images_are_transformed_as_by_tensorflow_addons(rng, interpolation):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        tfa = pytest.importorskip("tensorflow_addons", reason="not available for this TensorFlow")
    images = rng.uniform(0, 255, (6, 30, 40, 3)).astype(np.float32)
    transforms = np.tile(np.float32([1, 0, 0, 0, 1, 0, 0, 0]), (6, 1)) + rng.normal(0, 0.2, (6, 8)).astype(np.float32)
    transforms[:, [2, 5]] *= 20
    transforms[:, 6:] *= 0.01
    expected = tfa.image.transform(images, transforms, interpolation=interpolation)
    assert np.ptp(expected) > 200
    np.testing.assert_array_equal(transform_images(images, transforms, interpolation), expected)


def test_round_trip_keeps_the_options():
    layer = GeometricAugmenter(0.25, rotation=10.0, scale=0.1, shift=0.2, half_body=0.3)
    again = tf.keras.utils.deserialize_keras_object(tf.keras.utils.serialize_keras_object(layer))
    options = (again.flip, again.rotation, again.scale, again.shift, again.half_body)
    assert (type(again), options) == (GeometricAugmenter, (0.25, 10.0, 0.1, 0.2, 0.3))
