"""Tests of bad input: one sentence that names the fault, exit status 1, and no half-written files."""

import pathlib
import signal
import time

import numpy as np
import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).parents[2]
TOOLS = sorted(path.stem for path in (ROOT / "tools").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", TOOLS)
def test_help_explains_the_tool_and_exits_0(run_tool, name):
    done = run_tool(name, "--help")
    assert f"python tools/{name}.py --" in done.stdout


def test_an_unknown_flag_is_named(fails):
    assert "data_dri" in fails("inspect_records", "--data_dri=x")


def test_what_is_not_installed_is_named_and_what_tensorflow_tells_of_the_machine_is_not(run_tool, tmp_path):
    told = ["WARNING: All log messages before absl::InitializeLog() is called", "I0000 no GPU", "E0000 no AVX", ""]
    (tmp_path / "tensorflow.py").write_text(
        f"import os; os.write(2, {chr(10).join(told)!r}.encode()); raise ModuleNotFoundError('No module named this')"
    )
    flags = ("--config=quickstart_lifter", f"--workdir={tmp_path}/run")
    done = run_tool("train", *flags, ok=False, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "E0000 no AVX",
        "error: No module named this; BUILD.md lists the required packages",
    ]


@pytest.mark.skipif(tf.__version__.startswith("2.15."), reason="this TensorFlow has no Keras 3")
def test_keras_3_is_refused(fails):
    assert "set TF_USE_LEGACY_KERAS=1" in fails("train", TF_USE_LEGACY_KERAS="0")


def train_flags(workdir, *more, recipe="feed_forward"):
    return ("train", f"--config={ROOT}/configs/{recipe}.py", f"--workdir={workdir}", *more)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--config.model.unts=3"], ["unts"]),
        (["--config.model.units=many"], ["many"]),
        (["--config.precision=float8"], ["config.precision", "float8"]),
        (["--config.optimizer.schedule=zigzag"], ["config.optimizer.schedule", "zigzag"]),
        (["--config.loss=cubic"], ["config.loss", "cubic"]),
        (["--config.strategy=hope"], ["config.strategy", "hope"]),
        (["--config.model.name=resnet"], ["config.model.name", "resnet"]),
        (["--config.train.epochs=0.0"], ["config.train.epochs", "0.0", "above 0"]),
        (["--config.train.epochs=nan"], ["config.train.epochs", "nan"]),
        (["--config.seed=-1"], ["config.seed", "-1"]),
        (["--config.model.units=-64"], ["config.model.units", "-64"]),
        (["--config.train.steps_per_call=0"], ["config.train.steps_per_call", "at least 1"]),
        (["--config.train.checkpoints_kept=0"], ["config.train.checkpoints_kept", "at least 1"]),
        (["--config.optimizer.ema=1.0"], ["config.optimizer.ema", "1.0"]),
        (["--config.profile_steps=(5,)"], ["config.profile_steps", "(5,)"]),
        (["--config.batch_norm=group"], ["config.batch_norm", "group"]),
        (["--config.data.on_damage=hope"], ["config.data.on_damage", "hope"]),
        (["--config.data.batch_size=4096"], ["config.data.batch_size", "4096"]),
        (["--config.data.validation_subjects=(8,99)"], ["subject 99"]),
        (["--config.data.poses=/nowhere/poses.npz"], ["/nowhere/poses.npz"]),
    ],
)
def test_a_recipe_key_at_fault_is_named(fails, sample_data, tmp_path, flags, words):
    message = fails(*train_flags(tmp_path / "run", f"--data_dir={sample_data}", *flags))
    assert all(word in message for word in words)
    assert not (tmp_path / "run" / "best.keras").exists()


@pytest.mark.parametrize(
    ("name", "flag"),
    [("evaluate", "subjects"), ("evaluate", "occluders"), ("predict", "outputs"), ("train", "data_dir")],
)
def test_a_flag_without_a_value_is_not_taken_for_a_flag_that_is_not_there(fails, name, flag):
    needed = {"evaluate": ["--lifter=a"], "predict": ["--model=a", "--input=a", "--output_dir=a"]}
    flags = needed.get(name, ["--workdir=a", f"--config={ROOT}/configs/feed_forward.py"])
    assert f"--{flag}= has no value, perhaps because a shell variable is empty" in fails(name, *flags, f"--{flag}=")


def test_a_missing_recipe_is_named(fails, tmp_path):
    assert "nowhere.py does not exist" in fails("train", "--config=nowhere.py", f"--workdir={tmp_path}")


def test_missing_data_is_named(fails, tmp_path):
    assert "no training data: give data_dir or config.data.poses" in fails(*train_flags(tmp_path / "run"))
    (tmp_path / "empty" / "h36").mkdir(parents=True)
    assert "empty/h36 contains no records" in fails(*train_flags(tmp_path / "run", f"--data_dir={tmp_path}/empty"))
    assert "empty" in fails("inspect_records", f"--data_dir={tmp_path}/empty")


