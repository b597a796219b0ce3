"""Tests of synthetic samples: labels agree with each other, with anatomy, and with the image."""

import hashlib
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from pose_tf.skeleton import ACTIONS, H36M
from pose_tf.synthetic import sample

COUNT = 60
JOINT = {name: i for i, name in enumerate(H36M.joints)}


@pytest.fixture(scope="module")
def drawn():
    """Samples and masks of all subjects, [(sample, mask), ...]."""
    return [sample.render_sample_with_mask(3, i, sample.SUBJECTS_TRAIN[i % 5]) for i in range(COUNT)]


@pytest.fixture(scope="module")
def samples(drawn):
    return [labels for labels, _ in drawn]


def bone_lengths(pose3d):
    child, parent = np.array(H36M.bones).T
    return np.linalg.norm(pose3d[child] - pose3d[parent], axis=1)


def digest(labels):
    return hashlib.sha256(b"".join(np.asarray(labels[key]).tobytes() for key in sorted(labels))).hexdigest()


def test_schema(samples):
    shapes = {
        "image": (np.uint8, (256, 256, 3)),
        "offset": (np.float32, (2,)),
        "pose2d_crop": (np.float32, (17, 2)),
        "pose2d": (np.float32, (17, 2)),
        "pose3d": (np.float32, (17, 3)),
        "pose3d_univ": (np.float32, (17, 3)),
        "intrinsics": (np.float32, (1, 4)),
        "intrinsics_univ": (np.float32, (1, 4)),
    }
    integers = {"framd_id", "camera", "subject", "action", "subaction"}
    for i, labels in enumerate(samples):
        assert set(labels) == {*shapes, *integers, "scale"}
        for key, (dtype, shape) in shapes.items():
            assert (labels[key].dtype, labels[key].shape) == (dtype, shape), key
        assert all(type(labels[key]) is int for key in integers)
        assert type(labels["scale"]) is float
        assert labels["framd_id"] == i
        assert labels["subject"] == sample.SUBJECTS_TRAIN[i % 5]
    assert {labels["action"] for labels in samples} <= set(ACTIONS)


def test_same_arguments_give_same_bytes_in_another_process(samples):
    code = (
        "import hashlib, cv2\n"
        "from pose_tf.synthetic.sample import render_sample\n"
        "cv2.setNumThreads(1)\n"
        "labels = render_sample(3, 8, 7)\n"
        "print(hashlib.sha256(labels['image'].tobytes() + labels['pose3d'].tobytes()).hexdigest())"
    )
    root = pathlib.Path(__file__).parents[2]
    output = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=root)
    here = hashlib.sha256(samples[8]["image"].tobytes() + samples[8]["pose3d"].tobytes())
    assert output.split()[-1] == here.hexdigest()
    assert digest(sample.render_sample(3, 8, 7)) == digest(samples[8])


def test_a_pose_alone_is_that_of_the_picture(samples):
    labels = {key: value for key, value in samples[7].items() if key != "image"}
    assert digest(sample.pose_sample(3, 7, sample.SUBJECTS_TRAIN[2])) == digest(labels)
    assert sample.pose_sample(3, 7, sample.SUBJECTS_TRAIN[2]).keys() == labels.keys()


def test_seed_index_and_subject_all_matter(samples):
    first = samples[0]
    for seed, index, subject in ((4, 0, 1), (3, 1, 1), (3, 0, 5)):
        other = sample.render_sample(seed, index, subject)
        assert not np.array_equal(other["image"], first["image"])
        assert not np.allclose(other["pose3d"], first["pose3d"], atol=1)
    assert len({digest(labels) for labels in samples}) == COUNT


def test_pose2d_is_the_projection_of_pose3d(samples):
    for labels in samples:
        fx, cx, fy, cy = labels["intrinsics"][0].astype(float)
        x, y, z = labels["pose3d"].astype(float).T
        projected = np.stack([fx * x / z + cx, fy * y / z + cy], axis=1)
        np.testing.assert_allclose(labels["pose2d"], projected, atol=5e-3)
        assert labels["pose2d"].min() > 0 and labels["pose2d"].max() < 1000


