"""Tests of skeletons in files, of poses in other joints, and of what depends on the joints of a skeleton."""

import json

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import coco_results, geometry, losses, metrics, viz
from pose_tf.augment.geometric import GeometricAugmenter, half_bodies
from pose_tf.augment.pose import PoseAugmenter
from pose_tf.data.detections import read_errors, write_detections
from pose_tf.data.poses import read_pose_file
from pose_tf.errors import UserError
from pose_tf.evaluation.evaluator import report_2d, report_3d
from pose_tf.evaluation.protocol_scores import check_joints, score
from pose_tf.evaluation.protocols import PROTOCOLS
from pose_tf.evaluation.report import format_report
from pose_tf.models.networks import make_network
from pose_tf.models.statistics import PoseStatistics
from pose_tf.predict.camera import ANKLE_MM, body_height
from pose_tf.predict.people import fitted
from pose_tf.skeleton import COCO, FOLDER, H36M, H36M_32, LIMBS, MPI_INF_3DHP, MPII, Skeleton, find_skeleton, limbs
from tests.skeletons import BODY_14, BODY_21, COMPOSITE, H36M_16, LEGS, PERMUTED, SKELETONS

EACH = pytest.mark.parametrize("skeleton", SKELETONS, ids=lambda skeleton: skeleton.name)


def names(skeleton):
    """The sets of names of the joints."""
    return [set(joint.split("/")) for joint in skeleton.joints]


def having(skeleton, *wanted):
    """Whether each joint has one of some names."""
    return [bool(of_joint & set(wanted)) for of_joint in names(skeleton)]


SIDED = ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist", "Toes", "Hand")
"""What is on both sides of the tests' skeletons."""


def people(skeleton, rng, count=20):
    """Poses in front of a camera, and their 2D joints."""
    pose3d = rng.normal(0, 300, (count, len(skeleton.joints), 3)) + [0, 0, 5000]
    return np.float32(pose3d[..., :2] / pose3d[..., 2:] * 1000 + 128), np.float32(pose3d)


NOSE_17 = Skeleton("nose_17", tuple(joint.replace("Spine", "Chin") for joint in H36M.joints), H36M.bones)


# ---- files


def test_the_default_in_its_file_is_that_of_the_records():
    assert find_skeleton("h36m") == H36M


def test_the_16_joints_are_those_of_the_public_code():
    names = "Hip RHip RKnee RFoot LHip LKnee LFoot Spine Thorax Head LShoulder LElbow LWrist RShoulder RElbow RWrist"
    assert " ".join(H36M_16.joints) == names
    parents = dict(H36M_16.bones)
    assert [parents.get(joint, -1) for joint in range(16)] == [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 8, 10, 11, 8, 13, 14]


def test_the_14_joints_are_cocos_limbs_and_what_follows_from_them(rng):
    pose = rng.normal(size=(17, 3))
    found = COCO.convert(pose, BODY_14, ("Hip", "Thorax"))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[BODY_14.index("Thorax")], (pose[5] + pose[6]) / 2)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_shipped_skeleton_has_the_name_of_its_file(path):
    skeleton = find_skeleton(path.stem)
    assert skeleton.name == path.stem and skeleton == find_skeleton(str(path))


@EACH
def test_a_file_holds_a_whole_skeleton(tmp_path, skeleton):
    (tmp_path / "mine.json").write_text(json.dumps(skeleton.to_json()))
    assert find_skeleton(f"{tmp_path}/mine.json") == skeleton


