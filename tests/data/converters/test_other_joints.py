"""Tests of conversions to other joints than Human3.6M's 17 and MPII's 16."""

import itertools
import json

import numpy as np
import pytest

from pose_tf.data import records
from pose_tf.data.converters import convert, writing
from pose_tf.data.poses import read_pose_file
from pose_tf.errors import UserError
from pose_tf.skeleton import Skeleton, find_skeleton
from tests.data.converters.layouts import (
    BOX,
    KEPT_OF_28,
    LENSES,
    PERSON,
    around_joints,
    coco_person,
    in_crop,
    lsp_joints,
    mpii_person,
    people_before_camera,
    people_in_world,
    pinhole,
    project_to_2d,
    see,
    to_cameras,
    write_coco,
    write_h36m,
    write_h36m_fetch,
    write_lsp,
    write_mpii,
    write_photo,
    write_video,
    write_videopose3d,
)
from tests.data.converters.test_mpi_inf_3dhp import FOLDER, GRAYS, Sequence

OF_28 = [4, 23, 24, 25, 26, 27, 18, 19, 20, 21, 22, 3, 2, 0, 1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]
"""The joints of mpi_inf_3dhp_28 in the data set, whose list begins with spine3, spine4, spine2, spine, pelvis, neck."""
OF_32 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 17, 18, 19, 21, 22, 25, 26, 27, 29, 30]
"""The joints of h36m_25 in the data set: without those at the place of another, 11, 16, 20, 23, 24, 28 and 31."""
LEGS = Skeleton(
    "legs",
    ("Hip", "LHip", "LKnee", "LFoot", "RHip", "RKnee", "RFoot"),
    ((1, 0), (2, 1), (3, 2), (4, 0), (5, 4), (6, 5)),
)
PHOTOS = {"min_joints": 6, "min_side": 48.0}
PLACES = PERSON | {
    "hip": (160, 126), "thorax": (160, 74), "middle": (160, 100)
}  # fmt: skip
"""Joints of the person, and what follows from its hips and shoulders."""


