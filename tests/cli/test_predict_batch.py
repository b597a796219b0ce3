"""Tests of `pose-tf predict-batch`."""

import importlib.util
import os
import signal
import subprocess
import time

import pytest

from tests.predict.marks import write_photo

with_beam = pytest.mark.skipif(not importlib.util.find_spec("apache_beam"), reason="Apache Beam is not installed")


def column(folder, table, name):
    """The values of a column of a table, sorted."""
    import pyarrow.dataset  # which is not there without Beam

    files = [str(path) for path in folder.glob(f"{table}-*.parquet")]
    return sorted(pyarrow.dataset.dataset(files).to_table([name])[name].to_pylist()) if files else []


@pytest.fixture
def boxes(tmp_path):
    """A table of boxes of 24 photos, of which one is damaged."""
    for number in range(24):
        write_photo(tmp_path / f"{number:02}.png", (50, 40))
    (tmp_path / "07.png").write_bytes((tmp_path / "07.png").read_bytes()[:99])
    lines = [f"{number:02}.png,10,10,60,60" for number in range(24)]
    (tmp_path / "boxes.csv").write_text("\n".join(["file,x,y,width,height", *lines]))
    return tmp_path / "boxes.csv"


def children(process):
    """The processes that a process has started, and those that these have started."""
    done = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in done.stdout.splitlines()]
    found = {str(process.pid)}
    while more := {pid for pid, parent, _ in rows if parent in found} - found:
        found |= more
    return {int(pid): command for pid, _, command in rows if pid in found - {str(process.pid)}}


@with_beam
def test_one_of_two_workers_is_killed_and_the_next_run_does_the_rest(start_tool, run_tool, exported, boxes, tmp_path):
    """Takes as long as four processes need to import TensorFlow."""
    out = tmp_path / "out"
    flags = ("predict_batch", f"--model={exported}", f"--boxes={boxes}", f"--output_dir={out}", "--chunk_size=1")
    process = start_tool(*flags, "--", "--direct_num_workers=2", "--direct_running_mode=multi_processing")
    deadline = time.monotonic() + 300
    while not list(out.glob("inputs-*")):
        assert process.poll() is None and time.monotonic() < deadline, process.errors.read_text()
        time.sleep(0.01)
    workers = [pid for pid, command in children(process).items() if "python" in command.split()[0]]
    os.kill(workers[0], signal.SIGKILL)
    assert process.wait(timeout=100) == 1
    errors = process.errors.read_text()
    assert "Traceback" not in errors
    assert errors.splitlines()[-1] == (
        "error: Worker subprocess exited with return code 137; the same command continues where this one stopped"
    )
    done = column(out, "inputs", "file")
    assert 0 < len(done) < 24
    people = 23 - sum(not name.endswith("07.png") for name in done)  # the table of people may have remains
    again = run_tool(*flags)
    assert again.stdout.startswith(f"{people} people in {24 - len(done)} inputs, ")
    names = [f"{tmp_path}/{number:02}.png" for number in range(24)]
    assert column(out, "inputs", "file") == names
    assert column(out, "people", "file") == [name for name in names if not name.endswith("07.png")]
    assert column(out, "errors", "reason") == [f"{tmp_path}/07.png is not an image that can be read"]


@pytest.mark.parametrize("given", [[], ["--input=*.jpg", "--records=*"]])
def test_one_kind_of_input_is_needed(fails, tmp_path, given):
    message = fails("predict_batch", f"--output_dir={tmp_path}", *given)
    assert message == "error: give one of --input, --boxes and --records; see --help"


def test_beam_is_missing(fails, tmp_path):
    (tmp_path / "apache_beam.py").write_text("raise ModuleNotFoundError(\"No module named 'apache_beam'\")\n")
    message = fails("predict_batch", "--input=*.jpg", f"--output_dir={tmp_path}/out", PYTHONPATH=str(tmp_path))
    assert message == "error: No module named 'apache_beam'; BUILD.md lists the required packages"


@with_beam
def test_a_mistake_is_one_sentence(fails, tmp_path):
    out = f"--output_dir={tmp_path}/out"
    assert fails("predict_batch", f"--input={tmp_path}/*", out) == (
        f"error: --input={tmp_path}/* matches no file; for all files of a folder, write FOLDER/*"
    )
    (tmp_path / "a.jpg").touch()
    assert fails("predict_batch", f"--input={tmp_path}/*.jpg", out, "--", "--runner=Nobody").startswith(
        "error: Beam: Unexpected pipeline runner: Nobody. Valid values are"
    )