GOOD = {
    "name": "small",
    "joints": ["Hip", "LFoot", "RFoot", "Head"],
    "bones": [["LFoot", "Hip"], ["RFoot", "Hip"], ["Head", "Hip"]],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], "is not a skeleton: it must be an object with name, joints and bones"),
        ({"bones": None}, "'bones' must be a list of [child, parent]"),
        ({"name": "a b"}, "'name' is 'a b'; it must have letters, digits, '_', '-' and '.'"),
        ({"name": 3}, "'name' is 3; it must"),
        ({"parents": []}, "'parents' is not a key of skeletons, which have name, joints and bones"),
        ({"joints": "Hip"}, "'joints' must be a list of 2 to 256 names"),
        ({"joints": ["Hip"]}, "'joints' must be a list of 2 to 256 names"),
        ({"joints": ["Hip", 1]}, "'joints' has 1, which is no name"),
        ({"joints": ["Hip", "<b>"]}, "'joints' has '<b>', which is no name"),
        ({"joints": ["Hip", "Head", "Head"]}, "'joints' has Head twice; the names of joints must differ"),
        (
            {"joints": ["Hip", "Nose", "Neck/Nose"]},
            "'joints' has the name Nose in Nose and Neck/Nose; the names of joints must differ",
        ),
        ({"joints": ["Head", "Hip"]}, "'joints' begins with Head; the first joint must be the root, Hip"),
        ({"joints": ["Hip", "LFoot"]}, "'joints' has LFoot, but not RFoot; names that begin with L and R before an"),
        ({"joints": ["Hip", "LA/LB"]}, "'joints' has LA/LB, but not RA/RB; names that begin with L and R before"),
        (
            {"joints": ["Hip", "Neck/LNose"]},
            "'joints' has Neck/LNose; its names must all be left, all right, or neither",
        ),
        *(
            ({"joints": ["Hip", *joints]}, f"'joints' has {joints[0]}; the names of left and right joints must begin")
            for joints in (
                ("left_hip", "right_hip"),
                ("Left_foot",),
                ("HandRight", "HandLeft"),
                ("l_foot", "r_foot"),
                ("R.Foot",),
                ("FootL", "FootR"),
                ("hand.r", "hand.l"),
                ("lhand", "rhand"),
                ("handright", "handleft"),
            )
        ),
        ({"joints": ["Hip", "Ütli"]}, "'joints' has 'Ütli', which is no name: a letter from A to Z, then letters"),
        ({"bones": [["Head"]]}, "'bones' has ['Head']; each bone must be [child, parent], names of two joints"),
        ({"bones": [["Tail", "Hip"]]}, "'bones' has Tail, which is not one of the joints"),
        ({"bones": [*GOOD["bones"], ["Head", "LFoot"]]}, "'bones' gives Head two parents, Hip and LFoot"),
        ({"bones": [*GOOD["bones"], ["Hip", "Head"]]}, "'bones' gives Hip the parent Head, but Hip is the root"),
        ({"bones": GOOD["bones"][:2]}, "'bones' gives Head no parent; bones must be a tree over all joints"),
        (
            {"bones": [["LFoot", "RFoot"], ["RFoot", "LFoot"], ["Head", "Hip"]]},
            "'bones' has a circle through LFoot; bones must be a tree over all joints",
        ),
        (
            {"bones": [["LFoot", "Head"], ["RFoot", "Hip"], ["Head", "Hip"]]},
            "'bones' has [LFoot, Head], but [RFoot, Hip]; left and right must have the same bones",
        ),
    ],
    ids=str,
)
def test_each_fault_of_a_file_is_named(tmp_path, changes, message):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(GOOD | changes if isinstance(changes, dict) else changes))
    with pytest.raises(UserError) as caught:
        find_skeleton(str(path))
    assert str(caught.value).startswith(str(path)) and message in str(caught.value)


def test_a_joint_of_the_middle_may_begin_with_l(tmp_path):
    joints = ["Hip", "Lumbar", "L5", "LFoot", "RFoot", "Rib.cage"]
    bones = [[joint, "Hip"] for joint in joints[1:]]
    (tmp_path / "mine.json").write_text(json.dumps({"name": "mine", "joints": joints, "bones": bones}))
    assert find_skeleton(f"{tmp_path}/mine.json").mirror == (0, 1, 2, 4, 3, 5)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps(H36M_16.to_json()), encoding="utf-8-sig")
    assert find_skeleton(f"{tmp_path}/mine.json") == H36M_16


def test_a_file_without_a_key_and_one_that_is_no_json_are_refused(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"name": "small", "bones": []}))
    with pytest.raises(UserError, match="mine.json has no 'joints'"):
        find_skeleton(str(path))
    path.write_text("{")
    with pytest.raises(UserError, match="mine.json is not a skeleton's file"):
        find_skeleton(str(path))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError) as caught:
        find_skeleton("human")
    assert str(caught.value) == (
        "config.skeleton=human does not exist; give a JSON file or one of the skeletons body_14, coco_19, h36m, "
        "h36m_16, h36m_25, mpi_inf_3dhp_28, mpii_16"
    )


