"""Tests of `pose-tf import-torch`: importing, evaluating and fine-tuning PyTorch checkpoints, and refusing them."""

import json
import pathlib
import pickle
import re

import numpy as np
import pytest
import tensorflow as tf

from pose_tf import skeleton
from pose_tf.workdir import Workdir
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
    assert "already contains a run" in fails("import_torch", *flags, "--map_joints=mpii")
    flags = (*flags[:2], f"--workdir={tmp_path}/of_16", "--skeleton=h36m_16")
    warning = "warning: the heatmaps of .*hrnet.pth are taken for those of Hip, RHip, .*, in this order; if the file"
    assert re.search(warning, run_tool("import_torch", *flags).stderr)
    flags = (*flags[:2], f"--workdir={tmp_path}/mapped", "--skeleton=h36m_16", "--map_joints=mpii")
    assert "warning" not in run_tool("import_torch", *flags).stderr
    own, theirs = skeleton.find_skeleton("h36m_16"), skeleton.MPII
    for folder, taken in (("of_16", range(16)), ("mapped", [theirs.find(joint) for joint in own.joints])):
        model = tf.keras.models.load_model(tmp_path / folder / "best.keras")
        for ours, place in enumerate(taken):
            if place is not None:
                kernel = model.get_layer("final_layer").kernel[0, 0, :, ours]
                np.testing.assert_array_equal(kernel, state["final_layer.weight"][place, :, 0, 0])

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
    done = run_tool("evaluate", f"--poses={sample_data}/poses.npz", f"--lifter={tmp_path}/imported")
    assert "warning" not in done.stderr  # it was trained on crop pixels
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
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_a_checkpoint_that_would_run_something_runs_nothing(run_tool, fails, rng, tmp_path, write):
    made = tmp_path / "made"
    state = random_state(numpy_models.sem_gcn_shapes(49, channels=8, blocks=2), rng)
    pickle.loads(pickle.dumps(Attack(str(made)))).close()  # without protection it runs
    made.unlink()
    flags = ("--arch=sem_gcn", f"--checkpoint={tmp_path}/evil.pth", f"--workdir={tmp_path}/run")
    write(tmp_path / "evil.pth", {"state_dict": {**state, "more": Attack(str(made))}})
    assert "evil.pth: 'more' is not a tensor that can be read but a io.open" in fails("import_torch", *flags)
    write(tmp_path / "evil.pth", {"extra": Attack(str(made)), "state_dict": state})
    run_tool("import_torch", *flags)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.pth", "run"]


def test_one_of_several_sets_of_weights_is_chosen(run_tool, fails, rng, tmp_path):
    sets = [random_state(numpy_models.sem_gcn_shapes(49, channels=8, blocks=2), rng) for _ in range(2)]
    write_zip(tmp_path / "both.pth", {"state_dict_ema": sets[1], "state_dict": sets[0]})
    bias = "gconv_input.0.gconv.bias"
    for number, flags in enumerate(([], ["--state_dict=state_dict_ema"])):
        workdir = tmp_path / f"run{number}"
        flags = ("--arch=sem_gcn", f"--checkpoint={tmp_path}/both.pth", f"--workdir={workdir}", *flags)
        done = run_tool("import_torch", *flags)
        taken, other = ("state_dict", "state_dict_ema")[:: 1 - 2 * number]
        assert f"read the weights under '{taken}'; --state_dict selects others in the file: '{other}'" in done.stdout
        model = tf.keras.models.load_model(workdir / "best.keras")
        np.testing.assert_array_equal(model.get_layer("input.gconv").bias, sets[number][bias])
    message = fails("import_torch", *flags[:2], f"--workdir={tmp_path}/run2", "--state_dict=teacher")
    assert "both.pth contains no weights under teacher; it has some under 'state_dict_ema', 'state_dict'" in message
    sets[1][bias][3] = np.nan
    write_zip(tmp_path / "both.pth", {"state_dict_ema": sets[1], "state_dict": sets[0]})
    message = fails("import_torch", *flags[:2], f"--workdir={tmp_path}/run2", "--state_dict=state_dict_ema")
    assert f"both.pth: the weights '{bias}' are not finite" in message
    assert not (tmp_path / "run2").exists()


def test_a_lifter_of_other_coordinates_is_imported_and_evaluated_with_a_warning(run_tool, sample_data, rng, tmp_path):
    write_zip(tmp_path / "gcn.pth", random_state(numpy_models.sem_gcn_shapes(49, channels=8, blocks=2), rng))
    workdir = tmp_path / "imported"
    done = run_tool("import_torch", "--arch=sem_gcn", f"--checkpoint={tmp_path}/gcn.pth", f"--workdir={workdir}")
    warning = f"warning: {workdir}: the lifter was trained on 2D joints normalized by the whole image"
    assert warning in done.stderr and "config.init_from" in done.stderr
    poses = f"{sample_data}/poses.npz"
    assert warning in run_tool("evaluate", f"--poses={poses}", f"--lifter={workdir}").stderr
    run_tool(
        "train",
        f"--config={ROOT}/configs/sem_gcn.py",
        f"--config.data.poses={poses}",
        f"--config.init_from={workdir}",
        "--config.model.channels=8",
        "--config.model.num_blocks=2",
        "--config.model.non_local=False",
        "--config.data.batch_size=8",
        "--config.train.epochs=1.0",
        f"--workdir={tmp_path}/tuned",
    )
    assert "warning" not in run_tool("evaluate", f"--poses={poses}", f"--lifter={tmp_path}/tuned").stderr


def test_an_efficientnet_lite_is_imported_and_says_what_is_new(run_tool, rng, tmp_path):
    state = random_state(numpy_models.lite0_shapes() | numpy_models.lite0_head_shapes(10), rng)
    write_zip(tmp_path / "lite0.pth", state)
    workdir = tmp_path / "imported"
    flags = ("--arch=efficientnet_lite0", f"--checkpoint={tmp_path}/lite0.pth", f"--workdir={workdir}")
    done = run_tool("import_torch", *flags)
    assert "skipped 7 weights of the file: _bn1.bias … _fc.weight" in done.stdout
    assert "not in the file, initialized at random: final_layer, pyramid0.above.bn, pyramid0.above, " in done.stdout
    config = json.loads((workdir / "config.json").read_text())
    assert config["stage"] == "detector" and config["model"] == {"name": "efficientnet_lite0"}
    model = Workdir(str(workdir)).load_best("detector")
    kernel = state["_blocks.15._depthwise_conv.weight"].transpose(2, 3, 0, 1)
    np.testing.assert_array_equal(model.get_layer("blocks.15.depthwise_conv").depthwise_kernel, kernel)


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
    assert "architecture resnet is not known; it can be hrnet_w<width>, efficientnet_" in message("resnet", "gcn")
    assert "pose_mean and pose_std" in message("released_sem_gcn", "gcn")
    assert "mean.npy cannot be read" in message("sem_gcn", "gcn", "--pose_mean=mean.npy", "--pose_std=std.npy")
    assert not (tmp_path / "run").exists()
