"""Tests of motions as files: other programs' readers find the joints where they were; angles of known poses."""

import csv
import json
import sys

import ezc3d
import numpy as np
import pybvh
import pytest

from pose_tf.errors import UserError
from pose_tf.predict.angles import DEFINITIONS, joint_angles, write_angles
from pose_tf.predict.bvh import euler_zxy, solve, write_bvh
from pose_tf.predict.motion import NAMES, Motion, read_motions, write_c3d, write_trc
from pose_tf.skeleton import H36M

ENDS = {"RFoot": "RKnee", "LFoot": "LKnee", "Head": "Neck", "LWrist": "LElbow", "RWrist": "RElbow"}


def dancing(rng, frames=40, person=1, fps=25.0):
    """A motion of bones of constant length, the same left and right, whose directions change smoothly in all ways."""
    lengths = rng.uniform(80, 450, 17)
    lengths = (lengths + lengths[list(H36M.mirror)]) / 2
    joints = np.zeros((frames, 17, 3))
    joints[:, 0] = np.cumsum(rng.normal(0, 20, (frames, 3)), axis=0) + [300, 900, -4000]
    time = np.arange(frames)[:, None] / frames
    for child, parent in H36M.bones:
        start, speed = rng.normal(size=(2, 3))
        direction = start + 2 * np.sin(2 * np.pi * time) * speed
        joints[:, child] = joints[:, parent] + lengths[child] * direction / np.linalg.norm(
            direction, axis=1, keepdims=True
        )
    return Motion(person, fps, 0.0, joints, np.ones((frames, 17), bool))


def standing():
    """A person who faces the camera with arms spread: one frame [1, 17, 3] mm."""
    place = dict.fromkeys(H36M.joints, (0, 0, 0)) | {
        "LHip": (100, 0, 0), "LKnee": (100, -400, 0), "LFoot": (100, -800, 0),
        "RHip": (-100, 0, 0), "RKnee": (-100, -400, 0), "RFoot": (-100, -800, 0),
        "Spine": (0, 250, 0), "Thorax": (0, 500, 0), "Neck/Nose": (0, 600, 0), "Head": (0, 750, 0),
        "LShoulder": (150, 500, 0), "LElbow": (430, 500, 0), "LWrist": (680, 500, 0),
        "RShoulder": (-150, 500, 0), "RElbow": (-430, 500, 0), "RWrist": (-680, 500, 0),
    }  # fmt: skip
    return np.float64([[place[name] for name in H36M.joints]])


def angles_of(joints):
    return {
        name: value[0] for name, value in joint_angles(Motion(1, 25.0, 0.0, joints, np.ones((1, 17), bool))).items()
    }


def write_result(path, times, people, fps=None):
    """A result of predict; `people` has for each frame {person: (pose3d, root3d)}, in the frame of the camera."""
    frames = [
        {
            "frame": i,
            "time_s": time,
            "people": [{"person": n, "pose3d_mm": pose, "root3d_mm": root} for n, (pose, root) in frame.items()],
        }
        for i, (time, frame) in enumerate(zip(times, people))
    ]
    path.write_text(json.dumps({"source": "a", "fps": fps, "joints": H36M.joints, "frames": frames}))


def test_a_bvh_file_has_the_joints_where_they_were(tmp_path, rng):
    motion = dancing(rng)
    write_bvh(f"{tmp_path}/a.bvh", motion)
    found = pybvh.read_bvh_file(f"{tmp_path}/a.bvh", world_up="+y")
    assert found.fps == pytest.approx(25) and found.frame_count == 40
    places = found.node_positions()
    numbers = {node.name: i for i, node in enumerate(found.nodes)}
    for joint, name in enumerate(NAMES):
        node = numbers[f"EndSite{ENDS[name]}" if name in ENDS else name]
        np.testing.assert_allclose(1000 * places[:, node], motion.joints[:, joint], atol=0.05, err_msg=name)


def test_bones_of_changing_length_get_their_median(rng):
    motion = dancing(rng)
    motion.joints[::2] *= 1.1
    nodes, positions = solve(motion)
    lengths = np.linalg.norm(positions[:, 2] - positions[:, 1], axis=-1)
    np.testing.assert_allclose(lengths, lengths[0])
    directions, expected = (x[:, 2] - x[:, 1] for x in (positions, motion.joints))
    np.testing.assert_allclose(
        directions / lengths[:, None], expected / np.linalg.norm(expected, axis=-1, keepdims=True), atol=1e-9
    )
    assert [node.name for node in nodes if node.parent is None] == ["Hip"]