def test_a_folder_is_no_skeleton(tmp_path):
    with pytest.raises(UserError, match=f"^config.skeleton={tmp_path} is not a file; give a JSON file or one of the "):
        find_skeleton(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "data_set", "lacks", "derived"),
    [
        ("mpi_inf_3dhp_28", MPI_INF_3DHP, (), ()),
        ("h36m_25", H36M_32, ("SpineBase", "LClavicle", "LThumb", "LHandEnd", "RClavicle", "RThumb", "RHandEnd"), ()),
        ("mpii_16", MPII, (), ()),
        ("coco_19", COCO, (), ("Hip", "Thorax")),
    ],
)
def test_data_sets_have_skeletons_with_their_own_joints(name, data_set, lacks, derived):
    assert {*find_skeleton(name).joints} == {*data_set.joints} - {*lacks} | {*derived}


# ---- properties


@EACH
def test_mirror_swaps_left_and_right_names(skeleton, rng):
    for part in SIDED:
        pair = [i for i, joint in enumerate(names(skeleton)) if joint & {f"L{part}", f"R{part}"}]
        assert [skeleton.mirror[i] for i in pair] == pair[::-1], part
    is_sided = having(skeleton, *(s + part for s in "LR" for part in SIDED))
    assert is_sided == [skeleton.mirror[i] != i for i in range(len(skeleton.joints))]
    assert [skeleton.mirror[i] for i in skeleton.mirror] == list(range(len(skeleton.joints)))
    assert [skeleton.mirror_bones[i] for i in skeleton.mirror_bones] == list(range(len(skeleton.bones)))
    pose = np.float32(rng.normal(size=(2, len(skeleton.joints), 3)))
    twice = geometry.mirror_pose(geometry.mirror_pose(pose, skeleton.mirror), skeleton.mirror)
    np.testing.assert_array_equal(twice, pose)


@EACH
def test_to_the_21_joints_and_back_is_the_same_pose(skeleton, rng):
    pose = np.float32(rng.normal(size=(3, len(skeleton.joints), 2)))
    there = skeleton.convert(pose, BODY_21)
    np.testing.assert_array_equal(BODY_21.convert(there, skeleton), pose)
    known = np.isfinite(there).all(axis=-1)
    back = geometry.change_joints(np.nan_to_num(there), BODY_21.weights(skeleton), known, np.nan)
    np.testing.assert_array_equal(back, pose)


def test_joints_are_derived_only_from_known_ones():
    own = Skeleton("some", ("LHip", "RHip", "LShoulder", "RShoulder"), ())
    pose = np.float32([[0, 0], [20, 0], [0, 100], [40, 100]])
    weights, unlabeled = own.weights(H36M), geometry.UNLABELED_PX
    found = geometry.change_joints(pose, weights, np.ones(4), unlabeled).numpy()
    spine, thorax = H36M.index("Spine"), H36M.index("Thorax")
    np.testing.assert_array_equal(found[[0, spine, thorax]], [[10, 0], [15, 50], [20, 100]])
    np.testing.assert_array_equal(found[H36M.index("Head")], [unlabeled, unlabeled])
    pose[3] = unlabeled
    found = geometry.change_joints(pose, weights, geometry.labeled(pose), unlabeled).numpy()
    np.testing.assert_array_equal(found[[0, spine]], [[10, 0], [unlabeled, unlabeled]])
    np.testing.assert_array_equal(found[thorax], [unlabeled, unlabeled])


def test_what_can_be_neither_found_nor_derived_is_refused():
    with pytest.raises(UserError) as caught:
        H36M.check_converts_to(BODY_21, "poses.npz")
    assert str(caught.value) == (
        "poses.npz lacks LToes, RToes, LHand, RHand of the skeleton body_21 (21 joints), and has no joints that they "
        "can be derived from; use data with these joints, or another skeleton"
    )
    H36M.check_converts_to(BODY_14, "poses.npz")


