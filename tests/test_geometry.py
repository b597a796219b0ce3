"""Tests of the geometry: literal coordinates, round trips, and Procrustes against Horn's quaternion method."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import geometry
from pose_tf.geometry import Crop
from pose_tf.skeleton import H36M

LEADING = pytest.mark.parametrize("leading", [(), (3,), (2, 3)], ids=str)


def poses_before_a_camera(rng, leading, joints=17):
    return rng.normal(size=(*leading, joints, 3)) * 300 + [100, -50, 4000]


def horn_align(predicted, target):
    """Closed form by unit quaternions (Horn, JOSA A 1987): the best proper rotation is an eigenvector."""
    p, t = predicted - predicted.mean(0), target - target.mean(0)
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = p.T @ t
    n = np.array(
        [
            [xx + yy + zz, yz - zy, zx - xz, xy - yx],
            [yz - zy, xx - yy - zz, xy + yx, zx + xz],
            [zx - xz, xy + yx, yy - xx - zz, yz + zy],
            [xy - yx, zx + xz, yz + zy, zz - xx - yy],
        ]
    )
    w, x, y, z = np.linalg.eigh(n)[1][:, -1]
    rotation = np.array(
        [
            [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
        ]
    )
    rotated = p @ rotation.T
    return (rotated * t).sum() / (p**2).sum() * rotated + target.mean(0)


def test_the_crop_of_a_record_subtracts_the_offset_then_scales():
    crop = Crop.from_offset_scale(np.array([100.0, 200.0]), np.array(2.0))
    pose = np.array([[110.0, 220.0], [100.0, 200.0]])
    np.testing.assert_allclose(crop.to_crop(pose), [[20, 40], [0, 0]], atol=1e-12)
    # Its first pixel, which spans -0.5 ... 0.5, begins a quarter of a pixel before the offset.
    np.testing.assert_allclose(crop.corner, [100.25, 200.25])
    assert crop.side == 128


def test_the_offset_and_the_scale_of_a_crop_map_the_image_to_it(rng):
    crop = Crop(np.array([[100.25, 200.25], [-3.0, 8.0]]), np.array([128.0, 50.0]))
    offset, scale = crop.to_offset_scale()
    np.testing.assert_allclose(offset[0], [100, 200])
    np.testing.assert_allclose(scale, [2, 5.12])
    pose = rng.normal(50, 100, (2, 17, 2))
    np.testing.assert_allclose((pose - offset[:, None]) * scale[:, None, None], crop.to_crop(pose))
    again = Crop.from_offset_scale(offset, scale)
    np.testing.assert_allclose(again.corner, crop.corner)
    np.testing.assert_allclose(again.side, crop.side)


def test_the_crop_around_a_box_has_its_center():
    crop = Crop.around(np.array([10.0, 20.0, 32.0, 64.0]), 2.0)
    np.testing.assert_array_equal(crop.corner, [-38, -12])
    assert crop.side == 128
    # Half a pixel of the image is a pixel of the crop: the first pixels of both begin at the same edge.
    np.testing.assert_array_equal(crop.to_crop(np.array([[-38.5, -12.5], [-38.0, -12.0]])), [[-0.5, -0.5], [0.5, 0.5]])
    np.testing.assert_array_equal(
        crop.to_image(np.array([[255.5, 255.5], [127.5, 127.5]])), [[89.5, 115.5], [25.5, 51.5]]
    )


def test_the_crop_of_a_whole_image_of_its_size_changes_nothing():
    pose = np.array([[0.0, 0.0], [255.0, 17.0]])
    np.testing.assert_array_equal(Crop.around(np.array([0.0, 0, 256, 256]), 1.0).to_crop(pose), pose)


@LEADING
def test_crop_and_image_round_trip(rng, leading):
    pose = rng.uniform(-50, 300, (*leading, 17, 2))
    box = rng.uniform([0, 0, 20, 20], [500, 500, 300, 300], (*leading, 4))
    crop = Crop.around(box, 1.25)
    assert (crop.corner.shape, crop.side.shape) == ((*leading, 2), leading)
    seen = crop.to_crop(pose)
    assert seen.shape == (*leading, 17, 2)
    np.testing.assert_allclose(crop.to_image(seen), pose, atol=1e-9)
    tensors = Crop.around(tf.constant(box), 1.25)
    np.testing.assert_array_equal(tensors.to_crop(tf.constant(pose)), seen)
    np.testing.assert_array_equal(tensors.to_image(tf.constant(seen)), crop.to_image(seen))


def test_project_known_point():
    pixels = geometry.project(tf.constant([[100.0, -200.0, 1000.0]]), tf.constant([500.0, 10.0, 400.0, 20.0]))
    np.testing.assert_allclose(pixels, [[60, -60]])


@LEADING
def test_projection_then_crop_is_the_projection_of_a_camera(rng, leading):
    pose = poses_before_a_camera(rng, leading)
    intrinsics = rng.uniform([1000, 480, 1100, 490], [1200, 520, 1300, 530], (*leading, 4))
    offset, scale = rng.uniform(200, 300, (*leading, 2)), rng.uniform(0.3, 0.8, leading)
    pixels = geometry.project(pose, intrinsics)
    np.testing.assert_array_equal(geometry.project(tf.constant(pose), tf.constant(intrinsics)), pixels)
    fx, cx, fy, cy = np.moveaxis(intrinsics, -1, 0)
    camera = [fx * scale, (cx - offset[..., 0]) * scale, fy * scale, (cy - offset[..., 1]) * scale]
    seen = Crop.from_offset_scale(offset, np.asarray(scale)).to_crop(pixels)
    np.testing.assert_allclose(geometry.project(pose, np.stack(camera, -1)), seen, atol=1e-9)


@LEADING
def test_the_hip_of_an_exact_projection_is_found(rng, leading):
    pose3d = poses_before_a_camera(rng, leading)
    intrinsics = np.broadcast_to([1150.0, 512, 1140, 508], (*leading, 4))
    pixels = pose3d[..., :2] / pose3d[..., 2:] * [1150, 1140] + [512, 508]
    weights = rng.uniform(0, 1, (*leading, 17))
    found = geometry.hip_position(pose3d - pose3d[..., :1, :], pixels, intrinsics, weights)
    np.testing.assert_allclose(found, pose3d[..., 0, :], rtol=1e-6)


def test_the_hip_is_where_the_weighted_squared_distances_from_the_rays_are_least(rng):
    pose3d = poses_before_a_camera(rng, ())
    relative, weights = pose3d - pose3d[0], rng.uniform(0.1, 1, 17)
    rays = pose3d[:, :2] / pose3d[:, 2:] + rng.normal(0, 0.01, (17, 2))
    found = geometry.hip_position(relative, rays, np.array([1.0, 0, 1, 0]), weights)
    rows, values = [], []
    for (x, y), (px, py, pz), weight in zip(rays, relative, weights):
        for row, value in (([1, 0, -x], x * pz - px), ([0, 1, -y], y * pz - py)):
            rows.append(np.sqrt(weight) * np.array(row))
            values.append(np.sqrt(weight) * value)
    np.testing.assert_allclose(found, np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0], rtol=1e-6)


@LEADING
def test_hip_relative_moves_joint_0_to_the_origin(rng, leading):
    pose = rng.normal(size=(*leading, 17, 3))
    relative = geometry.hip_relative(pose)
    np.testing.assert_array_equal(relative[..., 0, :], np.zeros((*leading, 3)))
    np.testing.assert_allclose(relative[..., 5, :], pose[..., 5, :] - pose[..., 0, :])


def test_mirror_pose_swaps_sides_and_reflects_x():
    pose = tf.constant([[10.0, 1.0], [20.0, 2.0], [30.0, 3.0]])
    np.testing.assert_array_equal(geometry.mirror_pose(pose, (0, 2, 1), 256), [[245, 1], [225, 3], [235, 2]])
    np.testing.assert_array_equal(geometry.mirror_pose(pose, (0, 2, 1)), [[-10, 1], [-30, 3], [-20, 2]])


@pytest.mark.parametrize("dimensions, width", [(2, 256), (2, 99), (3, None)])
def test_mirror_twice_is_the_identity(rng, dimensions, width):
    pose = rng.normal(size=(4, 17, dimensions)) * 100
    twice = geometry.mirror_pose(geometry.mirror_pose(pose, H36M.mirror, width), H36M.mirror, width)
    np.testing.assert_allclose(twice, pose, atol=1e-10)


def test_mirroring_commutes_with_a_centered_projection(rng):
    pose, camera = poses_before_a_camera(rng, (3,)), np.array([500.0, 127.5, 500, 100])
    mirrored_after = geometry.mirror_pose(geometry.project(pose, camera), H36M.mirror, 256)
    mirrored_before = geometry.project(geometry.mirror_pose(pose, H36M.mirror), camera)
    np.testing.assert_allclose(mirrored_before, mirrored_after, atol=1e-9)


@LEADING
@pytest.mark.parametrize("dimensions", [2, 3])
def test_procrustes_undoes_any_similarity(rng, random_rotation, leading, dimensions):
    target = rng.normal(size=(*leading, 17, dimensions)) * 300
    for _ in range(5):
        moved = target @ random_rotation(dimensions) * rng.uniform(0.1, 10) + rng.normal(size=dimensions) * 1000
        np.testing.assert_allclose(geometry.procrustes_align(moved, target), target, atol=1e-8)


@pytest.mark.parametrize("reflect", [1, -1], ids=["near", "reflected"])
def test_procrustes_equals_the_quaternion_method(rng, random_rotation, reflect):
    target = rng.normal(size=(20, 17, 3)) * 300
    noisy = (target * [1, 1, reflect] + rng.normal(size=target.shape) * 80) @ random_rotation() * 0.7 + 50
    expected = np.stack([horn_align(*pair) for pair in zip(noisy, target)])
    np.testing.assert_allclose(geometry.procrustes_align(noisy, target), expected, atol=1e-6)


def test_procrustes_does_not_reflect(rng):
    target = rng.normal(size=(17, 3)) * 300
    aligned = geometry.procrustes_align(target * [-1, 1, 1], target)
    assert np.linalg.norm(aligned - target, axis=-1).mean() > 50


def test_procrustes_turns_and_scales_a_square():
    square = tf.constant([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]])
    turned = tf.constant([[5.0, 7.0], [7.0, 5.0], [5.0, 3.0], [3.0, 5.0]])
    np.testing.assert_allclose(geometry.procrustes_align(turned, square), square, atol=1e-6)


def test_procrustes_of_a_point_is_the_center_of_the_target(rng):
    target = rng.normal(size=(2, 17, 3)) * 300
    aligned = geometry.procrustes_align(np.full_like(target, 7.0), target)
    np.testing.assert_allclose(aligned, np.broadcast_to(target.mean(1, keepdims=True), target.shape), atol=1e-9)


@pytest.mark.parametrize("flatten", [(1, 1, 0), (0, 1, 0)], ids=["planar", "collinear"])
def test_procrustes_undoes_a_similarity_of_flat_poses(rng, random_rotation, flatten):
    target = rng.normal(size=(17, 3)) * 300 * flatten
    np.testing.assert_allclose(geometry.procrustes_align(3 * target @ random_rotation() + 1, target), target, atol=1e-8)


def test_procrustes_keeps_other_samples_apart_from_a_broken_one(rng):
    target = rng.normal(size=(3, 17, 3))
    predicted = target * 2
    predicted[1] = np.nan
    aligned = geometry.procrustes_align(predicted, target)
    np.testing.assert_allclose(aligned[::2], target[::2], atol=1e-9)
    assert np.isnan(aligned[1]).all()


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64])
def test_procrustes_keeps_the_type_of_the_prediction(rng, dtype):
    pose = tf.constant(rng.normal(size=(2, 17, 3)), dtype)
    assert geometry.procrustes_align(pose, pose).dtype == dtype


def test_procrustes_in_a_graph_of_unknown_batch_size(rng):
    spec = tf.TensorSpec([None, 17, 3], tf.float64)
    align = tf.function(geometry.procrustes_align, input_signature=[spec, spec])
    target = rng.normal(size=(4, 17, 3))
    np.testing.assert_allclose(align(tf.constant(2 * target), tf.constant(target)), target, atol=1e-9)
    assert align(tf.zeros([0, 17, 3], tf.float64), tf.zeros([0, 17, 3], tf.float64)).shape == (0, 17, 3)


def squared_distance(predicted, target):
    return tf.reduce_sum((geometry.procrustes_align(predicted, target) - target) ** 2)


@pytest.mark.parametrize("reflect", [1, -1], ids=["near", "reflected"])
def test_gradient_of_the_aligned_squared_distance_is_exact(rng, reflect):
    target, noise, direction = rng.normal(size=(3, 17, 3))
    predicted = tf.constant(target * [1, 1, reflect] + 0.3 * noise)
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        loss = squared_distance(predicted, target)
    slope = np.sum(tape.gradient(loss, predicted).numpy() * direction)
    step = 1e-5 * direction
    numeric = (squared_distance(predicted + step, target) - squared_distance(predicted - step, target)) / 2e-5
    np.testing.assert_allclose(slope, numeric, rtol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 0), (1, 0, 0), (0, 0, 0)], ids=["solid", "plane", "line", "point"])
def test_gradient_of_the_aligned_squared_distance_is_finite(rng, shape):
    target = rng.normal(size=(17, 3)) * 300
    for goal in (target, target * shape, target * [-1, 1, 1], np.zeros_like(target), np.ones_like(target)):
        predicted = tf.constant(target * shape)
        with tf.GradientTape() as tape:
            tape.watch(predicted)
            loss = squared_distance(predicted, goal)
        assert np.isfinite(tape.gradient(loss, predicted)).all()


@pytest.mark.parametrize("motion", ["scaling", "translation", "rotation"])
def test_gradient_of_the_aligned_squared_distance_does_not_see_a_similarity(rng, motion):
    target, noise = rng.normal(size=(2, 17, 3))
    predicted = tf.constant(target + 0.3 * noise)
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        loss = squared_distance(predicted, target)
    gradient = tape.gradient(loss, predicted).numpy()
    centered = predicted.numpy() - predicted.numpy().mean(0)
    direction = {
        "scaling": centered,
        "translation": np.broadcast_to(rng.normal(size=3), (17, 3)),
        "rotation": np.cross(rng.normal(size=3), centered),
    }[motion]
    assert np.abs(gradient).max() > 0.1
    np.testing.assert_allclose((gradient * direction).sum(), 0, atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_place_is_given_to_joints_that_tell_none(rng, dtype):
    """All in one pixel; a pose that has to be behind the camera; one without size. A joint that is NaN is left out."""
    pose3d = poses_before_a_camera(rng, ()).astype(dtype)
    intrinsics, weights = np.array([1150.0, 512, 1150, 508], dtype), np.ones(17, dtype)
    pixels = (pose3d[:, :2] / pose3d[:, 2:] * 1150 + [512, 508]).astype(dtype)
    relative = pose3d - pose3d[0]
    for pose, seen in ((relative, pixels[:1].repeat(17, 0)), (-relative, pixels), (0 * relative, pixels)):
        assert np.isnan(geometry.hip_position(pose, seen, intrinsics, weights)).all()
    pixels[5] = np.nan
    np.testing.assert_allclose(geometry.hip_position(relative, pixels, intrinsics, weights), pose3d[0], rtol=2e-3)