def test_the_rest_pose_is_no_rotation():
    nodes, _ = solve(Motion(1, 25.0, 0.0, standing(), np.ones((1, 17), bool)))
    for node in nodes:
        if node.rotation is not None:
            np.testing.assert_allclose(node.rotation, [np.eye(3)], atol=1e-12, err_msg=node.name)


def test_opposite_directions_are_half_a_turn():
    joints = standing()
    joints[0, [H36M.index("LKnee"), H36M.index("LFoot")]] = [100, 400, 0], [100, 800, 0]
    _, positions = solve(Motion(1, 25.0, 0.0, joints, np.ones((1, 17), bool)))
    np.testing.assert_allclose(positions, joints, atol=1e-6)


def test_euler_angles_give_the_rotation_and_do_not_jump(random_rotation):
    def about(axis, degrees):
        a, (i, j) = np.radians(degrees), {"z": (0, 1), "x": (1, 2), "y": (2, 0)}[axis]
        matrix = np.eye(3)
        matrix[[i, j, i, j], [i, j, j, i]] = np.cos(a), np.cos(a), -np.sin(a), np.sin(a)
        return matrix

    for _ in range(20):
        rotation = random_rotation()
        z, x, y = euler_zxy(rotation[None])[0]
        np.testing.assert_allclose(about("z", z) @ about("x", x) @ about("y", y), rotation, atol=1e-9)
    turning = np.stack([about("y", degrees) for degrees in range(0, 720, 10)])
    np.testing.assert_allclose(euler_zxy(turning)[:, 2], np.arange(0, 720, 10), atol=1e-6)


def test_trc_and_c3d_files_have_all_people(tmp_path, rng):
    one, other = dancing(rng, 40), dancing(rng, 20, person=3)
    other.known[5:8] = False
    other = Motion(3, 25.0, 0.4, other.joints, other.known)  # from frame 10 on
    write_trc(f"{tmp_path}/a.trc", [one, other])
    write_c3d(f"{tmp_path}/a.c3d", [one, other])
    expected = np.full((40, 34, 3), np.nan)
    expected[:, :17], expected[10:30, 17:] = one.joints, other.joints
    expected[15:18, 17:] = np.nan

    rows = [line.split("\t") for line in (tmp_path / "a.trc").read_text().splitlines()]
    assert dict(zip(rows[1], rows[2])) | {"Units": "mm"} == dict(zip(rows[1], rows[2]))
    assert dict(zip(rows[1], rows[2]))["NumFrames"] == "40" and dict(zip(rows[1], rows[2]))["NumMarkers"] == "34"
    labels = rows[3][2::3][:34]
    assert labels == [f"{n}_{name}" for n in (1, 3) for name in NAMES]
    values = np.float64([[float(cell or "nan") for cell in row] for row in rows[6:]])
    np.testing.assert_allclose(values[:, 1], np.arange(40) / 25)
    np.testing.assert_allclose(values[:, 2:].reshape(40, 34, 3), expected, atol=0.001)

    file = ezc3d.c3d(f"{tmp_path}/a.c3d")
    point = file["parameters"]["POINT"]
    assert point["LABELS"]["value"] == labels and point["RATE"]["value"][0] == 25 and point["UNITS"]["value"][0] == "mm"
    np.testing.assert_allclose(file["data"]["points"][:3].transpose(2, 1, 0), expected, atol=0.01)