@pytest.mark.parametrize("may_lack", [False, True])
def test_one_joint_of_the_data_is_not_taken_for_two(may_lack):
    both = Skeleton("necks", ("Hip", "Neck", "Head", "Nose"), ((1, 0), (2, 1), (3, 1)))
    with pytest.raises(UserError) as caught:
        H36M.check_converts_to(both, "poses.npz", may_lack)
    assert str(caught.value) == (
        "poses.npz has one joint, Neck/Nose, for Neck and Nose of the skeleton necks (4 joints); use data with both, "
        "or another skeleton"
    )
    both.check_converts_to(Skeleton("neck", ("Hip", "Neck/Nose"), ((1, 0),)), "poses.npz")


@pytest.mark.parametrize("skeleton", SKELETONS[:4], ids=lambda skeleton: skeleton.name)
@pytest.mark.parametrize("name", ["feed_forward", "sem_gcn", "hrnet", "efficientnet_lite0"])
def test_networks_have_the_joints_of_the_skeleton(skeleton, name):
    small = {"hrnet": {"width": 4, "stem": 4, "modules": (0, 0, 1), "blocks": 0}, "sem_gcn": {"channels": 4}}
    model = make_network({"name": name, **small.get(name, {})}, skeleton)
    joints = len(skeleton.joints)
    if name in ("hrnet", "efficientnet_lite0"):
        assert model.output_shape[-1] == joints
    else:
        assert (model.input_shape, model.output_shape) == ((None, joints, 2), (None, joints, 3))
    if name == "sem_gcn":
        assert model.get_config()["edges"] == [list(bone) for bone in skeleton.bones]
    assert type(model).from_config(model.get_config()).output_shape == model.output_shape


@EACH
def test_statistics_and_their_file_have_the_joints(skeleton, rng):
    _, pose3d = people(skeleton, rng)
    for frame in ("camera", "sight"):
        statistics = PoseStatistics.of(pose3d, frame=frame)
        assert statistics.mean.shape == statistics.std.shape == (len(skeleton.joints), 3)
        assert PoseStatistics.from_json(statistics.to_json()).frame == frame


@EACH
def test_losses_of_bones_are_those_of_the_skeleton(skeleton, rng):
    _, pose3d = people(skeleton, rng, 3)
    terms = losses.bone_losses(pose3d * 1.1, pose3d, 1.0, skeleton)
    lengths = [np.linalg.norm(pose3d[:, child] - pose3d[:, parent], axis=-1) for child, parent in skeleton.bones]
    np.testing.assert_allclose(terms["length"], 0.1 * np.mean(lengths, axis=0), rtol=1e-3)
    np.testing.assert_allclose(terms["direction"], np.zeros(3), atol=1e-4)
    pairs = {tuple(skeleton.bones[bone][0] for bone in pair) for pair in skeleton.bone_pairs}
    sided = {tuple(skeleton.find(s + part) for s in "LR") for part in SIDED}
    assert pairs == sided - {(None, None)}
    assert (terms["symmetry"].numpy() > 0).all()


def test_a_body_without_sides_has_no_symmetry(rng):
    trunk = Skeleton("trunk", ("Hip", "Thorax"), ((1, 0),))
    pose = np.float32(rng.normal(size=(2, 2, 3)))
    assert set(losses.bone_losses(pose, pose, 1.0, trunk)) == {"length", "direction"}
    assert "bone_symmetry_error" not in report_3d(pose, pose, np.array([-1, -1]), trunk)["total"]


@EACH
def test_metrics_measure_by_the_joints_of_their_names(skeleton, rng):
    target = np.float32(rng.uniform(0, 255, (4, len(skeleton.joints), 2)))
    torso = np.linalg.norm(target[:, skeleton.find("LShoulder")] - target[:, skeleton.find("RHip")], axis=-1)
    for share, expected in ((0.19, 1.0), (0.21, 0.0)):
        moved = target + np.float32([share, 0]) * torso[:, None, None]
        np.testing.assert_array_equal(metrics.pck2d(moved, target, skeleton=skeleton), np.full(4, expected))
    has_neck = skeleton not in (BODY_14, H36M_16)
    assert metrics.can_measure("pckh", skeleton) == has_neck
    report = report_2d(target, target, metrics.POSE2D_METRICS, skeleton)
    assert set(report["joints"]) == set(report["pck2d_joints"]) == set(skeleton.joints)
    assert ("pckh" in report["total"]) == has_neck
    assert len(limbs(skeleton)) == 12 and report["total"]["pck2d_limbs"] == 1
    (header,) = (line for line in format_report({"samples": 4, "pose2d": report}).split("\n") if "limbs" in line)
    assert header.split() == ["limbs", "hip", "knee", "ankle", "shoulder", "elbow", "wrist"]
    metric = metrics.PoseMetric("pck2d", skeleton=skeleton)
    again = metrics.PoseMetric.from_config(metric.get_config())
    assert again.skeleton == skeleton and ("skeleton" in metric.get_config()) == (skeleton != H36M)


