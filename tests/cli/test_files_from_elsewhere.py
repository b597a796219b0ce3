"""Command-line tests of models and directories that are damaged, hostile or unusually named."""

import json
import os
import shutil

import pytest
import tensorflow as tf

from pose_tf.training.checkpoints import checkpoint_steps
from tests.cli.conftest import ROOT


def lifter_flags(workdir, sample_data, *more):
    """A run of 6 epochs with a checkpoint after each."""
    return (
        "train",
        f"--config={ROOT}/configs/feed_forward.py",
        f"--config.data.poses={sample_data}/poses.npz",
        f"--workdir={workdir}",
        "--config.model.units=8",
        "--config.data.batch_size=8",
        "--config.train.epochs=6.0",
        "--config.train.validate_every_epochs=1.0",
        "--config.train.checkpoints_kept=100",
        *more,
    )


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def lose_the_deviation(path):
    values = json.loads(path.read_text())
    del values["std_mm"]
    path.write_text(json.dumps(values))


def make_a_list(path):
    path.write_text("[1, 2]")


def cut_a_line(path):
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0][:20], *lines[1:], ""]))


@pytest.mark.parametrize(
    "tools, name, damage",
    [
        (("evaluate", "export", "submit", "train"), "best.keras", flip),
        (("evaluate",), "statistics.json", lose_the_deviation),
        (("submit",), "config.json", make_a_list),
        (("export",), "metrics.jsonl", cut_a_line),
    ],
)
def test_every_tool_names_the_damaged_file_of_a_run(
    fails, sample_data, detector, lifter, tmp_path, tools, name, damage
):
    damaged = tmp_path / "damaged"
    shutil.copytree(lifter, damaged)
    damage(damaged / name)
    models = (f"--detector={detector}", f"--lifter={damaged}")
    flags = {
        "evaluate": (f"--poses={sample_data}/poses.npz", f"--lifter={damaged}"),
        "export": (*models, f"--output_dir={tmp_path}/model"),
        "submit": (*models, f"--records={sample_data}/test_set.tfrecords", f"--output={tmp_path}/s.csv"),
        "train": lifter_flags(tmp_path / "new", sample_data, f"--config.init_from={damaged}")[1:],
    }
    for tool in tools:
        assert f"{damaged}/{name} " in fails(tool, *flags[tool])
    assert not any((tmp_path / made).exists() for made in ("model", "s.csv", "new/best.keras"))


def test_a_keras_file_that_would_run_code_is_refused_and_runs_nothing(fails, sample_data, lifter, tmp_path):
    made = str(tmp_path / "made")
    inputs = tf.keras.Input((2,))
    outputs = tf.keras.layers.Lambda(lambda x: (open(made, "w").close(), x)[1])(inputs)
    tf.keras.Model(inputs, outputs).save(tmp_path / "evil.h5")
    os.remove(made)
    shutil.copytree(lifter, tmp_path / "run")
    shutil.copy(tmp_path / "evil.h5", tmp_path / "run" / "best.keras")
    shutil.copy(tmp_path / "evil.h5", tmp_path / "evil.keras")
    message = fails(*lifter_flags(tmp_path / "new", sample_data, f"--config.init_from={tmp_path}/evil.keras"))
    assert f"{tmp_path}/evil.keras cannot be loaded: it is not a zip archive" in message
    message = fails("evaluate", f"--poses={sample_data}/poses.npz", f"--lifter={tmp_path}/run")
    assert f"{tmp_path}/run/best.keras cannot be loaded: it is not a zip archive" in message
    assert not os.path.exists(made)


def test_a_saved_model_that_would_write_a_file_is_refused(fails, sample_data, tmp_path):
    made = str(tmp_path / "made")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None, 4])])
    def estimate(image_bytes, box):
        tf.io.write_file(made, "x")
        return {"pose2d": box}

    tf.saved_model.save(tf.Module(), f"{tmp_path}/model/1", signatures={"image_and_box": estimate})
    flags = (f"--input={sample_data}/photos", f"--output_dir={tmp_path}/poses")
    message = fails("predict", f"--model={tmp_path}/model", *flags)
    assert f"--model={tmp_path}/model/1 is refused: its graph has the operation WriteFile" in message
    assert sorted(os.listdir(tmp_path)) == ["model"]


def test_a_run_in_a_directory_of_an_unusual_name_is_resumed_and_started_from(run_tool, sample_data, tmp_path):
    workdir = tmp_path / "run[x] *?\\y"
    run_tool(*lifter_flags(workdir, sample_data))
    steps = checkpoint_steps(f"{workdir}/checkpoints")
    for step in steps[len(steps) // 2 :]:
        shutil.rmtree(workdir / "checkpoints" / f"{step:08d}")
    done = run_tool(*lifter_flags(workdir, sample_data))
    assert f"resuming {workdir} at step {steps[len(steps) // 2 - 1]} of {steps[-1]}" in done.stderr
    assert checkpoint_steps(f"{workdir}/checkpoints") == steps
    flags = lifter_flags(tmp_path / "new", sample_data, f"--config.init_from={workdir}/checkpoints")
    assert f"starting from {workdir}/checkpoints" in run_tool(*flags).stderr


def test_models_in_directories_of_unusual_names_are_exported_and_predict(
    run_tool, sample_data, detector, lifter, tmp_path
):
    for name, source in (("detector[1]", detector), ("lifter*\\", lifter)):
        shutil.copytree(source, tmp_path / name)
    models = (f"--detector={tmp_path}/detector[1]", f"--lifter={tmp_path}/lifter*\\")
    run_tool("export", *models, f"--output_dir={tmp_path}/model[x]")
    flags = (f"--input={sample_data}/photos", f"--boxes={sample_data}/photos/boxes.csv")
    run_tool("predict", f"--model={tmp_path}/model[x]", *flags, f"--output_dir={tmp_path}/poses[1]")
    assert len(list((tmp_path / "poses[1]").glob("*.npz"))) == 6
