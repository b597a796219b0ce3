"""Tests of the flags that predict and serve-client share."""

import ast
import re
import sys

import pytest

from pose_tf.predict.predictor import Options
from tests.cli import forked
from tests.cli.processes import ROOT, run

PROGRAM = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pose_tf import cli
from pose_tf.cli import _photos

def main():
    options = dict(vars(_photos.options()))
    given = options.pop("given")
    options["camera"] = vars(options["camera"])
    boxes = [given(f"in/{{name}}.jpg", 60, 40) for name in "ab"]
    print(options | {{"boxes": [box if box is None else box.tolist() for box in boxes]}})

cli.run(main)
"""


@pytest.fixture
def options(tmp_path):
    """A function that parses flags and returns the options, with the boxes of a.jpg and b.jpg; or the error."""
    (tmp_path / "program.py").write_text(PROGRAM)

    def parse(*flags):
        command = [sys.executable, str(tmp_path / "program.py"), "--input=in", "--output_dir=out", *flags]
        done = forked.run(command, tmp_path, timeout=100)
        return ast.literal_eval(done.stdout) if done.returncode == 0 else done.stderr

    return parse


def test_without_flags_people_are_searched_and_the_options_are_those_of_the_library(options):
    expected = dict(vars(Options("out")))
    del expected["given"]
    expected["camera"] = {"intrinsics": None, "fov": None, "height": None}
    assert options() == expected | {"boxes": [None, None]}


def test_every_flag_sets_its_option(options):
    flags = ("--min_score=0.5", "--nosmooth", "--max_frames=7", "--outputs=csv,npz", "--batch_size=3")
    flags = (*flags, "--intrinsics=500,320,510,240", "--height=1.78")
    assert options(*flags, "--box=1,2,30,20") == {
        "output_dir": "out",
        "min_score": 0.5,
        "outputs": ("csv", "npz"),
        "batch_size": 3,
        "smooth": False,
        "max_frames": 7,
        "camera": {"intrinsics": (500, 320, 510, 240), "fov": None, "height": 1.78},
        "boxes": [[[1, 2, 30, 20]]] * 2,
    }
    assert options("--fov=60")["camera"] == {"intrinsics": None, "fov": 60, "height": None}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--intrinsics=500,320,510"], "intrinsics must be fx,cx,fy,cy in pixels, with focal lengths above 0"),
        (["--intrinsics=500,320,x,240"], "--intrinsics=500,320,x,240 must be fx,cx,fy,cy in pixels"),
        (["--intrinsics=500,320,510,240", "--fov=55"], "give one of intrinsics and fov"),
        (["--height=178"], "height is 178; it must be 0.3 to 3 meters"),
    ],
)
def test_impossible_cameras_are_refused(options, flags, message):
    assert options(*flags) == f"error: {message}\n"


def test_boxes_are_the_whole_image_or_those_of_a_file(options, tmp_path):
    assert options("--box=whole")["boxes"] == [[[0, 0, 60, 40]]] * 2
    (tmp_path / "boxes.csv").write_text("file,x,y,width,height\na.jpg,1,2,3,4\na.jpg,5,6,7,8\n")
    assert options("--boxes=boxes.csv")["boxes"] == [[[1, 2, 3, 4], [5, 6, 7, 8]], []]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--box=1,2,3"], "--box=1,2,3 is not a box"),
        (["--boxes=nowhere.csv"], "--boxes=nowhere.csv cannot be read"),
        (["--box=whole", "--boxes=boxes.csv"], "give one of --box and --boxes"),
        (["--outputs=csv,pdf"], "outputs is 'pdf'"),
        (["--batch_size=0"], "--batch_size=0"),
        (["--max_frames=-1"], "--max_frames=-1"),
    ],
)
def test_a_flag_at_fault_is_named(options, flags, words):
    message = options(*flags)
    assert re.fullmatch(r"error: .*\n", message)
    assert words in message


@pytest.mark.parametrize("command", ["predict", "serve-client"])
def test_help_of_both_commands_lists_the_flags(no_tensorflow, command):
    done = run("-m", "pose_tf.cli", command, "--help", PYTHONPATH=no_tensorflow)
    listed = set(re.findall(r"^  --(?:\[no\])?(\w+):", done.stdout, re.MULTILINE))
    assert "--[no]smooth:" in done.stdout
    assert listed > {"input", "output_dir", "box", "boxes", "min_score", "max_frames", "outputs", "batch_size"}