def test_metrics_without_their_joints_are_left_out_of_reports(rng):
    legs = Skeleton("legs", ("Hip", "LFoot", "RFoot"), ((1, 0), (2, 0)))
    target = np.float32(rng.uniform(0, 255, (4, 3, 2)))
    part = report_2d(target, target, metrics.POSE2D_METRICS, legs)
    assert set(part["total"]) == {"pixel_error", "pixel_error_median", "pck2d_limbs"}
    assert part["pck2d_joints"] == {} and part["total"]["pck2d_limbs"] is None
    pose = np.float32(rng.normal(0, 300, (4, 3, 3)))
    text = format_report(
        {"samples": 4, "subjects": [1], "pose2d": part, "true_2d": report_3d(pose, pose, np.full(4, 2), legs)}
    )
    assert "mean error 0.00 px" in text and "PCK@0.2" not in text and "LFoot" in text


# ---- augmentation


@EACH
def test_images_and_joints_are_mirrored_alike(skeleton, rng):
    pose2d = np.float32(rng.uniform(0, 255, (2, len(skeleton.joints), 2)))
    layer = GeometricAugmenter(flip=1.0, skeleton=skeleton)
    _, mirrored = layer(np.zeros((2, 256, 256, 3), np.uint8), pose2d, [0, 0])
    for part in SIDED:
        left, right = skeleton.find(f"L{part}"), skeleton.find(f"R{part}")
        if left is not None:
            np.testing.assert_allclose(mirrored[:, left, 0], 255 - pose2d[:, right, 0])
            np.testing.assert_allclose(mirrored[:, right, 0], 255 - pose2d[:, left, 0])
    for name in ("Hip", "Thorax", "Head"):
        if (joint := skeleton.find(name)) is not None:
            np.testing.assert_allclose(mirrored[:, joint, 0], 255 - pose2d[:, joint, 0])
    again = GeometricAugmenter.from_config(layer.get_config())
    assert again.skeleton == skeleton


@EACH
def test_half_bodies_are_legs_and_the_rest(skeleton):
    pose2d = np.full((1, len(skeleton.joints), 2), 200.0, np.float32)
    legs = having(skeleton, "Hip", *(s + part for s in "LR" for part in ("Hip", "Knee", "Foot", "Toes")))
    pose2d[:, legs] = 100.0
    for upper, expected in ((True, 200), (False, 100)):
        center, _ = half_bodies(pose2d, np.float32([256, 256]), np.array([upper]), skeleton)
        np.testing.assert_array_equal(center, [[expected, expected]])


@EACH
def test_recomposed_people_keep_a_body_and_swap_limbs_by_name(skeleton, rng):
    pose2d, pose3d = people(skeleton, rng)
    lengths = metrics.bone_lengths(pose3d, skeleton).numpy().mean(axis=0)
    options = {"recompose": True, "upper_body_swap": 0.0, "bone_length_noise": 0.0, "noise_px": 0.0}
    augmenter = PoseAugmenter(pose3d, np.ones(len(pose3d), int), arm_swap=0.0, **options, skeleton=skeleton)
    _, confidence, new = augmenter(pose2d, pose3d, [0, 1])
    assert confidence.shape == pose2d.shape[:2]
    found = metrics.bone_lengths(new, skeleton).numpy()
    mirrored = lengths[list(skeleton.mirror_bones)]  # half of the people are mirror images
    for each in found:
        assert np.allclose(each, lengths, rtol=1e-3) or np.allclose(each, mirrored, rtol=1e-3)
    swapping = PoseAugmenter(pose3d, np.ones(len(pose3d), int), arm_swap=1.0, **options, skeleton=skeleton)
    _, _, swapped = swapping(pose2d, pose3d, [0, 1])
    moved = np.linalg.norm(swapped - new, axis=-1).max(axis=0) > 1
    assert moved.tolist() == having(skeleton, *(s + part for s in "LR" for part in ("Elbow", "Wrist", "Hand")))


