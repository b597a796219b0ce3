"""Tests of `pose-tf export`."""

import json
import shutil

import pytest

from pose_tf.export.model_card import describe_runs


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
