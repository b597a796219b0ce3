"""Tests of the metrics: hand-computed poses, invariances, reference numbers, and streaming means."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import metrics, skeleton
from pose_tf.geometry import UNLABELED_PX, inside_crop
from pose_tf.metrics import PoseMetric, auc3d, mpjpe, n_mpjpe, pa_mpjpe, pck2d, pck3d, pixel_error

TRIANGLE = np.array([[0.0, 0, 0], [100, 0, 0], [0, 100, 0]])


@pytest.fixture
def target(rng):
    return rng.normal(size=(4, 17, 3)) * 300


@pytest.fixture
def predicted(rng, target):
    return target + rng.normal(size=target.shape) * 60


@pytest.mark.parametrize(
    "moved, expected",
    [
        ({}, 0),
        ({1: (3, 4, 0)}, 5 / 3),
        ({1: (3, 4, 0), 2: (0, 0, -12)}, 17 / 3),
        ({0: (0, 6, 8)}, 20 / 3),
        ({0: (1, 2, 3), 1: (1, 2, 3), 2: (1, 2, 3)}, 0),
    ],
    ids=["perfect", "one", "two", "hip", "all alike"],
)
def test_mpjpe_of_a_triangle(moved, expected):
    predicted = TRIANGLE.copy()
    for joint, by in moved.items():
        predicted[joint] += by
    np.testing.assert_allclose(mpjpe(predicted, TRIANGLE), expected, atol=1e-12)


def test_joints_without_weight_do_not_count_in_the_image():
    target = np.zeros((2, 17, 2), np.float32)
    target[:, 11] = (0, 100)  # a torso of 100 px
    predicted = target.copy()
    predicted[0, 1], predicted[0, 2], predicted[1, 3] = (3, 4), (300, 400), (30, 40)
    weights = np.ones((2, 17), np.float32)
    weights[0, 2] = 0
    np.testing.assert_allclose(metrics.pixel_error(predicted, target, weights), [5 / 16, 50 / 17])
    np.testing.assert_allclose(metrics.pck2d(predicted, target, weights), [1, 16 / 17])
    np.testing.assert_allclose(metrics.pixel_error(predicted, target), [505 / 17, 50 / 17])
    weights[1] = 0
    np.testing.assert_allclose(metrics.pixel_error(predicted, target, weights), [5 / 16, 0])
    mean = metrics.PoseMetric("pixel_error")
    mean.update_state(target, predicted, joint_weights=weights)
    assert float(mean.result()) == pytest.approx(5 / 16)


def test_n_mpjpe_of_a_triangle():
    assert float(n_mpjpe(TRIANGLE * 0.1 + 5, TRIANGLE)) == pytest.approx(0, abs=1e-9)
    # Best scale of (200, 0), (0, 100) onto (100, 0), (0, 100): 30000 / 50000 = 0.6, so the joints miss by 20 and 40.
    assert float(n_mpjpe(TRIANGLE * [2, 1, 1], TRIANGLE)) == pytest.approx((0 + 20 + 40) / 3)


def test_pa_mpjpe_of_a_stretched_rectangle():
    square = np.array([[1.0, 1, 0], [1, -1, 0], [-1, -1, 0], [-1, 1, 0]])
    # Best scale of (±3, ±1) onto (±1, ±1): 16 / 40 = 0.4, so every corner misses by (0.2, 0.6).
    assert float(pa_mpjpe(square * [3, 1, 1], square)) == pytest.approx(0.4**0.5)


@pytest.mark.parametrize("function", metrics.POSE3D_METRICS.values(), ids=metrics.POSE3D_METRICS.keys())
@pytest.mark.parametrize("leading", [(), (2,), (2, 3)], ids=str)
def test_one_number_for_each_pose(rng, function, leading):
    predicted, target = tf.constant(rng.normal(size=(2, *leading, 17, 3)) * 100, tf.float32)
    result = function(predicted, target)
    assert (result.shape, result.dtype) == (leading, tf.float32)
    if leading:
        index = (-1,) * len(leading)
        np.testing.assert_allclose(result[index], function(predicted[index], target[index]), rtol=1e-5)


@pytest.mark.parametrize("name, best", [("mpjpe", 0), ("pa_mpjpe", 0), ("n_mpjpe", 0), ("pck3d", 1), ("auc3d", 1)])
def test_perfect_prediction(target, name, best):
    np.testing.assert_allclose(metrics.POSE3D_METRICS[name](target, target), np.full(4, best), atol=1e-9)


@pytest.mark.parametrize("function", metrics.POSE3D_METRICS.values(), ids=metrics.POSE3D_METRICS.keys())
def test_poses_with_all_joints_in_one_place_have_finite_errors(target, function):
    point = np.full_like(target, 3.0)
    assert np.isfinite(function(point, target)).all()
    assert np.isfinite(function(target, point)).all()
    assert np.isfinite(function(point, point)).all()


@pytest.mark.parametrize("function", metrics.POSE3D_METRICS.values(), ids=metrics.POSE3D_METRICS.keys())
def test_position_does_not_matter(predicted, target, function):
    moved = function(predicted + [500, -200, 4000], target + [1, 2, 3])
    np.testing.assert_allclose(moved, function(predicted, target), atol=1e-8)


def test_scale_matters_to_mpjpe_only(predicted, target):
    for function in (n_mpjpe, pa_mpjpe):
        np.testing.assert_allclose(function(0.3 * predicted, target), function(predicted, target), atol=1e-8)
    assert (mpjpe(0.3 * predicted, target).numpy() > 2 * mpjpe(predicted, target).numpy()).all()


def test_similarity_does_not_matter_to_pa_mpjpe(rng, random_rotation, predicted, target):
    expected = pa_mpjpe(predicted, target)
    for _ in range(10):
        moved = rng.uniform(0.1, 10) * predicted @ random_rotation() + rng.normal(size=3) * 1000
        np.testing.assert_allclose(pa_mpjpe(moved, target), expected, atol=1e-7)
        assert (n_mpjpe(moved, target).numpy() > expected.numpy()).all()


def test_reflection_matters_to_pa_mpjpe(predicted, target):
    assert (pa_mpjpe(predicted * [-1, 1, 1], target).numpy() > pa_mpjpe(predicted, target).numpy() + 50).all()
    assert (pa_mpjpe(-target, target).numpy() > 50).all()


def test_per_joint_errors_average_to_the_pose_error(predicted, target):
    for per_joint, whole in ((metrics.mpjpe_per_joint, mpjpe), (metrics.pa_mpjpe_per_joint, pa_mpjpe)):
        errors = per_joint(predicted, target)
        assert errors.shape == (4, 17)
        np.testing.assert_allclose(np.mean(errors, -1), whole(predicted, target))
    np.testing.assert_array_equal(metrics.mpjpe_per_joint(predicted, target)[:, 0], np.zeros(4))


def gradient(function, predicted, target, dtype=tf.float64):
    predicted, target = tf.constant(predicted, dtype), tf.constant(target, dtype)
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        error = function(predicted, target)
    return tape.gradient(error, predicted).numpy()


@pytest.mark.parametrize("dtype", [tf.float32, tf.float64], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("case", ["near", "point", "collinear", "planar", "mirrored"])
def test_gradient_of_pa_mpjpe_is_finite(predicted, target, case, dtype):
    start = {
        "near": predicted,
        "point": np.full_like(predicted, 7),
        "collinear": predicted[..., :1] * [1, 2, -3] + 5,
        "planar": predicted * [1, 1, 0],
        "mirrored": target * [-1, 1, 1],
    }[case]
    assert np.isfinite(gradient(pa_mpjpe, start, target, dtype)).all()


@pytest.mark.parametrize("function", [mpjpe, n_mpjpe, pa_mpjpe])
def test_gradient_at_a_perfect_prediction_is_finite(target, function):
    assert np.isfinite(gradient(function, target, target, tf.float32)).all()


@pytest.mark.parametrize("function", [mpjpe, n_mpjpe])
def test_gradient_is_finite_although_the_hips_meet(predicted, target, function):
    assert np.isfinite(gradient(function, predicted, target)).all()


@pytest.mark.parametrize("function", [mpjpe, n_mpjpe, pa_mpjpe])
def test_gradient_towards_a_target_of_zeros_is_finite(predicted, target, function):
    assert np.isfinite(gradient(function, predicted, np.zeros_like(target))).all()


def central_difference(function, predicted, target, direction, step=1e-4):
    ahead, behind = (function(predicted + sign * step * direction, target).numpy() for sign in (1, -1))
    return (ahead - behind) / (2 * step)


def slope(function, predicted, target, direction):
    """Derivative of each pose's error along a direction, computed from the gradient."""
    return (gradient(function, predicted, target) * direction).sum((-2, -1))