# ---- pose files


def write_poses(path, skeleton, rng, **more):
    pose2d, pose3d = people(skeleton, rng)
    arrays = {"pose2d_crop": pose2d, "pose3d": pose3d, "subject": np.arange(20) % 2}
    np.savez(path, joints=np.array(skeleton.joints), **arrays, **more)
    return arrays


def test_a_pose_file_with_other_joints_is_read_by_name(tmp_path, rng):
    arrays = write_poses(tmp_path / "poses.npz", BODY_21, rng)
    poses = read_pose_file(f"{tmp_path}/poses.npz", H36M_16)
    taken = [BODY_21.index(joint) for joint in H36M_16.joints]
    np.testing.assert_array_equal(poses.pose3d, arrays["pose3d"][:, taken])
    np.testing.assert_array_equal(poses.pose2d_crop, arrays["pose2d_crop"][:, taken])
    assert poses.skeleton == H36M_16 and poses.select([1]).skeleton == H36M_16
    assert poses.in_joints(BODY_14).pose3d.shape == (20, 14, 3)


def test_a_pose_file_of_cocos_limbs_has_its_hip_derived(tmp_path, rng):
    limbs = Skeleton("limbs", LIMBS, ())
    arrays = write_poses(tmp_path / "poses.npz", limbs, rng)
    poses = read_pose_file(f"{tmp_path}/poses.npz", BODY_14)
    hips = arrays["pose3d"][:, [limbs.index("LHip"), limbs.index("RHip")]].mean(axis=1)
    np.testing.assert_allclose(poses.pose3d[:, 0], hips, rtol=1e-6)
    with pytest.raises(UserError, match=r"poses.npz lacks Head of the skeleton h36m_16 \(16 joints\)"):
        read_pose_file(f"{tmp_path}/poses.npz", H36M_16)


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        (np.arange(17), r"poses.npz: 'joints' is int64 \[17\], expected the names of the joints"),
        (np.array(["Hip", "Hip"]), "poses.npz: 'joints' has Hip twice"),
        (np.array(["Hip", "2"]), "poses.npz: 'joints' has '2', which is no name"),
        (np.array(H36M_16.joints), r"poses.npz: 'pose2d_crop' has shape \(20, 17, 2\), expected \(20, 16, 2\)"),
    ],
)
def test_names_that_do_not_fit_a_pose_file_are_refused(tmp_path, rng, joints, message):
    pose2d, pose3d = people(H36M, rng)
    np.savez(tmp_path / "poses.npz", pose2d_crop=pose2d, pose3d=pose3d, subject=np.zeros(20, int), joints=joints)
    with pytest.raises(UserError, match=message):
        read_pose_file(f"{tmp_path}/poses.npz")


def test_joints_of_a_pose_file_that_nobody_asks_for_may_have_any_names(tmp_path, rng):
    pose2d, pose3d = people(H36M, rng)
    joints = [*H36M.joints, "LAntenna", "left_horn", "right_horn"]
    more = (np.concatenate([pose, pose[:, :3]], axis=1) for pose in (pose2d, pose3d))
    arrays = dict(zip(("pose2d_crop", "pose3d"), more)) | {"subject": np.zeros(20, int)}
    np.savez(tmp_path / "poses.npz", joints=np.array(joints), **arrays)
    np.testing.assert_array_equal(read_pose_file(f"{tmp_path}/poses.npz").pose3d, pose3d)


