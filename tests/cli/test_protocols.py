"""Tests of `pose-tf evaluate --protocol` and `--format`, with the model that comes with the package."""

import json
import re

import cv2
import numpy as np
import pytest

from pose_tf.data import records
from pose_tf.synthetic.sample import pose_sample, render_sample
from tests.data.photos import write_photos
from tests.evaluation.test_coco import H36M_OF_COCO

KEYS = ("pose2d_crop", "pose3d", "subject", "action")
HEADINGS = ["Direct.", "Discuss.", "Eat", "Greet", "Phone", "Photo", "Pose", "Purch.", "Sit", "SitD.", "Smoke", "Wait"]
HEADINGS += ["WalkD.", "Walk", "WalkT.", "Avg.", "Samples"]


@pytest.fixture(scope="module")
def pose_file(tmp_path_factory):
    """60 poses of the subjects 9 and 11, and 20 of subject 8."""
    samples = [pose_sample(0, number, (9, 11, 8, 9)[number % 4]) for number in range(80)]
    path = tmp_path_factory.mktemp("poses") / "poses.npz"
    arrays = {key: np.stack([sample[key] for sample in samples]) for key in KEYS}
    np.savez(path, **arrays | {"action": np.arange(80) // 4 % 15 + 2})
    return path


@pytest.fixture
def evaluate(run_tool, pose_file):
    return lambda *flags: run_tool("evaluate", f"--poses={pose_file}", "--lifter=starter", *flags)


def cells_of(form, stdout):
    """The headings of a table and the cells of its only row, with the label."""
    lines = stdout.splitlines()
    if form == "text":
        assert lines[0] == "Human3.6M, protocol 1: MPJPE [mm], subjects 9 and 11"
        return ["", *lines[2].split()], ["true 2D", *lines[3].split()[2:]]
    if form == "markdown":
        header, _, row = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:5])
        return header, row
    if form == "latex":
        assert all(re.match(r"%|\\|true 2D| &", line) for line in lines if line)
        header, row = (line.removesuffix(r" \\").split("&") for line in lines if "&" in line)
        return [cell.strip() for cell in header], [cell.strip() for cell in row]
    ((label, row),) = json.loads(stdout)["protocol"]["rows"].items()
    return ["", *row], [label, *(f"{value:.1f}" for value in row.values())]


@pytest.mark.parametrize("form", ["text", "markdown", "latex", "json"])
def test_the_table_of_human36m_is_printed_alone(evaluate, tmp_path, form):
    done = evaluate("--protocol=h36m_1", f"--format={form}", f"--output={tmp_path}/r.json")
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["subjects"] == [9, 11] and report["samples"] == 60
    errors = {name: values["mpjpe"] for name, values in report["true_2d"]["actions"].items()}
    assert len(errors) == 15
    order = ["Directions", "Discussion", "Eating", "Greeting", "Phoning", "Taking Photo", "Posing", "Purchases"]
    order += ["Sitting", "Sitting Down", "Smoking", "Waiting", "Walking Dog", "Walking", "Walk Together"]
    figures = [*(errors[name] for name in order), np.mean(list(errors.values())), report["true_2d"]["total"]["mpjpe"]]
    header, row = cells_of(form, done.stdout)
    assert header == ["", *HEADINGS]
    assert row == ["true 2D", *(f"{figure:.1f}" for figure in figures)]
    line = f"report {tmp_path}/r.json"
    assert (line in done.stdout.splitlines()) == (form == "text")
    assert (line in done.stderr.splitlines()) == (form != "text")
    if form == "json":
        assert json.loads(done.stdout) == report


def test_mpi_inf_3dhp_measures_everyone_or_some_subjects(evaluate):
    rows = json.loads(evaluate("--protocol=mpi_inf_3dhp", "--format=json").stdout)["protocol"]["rows"]
    assert list(rows) == ["true 2D", "true 2D, S8", "true 2D, S9", "true 2D, S11"]
    done = evaluate("--protocol=mpi_inf_3dhp", "--format=json", "--subjects=8")
    (row,) = json.loads(done.stdout)["protocol"]["rows"].values()
    assert row == pytest.approx(rows["true 2D, S8"], abs=1e-3)


def test_records_of_people_are_measured_from_detected_and_from_true_joints(run_tool, tmp_path):
    samples = [render_sample(0, number, (9, 11, 8)[number % 3]) for number in range(6)]
    records.write(f"{tmp_path}/h36/a", samples, records.H36M)
    done = run_tool(
        "evaluate",
        *("--protocol=h36m_2", f"--data_dir={tmp_path}", "--detector=starter", "--lifter=starter", "--format=json"),
    )
    report = json.loads(done.stdout)
    assert report["samples"] == 4 and report["subjects"] == [9, 11]
    for label, key in (("detected 2D", "detected_2d"), ("true 2D", "true_2d")):
        assert report["protocol"]["rows"][label]["Samples"] == report[key]["total"]["pa_mpjpe"]


