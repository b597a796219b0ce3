"""Tests of the losses: hand-computed values, NumPy counterparts, and joints that must be ignored."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import losses
from pose_tf.metrics import bone_length_error
from pose_tf.skeleton import H36M


def cells(pixels):
    """Cells of 4 px; cell i is centered at 4·i + 1.5."""
    return (np.float32(pixels) - np.float32(1.5)) / 4


def gaussian_map(x, y, height, width, sigma=2.0):
    """Gaussian of height 1 around crop pixel (x, y), cell by cell."""
    cells = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            dx, dy = column - (x - 1.5) / 4, row - (y - 1.5) / 4
            cells[row, column] = np.exp(-(dx * dx + dy * dy) / (2 * sigma**2))
    return cells


def cross_entropy(heatmap, target):
    log_p = heatmap - heatmap.max() - np.log(np.exp(heatmap - heatmap.max()).sum())
    return -(target / target.sum() * log_p).sum()


@pytest.mark.parametrize(
    "weights, squared, absolute",
    [((1, 1), 12.5 + 2, 3.5 + 1), ((1, 0), 25, 7), ((0, 1), 4, 2), ((3, 1), 19.75, 5.75), ((0, 0), 0, 0)],
    ids=str,
)
def test_integral_losses_of_two_joints(weights, squared, absolute):
    target = tf.constant([[[10.0, 20.0], [5.0, 5.0]]])
    pose2d = target + [[[3.0, -4.0], [0.0, 2.0]]]
    weights = tf.constant([weights], tf.float32)
    np.testing.assert_allclose(losses.integral_loss(pose2d, target, weights), [squared])
    np.testing.assert_allclose(losses.integral_l1_loss(pose2d, target, weights), [absolute])


def test_joints_without_weight_have_no_gradient(rng):
    pose2d = tf.constant(rng.normal(size=(2, 3, 2)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(pose2d)
        loss = losses.integral_loss(pose2d, tf.zeros_like(pose2d), tf.constant([[1.0, 0, 1], [0, 0, 0]]))
    gradient = tape.gradient(loss, pose2d).numpy()
    np.testing.assert_allclose(gradient[0], pose2d[0] * [[1], [0], [1]])
    np.testing.assert_array_equal(gradient[1], np.zeros((3, 2)))


def test_heatmap_loss_equals_a_loop_over_cells(rng):
    heatmaps = rng.normal(size=(2, 8, 10, 3)).astype(np.float32)
    target = rng.uniform(-5, 40, (2, 3, 2)).astype(np.float32)
    weights = np.float32([[1, 0, 1], [0, 1, 0]])
    errors = [
        [np.mean((heatmaps[b, :, :, j] - gaussian_map(*target[b, j], 8, 10)) ** 2) for j in range(3)] for b in range(2)
    ]
    expected = [(errors[0][0] + errors[0][2]) / 2, errors[1][1]]
    np.testing.assert_allclose(losses.heatmap_loss(heatmaps, cells(target), weights), expected, rtol=1e-5)


def test_heatmap_loss_vanishes_at_the_target():
    heatmaps = gaussian_map(17.0, 9.5, 8, 10)[None, :, :, None].astype(np.float32)
    loss = losses.heatmap_loss(heatmaps, cells([[[17.0, 9.5]]]), tf.ones([1, 1]))
    np.testing.assert_allclose(loss, [0], atol=1e-12)


def test_the_released_target_is_a_blurred_cell_of_unit_norm():
    edge, corner = np.exp(-0.5), np.exp(-1.0)
    blurred = np.array([[corner, edge, corner], [edge, 1, edge], [corner, edge, corner]])
    target = np.zeros((2, 6, 7))
    target[0, 1:4, 3:6] = blurred  # of cell x 4, y 2
    target[1, :2, :2] = blurred[1:, 1:]  # of the first cell
    target /= np.linalg.norm(target, axis=(1, 2), keepdims=True)
    heatmaps = np.float32(target.transpose(1, 2, 0)[None])
    where = np.float32([[[4.6, 1.7], [-0.3, 0.2]]])
    loss = losses.released_heatmap_loss(heatmaps, where, tf.ones([1, 2]))
    np.testing.assert_allclose(loss, [0], atol=1e-12)
    loss = losses.released_heatmap_loss(tf.zeros_like(heatmaps), where, tf.ones([1, 2]))
    np.testing.assert_allclose(loss, [0.5 / 42], rtol=1e-5)


def test_distribution_loss_equals_the_cross_entropy(rng):
    heatmaps = rng.normal(size=(2, 8, 10, 3)).astype(np.float32) * 3
    target = rng.uniform(-5, 40, (2, 3, 2)).astype(np.float32)
    expected = [
        np.mean([cross_entropy(heatmaps[b, :, :, j], gaussian_map(*target[b, j], 8, 10)) for j in range(3)])
        for b in range(2)
    ]
    loss = losses.distribution_loss(heatmaps, cells(target), tf.ones([2, 3]))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(losses.distribution_loss(heatmaps + 50, cells(target), tf.ones([2, 3])), loss, rtol=1e-4)


def test_distribution_loss_of_a_flat_map_is_the_log_of_its_cells():
    loss = losses.distribution_loss(tf.zeros([1, 8, 10, 1]), cells([[[17.0, 9.5]]]), tf.ones([1, 1]))
    np.testing.assert_allclose(loss, [np.log(80)], rtol=1e-6)


def test_distribution_loss_is_least_at_the_gaussian(rng):
    target = gaussian_map(17.0, 9.5, 8, 10)
    heatmaps = tf.constant(np.log(target)[None, :, :, None], tf.float32)
    p = target / target.sum()
    with tf.GradientTape() as tape:
        tape.watch(heatmaps)
        loss = losses.distribution_loss(heatmaps, cells([[[17.0, 9.5]]]), tf.ones([1, 1]))
    np.testing.assert_allclose(loss, [-(p * np.log(p)).sum()], rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(loss, heatmaps), np.zeros((1, 8, 10, 1)), atol=1e-6)


def test_distribution_loss_ignores_joints_without_weight(rng):
    heatmaps = rng.normal(size=(1, 8, 10, 2)).astype(np.float32)
    target = np.float32([[[17, 9.5], [30, 30]]])
    one = losses.distribution_loss(heatmaps[..., :1], cells(target[:, :1]), tf.ones([1, 1]))
    np.testing.assert_allclose(losses.distribution_loss(heatmaps, cells(target), [[1.0, 0.0]]), one, rtol=1e-6)
    np.testing.assert_array_equal(losses.distribution_loss(heatmaps, cells(target), [[0.0, 0.0]]), [0])


@pytest.mark.parametrize("far", [-60.0, 90.0])
def test_a_joint_outside_pulls_the_mass_to_the_nearest_border(far):
    heatmaps = tf.zeros([1, 8, 8, 1])
    with tf.GradientTape() as tape:
        tape.watch(heatmaps)
        loss = losses.distribution_loss(heatmaps, cells([[[far, 13.5]]]), tf.ones([1, 1]))
    gradient = tape.gradient(loss, heatmaps).numpy()[0, :, :, 0]
    assert abs(gradient.sum()) < 1e-5
    assert gradient.sum(0).argmin() == (0 if far < 0 else 7)


@pytest.mark.parametrize("loss", [losses.heatmap_loss, losses.distribution_loss])
@pytest.mark.parametrize("far", [1e3, -1e6])
def test_a_joint_far_away_gives_finite_losses_and_gradients(rng, loss, far):
    heatmaps = tf.constant(rng.normal(size=(1, 8, 8, 1)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(heatmaps)
        value = loss(heatmaps, cells([[[far, 13.5]]]), tf.ones([1, 1]))
    assert np.isfinite(value).all() and np.isfinite(tape.gradient(value, heatmaps)).all()


def test_pose3d_losses_of_two_joints():
    target = np.float32([[[0, 0, 0], [1, 2, 3]], [[0, 0, 0], [0, 0, 0]]])
    pose = target + np.float32([[[0, 0, 0], [3, -4, 0]], [[1, 1, 1], [0, 0, 2]]])
    np.testing.assert_allclose(losses.pose3d_loss(pose, target), [12.5, 3.5])
    distances = [5 / 2, (3**0.5 + 2) / 2]
    np.testing.assert_allclose(losses.pose3d_distance_loss(pose, target), distances, atol=0.02)


def test_pose3d_distance_loss_has_a_gradient_at_the_truth():
    pose = tf.zeros([1, 17, 3])
    with tf.GradientTape() as tape:
        tape.watch(pose)
        loss = losses.pose3d_distance_loss(pose, tf.zeros([1, 17, 3]))
    assert 0 <= float(loss[0]) < 0.05
    np.testing.assert_array_equal(tape.gradient(loss, pose), np.zeros((1, 17, 3)))


def test_direction_of_bones_is_one_minus_the_cosine(rng):
    target = rng.normal(size=(3, 17, 3)).astype(np.float32) * 200
    assert losses.bone_direction_loss(target, target).numpy() == pytest.approx(0, abs=1e-6)
    assert losses.bone_direction_loss(3 * target + 50, target).numpy() == pytest.approx(0, abs=1e-6)
    assert losses.bone_direction_loss(-target, target).numpy() == pytest.approx(2, abs=1e-6)
    other = rng.normal(size=(3, 17, 3)).astype(np.float32) * 200
    expected = []
    for a, b in zip(other, target):
        pairs = [(a[child] - a[parent], b[child] - b[parent]) for child, parent in H36M.bones]
        expected.append(np.mean([1 - u @ v / np.linalg.norm(u) / np.linalg.norm(v) for u, v in pairs]))
    np.testing.assert_allclose(losses.bone_direction_loss(other, target), expected, rtol=1e-5)


def test_losses_of_bones_have_finite_gradients_for_any_pose(rng):
    for pose3d in (np.zeros((2, 17, 3)), rng.normal(size=(2, 17, 3))):
        pose3d = tf.constant(pose3d, tf.float32)
        target = tf.constant(rng.normal(size=(2, 17, 3)) * 200, tf.float32)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(pose3d)
            terms = losses.bone_losses(pose3d, target, 100.0)
        assert sorted(terms) == ["direction", "length", "symmetry"]
        for term in terms.values():
            gradient = tape.gradient(term, pose3d)
            assert np.isfinite(gradient).all() and np.abs(gradient).max() < 1
    np.testing.assert_allclose(
        losses.bone_losses(pose3d, target, 100.0)["length"] * 100, bone_length_error(pose3d, target), rtol=1e-5
    )


def test_losses_of_bones_by_hand():
    """The left forearm is 60 mm too long, all else is right: 60 mm over 16 bones, and over 6 pairs of bones."""
    target = np.zeros((1, 17, 3), np.float32)
    target[0, :, 0] = np.arange(17) * 10
    for left, right in H36M.left_right:
        target[0, left], target[0, right] = [-100 * left, 50, 0], [100 * left, 50, 0]
    pose3d = target.copy()
    elbow, wrist = H36M.index("LElbow"), H36M.index("LWrist")
    pose3d[0, wrist] += 60 * (target[0, wrist] - target[0, elbow]) / np.linalg.norm(target[0, wrist] - target[0, elbow])
    exact, wrong = losses.bone_losses(target, target, 100.0), losses.bone_losses(pose3d, target, 100.0)
    assert float(wrong["length"][0]) == pytest.approx(0.6 / 16, rel=1e-4)
    assert float(wrong["symmetry"][0] - exact["symmetry"][0]) == pytest.approx(0.6 / 6, rel=1e-4)
    assert float(wrong["direction"][0]) == pytest.approx(0, abs=1e-6)