def test_crops_are_known_from_all_joints_of_the_data(tmp_path, rng):
    """The box around a body is 1.05 times as long as that of its joints, so a crop is 256 / 1.05 / 160 times as long
    if joints span 160 of its 256 px. From parts of bodies, the margin is that of `pose-tf convert`, 1.25."""
    pose3d = people(BODY_21, rng)[1]
    pose2d = np.float32(rng.uniform(100, 150, (20, 21, 2)))
    pose2d[:, BODY_21.index("LHand")], pose2d[:, BODY_21.index("RToes")] = (120, 60), (120, 220)
    path = f"{tmp_path}/poses.npz"
    arrays = {"pose3d": pose3d, "subject": np.arange(20) % 2}
    np.savez(path, pose2d_crop=pose2d, joints=np.array(BODY_21.joints), **arrays)
    for skeleton in (BODY_21, H36M, BODY_14, LEGS, PERMUTED):
        poses = read_pose_file(path, skeleton)
        margins = [one.crop_margin() for one in (poses, poses.select([1]), poses.in_joints(LEGS))]
        np.testing.assert_allclose(margins, 256 / 1.05 / 160, rtol=1e-5, err_msg=skeleton.name)
    taken = [BODY_21.index(joint) for joint in LEGS.joints]
    arrays["pose3d"] = pose3d[:, taken]
    np.savez(path, pose2d_crop=pose2d[:, taken], joints=np.array(LEGS.joints), **arrays)
    assert read_pose_file(path, LEGS).crop_margin() == 1.25


def test_boxes_are_fitted_to_joints_that_cover_the_body_only(rng):
    pose2d = rng.uniform(20, 60, (17, 2))
    box = np.float32([15, 15, 50, 50])
    assert fitted(box, pose2d, np.ones(17), PERMUTED) is not None
    for skeleton in (BODY_14, LEGS):
        joints = len(skeleton.joints)
        assert fitted(box, pose2d[:joints], np.ones(joints), skeleton) is None


def test_detections_keep_the_names_of_their_joints(tmp_path, rng):
    pose2d, pose3d = people(H36M_16, rng)
    pose2d = np.clip(pose2d, 0, 255)
    truth = {"pose2d_crop": pose2d, "pose3d": pose3d, "subject": np.zeros(20, int)}
    confidence = np.float32(rng.uniform(0, 1, (20, 16)))
    path = f"{tmp_path}/detections.npz"
    write_detections(path, truth, pose2d + 3, confidence, H36M_16)
    errors = read_errors(path, BODY_14)
    np.testing.assert_allclose(errors.error, np.full((20, 14, 2), 3), atol=1e-4)
    taken = [H36M_16.index(joint) for joint in BODY_14.joints]
    np.testing.assert_allclose(errors.confidence, confidence[:, taken], rtol=1e-6)
    poses = read_pose_file(path, H36M_16)
    np.testing.assert_allclose(poses.confidence, confidence)
    np.testing.assert_allclose(poses.in_joints(BODY_14).detected, pose2d[:, taken] + 3)
    with pytest.raises(UserError, match="detections.npz lacks Neck/Nose of the skeleton h36m"):
        read_errors(path)
    write_detections(path, truth, pose2d, confidence)
    with np.load(path) as file:
        assert "joints" not in file.files


# ---- drawings, results, protocols


@EACH
def test_drawings_show_every_bone_of_the_skeleton(skeleton, rng, monkeypatch):
    drawn = []
    monkeypatch.setattr(viz, "_line", lambda image, start, end, color, width: drawn.append(color))
    image = np.zeros((256, 256, 3), np.uint8)
    pose2d, pose3d = (values[0] for values in people(skeleton, rng, 1))
    viz.draw_pose2d(image, pose2d, skeleton=skeleton)
    sides = [drawn.count(color) for color in (viz.LEFT, viz.RIGHT, viz.MIDDLE)]
    on_sides = [sum(having(skeleton, *(side + part for part in SIDED))) for side in "LR"]
    assert sides == [*on_sides, len(skeleton.bones) - sum(on_sides)]
    assert viz.panel(image, pose2d, pose3d, pose2d, pose3d, skeleton).shape == (256, 5 * 256, 3)
    assert len(viz.mesh(pose3d[None], skeleton)[0]) == 8 * len(skeleton.bones)


@EACH
def test_the_height_of_a_body_is_that_along_its_bones(skeleton):
    pose = np.zeros((len(skeleton.joints), 3), np.float32)
    for name, y in (("Spine", -250), ("Thorax", -500), ("Neck/Nose", -600), ("Head", -800), ("LFoot", 900)):
        if (joint := skeleton.find(name)) is not None:
            pose[joint, 1] = y
    if skeleton == BODY_14:
        with pytest.raises(UserError, match=r"the model's skeleton body_14 \(14 joints\) lacks Head"):
            body_height(pose, skeleton)
    else:
        knee = 2 * 0  # knees are at the hip, so the leg is 900 long
        assert body_height(pose, skeleton) == pytest.approx(800 + knee + 900 + ANKLE_MM)