def test_photographs_are_measured_without_naming_their_kind(run_tool, tmp_path):
    write_photos(tmp_path, 4, 1)
    flags = ("--protocol=pckh", f"--data_dir={tmp_path}", "--detector=starter", "--noflip_test")
    lines = run_tool("evaluate", *flags).stdout.splitlines()
    assert lines[0] == "MPII: PCKh@0.5 [%]"
    assert lines[2].split() == ["Head", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Mean"]
    assert len(lines[3].split()) == 2 + 8
    assert "0.6 times the diagonal" in lines[5]


def test_cocos_results_are_those_that_were_measured(run_tool, tmp_path):
    """Rendered people are found, and the results file names their joints in COCO's order."""
    (tmp_path / "images").mkdir()
    images, annotations = [], []
    for number in range(1, 4):
        sample = render_sample(0, number, 9)
        cv2.imwrite(f"{tmp_path}/images/{number}.png", sample["image"][..., ::-1])
        images.append({"id": number, "file_name": f"{number}.png", "width": 256, "height": 256})
        keypoints = np.zeros((17, 3))
        keypoints[5:] = np.column_stack([sample["pose2d_crop"][H36M_OF_COCO], np.full(12, 2)])
        low, high = keypoints[5:, :2].min(0), keypoints[5:, :2].max(0)
        annotations.append(
            {
                "id": number, "image_id": number, "category_id": 1, "bbox": [*low, *(high - low)], "area": 9000.0,
                "keypoints": keypoints.ravel().tolist(),
            }
        )  # fmt: skip
    (tmp_path / "labels.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    coco = ("--protocol=coco", f"--annotations={tmp_path}/labels.json", f"--images={tmp_path}/images")
    flags = (*coco, "--detector=starter", "--noflip_test", f"--coco_results={tmp_path}/r.json", "--format=json")
    done = run_tool("evaluate", *flags)
    report = json.loads(done.stdout)
    assert report["samples"] == 3 and report["protocol"]["rows"]["labeled boxes"].keys() >= {"AP", "AR", "APM"}
    assert f"COCO results {tmp_path}/r.json" in done.stderr.splitlines()
    found = json.loads((tmp_path / "r.json").read_text())
    assert [one["image_id"] for one in found] == [1, 2, 3]
    distances = [
        np.hypot(*(np.reshape(one["keypoints"], (17, 3)) - np.reshape(label["keypoints"], (17, 3)))[5:, :2].T)
        for one, label in zip(found, annotations)
    ]
    assert np.median(distances) < 20


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--boxes=b.json", "--poses=p.npz"], "--boxes needs --protocol=coco"),
        (["--coco_results=r.json", "--data_dir=D"], "--coco_results needs --protocol=coco"),
        (
            ["--protocol=h36m_1", "--subjects=8"],
            "--subjects does not apply to --protocol=h36m_1, which measures the subjects 9 and 11",
        ),
        (
            ["--protocol=h36m_2", "--data_dir=D", "--held_out"],
            "--held_out does not apply to --protocol=h36m_2, which measures the subjects 9 and 11",
        ),
        (
            ["--protocol=h36m_1", "--data_dir=D", "--source=mpii"],
            "--source=mpii does not apply to --protocol=h36m_1, which measures people with 3D joints",
        ),
        (
            ["--protocol=mpi_inf_3dhp", "--images=I"],
            "--images does not apply to --protocol=mpi_inf_3dhp, which measures people with 3D joints",
        ),
        (
            ["--protocol=pckh", "--data_dir=D", "--source=h36"],
            "--source=h36 does not apply to --protocol=pckh, which measures photographs with 2D joints in --data_dir",
        ),
        (
            ["--protocol=lsp", "--poses=p.npz"],
            "--poses does not apply to --protocol=lsp, which measures photographs with 2D joints in --data_dir",
        ),
        (
            ["--protocol=pckh", "--data_dir=D", "--lifter=starter"],
            "--lifter does not apply to --protocol=pckh, which measures photographs with 2D joints in --data_dir",
        ),
        (
            ["--protocol=coco", "--data_dir=D"],
            "--data_dir does not apply to --protocol=coco, which measures people of --annotations and --images",
        ),
        (
            ["--protocol=coco", "--annotations=a.json", "--images=I"],
            "--detector is missing: --protocol=coco measures people of --annotations and --images",
        ),
        (["--protocol=pckh"], "--data_dir is missing: --protocol=pckh measures photographs with 2D joints"),
        (["--protocol=h36m_1"], "give one of --data_dir and --poses"),
    ],
)
def test_flags_that_do_not_go_together_are_named(fails, flags, message):
    assert fails("evaluate", *flags) == f"error: {message}"


def test_data_without_the_subjects_of_a_protocol_say_whom_they_have(fails, pose_file, tmp_path):
    with np.load(pose_file) as poses:
        arrays = {key: poses[key][poses["subject"] != 11] for key in KEYS}
    np.savez(tmp_path / "p.npz", **arrays)
    message = fails("evaluate", "--protocol=h36m_1", f"--poses={tmp_path}/p.npz", "--lifter=starter")
    assert message == f"error: --protocol=h36m_1: {tmp_path}/p.npz has no sample of subject 11; it has 8, 9"
    records.write(f"{tmp_path}/h36/a", [render_sample(0, 0, 5)], records.H36M)
    flags = (f"--data_dir={tmp_path}", "--detector=starter", "--lifter=starter")
    message = fails("evaluate", "--protocol=h36m_2", *flags)
    assert message == f"error: --protocol=h36m_2: {tmp_path} has no sample of subject 9, 11; it has 5"
