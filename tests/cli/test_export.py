"""Tests of `pose-tf export`."""

import json
import re
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image

from pose_tf.errors import UserError
from pose_tf.export.model_card import describe_runs
from pose_tf.web import runtime


def test_the_card_of_an_exported_model_has_its_recipes_and_errors(
    run_tool, fails, sample_data, detector, lifter, tmp_path
):
    flags = (f"--detector={detector}", f"--lifter={lifter}", f"--output_dir={tmp_path}/model", "--precision=bfloat16")
    assert "nowhere.json cannot be read" in fails("export", *flags, "--report=/nowhere.json")
    (tmp_path / "list.json").write_text("[]")
    assert "list.json is not a report" in fails("export", *flags, f"--report={tmp_path}/list.json")
    assert not (tmp_path / "model").exists()

    evaluate = ("evaluate", f"--poses={sample_data}/poses.npz", f"--lifter={lifter}", "--protocol=mpi_inf_3dhp")
    run_tool(*evaluate, f"--output={tmp_path}/report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert "protocol" in report
    depth = {"detected_2d": 0.1, "true_2d": 0.1}  # as reports on images have it
    (tmp_path / "report.json").write_text(json.dumps(report | {"depth": depth}))
    run_tool("export", *flags, f"--report={tmp_path}/report.json")
    card = json.loads((tmp_path / "model" / "1" / "assets.extra" / "model_card.json").read_text())
    assert card["training"]["detector"]["model"]["width"] == 4
    assert card["training"]["lifter"]["data"]["batch_size"] == 8
    lines = [json.loads(line) for line in (lifter / "metrics.jsonl").read_text().splitlines()]
    best = min((line for line in lines if line["split"] == "validation"), key=lambda line: line["mpjpe"])
    assert card["validation_errors"]["lifter"]["pa_mpjpe"] == best["pa_mpjpe"]
    assert card["validation_errors"]["lifter"]["step"] == best["step"]
    assert set(card["evaluation"]) == {"samples", "subjects", "trained_on", "selected_on", "true_2d", "mean_pose"}
    assert card["evaluation"]["samples"] == 60
    assert card["precision"] == "bfloat16"


@pytest.mark.parametrize("started_from", [None, "starter", "runs/other"])
def test_the_card_of_what_comes_from_the_starter_has_the_terms_of_its_data(detector, lifter, tmp_path, started_from):
    shutil.copytree(lifter, tmp_path / "lifter")
    config = json.loads((lifter / "config.json").read_text())
    (tmp_path / "lifter" / "config.json").write_text(json.dumps(config | {"init_from": started_from or ""}))
    card = describe_runs(str(detector), str(tmp_path / "lifter"))
    assert ("starter" in card) == (started_from == "starter")
    card = describe_runs("starter", str(lifter))
    assert "Leeds Sports Pose" in card["starter"]["data"][0]["name"]
    assert "without a license" in card["starter"]["data"][0]["terms"]
    assert "ImageNet" in card["starter"]["started_from"]
    assert card["validation_errors"]["detector"]["mpii/pck2d"] > 0.5


def test_two_exports_into_one_directory_give_two_versions(start_tool, detector, lifter, tmp_path):
    flags = (f"--detector={detector}", f"--lifter={lifter}", f"--output_dir={tmp_path}/model")
    processes = [start_tool("export", *flags) for _ in range(2)]
    outputs = []
    for process in processes:
        status = process.wait(timeout=600)
        outputs.append(process.errors.read_text())
        assert status == 0, outputs[-1]
    assert {output.split()[-1] for output in outputs} == {f"{tmp_path}/model/1", f"{tmp_path}/model/2"}
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["1", "2"]
    for version in (1, 2):
        card = json.loads((tmp_path / "model" / str(version) / "assets.extra" / "model_card.json").read_text())
        assert card["version"] == version


def test_an_unknown_precision_is_named_with_those_that_exist(fails, tmp_path):
    flags = ("--detector=nowhere", "--lifter=nowhere", f"--output_dir={tmp_path}/model")
    message = fails("export", *flags, "--precision=float16")
    assert "--precision=float16" in message and "float32" in message and "bfloat16" in message


def test_workdirs_that_are_swapped_are_named(fails, detector, lifter, tmp_path):
    message = fails("export", f"--detector={lifter}", f"--lifter={detector}", f"--output_dir={tmp_path}/model")
    assert f"{lifter} contains a lifter" in message
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--format=tflite"], "--format=tflite is unknown; it can be saved_model, litert, onnx"),
        (["--format=litert"], "int8 needs crops .*: give --data_dir, or --precision=float32,float16"),
        (
            ["--format=litert,onnx", "--precision=bfloat16"],
            "--precision=bfloat16 does not exist in --format=litert,onnx: float32, float16, int8 in litert, and",
        ),
        (["--format=litert,onnx", "--precision=float16"], "--precision=float16 has none that --format=onnx has"),
        (["--format=litert", "--data_dir=/nowhere"], "/nowhere contains no records"),
        (["--format=web", "--precision=int8"], "int8 needs crops .*: give --data_dir"),
        (
            ["--format=web", "--precision=bfloat16"],
            "--precision=bfloat16 does not exist in --format=web: int8, float16",
        ),
        (["--format=web", "--litert_js=/nowhere"], "--litert_js=/nowhere/@litertjs/core/dist/index.js cannot be read"),
    ],
)
def test_formats_and_precisions_that_do_not_fit_are_refused(fails, detector, lifter, tmp_path, flags, words):
    models = (f"--detector={detector}", f"--lifter={lifter}", f"--output_dir={tmp_path}/model")
    assert re.search(words, fails("export", *models, *flags))
    assert not (tmp_path / "model").exists()


