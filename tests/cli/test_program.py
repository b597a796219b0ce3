"""Tests of what every command does with its flags, its streams and its errors."""

import os
import pathlib
import pwd
import subprocess
import sys

import pytest
import tensorflow as tf

from pose_tf.cli import _program
from tests.cli.marks_command import PREDICT, command, expected, names
from tests.cli.processes import run

ROOT = pathlib.Path(__file__).parents[2]


def test_an_unknown_flag_is_named(fails):
    assert "data_dri" in fails("inspect_records", "--data_dri=x")


@pytest.mark.parametrize(
    ("name", "flag"),
    [("evaluate", "subjects"), ("evaluate", "occluders"), ("predict", "outputs"), ("train", "data_dir")],
)
def test_a_flag_without_a_value_is_not_taken_for_a_flag_that_is_not_there(fails, name, flag):
    needed = {"evaluate": ["--lifter=a"], "predict": ["--model=a", "--input=a", "--output_dir=a"]}
    flags = needed.get(name, ["--workdir=a", f"--config={ROOT}/configs/feed_forward.py"])
    assert f"--{flag}= has no value, perhaps because a shell variable is empty" in fails(name, *flags, f"--{flag}=")


def test_a_required_flag_that_is_missing_is_named(no_tensorflow):
    done = run("-m", "pose_tf.cli", "import-torch", PYTHONPATH=no_tensorflow)
    assert (done.returncode, done.stderr) == (1, "error: --arch is missing; see --help\n")


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


def test_what_is_not_installed_is_named_and_what_tensorflow_tells_of_the_machine_only_on_demand(run_tool, tmp_path):
    told = ["WARNING: All log messages before absl::InitializeLog() is called", "I0000 no GPU", "E0000 no AVX", ""]
    (tmp_path / "tensorflow.py").write_text(
        f"import os; os.write(2, {chr(10).join(told)!r}.encode()); raise ModuleNotFoundError('No module named this')"
    )
    flags = ("--config=quickstart_lifter", f"--workdir={tmp_path}/run")
    for more, seen in (({}, ["E0000 no AVX"]), ({"TF_CPP_MIN_LOG_LEVEL": "0"}, told[:-1])):
        done = run_tool("train", *flags, ok=False, PYTHONPATH=str(tmp_path), **more)
        assert done.returncode == 1
        assert done.stderr.splitlines() == [
            *seen,
            "error: No module named this; BUILD.md lists the required packages",
        ]


@pytest.mark.skipif(tf.__version__.startswith("2.15."), reason="this TensorFlow has no Keras 3")
def test_keras_3_is_refused(fails):
    assert "set TF_USE_LEGACY_KERAS=1" in fails("train", TF_USE_LEGACY_KERAS="0")


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


@pytest.fixture
def program(tmp_path):
    """A function that writes a program whose `main()` has a given body."""

    def write(body):
        path = tmp_path / "program.py"
        path.write_text(
            f"import logging, sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom pose_tf import cli\n"
            f"from pose_tf.errors import UserError\ndef main():\n    {body}\ncli.run(main)\n"
        )
        return path

    return write


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [("UserError('a file\\n  is bad')", "a file is bad"), ("KeyboardInterrupt", "interrupted")],
)
def test_an_error_is_one_line_without_a_traceback(program, raised, sentence):
    done = run(program(f"raise {raised}"))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"error: {sentence}\n")


def test_warnings_of_the_library_are_plain_sentences_and_its_progress_is_hidden(program):
    done = run(program("log = logging.getLogger('pose_tf.data'); log.warning('%d are missing', 3); log.info('read')"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "3 are missing\n")


def test_a_word_that_is_no_flag_is_named(no_tensorflow):
    done = run("-m", "pose_tf.cli", "inspect", "--data_dir=a", "b", PYTHONPATH=no_tensorflow)
    assert (done.returncode, done.stderr) == (1, "error: 'b' is not a flag; see --help\n")