@pytest.mark.parametrize("case", ["near", "mirrored", "equal singular values"])
def test_gradient_of_pa_mpjpe_agrees_with_finite_differences(rng, predicted, target, case):
    if case == "mirrored":
        predicted = predicted * [-1, 1, 1]
    if case == "equal singular values":  # the SVD has no gradient here, but the best rotation does
        target = 1000 * np.linalg.qr(target - target.mean(1, keepdims=True))[0]
        noise = rng.normal(size=target.shape) * 60
        predicted = target + noise - target @ (target.swapaxes(1, 2) @ noise) / 1e6
    for direction in rng.normal(size=(5, *target.shape)):
        numeric = central_difference(pa_mpjpe, predicted, target, direction)
        np.testing.assert_allclose(slope(pa_mpjpe, predicted, target, direction), numeric, rtol=1e-5, atol=1e-7)


def unit(direction):
    return direction / np.linalg.norm(direction, axis=(-2, -1), keepdims=True)


@pytest.mark.parametrize("motion", ["scaling", "translation", "rotation"])
def test_gradient_of_pa_mpjpe_does_not_see_a_similarity(rng, predicted, target, motion):
    centered = predicted - predicted.mean(1, keepdims=True)
    direction = {
        "scaling": centered,
        "translation": np.broadcast_to(rng.normal(size=3), centered.shape),
        "rotation": np.cross(rng.normal(size=3), centered),
    }[motion]
    assert np.abs(slope(pa_mpjpe, predicted, target, unit(predicted - target))).min() > 0.1
    np.testing.assert_allclose(slope(pa_mpjpe, predicted, target, unit(direction)), np.zeros(4), atol=1e-9)


