"""PyTorch checkpoints through the command line: imported, evaluated, trained on, or refused."""

import json
import pathlib
import pickle

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import skeleton
from tests.models import numpy_models
from tests.models.numpy_models import random_state
from tests.models.torch_files import write_legacy, write_zip

ROOT = pathlib.Path(__file__).parents[2]


def test_an_mpii_detector_and_a_graph_lifter_are_imported_and_evaluated(run_tool, fails, sample_data, rng, tmp_path):
    state = random_state(numpy_models.hrnet_shapes(width=4, joints=16), rng)
    write_zip(tmp_path / "hrnet.pth", {"epoch": 210, "state_dict": {f"module.{key}": state[key] for key in state}})
    flags = ("--arch=hrnet_w4", f"--checkpoint={tmp_path}/hrnet.pth", f"--workdir={tmp_path}/detector")
    message = fails("import_torch", *flags)
    assert "predicts 16 joints, hrnet_w4 17" in message and "map_joints" in message
    assert not (tmp_path / "detector").exists()
    done = run_tool("import_torch", *flags, "--map_joints=mpii")
    assert "final_layer of Spine" in done.stdout
    model = tf.keras.models.load_model(tmp_path / "detector" / "best.keras")
    for ours, theirs in skeleton.H36M.shared_with(skeleton.MPII):
        kernel = model.get_layer("final_layer").kernel[0, 0, :, ours]
        np.testing.assert_array_equal(kernel, state["final_layer.weight"][theirs, :, 0, 0])
    assert "holds a run already" in fails("import_torch", *flags, "--map_joints=mpii")

    write_legacy(tmp_path / "gcn.pth", random_state(numpy_models.sem_gcn_shapes(49, channels=8, blocks=2), rng))
    flags = (f"--checkpoint={tmp_path}/gcn.pth", f"--workdir={tmp_path}/lifter")
    run_tool("import_torch", "--arch=sem_gcn", *flags)
    assert json.loads((tmp_path / "lifter" / "config.json").read_text())["model"]["channels"] == 8

    models = (f"--detector={tmp_path}/detector", f"--lifter={tmp_path}/lifter", f"--data_dir={sample_data}/test")
    reports = []
    for more in ((), ("--decoding=soft_argmax", "--beta=0.5", "--alignment=half_pixel")):
        run_tool("evaluate", *models, *more, f"--output={tmp_path}/report.json")
        reports.append(json.loads((tmp_path / "report.json").read_text()))
    assert reports[0]["pose2d"] != reports[1]["pose2d"]
    assert reports[0]["true_2d"] == reports[1]["true_2d"]


def test_training_starts_from_an_imported_lifter(run_tool, sample_data, rng, tmp_path):
    state = random_state(numpy_models.released_shapes(17, 16), rng)
    write_zip(tmp_path / "released.pth", state)
    np.save(tmp_path / "mean.npy", rng.normal(size=(17, 3)) * 100)
    np.save(tmp_path / "std.npy", rng.uniform(50, 100, (17, 3)))
    run_tool(
        "import_torch",
        "--arch=released_feed_forward",
        f"--checkpoint={tmp_path}/released.pth",
        f"--workdir={tmp_path}/imported",
        f"--pose_mean={tmp_path}/mean.npy",
        f"--pose_std={tmp_path}/std.npy",
    )
    run_tool("evaluate", f"--poses={sample_data}/poses.npz", f"--lifter={tmp_path}/imported")
    run_tool(
        "train",
        f"--config={ROOT}/configs/released/feed_forward.py",
        f"--config.data.poses={sample_data}/poses.npz",
        f"--config.init_from={tmp_path}/imported",
        "--config.model.units=16",
        "--config.optimizer.learning_rate=0.0",
        "--config.train.epochs=1.0",
        f"--workdir={tmp_path}/run",
    )
    model = tf.keras.models.load_model(tmp_path / "run" / "best.keras")
    np.testing.assert_array_equal(model.get_layer("shared.linear").kernel, state["block.model.0.weight"].T)


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_a_checkpoint_that_would_run_something_is_refused_and_runs_nothing(fails, tmp_path, write):
    made = tmp_path / "made"
    write(tmp_path / "evil.pth", {"state_dict": {"conv1.weight": np.zeros(3, np.float32)}, "extra": Attack(str(made))})
    pickle.loads(pickle.dumps(Attack(str(made)))).close()  # so it would
    made.unlink()
    flags = (f"--checkpoint={tmp_path}/evil.pth", f"--workdir={tmp_path}/run")
    for architecture in ("hrnet_w32", "sem_gcn"):
        message = fails("import_torch", f"--arch={architecture}", *flags)
        assert "evil.pth wants to use io.open, and is refused" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pth"]


def test_a_mistake_in_an_import_is_named(fails, rng, tmp_path):
    write_zip(tmp_path / "gcn.pth", random_state(numpy_models.sem_gcn_shapes(49, channels=8, blocks=2), rng))
    (tmp_path / "cut.pth").write_bytes((tmp_path / "gcn.pth").read_bytes()[:5000])
    (tmp_path / "text.pth").write_text("no checkpoint")
    workdir = f"--workdir={tmp_path}/run"

    def message(arch, name, *more):
        return fails("import_torch", f"--arch={arch}", f"--checkpoint={tmp_path}/{name}.pth", workdir, *more)

    assert "cut.pth is truncated or damaged" in message("sem_gcn", "cut")
    assert "text.pth is not a PyTorch checkpoint" in message("hrnet_w4", "text")
    assert "nowhere.pth does not exist" in message("hrnet_w4", "nowhere")
    assert "gcn.pth is not a feed_forward: it lacks 'w1.bias'" in message("feed_forward", "gcn")
    assert "--arch=resnet is not known; it can be hrnet_w<width>, sem_gcn" in message("resnet", "gcn")
    assert "--pose_mean and --pose_std" in message("released_sem_gcn", "gcn")
    assert "mean.npy cannot be read" in message("sem_gcn", "gcn", "--pose_mean=mean.npy", "--pose_std=std.npy")
    assert not (tmp_path / "run").exists()
