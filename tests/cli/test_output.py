"""Tests of output: closed pipes, full disks, unusual file names, and their error messages."""

import json
import os
import pathlib
import pwd
import subprocess
import sys

import cv2
import numpy as np
import pytest

from pose_tf.cli import _program
from tests.predict.marks import marked, write_photo
from tests.predict.matroska import write_matroska

PREDICT = pathlib.Path(__file__).with_name("predict_marks.py")
KINDS = ("png", "views.png", "html", "json", "csv", "npz")


def command(*flags, **environment):
    """The `subprocess` arguments for predict_marks.py."""
    return {
        "args": [sys.executable, PREDICT, "--box=whole", *flags],
        "env": os.environ | {"PYTHONCOERCECLOCALE": "0"} | environment,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }


@pytest.fixture
def photos(tmp_path):
    """A folder of 12 photos and a video."""
    (tmp_path / "in").mkdir()
    for number in range(12):
        write_photo(tmp_path / "in" / f"{number}.jpg", (50, 40))
    write_matroska(tmp_path / "in" / "v.mkv", [0, 0.1, 0.2], [marked(100, 80, (50, 40))] * 3)
    return tmp_path / "in"


def expected(numbers=range(12)):
    return {f"{number}.{kind}" for number in numbers for kind in KINDS} | {f"v.{kind}" for kind in ("mp4", *KINDS[1:])}


def names(folder):
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("closed", ["1", "12"])
def test_a_reader_that_goes_away_ends_nothing(photos, tmp_path, closed):
    """Closes the pipe like `| head -1` or `2>&1 | head -1`."""
    reader, writer = os.pipe()
    arguments = command(f"--input={photos}", f"--output_dir={tmp_path}/out", PYTHONUNBUFFERED="1")
    arguments |= {name: writer for number, name in (("1", "stdout"), ("2", "stderr")) if number in closed}
    process = subprocess.Popen(**arguments)
    os.close(writer)
    os.close(reader)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0
    assert names(tmp_path / "out") == expected()
    assert closed != "1" or not {b"Traceback", b"BrokenPipe", b"ignored"} & set(errors.replace(b":", b" ").split())


def test_another_tool_goes_on_without_a_reader(tool_command, tmp_path):
    reader, writer = os.pipe()
    flags = (f"--output_dir={tmp_path}/data", "--num_train=2", "--num_test=1", "--num_poses=10")
    process = subprocess.Popen(**tool_command("make_sample_data", *flags), stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    os.close(reader)
    _, errors = process.communicate(timeout=600)
    assert (process.returncode, "Traceback" in errors, "ignored" in errors) == (0, False, False)
    assert (tmp_path / "data" / "test_set.tfrecords").exists()


def test_output_to_a_full_disk_is_an_error_at_the_end(photos, tmp_path):
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            **command(f"--input={photos}", f"--output_dir={tmp_path}/out") | {"stdout": full}, timeout=600, check=False
        )
    assert process.returncode == 1
    lines = process.stderr.decode().splitlines()
    assert lines[-1] == "error: standard output cannot be written: No space left on device"
    assert "ignored" not in process.stderr.decode()
    assert names(tmp_path / "out") == expected()


def test_closed_streams_are_no_error(photos, tmp_path):
    line = f"{sys.executable} {PREDICT} --box=whole --input={photos} --output_dir={tmp_path}/out >&- 2>&-"
    assert subprocess.run(line, shell=True, timeout=600, check=False).returncode == 0
    assert names(tmp_path / "out") == expected()


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


def test_the_home_directory_is_expanded_in_every_flag(monkeypatch, tmp_path):
    """Shells do not expand `~` after `--flag=`."""
    monkeypatch.setenv("HOME", "/home/me")
    user = pwd.getpwuid(os.getuid())
    for given, expanded in {
        "--workdir=~/x": "--workdir=/home/me/x",
        "-workdir=~": "-workdir=/home/me",
        "--config.init_from=~/x=y": "--config.init_from=/home/me/x=y",
        "~/x": "/home/me/x",  # of `--workdir ~/x`
        f"--workdir=~{user.pw_name}/x": f"--workdir={user.pw_dir}/x",
        "--workdir=./~": "--workdir=./~",
        "--workdir=a~/b": "--workdir=a~/b",
        "--workdir=~$a.jpg": "--workdir=~$a.jpg",
        "--input=-": "--input=-",
        "--smooth": "--smooth",
    }.items():
        assert _program._expand(given) == expanded


def test_the_home_directory_is_known_to_tools(fails, tmp_path):
    home = {"HOME": str(tmp_path)}
    (tmp_path / "flags").write_text("--data_dir=~/nowhere\n")
    assert f"{tmp_path}/nowhere" in fails("inspect_records", "--flagfile=~/flags", **home)
    recipe = pathlib.Path(__file__).parents[2] / "configs" / "quickstart_lifter.py"
    (tmp_path / "recipe.py").write_bytes(recipe.read_bytes())
    flags = ("--config=~/recipe.py", "--workdir=~/run", "--config.data.poses=~/nowhere.npz")
    assert f"{tmp_path}/nowhere.npz" in fails("train", *flags, **home)