def test_crop_relation_and_margins(samples):
    for labels in samples:
        pose = labels["pose2d_crop"]
        crop = (labels["pose2d"] - labels["offset"]) * np.float32(labels["scale"])
        np.testing.assert_allclose(pose, crop, atol=1e-2)
        low, high = pose.min(axis=0), pose.max(axis=0)
        np.testing.assert_allclose((low + high) / 2, 127.5, atol=1e-2)
        assert 0.74 * 256 - 0.01 <= (high - low).max() <= 0.86 * 256 + 0.01


def test_person_is_at_camera_distance(samples):
    distances = [np.linalg.norm(labels["pose3d"][0]) for labels in samples]
    assert min(distances) > 2800 and max(distances) < 6800
    assert max(distances) - min(distances) > 1500


def test_bones_are_symmetric_and_belong_to_the_subject(samples):
    mirror = np.array(H36M.mirror)
    bones = [tuple(sorted(bone)) for bone in H36M.bones]
    twin = [bones.index(tuple(sorted((mirror[a], mirror[b])))) for a, b in H36M.bones]
    by_subject = {}
    for labels in samples:
        lengths = bone_lengths(labels["pose3d"].astype(float))
        np.testing.assert_allclose(lengths, lengths[twin], rtol=1e-4)
        assert 380 < lengths[H36M.bones.index((JOINT["RKnee"], JOINT["RHip"]))] < 510
        by_subject.setdefault(labels["subject"], []).append(lengths)
    means = []
    for lengths in map(np.array, by_subject.values()):
        shape = lengths / lengths.sum(1, keepdims=True)
        np.testing.assert_allclose(shape, shape[:1].repeat(len(shape), 0), rtol=1e-4)
        assert lengths[:, 0].max() / lengths[:, 0].min() < 1.042
        means.append(lengths.mean(0))
    assert np.ptp(np.sum(means, axis=1)) > 100


def test_right_is_the_persons_own_right(samples):
    facing = forward_noses = 0
    for labels in samples:
        pose = labels["pose3d"].astype(float)
        right = pose[JOINT["RShoulder"]] - pose[JOINT["LShoulder"]]
        up = pose[JOINT["Thorax"]] - pose[JOINT["Spine"]]
        nose = pose[JOINT["Neck/Nose"]] - (pose[JOINT["Thorax"]] + pose[JOINT["Head"]]) / 2
        forward = np.cross(up, right)  # The camera frame is right-handed, with z away.
        forward_noses += forward @ nose > 0
        if forward[2] < -0.7 * np.linalg.norm(forward):
            facing += 1
            assert pose[JOINT["RShoulder"], 0] < pose[JOINT["LShoulder"], 0]
            crop = labels["pose2d_crop"]
            assert crop[JOINT["RShoulder"], 0] < crop[JOINT["LShoulder"], 0]
            assert crop[JOINT["RHip"], 0] < crop[JOINT["LHip"], 0]
    assert facing >= 5
    assert forward_noses >= COUNT - 2  # the nose of a person who looks over a shoulder is beside the shoulder


def test_joints_lie_on_the_drawn_person(drawn):
    shares = []
    for labels, mask in drawn:
        x, y = np.rint(labels["pose2d_crop"]).astype(int).T
        shares.append(mask[y, x].mean())
        assert 0.05 < mask.mean() < 0.5
    assert np.mean(shares) > 0.97  # A chair may hide the remaining joints.
    assert np.median(shares) == 1


def test_the_person_fills_the_box_of_the_joints(drawn):
    for labels, mask in drawn:
        rows, columns = np.nonzero(mask)
        low, high = labels["pose2d_crop"].min(axis=0), labels["pose2d_crop"].max(axis=0)
        if mask[tuple(np.rint(labels["pose2d_crop"]).astype(int).T[::-1])].all():
            assert (np.array([columns.min(), rows.min()]) <= np.rint(low)).all()
            assert (np.array([columns.max(), rows.max()]) >= np.rint(high)).all()
        assert (low - (columns.min(), rows.min())).max() < 40
        assert ((columns.max(), rows.max()) - high).max() < 40


def test_pictures_are_well_exposed_and_varied(samples):
    means = np.array([labels["image"].mean() for labels in samples])
    assert means.min() > 15 and means.max() < 245 and means.std() > 10
    assert min(labels["image"].std() for labels in samples) > 8