def test_a_result_becomes_motions_at_a_constant_rate(tmp_path):
    """Times vary; person 2 is away for a second; one joint is null once. The hip moves 100 mm a second to the right."""
    pose = (standing()[0] * [1, -1, -1]).tolist()
    hidden = [joint if i != 5 else None for i, joint in enumerate(pose)]
    times = [0.0, 0.04, 0.09, 0.12, 0.16, 1.2, 1.24]
    people = [{1: (hidden if i == 2 else pose, [100 * time, -50, 3000])} for i, time in enumerate(times)]
    for i in (0, 1, 5, 6):
        people[i][2] = (pose, None)
    write_result(tmp_path / "a.json", times, people)
    one, two = read_motions(f"{tmp_path}/a.json")
    assert (one.person, two.person, one.fps) == (1, 2, 25.0)
    np.testing.assert_allclose(one.joints[:, 0], [[100 * i / 25, 50, -3000] for i in range(32)], atol=1e-6)
    np.testing.assert_allclose(one.joints[:, 5] - one.joints[:, 0], np.tile([100, -400, 0], (32, 1)), atol=1e-6)
    assert one.known[:5].all() and not one.known[6:29].any()  # more than half a second between two sightings
    assert not one.known[:, 5][6:29].any() and one.known[2, 5]
    np.testing.assert_allclose(two.joints[:, 10], np.tile([0, 750, 0], (32, 1)), atol=1e-6)
    assert len(read_motions(f"{tmp_path}/a.json", fps=50)[0].joints) == 63


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a JSON file of pose-tf predict"),
        ("[]", "is not a JSON file of pose-tf predict"),
        *(
            (json.dumps({"joints": H36M.joints, "frames": [{"time_s": time, "people": []}]}), "is not a JSON file")
            for time in (None, [1], "x")
        ),
        (
            json.dumps({"joints": H36M.joints, "frames": [{"time_s": t, "people": []} for t in (1, 0)]}),
            "its times do not increase",
        ),
        ('{"joints": ["Hip"], "frames": []}', "its poses lack RHip, RKnee"),
        (json.dumps({"joints": H36M.joints, "frames": [{"time_s": 0, "people": []}]}), "contains no people"),
        (
            json.dumps(
                {"joints": H36M.joints, "frames": [{"time_s": 0, "people": [{"person": 1, "pose3d_mm": [[1]]}]}]}
            ),
            "is not a JSON file of pose-tf predict",
        ),
    ],
)
def test_other_files_are_refused(tmp_path, text, message):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_motions(f"{tmp_path}/a.json")
    with pytest.raises(UserError, match="nowhere.json does not exist"):
        read_motions(f"{tmp_path}/nowhere.json")


def test_without_the_package_for_c3d_it_says_what_to_install(tmp_path, rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "c3d", None)
    with pytest.raises(UserError, match=r"C3D files need the package c3d: pip install 'pose_tf\[motion\]'"):
        write_c3d(f"{tmp_path}/a.c3d", [dancing(rng)])


def test_angles_of_a_standing_person_are_zero_but_for_the_arms():
    found = angles_of(standing())
    arms = {"left_shoulder_elevation": 90, "right_shoulder_elevation": 90}
    for name, value in found.items():
        assert value == pytest.approx(arms.get(name, 0), abs=1e-3), name
    names = {name.removeprefix("left_").removeprefix("right_") for name in found}
    assert names == DEFINITIONS.keys()


def test_angles_by_hand():
    """Left thigh forward, left shank down, right leg spread by 30 degrees, left arm forward, right forearm up."""
    joints = standing()
    at = H36M.index
    joints[0, [at("LKnee"), at("LFoot")]] = [100, 0, 400], [100, -400, 400]
    joints[0, at("RKnee")] = [-100 - 400 * np.sin(np.radians(30)), -400 * np.cos(np.radians(30)), 0]
    joints[0, [at("LElbow"), at("LWrist")]] = [150, 500, 280], [150, 500, 530]
    joints[0, at("RWrist")] = [-430, 750, 0]
    found = angles_of(joints)
    expected = {
        "left_hip_flexion": 90, "left_hip_abduction": 0, "left_knee_flexion": 90, "right_hip_abduction": 30,
        "left_shoulder_elevation": 90, "left_shoulder_plane": 90, "left_elbow_flexion": 0, "right_elbow_flexion": 90,
        "right_shoulder_plane": 0,
    }  # fmt: skip
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-3), name


@pytest.mark.parametrize(
    ("axis", "degrees", "expected"),
    [
        ((0, 1, 0), 40, {"pelvis_rotation": 40}),
        ((1, 0, 0), 25, {"pelvis_tilt": 25}),
        ((0, 0, 1), -10, {"pelvis_list": 10}),
    ],
)
def test_turns_of_the_whole_body_are_turns_of_the_pelvis(axis, degrees, expected):
    a = np.radians(degrees)
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation = np.eye(3) + np.sin(a) * cross + (1 - np.cos(a)) * cross @ cross
    before, found = angles_of(standing()), angles_of(standing() @ rotation.T)
    for name, value in found.items():
        assert value == pytest.approx(expected.get(name, before[name]), abs=1e-3), name


