"""Tests of a light installation: photos and videos are estimated where TensorFlow and what it brings do not exist."""

import ast
import pathlib
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest

import pose_tf
from pose_tf import model_files, starter
from pose_tf.export.comparison import LIMITS

ROOT = pathlib.Path(__file__).parents[2]
PHOTO = ROOT / "docs" / "basketball1.png"
MODULES = {"tensorflow-addons": "tensorflow_addons", "tensorflow-serving-api": "tensorflow_serving", "grpcio": "grpc"}
HIDDEN = """
import sys, importlib.machinery

class Finder(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in {hidden} else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Finder
"""


def packages_of_tensorflow():
    """Names of the modules that only the extra `tensorflow` installs, and what those bring."""
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["tensorflow"]
    names = {re.match(r"[\w-]+", line)[0] for line in extra} - {"numpy"}
    return {MODULES.get(name, name.replace("-", "_")) for name in names} | {"keras", "scipy", "onnxruntime"}


def run(program, *arguments):
    """Runs a program in a process without these packages; returns it when it has ended."""
    pytest.importorskip("ai_edge_litert")
    text = HIDDEN.format(hidden=sorted(packages_of_tensorflow())) + program
    command = [sys.executable, "-c", text, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


COMMAND = "from pose_tf.cli import main; sys.argv[0] = 'pose-tf'; main()"


def test_the_command_writes_all_results_of_a_photo(tmp_path):
    done = run(COMMAND, "predict", PHOTO, f"--output_dir={tmp_path}", "--outputs=overlay,views,page,json,csv,npz,coco")
    assert done.returncode == 0, done.stderr
    assert "2 people" in done.stdout
    endings = {path.name.removeprefix("basketball1.") for path in tmp_path.iterdir()}
    assert endings == {"png", "views.png", "html", "json", "csv", "npz", "coco.json"}
    with np.load(tmp_path / "basketball1.npz") as found:
        expected = pose_tf.load(starter.MODEL_FILE).people(PHOTO)
        np.testing.assert_allclose(found["pose2d_px"], [person.pose2d for person in expected], atol=0.01)
        assert np.isfinite(found["root3d_mm"]).all()


def test_a_model_in_a_file_reads_a_video(tmp_path, video):
    flags = (f"--output_dir={tmp_path}/out", "--outputs=overlay,json", "--box=40,20,40,60", "--max_frames=4")
    done = run(COMMAND, "predict", f"--model={starter.MODEL_FILE}", f"--input={video}", *flags)
    assert done.returncode == 0, done.stderr
    assert "1 person in 4 frames" in done.stdout


def test_the_starter_in_int8_is_near_that_of_tensorflow():
    boxes = [[29, 82, 130, 395], [436, 19, 202, 455]]
    program = f"""
import pose_tf
model = pose_tf.load()
people = model.people({str(PHOTO)!r}, {boxes})
print([[person.pose2d.tolist(), person.confidence.tolist()] for person in people], model.card["name"], sep="|")
"""
    done = run(program)
    assert done.returncode == 0, done.stderr
    starter_card, _ = model_files.read(starter.MODEL_FILE)
    people, name = done.stdout.split("|")
    assert name.strip() == "starter"
    for (pose2d, confidence), person in zip(ast.literal_eval(people), pose_tf.load().people(PHOTO, boxes), strict=True):
        seen = person.confidence > 0.6
        pixel = starter_card["crop_margin"] * max(person.box[2:]) / 256  # of the crop, in those of the photo
        assert np.linalg.norm(pose2d - person.pose2d, axis=-1)[seen].mean() < LIMITS["int8"].pose2d_px * pixel
        np.testing.assert_allclose(np.array(confidence)[seen], person.confidence[seen], atol=0.25)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("predict", "--model=docs", PHOTO),
            "--model=docs: a SavedModel needs TensorFlow, but the package",
        ),
        (
            ("export", "--detector=a", "--lifter=a", "--output_dir=a"),
            "pose-tf export needs TensorFlow, but the package ",
        ),
    ],
)
def test_what_needs_tensorflow_says_so_in_one_sentence(arguments, words):
    done = run(COMMAND, *arguments)
    assert done.returncode == 1
    assert re.search(f"^error: .*{words}", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr


def test_the_api_says_what_to_install():
    program = """
import pose_tf
for arguments in ({"source": "localhost:8500"}, {"detector": "starter", "lifter": "starter"}):
    try:
        pose_tf.load(**arguments)
    except Exception as error:
        print(type(error).__name__, error)
"""
    done = run(program)
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and all(line.startswith("UserError ") for line in lines), done.stderr
    assert all(line.endswith("python -m pip install 'pose_tf[tensorflow]'") for line in lines)
