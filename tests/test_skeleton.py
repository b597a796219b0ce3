"""Tests of the skeletons: literal orders, and properties of mirroring and of maps between skeletons."""

import dataclasses

import numpy as np
import pytest

from pose_tf.skeleton import ACTIONS, COCO, DERIVED, H36M, H36M_32, LSP, MPI_INF_3DHP, MPII

ALL = pytest.mark.parametrize(
    "skeleton", [H36M, MPII, COCO, LSP, H36M_32, MPI_INF_3DHP], ids=lambda skeleton: skeleton.name
)


def test_h36m_has_the_joints_and_bones_of_the_records():
    names = "Hip RHip RKnee RFoot LHip LKnee LFoot Spine Thorax Neck/Nose Head LShoulder LElbow LWrist"
    assert " ".join(H36M.joints) == f"{names} RShoulder RElbow RWrist"
    bones = "1-0 2-1 3-2 4-0 5-4 6-5 7-0 8-7 9-8 10-9 11-8 12-11 13-12 14-8 15-14 16-15"
    assert " ".join(f"{child}-{parent}" for child, parent in H36M.bones) == bones


def test_mpii_has_the_joints_of_the_records():
    names = "RFoot RKnee RHip LHip LKnee LFoot Hip Thorax Neck Head"
    assert " ".join(MPII.joints) == f"{names} RWrist RElbow RShoulder LShoulder LElbow LWrist"


def test_coco_has_the_keypoints_of_the_data_set():
    names = "Nose LEye REye LEar REar LShoulder RShoulder LElbow RElbow LWrist RWrist"
    assert " ".join(COCO.joints) == f"{names} LHip RHip LKnee RKnee LFoot RFoot"


@pytest.mark.parametrize(
    "skeleton, expected",
    [
        (H36M, (0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13)),
        (MPII, (5, 4, 3, 2, 1, 0, 6, 7, 8, 9, 15, 14, 13, 12, 11, 10)),
        (COCO, (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)),
    ],
    ids=["H36M", "MPII", "COCO"],
)
def test_mirror_swaps_left_and_right(skeleton, expected):
    assert skeleton.mirror == expected


@ALL
def test_mirror_twice_is_the_identity(skeleton):
    assert [skeleton.mirror[i] for i in skeleton.mirror] == list(range(len(skeleton.joints)))


@ALL
def test_left_right_pairs_are_all_the_lateral_joints(skeleton):
    for left, right in skeleton.left_right:
        assert (skeleton.joints[left][0], skeleton.joints[right][0]) == ("L", "R")
        assert skeleton.joints[left][1:] == skeleton.joints[right][1:]
    lateral = {i for i, name in enumerate(skeleton.joints) if name[0] in "LR"}
    assert {i for pair in skeleton.left_right for i in pair} == lateral


@ALL
def test_bones_are_distinct_known_and_the_same_in_the_mirror(skeleton):
    bones = {frozenset(bone) for bone in skeleton.bones}
    assert len(bones) == len(skeleton.bones)
    assert set().union(*bones) == set(range(len(skeleton.joints)))
    assert {frozenset(skeleton.mirror[i] for i in bone) for bone in bones} == bones


@pytest.mark.parametrize("skeleton", [H36M, MPII], ids=["H36M", "MPII"])
def test_bones_make_a_tree_that_hangs_from_the_hip(skeleton):
    parent = dict(skeleton.bones)
    assert len(parent) == len(skeleton.bones) == len(skeleton.joints) - 1
    for joint in range(len(skeleton.joints)):
        path = [joint]
        while path[-1] in parent:
            path.append(parent[path[-1]])
            assert len(path) <= len(skeleton.joints)
        assert path[-1] == skeleton.index("Hip")


def test_h36m_shares_all_of_mpii():
    assert H36M.shared_with(MPII) == (
        (0, 6), (1, 2), (2, 1), (3, 0), (4, 3), (5, 4), (6, 5), (8, 7), (9, 8), (10, 9),
        (11, 13), (12, 14), (13, 15), (14, 12), (15, 11), (16, 10),
    )  # fmt: skip


