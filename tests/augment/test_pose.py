"""Tests of the augmentation of poses: geometry, bone lengths, noise, and the seed."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import skeleton
from pose_tf.augment import PoseAugmenter
from pose_tf.data.detections import DetectorErrors
from pose_tf.synthetic.sample import render_sample

OFF = {"recompose": False, "upper_body_swap": 0.0, "arm_swap": 0.0, "bone_length_noise": 0.0, "noise_px": 0.0}


@pytest.fixture(scope="module")
def people():
    """Pose2d, pose3d and subject of 40 sample people."""
    samples = [render_sample(0, i, (1, 5)[i % 2]) for i in range(40)]
    return tuple(np.stack([sample[key] for sample in samples]) for key in ("pose2d_crop", "pose3d", "subject"))


def augment(people, seed=(0, 0), **options):
    pose2d, pose3d, subject = people
    augmenter = PoseAugmenter(pose3d, subject, **(OFF | options))
    pose2d, confidence, pose3d = augmenter(tf.constant(pose2d), tf.constant(pose3d), tf.constant(seed))
    assert options.get("errors") or (confidence.numpy() == 1).all()
    return pose2d.numpy(), pose3d.numpy()


def errors_of(rng, pose2d):
    """Random errors and confidences in images of these poses."""
    error = rng.normal(0, 9, pose2d.shape).astype(np.float32)
    return DetectorErrors(error, rng.uniform(0, 1, pose2d.shape[:2]).astype(np.float32), pose2d)


def bone_lengths(pose3d):
    return np.stack([np.linalg.norm(pose3d[:, c] - pose3d[:, p], axis=-1) for c, p in skeleton.H36M.bones], axis=1)


def test_switched_off_it_is_the_identity(people):
    pose2d, pose3d = augment(people)
    np.testing.assert_array_equal(pose2d, people[0])
    np.testing.assert_array_equal(pose3d, people[1])


def test_without_recomposing_people_keep_their_limbs(people):
    changes = {"upper_body_swap": 1.0, "arm_swap": 1.0, "bone_length_noise": 0.5, "tilt": 90.0, "roll": 90.0}
    pose2d, pose3d = augment(people, **changes)
    np.testing.assert_array_equal(pose2d, people[0])
    np.testing.assert_array_equal(pose3d, people[1])


def test_errors_of_random_images_are_added_mirrored_or_not(people):
    mirror = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]
    errors = errors_of(np.random.default_rng(0), people[0][:3])
    pose2d, pose3d = augment(people, errors=errors)
    np.testing.assert_array_equal(pose3d, people[1])
    candidates = np.concatenate([errors.error, errors.error[:, mirror] * [-1, 1]])
    distance = np.abs((pose2d - people[0])[:, None] - candidates).max(axis=(2, 3))
    assert distance.min(axis=1).max() < 1e-3
    assert len(np.unique(distance.argmin(axis=1))) == 6
    again, _ = augment(people, errors=errors)
    other, _ = augment(people, errors=errors, seed=(0, 1))
    np.testing.assert_array_equal(pose2d, again)
    assert (pose2d != other).any()


def test_confidences_are_those_of_the_images_whose_errors_are_added(people):
    errors = errors_of(np.random.default_rng(0), people[0][:3])
    augmenter = PoseAugmenter(people[1], people[2], **OFF, errors=errors)
    pose2d, confidence, _ = augmenter(tf.constant(people[0]), tf.constant(people[1]), tf.constant([0, 0]))
    mirror = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]
    for moved, given in zip(pose2d - people[0], confidence.numpy()):
        own = [np.abs(moved - error).max() < 1e-3 for error in errors.error]
        other = [np.abs(moved - error[mirror] * [-1, 1]).max() < 1e-3 for error in errors.error]
        (expected,) = [*errors.confidence[own], *errors.confidence[other][:, mirror]]
        np.testing.assert_allclose(given, expected)


@pytest.mark.parametrize("count", [1, 2])
def test_errors_may_come_from_the_images_with_the_most_similar_poses(people, count):
    """Images of the same people, at another place and in another size; half of them mirrored."""
    mirror = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13]
    same = 0.5 * people[0] + 40
    same[::2] = same[::2][:, mirror] * [-1, 1] + [255, 0]
    shown = np.concatenate([same, same + np.float32(0.01)])
    error = np.arange(len(shown), dtype=np.float32)[:, None, None] + np.zeros((1, 17, 2), np.float32)
    errors = DetectorErrors(error, np.ones((len(shown), 17), np.float32), shown)
    pose2d, _ = augment(people, errors=errors, similar_errors=count)
    number = np.abs((pose2d - people[0])[:, 5, 1]).round().astype(int)
    assert np.array_equal(number % len(same), np.arange(len(same)))
    assert len(np.unique(number // len(same))) == 2 or count == 1


def test_recomposed_people_stay_where_they_were_and_keep_the_crop(people):
    pose2d, pose3d = augment(people, recompose=True, upper_body_swap=0.5, arm_swap=0.3, bone_length_noise=0.05)
    np.testing.assert_allclose(pose3d[:, 0], people[1][:, 0])
    for before, after in zip(people[0], pose2d):
        np.testing.assert_allclose(before.min(0) + before.max(0), after.min(0) + after.max(0), atol=0.02)
        np.testing.assert_allclose(np.ptp(before, axis=0).max(), np.ptp(after, axis=0).max(), atol=0.02)


def turns(people, **options):
    """The rotation of each person, from the bones without the option to those with it."""
    before, after = (augment(people, recompose=True, **more)[1] - people[1][:, :1] for more in ({}, options))
    return np.stack([np.linalg.lstsq(a, b, rcond=None)[0].T for a, b in zip(before, after)])


@pytest.mark.parametrize("option, axis", [("tilt", 0), ("roll", 2)])
def test_people_are_turned_about_an_axis_of_the_camera(people, option, axis):
    rotations = turns(people, **{option: 20.0})
    np.testing.assert_allclose(rotations @ rotations.transpose(0, 2, 1), np.tile(np.eye(3), (40, 1, 1)), atol=1e-3)
    np.testing.assert_allclose(rotations[:, axis], np.tile(np.eye(3)[axis], (40, 1)), atol=1e-3)
    first, second = (axis + 1) % 3, (axis + 2) % 3
    angles = np.degrees(np.arctan2(rotations[:, second, first], rotations[:, first, first]))
    assert 13 < angles.std() < 27 and abs(angles.mean()) < 10  # of 40


def test_a_mean_tilt_brings_heads_nearer(people):
    sine, cosine = np.sin(np.radians(10)), np.cos(np.radians(10))
    expected = [[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]]  # up, (0, -1, 0), becomes (0, -cosine, -sine)
    np.testing.assert_allclose(turns(people, tilt_mean=10.0), np.tile(expected, (40, 1, 1)), atol=1e-3)


def test_2d_is_the_perspective_image_of_3d(people):
    pose2d, pose3d = augment(people, recompose=True, upper_body_swap=0.5, bone_length_noise=0.05, tilt=10.0, roll=40.0)
    rays = pose3d[..., :2] / pose3d[..., 2:]
    for ray, pose in zip(rays, pose2d):
        design = np.stack([ray.ravel(), np.tile([1, 0], 17), np.tile([0, 1], 17)], axis=1)
        _, residual, *_ = np.linalg.lstsq(design, pose.ravel(), rcond=None)
        assert residual[0] < 0.01


def test_bones_have_the_lengths_of_a_training_subject(people):
    _, pose3d = augment(people, recompose=True)
    means = [bone_lengths(people[1][people[2] == s]).mean(axis=0) for s in (1, 5)]
    found = bone_lengths(pose3d)
    nearest = np.min([np.abs(found - mean).max(axis=1) for mean in means], axis=0)
    assert nearest.max() < 0.1
    assert all(any(np.abs(row - mean).max() < 0.1 for row in found) for mean in means)


def test_left_and_right_bones_are_equally_noisy(people):
    _, pose3d = augment(people, recompose=True, bone_length_noise=0.1)
    lengths = bone_lengths(pose3d)
    bone = {child: i for i, (child, _) in enumerate(skeleton.H36M.bones)}
    plain = bone_lengths(augment(people, recompose=True)[1])
    for left, right in skeleton.H36M.left_right:
        ratio = lengths / plain
        np.testing.assert_allclose(ratio[:, bone[left]], ratio[:, bone[right]], rtol=1e-3)
    assert 0.05 < np.log(ratio).std() < 0.15


def test_people_turn_all_around_and_are_mirrored(people):
    _, pose3d = augment(people, recompose=True)
    hips = pose3d[:, skeleton.H36M.index("LHip")] - pose3d[:, skeleton.H36M.index("RHip")]
    heading = np.arctan2(hips[:, 2], hips[:, 0])
    assert np.abs(np.exp(1j * heading).mean()) < 0.4
    up = pose3d[:, skeleton.H36M.index("Thorax"), 1] - pose3d[:, 0, 1]
    assert (up < 0).mean() > 0.8  # y points down, and most people are upright


LEGS = ["RHip", "RKnee", "RFoot", "LHip", "LKnee", "LFoot"]
TORSO = ["Spine", "Thorax", "LShoulder", "RShoulder"]


def directions(pose3d):
    """Cosines of the angles between all bones, which stay the same when someone is turned. [B, bones, bones]"""
    bones = np.stack([pose3d[:, child] - pose3d[:, parent] for child, parent in skeleton.H36M.bones], axis=1)
    bones /= np.linalg.norm(bones, axis=-1, keepdims=True)
    return bones @ bones.transpose(0, 2, 1)


def distances(people, joints, **options):
    """How much recomposed people differ from all original ones in the angles between the bones to some joints.

    The entry [i, j] is the largest difference between the person i and the sample j, mirrored or not.
    """
    found, given = directions(augment(people, recompose=True, **options)[1]), directions(people[1])
    child = {child: number for number, (child, _) in enumerate(skeleton.H36M.bones)}
    bones = [child[skeleton.H36M.index(name)] for name in joints]
    swapped = [child[skeleton.H36M.mirror[skeleton.H36M.index(name)]] for name in joints]
    found = found[:, bones][:, :, bones]
    candidates = np.stack([given[:, order][:, :, order] for order in (bones, swapped)])
    return np.abs(found[None, :, None] - candidates[:, None]).max(axis=(3, 4)).min(axis=0)


def replaced(people, joints, **options):
    """The share of people with angles between these bones that are not those of the same sample."""
    return np.mean(np.diag(distances(people, joints, **options)) > 1e-3)


def test_the_upper_body_comes_from_another_sample_with_its_probability(people):
    upper = [name for name in skeleton.H36M.joints if name != "Hip" and name not in LEGS]
    assert [replaced(people, upper, upper_body_swap=share) for share in (0.0, 1.0)] == [0, 1]
    assert 0.25 < replaced(people, upper, upper_body_swap=0.5) < 0.75
    assert replaced(people, LEGS, upper_body_swap=1.0) == 0
    assert distances(people, upper, upper_body_swap=1.0).min(axis=1).max() < 1e-3  # of one other sample


def test_each_arm_comes_from_another_sample_with_its_probability(people):
    for arm in (["LElbow", "LWrist"], ["RElbow", "RWrist"]):
        assert [replaced(people, TORSO + arm, arm_swap=share) for share in (0.0, 1.0)] == [0, 1]
        assert 0.25 < replaced(people, TORSO + arm, arm_swap=0.5) < 0.75
        assert distances(people, arm, arm_swap=1.0).min(axis=1).max() < 1e-3
    assert replaced(people, LEGS + TORSO, arm_swap=1.0) == 0
    both = TORSO + ["LElbow", "LWrist", "RElbow", "RWrist"]
    assert replaced(people, both, arm_swap=0.5) > 0.6  # one of them, or both


def test_noise_has_its_standard_deviation_and_leaves_3d_alone(people):
    pose2d, pose3d = augment(people, noise_px=5.0)
    np.testing.assert_array_equal(pose3d, people[1])
    assert 4.5 < (pose2d - people[0]).std() < 5.5


def test_the_seed_decides(people):
    first, again, other = (augment(people, seed, recompose=True)[1] for seed in ((1, 2), (1, 2), (1, 3)))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1