def test_bending_and_turning_the_trunk():
    joints, upper = standing(), [H36M.joints.index(name) for name in H36M.joints[8:]]
    spine = joints[0, 7].copy()
    for axis, degrees, name in (((1, 0, 0), 30, "flexion"), ((0, 0, 1), -20, "bending"), ((0, 1, 0), 15, "rotation")):
        a, (x, y, z) = np.radians(degrees), axis
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        rotation = np.eye(3) + np.sin(a) * cross + (1 - np.cos(a)) * cross @ cross
        turned = joints.copy()
        turned[0, upper] = (joints[0, upper] - spine) @ rotation.T + spine
        found = angles_of(turned)
        assert found[f"trunk_{name}"] == pytest.approx(degrees, abs=1e-3), name
        assert found["left_shoulder_elevation"] == pytest.approx(90, abs=1e-3)


def test_a_table_of_angles_has_a_row_for_each_frame(tmp_path):
    joints = np.repeat(standing(), 3, axis=0)
    write_angles(
        f"{tmp_path}/a.csv", Motion(1, 25.0, 2.0, joints, np.array([True, False, True])[:, None].repeat(17, 1))
    )
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    assert [row["time_s"] for row in rows] == ["2.0000", "2.0400", "2.0800"]
    assert [row["left_shoulder_elevation_deg"] for row in rows] == ["90.00", "", "90.00"]


def test_the_rate_is_that_of_the_video_although_times_are_rounded(tmp_path):
    pose = standing()[0].tolist()
    for fps in (24, 25, 29.97, 30, 60, 120, 240):
        times = [round(i / fps, 4) for i in range(300)]
        write_result(tmp_path / "a.json", times, [{1: (pose, [0, 0, 3000])}] * 300, fps)
        (found,) = read_motions(f"{tmp_path}/a.json")
        assert (found.fps, len(found.joints)) == (fps, 300) and found.known.all()
    write_result(tmp_path / "a.json", [0, 1, 2.02, 3, 4], [{1: (pose, [0, 0, 3000])}] * 5, None)
    assert read_motions(f"{tmp_path}/a.json")[0].known.all()


def test_a_position_that_is_missing_once_is_interpolated(tmp_path):
    pose = standing()[0].tolist()
    people = [{1: (pose, None if i == 2 else [0, 0, 3000])} for i in range(5)]
    write_result(tmp_path / "a.json", [i / 25 for i in range(5)], people, 25)
    np.testing.assert_allclose(read_motions(f"{tmp_path}/a.json")[0].joints[:, 0, 2], -3000)


def test_joints_in_one_place_keep_the_orientation_before():
    joints = np.repeat(standing(), 3, axis=0)
    joints[1] = joints[1, :1]
    _, positions = solve(Motion(1, 25.0, 0.0, joints, np.ones((3, 17), bool)))
    np.testing.assert_allclose(positions, np.repeat(standing(), 3, axis=0), atol=1e-6)


def test_files_of_people_who_appear_later_begin_with_the_video(tmp_path, rng):
    motion = dancing(rng, 10)
    write_bvh(f"{tmp_path}/a.bvh", Motion(1, 25.0, 0.2, motion.joints, motion.known))
    found = pybvh.read_bvh_file(f"{tmp_path}/a.bvh", world_up="+y")
    assert found.frame_count == 15
    np.testing.assert_allclose(found.root_pos[:6], found.root_pos[:1].repeat(6, 0))


def test_a_thigh_that_rises_above_the_horizontal_does_not_flip_the_curves():
    joints = np.repeat(standing(), 61, axis=0)
    at = H36M.index
    for i, degrees in enumerate(range(60, 121)):
        y, z = -np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        joints[i, at("LKnee")] = np.array([100, 0, 0]) + 400 * np.array([0.05, y, z])
        joints[i, at("LFoot")] = joints[i, at("LKnee")] + [0, -400, 0]
    nodes, _ = solve(Motion(1, 25.0, 0.0, joints, np.ones((61, 17), bool)))
    (thigh,) = (node for node in nodes if node.name == "LHip")
    assert np.abs(np.diff(euler_zxy(thigh.rotation), axis=0)[:, 1]).max() < 3


def test_too_many_people_for_c3d_are_refused(tmp_path, rng):
    crowd = [dancing(rng, 2, person) for person in range(16)]
    with pytest.raises(UserError, match="a C3D file has room for 15 people, not for 16; write TRC instead"):
        write_c3d(f"{tmp_path}/a.c3d", crowd)
    write_c3d(f"{tmp_path}/a.c3d", crowd[:15])
    assert ezc3d.c3d(f"{tmp_path}/a.c3d")["data"]["points"].shape == (4, 255, 2)