def test_metrics_agree_with_the_reference(shared_data):
    reference = np.load(shared_data / "parity" / "metrics_io.npz")
    predicted, target = reference["pred"], reference["target"]
    np.testing.assert_allclose(pa_mpjpe(predicted, target), reference["pa_mpjpe_each"], atol=1e-3)
    for name, function in (("mpjpe", mpjpe), ("pa_mpjpe", pa_mpjpe), ("n_mpjpe", n_mpjpe)):
        for dtype in (np.float64, np.float32):
            mean = np.mean(function(predicted.astype(dtype), target.astype(dtype)))
            assert mean == pytest.approx(float(reference[name]), abs=1e-3), name


def test_pck3d_and_auc3d_of_known_errors():
    predicted = TRIANGLE + [[0, 0, 0], [0, 0, 100], [0, 0, 200]]
    assert float(pck3d(predicted, TRIANGLE)) == pytest.approx(2 / 3)
    assert float(pck3d(predicted, TRIANGLE, threshold=99)) == pytest.approx(1 / 3)
    # Of the 31 thresholds 0, 5 … 150, the errors 0, 100 and 200 pass 31, 11 and 0.
    assert float(auc3d(predicted, TRIANGLE)) == pytest.approx(42 / 93)


def test_pck3d_counts_an_error_of_exactly_the_threshold():
    predicted = TRIANGLE + [[0, 0, 0], [150, 0, 0], [0, 0, 150.001]]
    assert float(pck3d(predicted, TRIANGLE)) == pytest.approx(2 / 3)


def test_pixel_error_is_not_relative_to_the_hip():
    assert float(pixel_error(np.array([[3.0, 4.0], [0.0, 0.0]]), np.zeros((2, 2)))) == pytest.approx(2.5)
    assert float(pixel_error(np.full((17, 2), 5.0), np.full((17, 2), 2.0))) == pytest.approx(3 * 2**0.5)


def test_pck2d_measures_in_torsos():
    target = np.zeros((2, 17, 2))
    target[:, 11] = [[0, -100], [0, -50]]
    predicted = target.copy()
    predicted[:, 3] += [19.9, 0]
    predicted[:, 4] += [0, -20.1]
    np.testing.assert_allclose(pck2d(predicted, target), [16 / 17, 15 / 17])
    np.testing.assert_allclose(pck2d(predicted, target, alpha=0.5), [1, 1])


