"""Tests of `pose-tf evaluate`."""

import json
import shutil

import cv2
import numpy as np
import pytest

from pose_tf import skeleton
from pose_tf.configs import base
from pose_tf.data.fingerprint import fingerprint
from pose_tf.data.occluders import OccluderBank
from pose_tf.files import write_json
from pose_tf.geometry import UNLABELED_PX
from tests.cli.scores import scores
from tests.data.photos import write_photos

FILES = {"output": "report.json", "preview": "sheet.png", "detections": "detections.npz"}
HEAD, SPINE = skeleton.H36M.index("Head"), skeleton.H36M.index("Spine")


def test_objects_can_be_pasted_over_the_images_that_are_evaluated(run_tool, sample_data, detector, lifter, tmp_path):
    OccluderBank((np.full((120, 120, 4), 255, np.uint8),)).save(f"{tmp_path}/white.npz")
    flags = (f"--detector={detector}", f"--lifter={lifter}", f"--data_dir={sample_data}/test")
    for name, more in (("clean", ()), ("pasted", (f"--occluders={tmp_path}/white.npz",))):
        run_tool("evaluate", *flags, *more, f"--output={tmp_path}/{name}.json", f"--preview={tmp_path}/{name}.png")
    clean, pasted = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("clean", "pasted"))
    assert pasted["true_2d"] == clean["true_2d"]
    clean, pasted = (cv2.imread(f"{tmp_path}/{name}.png")[:, :256] for name in ("clean", "pasted"))
    whiter = (pasted == 255).all(axis=-1) & (clean < 255).any(axis=-1)
    assert whiter.reshape(6, -1).any(axis=1).all()


