"""Tests of `pose-tf predict`."""

import json
import os
import subprocess

import cv2
import numpy as np
import pytest

from pose_tf.predict.model import load
from tests.cli.marks_command import command, expected, names
from tests.predict.marks import marked, write_photo
from tests.predict.matroska import write_matroska


def test_a_directory_that_is_no_model_is_named(fails, sample_data, tmp_path):
    flags = (f"--input={sample_data}/photos", f"--output_dir={tmp_path}/poses")
    assert f"--model={tmp_path}" in fails("predict", f"--model={tmp_path}", *flags)


@pytest.mark.parametrize(("name", "outputs"), [("0.jpg", "npz"), ("v.mkv", "overlay")])
def test_a_file_that_cannot_be_written_in_full_is_one_sentence(tmp_path, name, outputs):
    noise = np.random.default_rng(0).integers(0, 128, (40, 480, 640, 3), np.uint8)
    cv2.imwrite(f"{tmp_path}/0.jpg", noise[0])
    write_matroska(tmp_path / "v.mkv", [i / 10 for i in range(40)], noise)
    arguments = command(f"--input={tmp_path}/{name}", f"--output_dir={tmp_path}/out", f"--outputs={outputs}")
    arguments["args"] = ["bash", "-c", 'ulimit -f 1 && exec "$@"', "bash", *arguments["args"]]  # 1 KiB
    done = subprocess.run(**arguments, timeout=600, check=False)
    lines = [
        line for line in done.stderr.decode().splitlines() if line and "frames" not in line and "photos" not in line
    ]
    ending = {"overlay": "mp4", "npz": "npz"}[outputs]
    assert lines == [f"error: {tmp_path}/out/{name[0]}.{ending} cannot be written: File too large"]
    assert done.returncode == 1
    assert not names(tmp_path / "out")


def test_two_runs_into_one_directory(photos, tmp_path):
    arguments = command(f"--input={photos}", f"--output_dir={tmp_path}/out")
    processes = [subprocess.Popen(**arguments) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    assert names(tmp_path / "out") == expected()
    assert len(json.loads((tmp_path / "out" / "v.json").read_text())["frames"]) == 3
    assert int(cv2.VideoCapture(f"{tmp_path}/out/v.mp4").get(cv2.CAP_PROP_FRAME_COUNT)) == 3


ODD = [b"w\xfc", "wä😀".encode(), b"12:30:05", b"a\nb", b"%d"]
LOCALES = [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}]


@pytest.mark.parametrize("environment", LOCALES)
def test_photos_and_videos_may_have_any_name(tmp_path, environment):
    folder = os.fsencode(tmp_path) + b"/in\xe9"
    os.mkdir(folder)
    write_matroska(tmp_path / "v.mkv", [0, 0.1, 0.2], [marked(100, 80, (50, 40))] * 3)
    write_photo(tmp_path / "p.jpg", (50, 40))
    rows = [b"file,x,y,width,height"]
    for name in ODD:
        os.link(tmp_path / "v.mkv", folder + b"/v" + name + b".mkv")
        os.link(tmp_path / "p.jpg", folder + b"/p" + name + b".jpg")
        rows += [b'"%s",30,20,40,40' % named for named in (b"v" + name + b".mkv", b"p" + name + b".jpg")]
    (tmp_path / "boxes.csv").write_bytes(b"\n".join(rows))
    arguments = command(b"--input=in\xe9", b"--output_dir=out\xe9", "--boxes=boxes.csv", **environment)
    arguments["args"].remove("--box=whole")
    done = subprocess.run(**arguments, cwd=tmp_path, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert b"--boxes" not in done.stderr and b"1 person" in done.stdout
    out = os.fsencode(tmp_path) + b"/out\xe9/"
    found = set(os.listdir(out))
    assert len(found) == 2 * 6 * len(ODD)
    for name in ODD:
        assert {b"v" + name + b".mp4", b"p" + name + b".views.png"} <= found
        with open(out + b"p" + name + b".json", encoding="utf-8") as file:
            read = json.load(file)
        assert read["source"] == (b"in\xe9/p" + name + b".jpg").decode("utf-8", "backslashreplace")
        with open(out + b"v" + name + b".html", encoding="utf-8") as file:
            assert '"person":1' in file.read()


def test_results_are_those_of_the_library(run_tool, sample_data, model, tmp_path):
    photo, box = sample_data / "photos" / "person0.png", [20.0, 10.0, 200.0, 230.0]
    flags = (f"--model={model}", f"--input={photo}", f"--box={','.join(map(str, box))}", "--outputs=json")
    done = run_tool("predict", *flags, f"--output_dir={tmp_path}/out")
    assert "1 person" in done.stdout
    assert names(tmp_path / "out") == {"person0.json"}
    ((found,),) = (frame["people"] for frame in json.loads((tmp_path / "out" / "person0.json").read_text())["frames"])
    (expected,) = load(model).people(photo, [box])
    np.testing.assert_allclose(found["box_px"], box, atol=0.01)
    np.testing.assert_allclose(found["pose2d_px"], expected.pose2d, atol=0.01)
    np.testing.assert_allclose(found["pose3d_mm"], expected.pose3d, atol=0.1)


def test_a_missing_input_is_named(fails, model, tmp_path):
    message = fails("predict", f"--model={model}", "--input=nowhere.jpg", f"--output_dir={tmp_path}/out")
    assert message.startswith("error: --input=nowhere.jpg does not exist")
    assert not (tmp_path / "out").exists()


def test_other_flags_are_checked_before_a_model_is_loaded(fails):
    flags = ("--model=nowhere", "--input=photo.jpg", "--output_dir=out")
    assert "outputs is 'pdf'" in fails("predict", *flags, "--outputs=csv,pdf")
    assert "--model=nowhere" in fails("predict", *flags)