def test_h36m_shares_limbs_and_nose_with_coco():
    assert H36M.shared_with(COCO) == (
        (1, 12), (2, 14), (3, 16), (4, 11), (5, 13), (6, 15), (9, 0),
        (11, 5), (12, 7), (13, 9), (14, 6), (15, 8), (16, 10),
    )  # fmt: skip


def test_a_neck_is_not_a_nose():
    assert {MPII.joints[i] for i, _ in MPII.shared_with(COCO)} == {
        side + part for side in "LR" for part in ("Foot", "Knee", "Hip", "Wrist", "Elbow", "Shoulder")
    }


@ALL
@pytest.mark.parametrize("other", [H36M, MPII, COCO], ids=lambda skeleton: skeleton.name)
def test_maps_are_symmetric_and_keep_sides(skeleton, other):
    shared = skeleton.shared_with(other)
    assert sorted((j, i) for i, j in shared) == sorted(other.shared_with(skeleton))
    assert {(skeleton.mirror[i], other.mirror[j]) for i, j in shared} == set(shared)


@ALL
def test_every_joint_is_itself_in_its_own_skeleton(skeleton):
    assert skeleton.shared_with(skeleton) == tuple((i, i) for i in range(len(skeleton.joints)))


def test_index_finds_joints_by_name_and_refuses_others():
    assert (H36M.index("Thorax"), MPII.index("Thorax"), COCO.index("REar")) == (8, 7, 4)
    with pytest.raises(ValueError):
        H36M.index("Tail")


def test_skeletons_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        H36M.name = "other"


@pytest.mark.parametrize(
    ("skeleton", "count", "taken"),
    [
        (H36M_32, 32, [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]),
        (MPI_INF_3DHP, 28, [4, 23, 24, 25, 18, 19, 20, 3, 5, 6, 7, 9, 10, 11, 14, 15, 16]),
        (H36M, 17, range(17)),
    ],
    ids=["H36M_32", "MPI_INF_3DHP", "H36M"],
)
def test_other_skeletons_have_the_joints_of_human36m(rng, skeleton, count, taken):
    pose = rng.normal(size=(2, 5, count, 3))
    np.testing.assert_array_equal(skeleton.convert(pose, H36M), pose[:, :, list(taken)])


def test_the_middles_of_hips_and_shoulders_are_derived():
    pose = np.arange(34.0).reshape(17, 2)  # joint i of COCO is at 2i, 2i + 1
    converted = COCO.convert(pose, MPII)
    expected = {"LHip": (22, 23), "RHip": (24, 25), "Hip": (23, 24), "Thorax": (11, 12), "RFoot": (32, 33)}
    for name, place in expected.items():
        assert tuple(converted[MPII.index(name)]) == place
    unknown = [name for name, joint in zip(MPII.joints, converted) if np.isnan(joint).all()]
    assert unknown == ["Neck", "Head"]
    pose[11] = np.nan
    assert np.isnan(COCO.convert(pose, MPII)[[MPII.index("Hip"), MPII.index("LHip")]]).all()


def test_what_is_derived_can_be_chosen(rng):
    pose = rng.normal(size=(17, 3))
    converted = COCO.convert(pose, H36M, derive=())
    assert [name for name, joint in zip(H36M.joints, converted) if np.isnan(joint).all()] == [
        "Hip",
        "Spine",
        "Thorax",
        "Head",
    ]
    converted = COCO.convert(pose, H36M, derive=("Hip", "Thorax", "Spine"))
    hip, thorax = (pose[11] + pose[12]) / 2, (pose[5] + pose[6]) / 2
    np.testing.assert_allclose(converted[[0, 8, 7]], [hip, thorax, (hip + thorax) / 2])
    np.testing.assert_array_equal(converted[9], pose[0])  # the nose


def test_joints_that_a_skeleton_has_are_not_derived(rng):
    pose = rng.normal(size=(16, 2))
    np.testing.assert_array_equal(MPII.convert(pose, MPII, derive=tuple(DERIVED)), pose)


def test_actions_are_numbered_as_in_the_records():
    assert list(ACTIONS) == list(range(2, 17))
    assert (ACTIONS[2], ACTIONS[10], ACTIONS[16]) == ("Directions", "Sitting Down", "Walk Together")
