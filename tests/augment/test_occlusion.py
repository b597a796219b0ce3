"""Tests of pasting and of its random augmenter against OpenCV."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pose_tf.augment import OcclusionAugmenter
from pose_tf.augment.occlusion import paste_occluders
from pose_tf.data.occluders import OccluderBank

SIZES = [(1, 1), (2, 3), (17, 40), (64, 64), (131, 90), (77, 201), (240, 250)]


def smooth(rng, height, width):
    """A random image as smooth as a photograph, with an alpha channel that has a shape."""
    coarse = rng.integers(0, 256, (height // 9 + 2, width // 9 + 2, 4)).astype(np.uint8)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    picture[..., 3] = np.where(picture[..., 3] > 90, 255, 0)
    return picture


@pytest.fixture(scope="module")
def bank():
    rng = np.random.default_rng(5)
    return OccluderBank(tuple(smooth(rng, *size) for size in SIZES))


def paste_with_opencv(image, objects, scales, centers):
    """The published pasting method, one object after another."""
    canvas = image.astype(np.float64)
    for picture, scale, center in zip(objects, scales, centers):
        width, height = (round(float(side) * float(scale)) for side in picture.shape[1::-1])
        if not (width and height):
            continue
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(picture, (width, height), interpolation=way).astype(np.float64)
        left, top = np.round(center).astype(int) - np.array([width, height]) // 2
        x, y = max(left, 0), max(top, 0)
        part = canvas[y : max(top + height, 0), x : max(left + width, 0)]
        over = resized[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]]
        alpha = over[..., 3:] / 255
        part[:] = alpha * over[..., :3] + (1 - alpha) * part
    return canvas


@pytest.mark.parametrize("low, high, mean, most", [(0.5, 1.0, 1.3, 14), (0.2, 0.5, 5, 25), (1.0, 2.5, 0.3, 3)])
def test_agrees_with_opencv(bank, rng, low, high, mean, most):
    images = rng.integers(0, 256, (6, 200, 256, 3)).astype(np.uint8)
    indices = rng.integers(0, len(bank), (6, 8)).astype(np.int32)
    scales = rng.uniform(low, high, (6, 8)).astype(np.float32)
    centers = rng.uniform(-20, 270, (6, 8, 2)).astype(np.float32)
    pasted = paste_occluders(images, bank, indices, scales, centers).numpy()
    assert pasted.dtype == np.uint8
    expected = np.stack(
        [paste_with_opencv(images[i], [bank.objects[n] for n in indices[i]], scales[i], centers[i]) for i in range(6)]
    )
    difference = np.abs(pasted - expected)
    changed = (expected != images).any(axis=-1)
    assert changed.mean() > 0.1
    assert difference[changed].mean() < mean
    assert np.mean(difference.max(axis=-1) > most) < 0.01


def test_agrees_with_the_reference_on_real_photographs(shared_data):
    with np.load(shared_data / "parity" / "occlusion_io.npz") as file:
        images, expected, pastes = file["image"], file["occluded"], file["pastes"]
        ends = np.cumsum(file["occluder_shapes"].prod(axis=1))
        parts = np.split(file["occluder_pixels"], ends[:-1])
        bank = OccluderBank(tuple(p.reshape(*s, 4) for p, s in zip(parts, file["occluder_shapes"])))
    turns = max(np.sum(pastes[:, 0] == i) for i in range(len(images)))
    indices = np.full((len(images), turns), -1)
    scales, centers = np.zeros((len(images), turns)), np.zeros((len(images), turns, 2))
    for i in range(len(images)):
        own = pastes[pastes[:, 0] == i]
        indices[i, : len(own)], scales[i, : len(own)], centers[i, : len(own)] = own[:, 1], own[:, 2], own[:, 3:]
    difference = np.abs(paste_occluders(images, bank, indices, scales, centers).numpy().astype(int) - expected)
    changed = (expected != images).any(axis=-1)
    assert difference[changed].mean() <= 1.5
    assert np.mean(difference.max(axis=-1) <= 12) >= 0.99


def test_other_uses_of_the_images_do_not_see_the_pastes(bank):
    @tf.function
    def run(images):
        first = paste_occluders(images, bank, [[3]], [[1.0]], [[[20.0, 20.0]]])
        second = paste_occluders(images, bank, [[3]], [[1.0]], [[[44.0, 44.0]]])
        return first, second, tf.cast(images, tf.float32) + 1

    for images in (tf.zeros([1, 64, 64, 3], tf.uint8), tf.zeros([1, 64, 64, 3])):
        first, second, other = run(images)
        assert np.any(first[0, :8]) and not np.any(first[0, 56:])
        assert np.any(second[0, 56:]) and not np.any(second[0, :8])
        np.testing.assert_array_equal(other, np.ones((1, 64, 64, 3)))
        assert not np.any(images)


def test_an_object_at_its_own_size_is_copied(bank, rng):
    image = rng.integers(0, 256, (1, 300, 320, 3)).astype(np.uint8)
    picture = bank.objects[4]
    pasted = paste_occluders(image, bank, [[4]], [[1.0]], [[[150.0, 140.0]]]).numpy()[0]
    top, left = 140 - 131 // 2, 150 - 90 // 2
    expected = image[0].copy()
    opaque = picture[..., 3] == 255
    expected[top : top + 131, left : left + 90][opaque] = picture[opaque][:, :3]
    np.testing.assert_array_equal(pasted, expected)


def test_later_objects_cover_earlier_ones_and_none_is_none(rng):
    colors = np.array([[255, 0, 0, 255], [0, 255, 0, 255]], np.uint8)
    bank = OccluderBank(tuple(np.tile(color, (10, 10, 1)) for color in colors))
    images = np.zeros((3, 32, 32, 3), np.uint8)
    pasted = paste_occluders(
        images, bank, [[0, -1, 1], [1, 0, -1], [-1, -1, -1]], np.ones((3, 3)), np.full((3, 3, 2), 16.0)
    ).numpy()
    np.testing.assert_array_equal(pasted[:, 16, 16], [[0, 255, 0], [255, 0, 0], [0, 0, 0]])
    assert (pasted[0] > 0).sum() == 100
    assert not pasted[2].any()


def test_objects_outside_and_objects_of_no_size_leave_the_image_alone(bank):
    images = np.full((2, 64, 48, 3), 9, np.uint8)
    for scale, center in ((1.0, (400.0, 20.0)), (1.0, (20.0, -300.0)), (0.001, (20.0, 20.0))):
        pasted = paste_occluders(images, bank, [[3], [6]], [[scale]] * 2, [[center]] * 2)
        np.testing.assert_array_equal(pasted, images)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16, tf.float16])
def test_float_images_stay_of_their_type(bank, dtype):
    images = tf.fill([2, 64, 64, 3], tf.cast(100.0, dtype))
    pasted = paste_occluders(images, bank, [[3], [-1]], [[0.5]] * 2, [[[32.0, 32.0]]] * 2)
    assert pasted.dtype == dtype
    np.testing.assert_array_equal(tf.cast(pasted[1], tf.float32), np.full((64, 64, 3), 100))
    assert np.any(tf.cast(pasted[0], tf.float32) != 100)


# ------------------------------------------------------------------------------------ the augmenter


def square(side):
    return OccluderBank((np.full((side, side, 4), 255, np.uint8),))


def changed(augmenter, images, seed):
    return (augmenter(images, training=True, seed=[seed, 0]).numpy() != images).any(axis=-1)


def test_half_of_the_images_get_one_to_eight_objects():
    augmenter = OcclusionAugmenter(square(2), min_scale=1.0, max_scale=1.0)
    images = np.zeros((600, 256, 256, 3), np.uint8)
    counts = changed(augmenter, images, 0).sum(axis=(1, 2)) / 4  # a square may be cut by the border, or meet another
    assert np.mean(counts > 0) == pytest.approx(0.5, abs=0.08)
    histogram = np.bincount(np.round(counts).astype(int), minlength=9)
    assert len(histogram) == 9
    assert histogram[1:].min() > 15
    assert counts[counts > 0].mean() == pytest.approx(4.5, abs=0.4)


def test_sizes_and_positions_are_uniform():
    augmenter = OcclusionAugmenter(square(40), probability=1.0, max_count=1)
    images = np.zeros((800, 256, 256, 3), np.uint8)
    sizes, centers = [], []
    for mask in changed(augmenter, images, 1):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if rows[0] > 0 and rows[-1] < 255 and columns[0] > 0 and columns[-1] < 255:
            sizes.append(len(rows) / 40)
        centers.append([columns.mean(), rows.mean()])
    assert min(sizes) >= 0.2 and max(sizes) <= 1.0
    np.testing.assert_allclose(np.quantile(sizes, [0.1, 0.5, 0.9]), [0.28, 0.6, 0.92], atol=0.06)
    np.testing.assert_allclose(np.quantile(centers, [0.1, 0.5, 0.9], axis=0).T, [[26, 128, 230]] * 2, atol=14)


def test_scales_follow_the_shorter_side_of_the_image():
    augmenter = OcclusionAugmenter(square(100), probability=1.0, max_count=1, min_scale=1.0, max_scale=1.0)
    widths = [mask.any(axis=0).sum() for mask in changed(augmenter, np.zeros((50, 128, 400, 3), np.uint8), 2)]
    assert max(widths) == 50


def test_the_seed_decides_and_inference_changes_nothing(bank):
    augmenter = OcclusionAugmenter(bank, probability=1.0)
    images = np.zeros((4, 128, 128, 3), np.uint8)
    first = augmenter(images, training=True, seed=[3, 4]).numpy()
    np.testing.assert_array_equal(augmenter(images, training=True, seed=[3, 4]), first)
    assert (augmenter(images, training=True, seed=[3, 5]).numpy() != first).any()
    np.testing.assert_array_equal(augmenter(images, training=False, seed=[3, 4]), images)


def test_is_rebuilt_from_its_config(bank, tmp_path):
    bank.save(f"{tmp_path}/bank.npz")
    augmenter = OcclusionAugmenter(f"{tmp_path}/bank.npz", probability=1.0, max_count=3)
    again = OcclusionAugmenter.from_config(augmenter.get_config())
    images = np.zeros((4, 128, 128, 3), np.uint8)
    np.testing.assert_array_equal(
        again(images, training=True, seed=[1, 2]), augmenter(images, training=True, seed=[1, 2])
    )