def test_pckh_measures_in_heads():
    target = np.zeros((2, 17, 2))
    target[:, 10] = [[0, -40], [0, -20]]  # heads of 40 and 20 px above the neck
    predicted = target.copy()
    predicted[:, 3] += [19.9, 0]
    predicted[:, 4] += [0, -20.1]
    np.testing.assert_allclose(metrics.pckh(predicted, target), [16 / 17, 15 / 17])


def test_a_pose_without_its_torso_does_not_count():
    target = np.full((2, 17, 2), 100, np.float32)
    target[:, 11] = (100, 50)
    target[1, 1] = UNLABELED_PX
    predicted = target + np.float32([0, 20])  # twice as far as allowed
    predicted[0] = target[0]
    mean = metrics.PoseMetric("pck2d")
    mean.update_state(target, predicted, joint_weights=inside_crop(target))
    assert float(mean.result()) == 1
    mean = metrics.PoseMetric("pixel_error")
    mean.update_state(target, predicted, joint_weights=inside_crop(target))
    assert float(mean.result()) == pytest.approx(10)


@pytest.mark.parametrize("name", [*metrics.POSE3D_METRICS, *metrics.POSE2D_METRICS])
def test_streaming_over_uneven_batches_is_the_mean_over_samples(rng, name):
    dimensions = 3 if name in metrics.POSE3D_METRICS else 2
    predicted, target = rng.normal(size=(2, 9, 17, dimensions)).astype(np.float32) * 90
    metric = PoseMetric(name)
    for start, end in ((0, 5), (5, 8), (8, 9)):
        metric.update_state(target[start:end], predicted[start:end])
    function = (metrics.POSE3D_METRICS | metrics.POSE2D_METRICS)[name]
    assert float(metric.result()) == pytest.approx(np.mean(function(predicted, target)), rel=1e-5)
    metric.reset_state()
    metric.update_state(target[:1], predicted[:1])
    assert float(metric.result()) == pytest.approx(float(function(predicted, target)[0]), rel=1e-5)


def test_streaming_respects_sample_weights(predicted, target):
    metric = PoseMetric("mpjpe")
    metric.update_state(target, predicted, sample_weight=[1, 0, 0, 1])
    assert float(metric.result()) == pytest.approx(np.mean(mpjpe(predicted, target)[::3]), rel=1e-5)


def test_streaming_metric_round_trip():
    metric = PoseMetric("pa_mpjpe", name="aligned")
    again = tf.keras.utils.deserialize_keras_object(tf.keras.utils.serialize_keras_object(metric))
    assert isinstance(again, PoseMetric)
    assert (again.function, again.name, PoseMetric("mpjpe").name) == ("pa_mpjpe", "aligned", "mpjpe")


def test_streaming_metric_in_a_compiled_model(rng):
    poses = rng.normal(size=(10, 17, 3)).astype(np.float32) * 100
    model = tf.keras.Sequential([tf.keras.layers.Lambda(lambda x: 0.5 * x)])
    model.compile(metrics=[PoseMetric("n_mpjpe"), PoseMetric("mpjpe")])
    result = model.evaluate(poses, poses, batch_size=4, verbose=0, return_dict=True)
    assert result["n_mpjpe"] == pytest.approx(0, abs=1e-3)
    assert result["mpjpe"] == pytest.approx(float(np.mean(mpjpe(0.5 * poses, poses))), rel=1e-5)


def test_errors_of_bones_of_a_known_pose():
    """A person of bones of 100 mm, whose left lower leg is 40 mm longer in the prediction."""
    target = np.zeros((17, 3), np.float32)
    for number, (child, parent) in enumerate(skeleton.H36M.bones):
        target[child] = target[parent] + 100 * np.eye(3)[number % 3]
    predicted = target.copy()
    foot, knee = skeleton.H36M.index("LFoot"), skeleton.H36M.index("LKnee")
    predicted[foot] = predicted[knee] + 1.4 * (target[foot] - target[knee])
    assert float(metrics.bone_length_error(predicted, target)) == pytest.approx(40 / 16, rel=1e-5)
    assert float(metrics.bone_symmetry_error(predicted)) == pytest.approx(40 / 6, rel=1e-5)
    assert float(metrics.bone_symmetry_error(target)) == pytest.approx(0, abs=1e-4)
    assert float(metrics.bone_symmetry_error(2 * predicted, target)) == pytest.approx(80 / 6, rel=1e-5)