@EACH
def test_cocos_results_have_the_twelve_joints_by_name(skeleton, rng):
    pose2d = rng.uniform(0, 255, (len(skeleton.joints), 2))
    found = coco_results.entry(1, pose2d, np.ones(len(pose2d)), [0, 0, 9, 9], skeleton=skeleton)
    keypoints = np.reshape(found["keypoints"], (17, 3))
    for name in LIMBS:
        np.testing.assert_allclose(keypoints[COCO.index(name), :2], pose2d[skeleton.find(name)], atol=1e-3)
    assert not keypoints[:5].any()


def test_cocos_results_and_protocols_need_their_joints(rng):
    legs = Skeleton("legs", ("Hip", "LFoot", "RFoot"), ((1, 0), (2, 0)))
    with pytest.raises(UserError, match=r"COCO's results need LHip, LKnee, .* which the skeleton legs \(3 joints\)"):
        coco_results.shared_joints(legs)
    expected = {
        "coco": ("", "", "LHip, "),
        "pckh": ("", "Head, Neck/Nose", ""),
        "lsp": ("", "Head", ""),
        "mpi_inf_3dhp": ("", "Head", ""),
    }
    for name, (_, of_14, of_legs) in expected.items():
        check_joints(PROTOCOLS[name], H36M)
        if of_14:
            message = rf"--protocol={name} measures {of_14}, which the skeleton body_14 \(14 joints\) of the run lacks"
            with pytest.raises(UserError, match=message):
                check_joints(PROTOCOLS[name], BODY_14)
        with pytest.raises(UserError, match=f"--protocol={name} measures .*{of_legs}"):
            check_joints(PROTOCOLS[name], legs)
    check_joints(PROTOCOLS["coco"], BODY_14)


def test_a_protocol_says_how_many_joints_count(rng):
    _, target = people(H36M_16, rng)
    target = target - target[:, :1]
    predicted = target.copy()
    predicted[:, H36M_16.index("Head"), 0] += 200
    arrays = {"lifted": predicted, "true_pose3d": target, "true_subject": np.ones(20, int)}
    part = score(PROTOCOLS["mpi_inf_3dhp"], {}, arrays, skeleton=H36M_16)
    assert part["rows"]["true 2D"]["Head"] == 0 and part["rows"]["true 2D"]["Neck"] == 100
    assert part["rows"]["true 2D"]["MPJPE"] == pytest.approx(200 / 16)
    published = "published ones mostly count Human3.6M's 17."
    assert part["notes"][-1] == f"Mean errors count the 16 joints of h36m_16, without Neck/Nose; {published}"


@pytest.mark.parametrize(
    ("skeleton", "note"),
    [
        (H36M, None),
        (PERMUTED, None),
        (COMPOSITE, None),
        (BODY_21, "the 21 joints of body_21, with LToes, RToes, LHand, RHand; published"),
        (NOSE_17, "the 17 joints of nose_17, without Spine and with Chin; published"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_protocol_compares_the_joints_by_name(rng, skeleton, note):
    pose = people(skeleton, rng)[1]
    report = {"true_2d": report_3d(pose, pose, np.full(20, 2), skeleton)}
    notes = score(PROTOCOLS["h36m_1"], report, {}, skeleton=skeleton)["notes"]
    found = [line for line in notes if line.startswith("Mean errors count ")]
    assert len(found) == (note is not None) and all(note in line for line in found)


def test_a_neck_of_photographs_is_no_nose():
    from pose_tf.data.sources import MPII as PHOTOS

    face = Skeleton("face", ("Hip", "Nose"), ((1, 0),))
    assert PHOTOS.skeleton.weights(face).any(axis=1).tolist() == [True, False]
    assert H36M.weights(face).any(axis=1).tolist() == [True, True]
    assert MPII.weights(H36M_16).any(axis=1).all()
    assert tf.reduce_all(tf.constant(PHOTOS.skeleton.weights(H36M_16).sum(axis=1)) == 1)