def content(folder):
    """{name: bytes} of all files."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def sequence(tmp_path):
    """A sequence of MPI-INF-3DHP in `tmp_path / "data"`, seen by one camera."""
    made = Sequence(1)
    made.write(tmp_path / "data")
    write_video(tmp_path / "data" / FOLDER / "imageSequence" / "video_0.avi", GRAYS)
    return made


@pytest.fixture
def options(tmp_path, sequence):
    return {"annotations": str(tmp_path / "data"), "every": 1}


def test_all_28_joints_come_through(converted, sequence, options, output):
    skeleton = find_skeleton("mpi_inf_3dhp_28")
    samples, _ = converted("mpi_inf_3dhp", skeleton=skeleton, **options)
    assert len(samples) == 5
    for i, sample in enumerate(samples):
        pose2d = sequence.annot2[0, i]
        np.testing.assert_allclose(sample["pose3d"], sequence.annot3[0, i, OF_28], atol=1e-3)
        np.testing.assert_allclose(sample["pose3d_univ"], sequence.univ[0, i, OF_28], atol=1e-3)
        np.testing.assert_allclose(sample["pose2d"], pose2d[OF_28], atol=1e-3)
        np.testing.assert_allclose(sample["pose2d_crop"], in_crop(pose2d[OF_28], around_joints(pose2d)), atol=0.01)
    assert json.loads((output / "h36" / "skeleton.json").read_text()) == skeleton.to_json()
    assert records.skeleton_of(str(output / "h36")) == skeleton
    assert {path.name for path in output.rglob("*")} == {
        "h36", "skeleton.json", "mpi_inf_3dhp_00000-of-00001.tfrecord", "mpi_inf_3dhp.json"
    }  # fmt: skip


def test_a_crop_shows_the_whole_body_of_which_some_joints_are_written(converted, sequence, options):
    samples, _ = converted("mpi_inf_3dhp", skeleton=LEGS, **options)
    of_legs = [4, 18, 19, 20, 23, 24, 25]
    for i, sample in enumerate(samples):
        pose2d = sequence.annot2[0, i]
        np.testing.assert_allclose(sample["pose3d"], sequence.annot3[0, i, of_legs], atol=1e-3)
        expected = in_crop(pose2d[of_legs], around_joints(pose2d[KEPT_OF_28]))
        np.testing.assert_allclose(sample["pose2d_crop"], expected, atol=0.01)


def test_the_default_skeleton_changes_no_byte(options, tmp_path):
    convert("mpi_inf_3dhp", str(tmp_path / "without"), **options)
    convert("mpi_inf_3dhp", str(tmp_path / "with"), skeleton=find_skeleton("h36m"), **options)
    assert content(tmp_path / "without") == content(tmp_path / "with")
    assert not (tmp_path / "with" / "h36" / "skeleton.json").exists()


def test_joints_of_human36m_come_through_from_both_of_its_forms(tmp_path, rng):
    pose3d, intrinsics = people_before_camera(rng, 6, 32), (70.0, 32.0, 71.0, 33.0)
    pose2d, skeleton = pinhole(pose3d, intrinsics), find_skeleton("h36m_25")
    write_h36m(tmp_path / "cdf", "S1", "Directions 1.54138969", pose2d, pose3d)
    path, count, _ = convert("h36m", str(tmp_path), skeleton=skeleton, annotations=str(tmp_path / "cdf"), every=2)
    with np.load(path) as file:
        assert count == 3 and file["joints"].tolist() == list(skeleton.joints)
    poses = read_pose_file(path, skeleton)
    np.testing.assert_allclose(poses.pose3d, pose3d[::2, OF_32], atol=1e-3)
    np.testing.assert_allclose(
        poses.pose2d_crop[1], in_crop(pose2d[2, OF_32], around_joints(pose2d[2, OF_32])), atol=0.05
    )

    folder = tmp_path / "fetch" / "S1" / "Directions-1"
    view = (np.arange(1, 7), pose2d, pose3d, 0.9 * pose3d, intrinsics, intrinsics)
    write_h36m_fetch(folder, {"54138969": view})
    for number in range(1, 7):
        write_photo(folder / "imageSequence" / "54138969" / f"img_{number:06d}.jpg", size=(64, 64))
    annotations = str(tmp_path / "fetch")
    convert("h36m_fetch", str(tmp_path), skeleton=skeleton, annotations=annotations, every=1)
    (shard,) = records.list_shards(str(tmp_path))
    for sample in records.read(shard, records.schema_of(shard)):
        np.testing.assert_allclose(sample["pose3d"], pose3d[sample["framd_id"] - 1, OF_32], atol=1e-3)
        np.testing.assert_allclose(sample["pose3d_univ"], 0.9 * pose3d[sample["framd_id"] - 1, OF_32], atol=1e-3)
        np.testing.assert_allclose(sample["pose2d"], pose2d[sample["framd_id"] - 1, OF_32], atol=1e-3)


def test_toes_are_projected_where_the_file_of_2d_joints_lacks_them(tmp_path, rng):
    world, skeleton = {"S1": {"Walking": people_in_world(rng, 60)}}, find_skeleton("h36m_25")
    write_videopose3d(tmp_path, world, see(world))
    paths = {"annotations": f"{tmp_path}/data_3d_h36m.npz", "poses2d": f"{tmp_path}/data_2d_h36m_gt.npz"}
    path, _, _ = convert("videopose3d", str(tmp_path), skeleton=skeleton, **paths, every=1)
    poses = read_pose_file(path, skeleton)
    views = to_cameras(world["S1"]["Walking"])
    with np.load(path) as file:
        pose2d = poses.pose2d_crop / file["scale"][:, None, None] + file["offset"][:, None]
    for number, (view, lens) in enumerate(zip(views, LENSES)):
        part = slice(60 * number, 60 * number + 60)
        np.testing.assert_allclose(poses.pose3d[part], 1000 * view[:, OF_32], atol=2.0)
        np.testing.assert_allclose(pose2d[part], project_to_2d(view[:, OF_32], lens), atol=0.3)

    noise = [view + rng.normal(0, 4, view.shape).astype(np.float32) for view in see(world)["S1"]["Walking"]]
    write_videopose3d(tmp_path, world, {"S1": {"Walking": noise}}, "found")
    paths["poses2d"] = f"{tmp_path}/data_2d_h36m_found.npz"
    with pytest.raises(UserError) as caught:
        convert("videopose3d", str(tmp_path), skeleton=skeleton, **paths, every=1)
    expected = f"{paths['poses2d']} lacks RToes, RToesEnd, LToes, LToesEnd, LThumbEnd, LHand, RThumbEnd, RHand of the "
    assert str(caught.value).startswith(expected)
    few = find_skeleton("body_14")
    path, _, _ = convert("videopose3d", str(tmp_path), "few", skeleton=few, **paths, every=1)
    poses = read_pose_file(path, few)
    with np.load(path) as file:
        found = poses.detected / file["scale"][:, None, None] + file["offset"][:, None]
    np.testing.assert_allclose(found[:60], noise[0][:, [0, 1, 2, 3, 4, 5, 6, 8, 11, 12, 13, 14, 15, 16]], atol=0.01)


@pytest.mark.parametrize("source", ["mpi_inf_3dhp", "h36m", "h36m_fetch"])
def test_3d_joints_that_are_missing_are_refused(refusal, tmp_path, options, rng, source):
    pose3d, intrinsics = people_before_camera(rng, 6, 32), (70.0, 32.0, 71.0, 33.0)
    pose2d = pinhole(pose3d, intrinsics)
    write_h36m(tmp_path / "data", "S1", "Directions 1.54138969", pose2d, pose3d)
    view = (np.arange(1, 7), pose2d, pose3d, pose3d, intrinsics, intrinsics)
    write_h36m_fetch(tmp_path / "data" / "S1" / "Directions-1", {"54138969": view})
    assert refusal(source, skeleton=find_skeleton("coco_19"), **options) == (
        f"{tmp_path}/data lacks LEye, REye, LEar, REar of the skeleton coco_19 (19 joints), and has no joints that "
        "they can be derived from; use data with these joints, or another skeleton"
    )


# ---- photographs


def labels(sample, skeleton):
    """{joint: px} of the labeled joints of a record, in px of the image that BOX is in."""
    seen = sample["visibility"][0] > 0
    np.testing.assert_array_equal(sample["pose2d"][~seen], 0)
    return {name: joint for name, joint, known in zip(skeleton.joints, sample["pose2d"], seen) if known}


def check(found, names, box=BOX):
    """Joints are where those of `PLACES` are."""
    assert found.keys() == names.keys()
    for joint, name in names.items():
        np.testing.assert_allclose(found[joint], in_crop(PLACES[name], box), atol=0.01, err_msg=joint)


LIMBS = {
    side[0].upper() + part: f"{side}_{name}"
    for side in ("left", "right")
    for part, name in zip(
        ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist"), ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
    )
}


@pytest.fixture
def coco(tmp_path, converted):
    """coco(skeleton, people): the records of people in one photo, and who is left out."""

    def run(skeleton, people, **more):
        write_photo(tmp_path / "images" / "000000000001.jpg")
        write_coco(tmp_path / "people.json", people)
        paths = {"annotations": str(tmp_path / "people.json"), "images": str(tmp_path / "images")}
        return converted("coco", skeleton=skeleton, **paths, **PHOTOS | more)

    return run


def test_eyes_and_ears_of_coco_come_through(coco):
    skeleton, face = find_skeleton("coco_19"), ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
    people = [
        coco_person(),
        coco_person(names=(*face, "left_knee")),
        coco_person(names=(*face, "left_hip"), bbox=[0] * 4),
    ]
    samples, left_out = coco(skeleton, people)
    assert left_out == {"smaller than 48 px": 1}  # eyes and ears count as labeled joints
    whole, head = sorted(samples, key=lambda sample: -sample["visibility"].sum())
    of_face = dict(zip(("Nose", "LEye", "REye", "LEar", "REar"), face))
    check(labels(whole, skeleton), LIMBS | of_face | {"Hip": "hip", "Thorax": "thorax"})
    check(labels(head, skeleton), of_face | {"LKnee": "left_knee"})


def test_joints_that_coco_lacks_are_derived_or_not_labeled(coco):
    skeleton = find_skeleton("h36m_25")
    (sample,), _ = coco(skeleton, [coco_person()])
    derived = {"Hip": "hip", "Thorax": "thorax", "Spine": "middle", "Neck/Nose": "nose"}
    check(labels(sample, skeleton), LIMBS | derived)


def test_pelvis_and_upper_neck_of_mpii_come_through(tmp_path, converted):
    write_photo(tmp_path / "a.jpg")
    write_mpii(tmp_path / "people.mat", [("a.jpg", [mpii_person(center=(161.0, 110.0), scale=0.9)], 1)])
    skeleton = find_skeleton("mpii_16")
    paths = {"annotations": str(tmp_path / "people.mat"), "images": str(tmp_path)}
    (sample,), _ = converted("mpii", skeleton=skeleton, **paths, **PHOTOS)
    middle, side = np.array([160.5, 109.5 + 15 * 0.9]), 200 * 0.9
    found = labels(sample, skeleton)
    box = (*(middle - side / 2), side, side)
    for joint, name in {"Hip": "pelvis", "Neck": "upper_neck", "Head": "head_top", "RFoot": "right_ankle"}.items():
        np.testing.assert_allclose(found[joint], in_crop(PERSON[name], box), atol=0.02)
    np.testing.assert_allclose(found["Thorax"], in_crop(PERSON["thorax"], box), atol=0.02)
    assert len(found) == 16


def test_the_hip_of_lsp_is_derived_and_few_joints_leave_people_out(tmp_path, converted):
    write_photo(tmp_path / "im0001.jpg")
    write_lsp(tmp_path / "joints.mat", lsp_joints()[None], np.zeros((1, 14)))
    paths = {"annotations": str(tmp_path / "joints.mat"), "images": str(tmp_path)}
    (sample,), _ = converted("lsp", skeleton=LEGS, **paths, **PHOTOS)
    box = around_joints(lsp_joints() - 1)
    check(
        labels(sample, LEGS),
        {name: place for name, place in LIMBS.items() if name in LEGS.joints} | {"Hip": "hip"},
        box,
    )
    with pytest.raises(UserError, match="no person that can be used: 1 with fewer than 7 joints"):
        converted("lsp", skeleton=LEGS, name="other", **paths, **PHOTOS | {"min_joints": 7})


# ---- records with different joints in one directory

BOTH = list(itertools.permutations([None, LEGS], 2))


@pytest.mark.parametrize(("first", "second"), BOTH, ids=["legs after the default", "the default after legs"])
def test_records_with_other_joints_are_refused(options, output, first, second):
    convert("mpi_inf_3dhp", str(output), skeleton=first, **options)
    before = content(output)
    names = {None: "h36m (17 joints)", LEGS: "legs (7 joints)"}
    message = (
        f"{output}/h36 has records with the joints of the skeleton {names[first]}, not of {names[second]}; give "
        "another --output_dir, or the --skeleton of these records"
    )
    for name in (None, "other"):
        with pytest.raises(UserError) as caught:
            convert("mpi_inf_3dhp", str(output), name, skeleton=second, **options)
        assert str(caught.value) == message
        assert content(output) == before
    convert("mpi_inf_3dhp", str(output), "more", skeleton=first, **options)
    assert content(output).keys() - before.keys() == {"more.json", "h36/more_00000-of-00001.tfrecord"}


@pytest.mark.parametrize(("first", "second"), BOTH, ids=["legs before the default", "the default before legs"])
def test_records_that_another_process_adds_meanwhile_are_not_mixed(options, output, monkeypatch, first, second):
    write, others = writing.records.write, []

    def write_after_another(*arguments):
        if not others:
            others.append(True)
            convert("mpi_inf_3dhp", str(output), "other", skeleton=second, **options)
        return write(*arguments)

    monkeypatch.setattr(writing.records, "write", write_after_another)
    with pytest.raises(UserError, match="h36 has records with the joints of the skeleton "):
        convert("mpi_inf_3dhp", str(output), skeleton=first, **options)
    assert [path.name for path in (output / "h36").glob("*.tfrecord")] == ["other_00000-of-00001.tfrecord"]
    assert (output / "h36" / "skeleton.json").exists() == (second is LEGS)


def renamed(skeleton, name, **joints):
    """A skeleton with other names for itself and some joints."""
    return Skeleton(name, tuple(joints.get(joint, joint) for joint in skeleton.joints), skeleton.bones[::-1])


def test_other_joints_under_the_same_name_are_refused_and_the_same_under_another_are_not(options, output):
    convert("mpi_inf_3dhp", str(output), skeleton=LEGS, **options)
    other = renamed(LEGS, "legs", LHip="RHip", RHip="LHip", LKnee="RKnee", RKnee="LKnee", LFoot="RFoot", RFoot="LFoot")
    with pytest.raises(
        UserError, match=r"of the skeleton legs \(7 joints\), not of legs \(7 joints\) \(joint 1 was LHip"
    ):
        convert("mpi_inf_3dhp", str(output), "other", skeleton=other, **options)
    convert("mpi_inf_3dhp", str(output), "more", skeleton=renamed(LEGS, "limbs"), **options)
    assert records.skeleton_of(str(output / "h36")) == LEGS and len(records.list_shards(str(output))) == 2


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        (LEGS, None, "the skeleton legs (7 joints), now the usual joints"),
        (None, LEGS, "the usual joints, now the skeleton legs (7 joints)"),
        (
            LEGS,
            find_skeleton("body_14"),
            "the skeleton legs (7 joints), now body_14 (14 joints): joint 1 was LHip, now ",
        ),
        (LEGS, renamed(LEGS, "legs"), "the skeleton legs (7 joints), now legs (7 joints): its name or the order of "),
    ],
    ids=["legs first", "legs second", "another", "another order of bones"],
)
def test_a_conversion_does_not_resume_with_other_joints(options, output, first, second, difference):
    convert("mpi_inf_3dhp", str(output), skeleton=first, **options)
    for path in (output / "h36").iterdir():
        path.unlink()
    with pytest.raises(UserError) as caught:
        convert("mpi_inf_3dhp", str(output), skeleton=second, **options)
    start = f"{output}/mpi_inf_3dhp.json describes a conversion with {difference}"
    assert str(caught.value).startswith(start) and "sha256" not in str(caught.value)


def test_joints_without_records_which_an_interruption_can_leave_do_not_count(options, output):
    (output / "h36").mkdir(parents=True)
    (output / "h36" / "skeleton.json").write_text(json.dumps(LEGS.to_json()))
    convert("mpi_inf_3dhp", str(output), **options)
    (shard,) = records.list_shards(str(output))
    assert not (output / "h36" / "skeleton.json").exists() and len(list(records.read(shard, records.H36M))) == 5