def test_a_workdir_that_cannot_be_written_is_named(fails, sample_data, tmp_path):
    (tmp_path / "file").write_text("")
    message = fails(*train_flags(tmp_path / "file" / "run", f"--data_dir={sample_data}"))
    assert "file/run cannot be written" in message


def test_another_recipe_in_the_same_workdir_is_refused(fails, sample_data, lifter):
    message = fails(*train_flags(lifter, f"--data_dir={sample_data}"))
    assert str(lifter) in message
    assert "config." in message


def test_a_second_training_in_a_workdir_is_refused_and_the_first_goes_on(fails, start_tool, sample_data, tmp_path):
    flags = train_flags(
        tmp_path / "run",
        f"--config.data.poses={sample_data}/poses.npz",
        "--config.model.units=32",
        "--config.train.epochs=100000.0",
    )
    process = start_tool(*flags)
    while not (tmp_path / "run" / "config.json").exists():
        assert process.poll() is None, process.errors.read_text()
        time.sleep(0.1)
    message = fails(*flags)
    assert f"{tmp_path}/run is in use by process {process.pid} on " in message
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, process.errors.read_text()


def test_poses_in_other_units_are_named(fails, sample_data, tmp_path):
    with np.load(sample_data / "poses.npz") as file:
        arrays = dict(file)
    np.savez(tmp_path / "meters.npz", **arrays | {"pose3d": arrays["pose3d"] / 1000})
    np.savez(tmp_path / "normalized.npz", **arrays | {"pose2d_crop": arrays["pose2d_crop"] / 128 - 1})
    message = fails(*train_flags(tmp_path / "run", f"--config.data.poses={tmp_path}/meters.npz"))
    assert f"{tmp_path}/meters.npz: 'pose3d' must be in millimeters" in message and "meters?" in message
    message = fails(*train_flags(tmp_path / "run", f"--config.data.poses={tmp_path}/normalized.npz"))
    assert "'pose2d_crop' must be in pixels of the 256x256 crop" in message and "normalized coordinates?" in message


def test_a_damaged_shard_stops_training_with_its_name(fails, sample_data, tmp_path):
    (tmp_path / "h36").mkdir()
    (shard,) = (sample_data / "h36").iterdir()
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "h36" / "flipped.tfrecord").write_bytes(data)
    message = fails(*train_flags(tmp_path / "run", f"--data_dir={tmp_path}"))
    assert "flipped.tfrecord record " in message


def test_evaluation_says_what_is_missing(fails, sample_data, lifter, tmp_path):
    assert "--data_dir and --poses" in fails("evaluate", f"--lifter={lifter}")
    assert "--detector" in fails("evaluate", f"--lifter={lifter}", f"--data_dir={sample_data}")
    both = (f"--data_dir={sample_data}", f"--lifter={lifter}")
    assert f"{lifter} contains a lifter" in fails("evaluate", *both, f"--detector={lifter}")
    assert "no config.json" in fails("evaluate", *both, f"--detector={tmp_path}")
    poses = (f"--poses={sample_data}/poses.npz", f"--lifter={lifter}")
    assert "--occluders needs images" in fails("evaluate", *poses, "--occluders=occluders.npz")


def test_the_occluders_need_one_source(fails, tmp_path):
    output = f"--output={tmp_path}/bank.npz"
    assert "give one of --voc_dir and --tfds" in fails("build_occluders", output)
    assert "give one of --voc_dir and --tfds" in fails("build_occluders", output, "--tfds", f"--voc_dir={tmp_path}")
    assert f"{tmp_path} has no VOCtrainval" in fails("build_occluders", output, "--tfds", f"--manual_dir={tmp_path}")
    assert not list(tmp_path.iterdir())


def test_evaluation_of_a_subject_without_records_is_refused(fails, sample_data, detector, lifter):
    flags = (f"--data_dir={sample_data}", f"--detector={detector}", f"--lifter={lifter}")
    message = fails("evaluate", *flags, "--subjects=8,11")
    assert "subject 11" in message
    assert "1, 5, 6, 7, 8" in message


def test_a_truncated_test_set_leaves_no_submission(fails, sample_data, detector, lifter, tmp_path):
    cut = tmp_path / "cut.tfrecords"
    data = (sample_data / "test_set.tfrecords").read_bytes()
    cut.write_bytes(data[: len(data) * 2 // 3])
    models = (f"--detector={detector}", f"--lifter={lifter}")
    message = fails("submit", *models, f"--records={cut}", f"--output={tmp_path}/submission.csv.gz")
    assert "cut.tfrecords record " in message
    assert [path.name for path in tmp_path.iterdir()] == ["cut.tfrecords"]


def test_a_directory_that_is_no_model_is_named(fails, sample_data, tmp_path):
    flags = (f"--input={sample_data}/photos", f"--output_dir={tmp_path}/poses")
    assert f"--model={tmp_path}" in fails("predict", f"--model={tmp_path}", *flags)
