"""Tests of evaluation reports: averages over joints, actions and subjects."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import files
from pose_tf.data import pipeline, records
from pose_tf.data.occluders import OccluderBank
from pose_tf.data.poses import PoseSet
from pose_tf.data.record_index import index_records
from pose_tf.errors import UserError
from pose_tf.evaluation import evaluator
from pose_tf.evaluation.report import format_report
from pose_tf.models import FeedForward
from pose_tf.models.statistics import PoseStatistics, in_frame
from pose_tf.skeleton import H36M, Skeleton
from pose_tf.synthetic.sample import render_sample
from pose_tf.workdir import Workdir
from tests.data.photos import make_photo


@pytest.fixture
def target(rng):
    return np.float32(rng.normal(0, 300, (4, 17, 3)))


def test_the_total_is_over_poses_and_the_mean_of_the_actions_over_actions(target):
    """Three poses of walking have an error of 17 mm in one joint, one pose of eating has 51 mm."""
    predicted = target.copy()
    predicted[:3, 5, 0] += 17
    predicted[3, 5, 0] += 51
    report = evaluator.report_3d(predicted, target, np.array([14, 14, 14, 4]))
    assert report["actions"]["Walking"]["mpjpe"] == pytest.approx(1, abs=1e-4)
    assert report["actions"]["Eating"]["mpjpe"] == pytest.approx(3, abs=1e-4)
    assert report["total"]["mpjpe"] == pytest.approx(1.5, abs=1e-4)
    assert report["action_mean"]["mpjpe"] == pytest.approx(2, abs=1e-4)
    lines = format_report({"samples": 4, "subjects": [9], "true_2d": report}).splitlines()
    (row,) = (line.split() for line in lines if line.startswith("  mean of the actions"))
    assert row[4] == "2.00"


def test_without_known_actions_there_is_no_mean_of_them(target):
    report = evaluator.report_3d(target, target, np.full(4, -1))
    assert report["action_mean"] == report["actions"] == {}
    assert "actions" not in format_report({"samples": 4, "subjects": [9], "true_2d": report})


def test_joints_outside_the_crop_do_not_count():
    target = np.full((2, 17, 2), 100, np.float32)
    target[:, 11, 1] = 50  # a torso of 50 px
    target[0, 1:6] = (300, 100)
    target[1, 6] = (-0.6, 100)
    predicted = target + np.float32([6, 8])
    predicted[0, 1:6] = 0
    report = evaluator.report_2d(predicted, target)
    assert report["joints_outside"] == 6
    assert report["total"]["pixel_error"] == pytest.approx(10)
    assert report["total"]["pixel_error_median"] == pytest.approx(10)
    assert report["total"]["pck2d"] == 1
    assert report["joints"]["RHip"] == pytest.approx(10)


CONFIG = {"stage": "lifter", "flip_test": False, "model": {"name": "feed_forward"}}


def test_photographs_are_measured_by_their_torsos_and_heads(tmp_path):
    """Joints miss by 10 px in the crop; torsos of half of the photos are 60 px long, of the others 40 px."""
    photos = [make_photo(number, (256, 256), unlabeled=[8] if number == 1 else ()) for number in range(1, 5)]
    for photo in photos:
        left_shoulder, right_hip, neck, head = 13, 2, 8, 9
        torso = 60 if photo is photos[0] or photo is photos[1] else 40
        photo["pose2d"][[left_shoulder, right_hip]] = (100, 100), (100, 100 + torso)
        if photo["visibility"][0, neck]:
            photo["pose2d"][[neck, head]] = (50, 50), (50, 71 if photo is photos[1] else 69)
    records.write(f"{tmp_path}/mpii/a", photos, records.MPII)
    truth = iter(np.concatenate([batch["pose2d_crop"] for batch in photo_batches(tmp_path)]))

    def answer(count):
        return np.stack([next(truth) + np.float32([6, 8]) for _ in range(count)])

    def detect(images):
        return tf.numpy_function(answer, [len(images)], tf.float32), tf.ones([len(images), 17])

    report, arrays = evaluator.evaluate_photos(detect, str(tmp_path), batch_size=2)
    total = report["pose2d"]["total"]
    assert report["samples"] == len(arrays["image"]) == 4
    assert total["pixel_error"] == pytest.approx(10, abs=1e-3)
    assert total["pck2d"] == total["pck2d_limbs"] == pytest.approx(0.5)  # 10 px are within a fifth of 60 px, not of 40
    assert total["pckh"] == pytest.approx(1 / 3)  # within half of 21 px, not of 19; one photo labels no neck
    assert report["pose2d"]["pck2d_joints"]["LWrist"] == pytest.approx(0.5)
    assert report["pose2d"]["pck2d_joints"]["Spine"] is None


def test_a_label_is_not_measured_as_two_joints(tmp_path):
    photo = make_photo(1, (256, 256))
    photo |= {"pose2d": np.vstack([photo["pose2d"], [[100, 90]]]), "visibility": np.ones((1, 17), int)}
    records.write(f"{tmp_path}/mpii/a", [photo], records.mpii(17))
    files.write_json(f"{tmp_path}/mpii/skeleton.json", H36M.to_json())
    skeleton = Skeleton("both", ("Hip", "Neck", "Nose"), ((1, 0), (2, 1)))
    with pytest.raises(
        UserError, match=f"^{tmp_path} has one joint, Neck/Nose, for Neck and Nose of the skeleton both"
    ):
        evaluator.evaluate_photos(None, str(tmp_path), batch_size=2, skeleton=skeleton)


def photo_batches(data_dir):
    index = index_records(str(data_dir), kind="mpii")
    return pipeline.labeled_images(index, np.unique(index.poses.subject), 2)


def make_run(path, data, held_out, kind="records"):
    workdir = Workdir(str(path))
    workdir.create()
    files.write_json(workdir.file("config.json"), CONFIG | {"data": {"validation_subjects": held_out}})
    if data:
        files.write_json(workdir.file("data.json"), {kind: data, "samples": 3})
    return workdir


def test_subjects_that_a_run_has_seen_are_named_if_it_has_read_some_of_the_data(tmp_path, target):
    data = {"a.tfrecord": "3 bytes", "b.tfrecord": "5 bytes"}
    runs = [make_run(tmp_path / "a", data, [8]), make_run(tmp_path / "b", {"b.tfrecord": "5 bytes"}, [7, 8])]

    def seen(runs, subjects, data=data):
        found = evaluator.seen_in_training(runs, subjects, data)
        return found["trained_on"], found["selected_on"]

    assert seen(runs[:1], [8]) == ([], [8])
    assert seen(runs[:1], [5, 8]) == ([5], [8])
    assert seen(runs, [7, 8]) == ([7], [8])
    assert seen(runs, [7, 8], {"a.tfrecord": "4 bytes"}) == ([], [])
    assert seen([make_run(tmp_path / "c", data, [])], [1, 5]) == ([1, 5], [])
    assert seen([make_run(tmp_path / "d", None, [8])], [8]) == ([], [])  # of an earlier version
    imported = Workdir(str(tmp_path / "e"))
    imported.create()
    files.write_json(imported.file("config.json"), CONFIG | {"imported": "a.pth"})
    assert seen([imported], [8]) == ([], [])
    report = {"samples": 4, "subjects": [8], "true_2d": evaluator.report_3d(target, target, np.full(4, -1))}
    text = format_report(report | {"trained_on": [1, 5], "selected_on": [8]})
    assert text.endswith(
        "\n\nSubject 1, 5 was trained on: these errors say little about other people."
        "\n\nSubject 8 also chose the best weights during training: these errors are optimistic."
    )
    assert "Subject" not in format_report(report | {"trained_on": [], "selected_on": []})


def test_other_people_with_the_same_joints_and_numbers_are_no_people_of_training(tmp_path):
    same = {"joints.npy": "1 (2 bytes)", "subject.npy": "3 (4 bytes)", "action.npy": "5 (6 bytes)"}
    run = make_run(tmp_path / "a", same | {"pose3d.npy": "7 (8 bytes)"}, [], "poses")
    for pose3d, trained_on in (("9 (8 bytes)", []), ("7 (8 bytes)", [1])):
        found = evaluator.seen_in_training([run], [1], same | {"pose3d.npy": pose3d})
        assert found["trained_on"] == trained_on


def test_photographs_that_a_run_has_read_are_named(tmp_path, target):
    """Training reads all photographs but those held out, which choose the best weights."""
    data = {"a.tfrecord": "3 bytes", "b.tfrecord": "5 bytes"}
    photos = make_run(tmp_path / "a", {"b.tfrecord": "5 bytes"}, [8], "photos")
    others = [
        make_run(tmp_path / "b", {"a.tfrecord": "4 bytes"}, [8], "photos"),
        make_run(tmp_path / "c", data, [8]),  # records of Human3.6M
        make_run(tmp_path / "d", None, [8]),
    ]
    seen, unseen = "trained_on_photos", "selected_on_photos"
    assert evaluator.seen_in_training([photos], None, data) == {seen: True}
    assert evaluator.seen_in_training([photos], None, data, only_held_out=True) == {unseen: True}
    assert evaluator.seen_in_training(others, None, data) == {seen: False}
    assert evaluator.seen_in_training(others, None, data, only_held_out=True) == {unseen: False}
    assert evaluator.seen_in_training([*others, photos], None, data) == {seen: True}

    report = {"samples": 4, "pose2d": evaluator.report_2d(target[..., :2], target[..., :2])}
    plain = format_report(report)
    assert "Training" not in plain and "optimistic" not in plain
    assert format_report(report | {seen: False}) == format_report(report | {unseen: False}) == plain
    told = "Training has read these files: the errors say little about other photographs."
    assert format_report(report | {seen: True}) == f"{plain}\n\n{told}"
    told = "These photographs also chose the best weights during training: the errors are optimistic."
    assert format_report(report | {unseen: True}) == f"{plain}\n\n{told}"


def test_joints_that_are_never_in_the_crop_have_no_error():
    target = np.full((2, 17, 2), 100, np.float32)
    target[:, 3] = -9
    report = evaluator.report_2d(target, target)
    assert report["joints"]["RFoot"] is None and report["joints"]["RKnee"] == 0
    report = evaluator.report_2d(target, target * 0 - 9)
    assert set(report["total"].values()) == {None}
    evaluation = {"samples": 2, "subjects": [8], "pose2d": report}
    evaluation["detected_2d"] = evaluator.report_3d(np.zeros((2, 17, 3)), np.zeros((2, 17, 3)), np.full(2, -1))
    assert "no joint is inside its crop (without 34 joints" in format_report(evaluation)


def test_the_same_objects_are_pasted_in_every_evaluation(tmp_path):
    """In the shown images of two batches, all of which differ from the clean ones."""
    records.write(f"{tmp_path}/h36/a", [render_sample(0, number, 8) for number in range(3)], records.H36M)
    estimator = types.SimpleNamespace(
        call=lambda images, pose2d: {
            "pose2d": pose2d,
            "pose3d": tf.zeros([len(images), 17, 3]),
            "lifted": tf.zeros([len(images), 17, 3]),
            "confidence": tf.ones([len(images), 17]),
        },
        statistics=PoseStatistics(np.zeros((17, 3), np.float32), np.ones((17, 3), np.float32)),
        skeleton=H36M,
    )
    bank = OccluderBank((np.full((60, 40, 4), (255, 0, 255, 255), np.uint8), np.full((90, 90, 4), 255, np.uint8)))
    clean, first, second = (
        evaluator.evaluate_images(estimator, str(tmp_path), [8], 2, occluders)[1]["image"]
        for occluders in (None, bank, bank)
    )
    assert first.shape == (3, 256, 256, 3)
    np.testing.assert_array_equal(first, second)
    assert (first != clean).any(axis=(1, 2, 3)).all()


def test_a_lifter_in_the_frame_of_the_line_of_sight_is_measured_in_the_cameras(monkeypatch):
    """A lifter whose poses are right in its frame has no error, and detected joints turn poses by their hips."""
    sample = render_sample(0, 1, 8)
    pose3d = np.stack([sample["pose3d"] + [1500, 0, 0], sample["pose3d"] - [1500, 0, 0]]).astype(np.float32)
    pose2d = pose3d[..., :2] / pose3d[..., 2:] * 600 + [[[-90, 120]], [[350, 120]]]
    seen = np.asarray(in_frame(pose3d, "sight"))
    mean = np.float32(seen.mean(0) - seen.mean(0)[:1])
    statistics = PoseStatistics(mean, np.ones((17, 3), np.float32), frame="sight")
    workdir = types.SimpleNamespace(
        path="W",
        load_best=lambda stage: None,
        statistics=lambda: statistics,
        config=lambda: None,
        skeleton=lambda: H36M,
    )
    monkeypatch.setattr(evaluator, "lift", lambda *_, **__: tf.constant(seen - seen[:, :1]))
    detected = np.float32(pose2d + [60, 0])  # to the right by 0.1 of the focal length: 5.2 to 5.6 degrees
    poses = PoseSet(
        np.float32(pose2d), pose3d, np.array([8, 8]), np.array([-1, -1]), "P", detected, np.ones((2, 17), np.float32)
    )
    report, _ = evaluator.evaluate_poses(workdir, poses, flip_test=False)
    assert report["true_2d"]["total"]["mpjpe"] == pytest.approx(0, abs=0.1)
    expected = np.linalg.norm(seen - seen[:, :1] - mean, axis=-1).mean()  # the same in both frames
    assert report["mean_pose"]["total"]["mpjpe"] == pytest.approx(expected, rel=1e-3)
    relative = pose3d - pose3d[:, :1]
    distance = np.linalg.norm(relative[..., ::2], axis=-1).mean()  # from the vertical axis
    assert 0.08 * distance < report["detected_2d"]["total"]["mpjpe"] < 0.11 * distance
    assert report["detected_2d"]["total"]["pa_mpjpe"] == pytest.approx(0, abs=0.1)
    with pytest.raises(UserError, match="P pose 0: its hip is not in front of the camera"):
        evaluator.evaluate_poses(workdir, dataclasses.replace(poses, pose3d=pose3d - pose3d[:, :1]), flip_test=False)


def test_detected_joints_are_lifted_with_their_confidences_and_true_ones_without(rng):
    lifter = FeedForward(units=8, num_blocks=1, confidence=True)
    statistics = PoseStatistics(np.zeros((17, 3), np.float32), np.full((17, 3), 100, np.float32))
    workdir = types.SimpleNamespace(
        path="W",
        load_best=lambda stage: lifter,
        statistics=lambda: statistics,
        config=lambda: None,
        skeleton=lambda: H36M,
    )
    pose2d, detected = rng.uniform(20, 230, (2, 3, 17, 2)).astype(np.float32)
    confidence = rng.uniform(0, 1, (3, 17)).astype(np.float32)
    inputs = {"detected_2d": np.dstack([detected / 128 - 1, confidence[..., None]])}
    inputs["true_2d"] = np.dstack([pose2d / 128 - 1, np.ones((3, 17, 1), np.float32)])
    for part, joints in inputs.items():  # the poses that the lifter predicts from one of both
        pose3d = 100 * lifter(joints.reshape(3, 17, 3)).numpy()
        poses = PoseSet(pose2d, pose3d, np.full(3, 8), np.full(3, -1), "P", detected, confidence)
        report, _ = evaluator.evaluate_poses(workdir, poses, flip_test=False)
        errors = {name: report[name]["total"]["mpjpe"] for name in inputs}
        assert errors.pop(part) == pytest.approx(0, abs=1e-3)
        assert min(errors.values()) > 0.1


@pytest.mark.parametrize("frame", ["camera", "sight"])
def test_distances_from_the_camera_are_measured(tmp_path, frame):
    """A model whose poses are exact has no error; one whose poses are a tenth too large sees people a tenth too far."""
    samples = [render_sample(0, number, 8) for number in range(3)]
    records.write(f"{tmp_path}/h36/a", samples, records.H36M)
    by_image = {sample["image"].tobytes(): np.float32(in_frame(sample["pose3d"], frame)) for sample in samples}

    def lookup(images):
        return np.stack([by_image[image.tobytes()] for image in images])

    def call(images, pose2d):
        pose3d = tf.ensure_shape(tf.numpy_function(lookup, [images], tf.float32), [None, 17, 3])
        pose3d -= pose3d[:, :1]
        confidence = tf.ones_like(pose3d[..., 0])
        return {"pose2d": pose2d, "pose3d": 1.1 * pose3d, "lifted": pose3d, "confidence": confidence}

    statistics = PoseStatistics(np.zeros((17, 3), np.float32), np.ones((17, 3), np.float32), frame=frame)
    estimator = types.SimpleNamespace(call=call, statistics=statistics, skeleton=H36M)
    report, arrays = evaluator.evaluate_images(estimator, str(tmp_path), [8], 2)
    np.testing.assert_array_equal(arrays["true_pose3d"], [sample["pose3d"] for sample in samples])
    assert report["true_2d"]["total"]["mpjpe"] == pytest.approx(0, abs=1)
    assert report["depth"]["true_2d"] == pytest.approx(0, abs=2e-3)
    assert report["depth"]["detected_2d"] == pytest.approx(0.1, abs=5e-3)
    assert "distance from the camera, median error: detected 2D 10." in format_report(report)