def test_all_formats_are_written_together_and_predict_the_same(
    run_tool, fails, sample_data, sharp_detector, lifter, tmp_path
):
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("tf2onnx")
    models = (f"--detector={sharp_detector}", f"--lifter={lifter}", f"--output_dir={tmp_path}/model")
    done = run_tool("export", *models, "--format=saved_model,litert,onnx", "--precision=float32")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        *("1", "model_float32.onnx", "model_float32.tflite")
    ]
    assert re.search(r"model_float32.tflite: 0.00 px, 0.0 mm from the SavedModel \(16 rendered people\)", done.stdout)

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)).save(tmp_path / "a.png")
    poses = []
    for name in ("", "/model_float32.tflite", "/model_float32.onnx"):
        output = tmp_path / f"out{len(poses)}"
        flags = ("--box=20,30,200,250", "--outputs=npz", f"--output_dir={output}")
        run_tool("predict", f"--model={tmp_path}/model{name}", *flags, f"--input={tmp_path}/a.png")
        with np.load(output / "a.npz") as file:
            poses.append(dict(file))
    for other in poses[1:]:
        np.testing.assert_allclose(other["pose2d_px"], poses[0]["pose2d_px"], atol=0.05)
        np.testing.assert_allclose(other["pose3d_mm"], poses[0]["pose3d_mm"], atol=1)

    (tmp_path / "cut.tflite").write_bytes((tmp_path / "model" / "model_float32.tflite").read_bytes()[:-9])
    message = fails("predict", f"--model={tmp_path}/cut.tflite", f"--input={tmp_path}/a.png", "--box=whole")
    assert message.startswith(f"error: --model={tmp_path}/cut.tflite is damaged")


def test_int8_is_calibrated_on_records(run_tool, sample_data, detector, lifter, tmp_path):
    pytest.importorskip("ai_edge_litert")
    models = (f"--detector={detector}", f"--lifter={lifter}", f"--output_dir={tmp_path}/model")
    flags = ("--format=litert", "--precision=int8", f"--data_dir={sample_data}", "--num_crops=4")
    done = run_tool("export", *models, *flags)
    assert re.search(
        r"model_int8.tflite: \d.\d\d px, .* mm from the SavedModel \(\d records of h36 and mpii\)", done.stdout
    )
    with zipfile.ZipFile(tmp_path / "model" / "model_int8.tflite") as archive:
        card = json.loads(archive.read("model_card.json"))
    assert card["training"]["detector"]["model"]["width"] == 4 and card["precision"] == "int8"


def test_a_page_has_one_model(run_tool, detector, lifter, tmp_path):
    try:
        runtime.read()
    except UserError as error:
        pytest.skip(str(error))
    models = (f"--detector={detector}", f"--lifter={lifter}", f"--output_dir={tmp_path}/model")
    done = run_tool("export", *models, "--format=web")  # in float16 without --data_dir
    assert done.stdout.splitlines()[-1] == f"page {tmp_path}/model/web/index.html"
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["web"]
    folder = tmp_path / "model" / "web"
    html = (folder / "index.html").read_text()
    (data,) = re.findall(r'<script id="poses" type="application/json">(.*)</script>', html)
    data = json.loads(data)
    (model,) = folder.glob("*.tflite")
    assert model.name == data["model"]["file"] == "model_float16.tflite"
    assert data["model"]["bytes"] == model.stat().st_size and data["model"]["precision"] == "float16"
    assert data["joints"][0] == "Hip" and data["bones"][0] == [1, 0]