def test_a_lifter_is_evaluated_alone_on_a_file_of_poses(run_tool, sample_data, lifter, tmp_path):
    flags = (f"--poses={sample_data}/poses.npz", f"--lifter={lifter}", "--subjects=8")
    run_tool("evaluate", *flags, f"--output={tmp_path}/report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["samples"] == 12
    mean = np.float32(json.loads((lifter / "statistics.json").read_text())["mean_mm"])
    with np.load(sample_data / "poses.npz") as poses:
        truth = poses["pose3d"][poses["subject"] == 8]
    total = report["mean_pose"]["total"]
    expected = scores([mean] * len(truth), truth)
    np.testing.assert_allclose([total["mpjpe"], total["pa_mpjpe"]], expected, atol=0.01)
    assert set(report["true_2d"]["joints"]) == set(skeleton.H36M.joints)


def test_a_lifter_is_evaluated_on_the_joints_that_a_detector_has_found(
    run_tool, sample_data, detector, lifter, tmp_path
):
    flags = (f"--lifter={lifter}", f"--output={tmp_path}/report.json")
    images = (f"--data_dir={sample_data}", f"--detector={detector}", "--subjects=8")
    run_tool("evaluate", *flags, *images, f"--detections={tmp_path}/detections.npz")
    expected = json.loads((tmp_path / "report.json").read_text())
    run_tool("evaluate", *flags, f"--poses={tmp_path}/detections.npz")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["samples"] == expected["samples"] and report["subjects"] == [8]
    for part in ("pose2d", "detected_2d", "true_2d"):
        for name, value in expected[part]["total"].items():
            assert report[part]["total"][name] == pytest.approx(value, rel=1e-4, abs=1e-4), (part, name)


def test_the_recipe_decides_on_mirror_images_unless_a_flag_does(run_tool, sample_data, lifter, tmp_path):
    flags = (f"--poses={sample_data}/poses.npz", f"--lifter={lifter}", f"--output={tmp_path}/report.json")
    errors = []
    for more in (["--flip_test"], ["--noflip_test"], []):
        run_tool("evaluate", *flags, *more)
        errors.append(json.loads((tmp_path / "report.json").read_text())["true_2d"]["total"]["mpjpe"])
    with_flips, without, as_in_the_recipe = errors
    assert abs(with_flips - without) > 0.01
    assert json.loads((lifter / "config.json").read_text())["flip_test"]
    assert as_in_the_recipe == with_flips


def test_a_detector_is_evaluated_alone_on_photographs(run_tool, fails, sample_data, detector, lifter, tmp_path):
    flags = (f"--data_dir={sample_data}", "--source=mpii", f"--detector={detector}")
    more = [f"--{flag}={tmp_path}/{file}" for flag, file in FILES.items()]
    lines = run_tool("evaluate", *flags, *more).stdout.splitlines()
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["samples"] == 4 and lines[0] == "4 photographs"
    assert lines[2].startswith(f"2D joints: mean error {report['pose2d']['total']['pixel_error']:.2f} px")
    assert lines[4].split() == ["limbs", "hip", "knee", "ankle", "shoulder", "elbow", "wrist"]
    assert report["pose2d"]["joints"]["Spine"] is None  # MPII does not label it
    assert report["pose2d"]["joints"]["Head"] > 0
    assert cv2.imread(f"{tmp_path}/sheet.png").shape == (256, 1024, 3)
    with np.load(tmp_path / "detections.npz") as file:
        assert sorted(file) == ["confidence", "detected", "pose2d_crop"]
        distance = np.linalg.norm(file["detected"] - file["pose2d_crop"], axis=-1)
        assert (file["pose2d_crop"][:, SPINE] == UNLABELED_PX).all()
    assert distance.shape == (4, 17)
    counted = distance[:, HEAD][distance[:, HEAD] < 256]
    assert np.mean(counted) == pytest.approx(report["pose2d"]["joints"]["Head"], rel=1e-4)
    assert "--lifter does not apply to --source=mpii" in fails("evaluate", *flags, f"--lifter={lifter}")
    assert "mpii contains no records" in fails("evaluate", f"--data_dir={tmp_path}", *flags[1:])


def test_flags_replace_the_decoding_of_the_recipe(run_tool, sample_data, sharp_detector, tmp_path):
    flags = (f"--data_dir={sample_data}", "--source=mpii", f"--detector={sharp_detector}", "--noflip_test")

    def detected(*more):
        run_tool("evaluate", *flags, *more, f"--detections={tmp_path}/detections.npz")
        with np.load(tmp_path / "detections.npz") as file:
            return file["detected"]

    corner = detected("--decoding=unshifted_argmax", "--alignment=corner")
    half_pixel = detected("--decoding=soft_argmax", "--beta=1e5", "--alignment=half_pixel")  # the highest cell, too
    np.testing.assert_allclose(half_pixel - corner, 3.5, atol=0.1)  # cells of 8 px


def test_what_training_holds_out_is_evaluated(run_tool, fails, sample_data, detector, lifter):
    flags = (f"--data_dir={sample_data}", f"--detector={detector}", "--held_out")
    assert run_tool("evaluate", *flags, f"--lifter={lifter}").stdout.splitlines()[0].endswith("samples of subject 8")
    lines = run_tool("evaluate", *flags, "--source=mpii").stdout.splitlines()
    assert 0 < int(lines[0].split()[0]) < 4
    message = fails("evaluate", *flags, f"--lifter={lifter}", "--subjects=8")
    assert message.startswith("error: --held_out selects subjects of --data_dir")


def test_photographs_that_the_detector_knows_from_its_training_are_reported(run_tool, sample_data, detector, tmp_path):
    shutil.copytree(detector, tmp_path / "detector")
    flags = (f"--detector={tmp_path}/detector", "--source=mpii", f"--output={tmp_path}/report.json")

    def evaluate(*more):
        lines = run_tool("evaluate", *flags, *more).stdout.splitlines()
        report = json.loads((tmp_path / "report.json").read_text())
        told = [line for line in lines if "training" in line.lower()]
        return report.get("trained_on_photos"), report.get("selected_on_photos"), told

    assert evaluate(f"--data_dir={sample_data}") == (False, None, [])
    recipe = base.detector()
    recipe.data.mix.mpii, recipe.occlusion.probability = 0.5, 0.0
    write_json(f"{tmp_path}/detector/data.json", fingerprint(recipe, str(sample_data)) | {"samples": 4})
    told = "Training has read these files: the errors say little about other photographs."
    assert evaluate(f"--data_dir={sample_data}") == (True, None, [told])
    told = "These photographs also chose the best weights during training: the errors are optimistic."
    assert evaluate(f"--data_dir={sample_data}", "--held_out") == (None, True, [told])
    write_photos(tmp_path / "other", 3, 1)
    assert evaluate(f"--data_dir={tmp_path}/other") == (False, None, [])


@pytest.mark.parametrize("data", [{"validation_subjects": []}, None])
def test_a_detector_that_held_nothing_out_is_named(fails, sample_data, detector, lifter, tmp_path, data):
    """As a recipe may say, and as imported detectors have no recipe of data."""
    shutil.copytree(detector, tmp_path / "detector")
    config = json.loads((detector / "config.json").read_text())
    data = {} if data is None else {"data": config.pop("data") | data}
    config.pop("data", None)
    (tmp_path / "detector" / "config.json").write_text(json.dumps(config | data))
    flags = (f"--data_dir={sample_data}", f"--detector={tmp_path}/detector", f"--lifter={lifter}", "--held_out")
    message = fails("evaluate", *flags)
    assert message == f"error: --held_out: the training of {tmp_path}/detector held out no subject; give --subjects"


def test_evaluation_says_what_is_missing(fails, sample_data, lifter, tmp_path):
    assert "--data_dir and --poses" in fails("evaluate", f"--lifter={lifter}")
    assert "--detector" in fails("evaluate", f"--lifter={lifter}", f"--data_dir={sample_data}")
    both = (f"--data_dir={sample_data}", f"--lifter={lifter}")
    assert f"{lifter} contains a lifter" in fails("evaluate", *both, f"--detector={lifter}")
    assert "no config.json" in fails("evaluate", *both, f"--detector={tmp_path}")
    poses = (f"--poses={sample_data}/poses.npz", f"--lifter={lifter}")
    assert "--occluders needs images" in fails("evaluate", *poses, "--occluders=occluders.npz")


def test_evaluation_of_a_subject_without_records_is_refused(fails, sample_data, detector, lifter):
    flags = (f"--data_dir={sample_data}", f"--detector={detector}", f"--lifter={lifter}")
    message = fails("evaluate", *flags, "--subjects=8,11")
    assert "subject 11" in message
    assert "1, 5, 6, 7, 8" in message


def test_subjects_are_numbers(fails, sample_data, lifter):
    message = fails("evaluate", f"--poses={sample_data}/poses.npz", f"--lifter={lifter}", "--subjects=8,S9")
    assert message == "error: --subjects=8,S9 is not a list of numbers"


def test_a_report_that_cannot_be_written_is_named(fails, sample_data, lifter):
    flags = (f"--poses={sample_data}/poses.npz", f"--lifter={lifter}", f"--output={sample_data}/poses.npz/r.json")
    assert f"{sample_data}/poses.npz/r.json cannot be written" in fails("evaluate", *flags)
