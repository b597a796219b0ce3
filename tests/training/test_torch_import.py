"""Tests of imported checkpoints: a workdir as of a training, which computes what the checkpoint's network computes."""

import functools
import json

import numpy as np
import pytest

from pose_tf.errors import UserError
from pose_tf.evaluation.loading import load_estimator
from pose_tf.export.model_card import describe_runs
from pose_tf.models import HRNet, networks
from pose_tf.skeleton import MPII
from pose_tf.training.torch_import import ARCHITECTURES, import_torch
from pose_tf.workdir import Workdir
from tests.models import numpy_models
from tests.models.numpy_models import random_state
from tests.models.torch_files import write_zip
from tests.skeletons import H36M_16


@pytest.fixture
def checkpoint(tmp_path, rng):
    """checkpoint(shapes): path of a file of random weights, and the weights."""

    def write(shapes):
        state = random_state(shapes, rng)
        write_zip(tmp_path / "model.pth", state)
        return str(tmp_path / "model.pth"), state

    return write


@pytest.fixture
def run(tmp_path):
    return str(tmp_path / "run")


@pytest.fixture
def files_of_statistics(tmp_path, rng):
    """Paths and values of a mean and a standard deviation in mm, one of them in another shape."""
    mean, std = rng.normal(0, 200, (17, 3)), rng.uniform(50, 100, 51)
    np.save(tmp_path / "mean.npy", mean)
    np.save(tmp_path / "std.npy", std)
    return {"mean": str(tmp_path / "mean.npy"), "std": str(tmp_path / "std.npy")}, mean, std.reshape(17, 3)


def test_a_lifter_of_meters_becomes_one_of_millimeters(checkpoint, run, rng):
    path, state = checkpoint(numpy_models.martinez_shapes(17, 16, 2, 51))
    loaded = import_torch("feed_forward", path, run)
    assert not loaded.skipped and not loaded.initialized
    workdir = Workdir(run)
    pose2d = rng.normal(0, 0.3, (3, 17, 2)).astype(np.float32)
    predicted = workdir.statistics().restore(workdir.load_best("lifter")(pose2d)).numpy()
    expected = 1000 * numpy_models.martinez(state, pose2d.reshape(3, 34)).reshape(3, 17, 3)
    np.testing.assert_allclose(predicted, expected, rtol=1e-3, atol=0.01 * np.abs(expected).mean())
    config = workdir.config()
    assert config.model.to_dict() == {"name": "feed_forward", "raw_pixels": False, "units": 16, "num_blocks": 2}
    assert (config.stage, config.flip_test, config.normalized_by, config.imported) == (
        *("lifter", False, "image", "model.pth"),
    )


def test_sizes_of_a_graph_lifter_are_those_of_the_file(checkpoint, run):
    path, _ = checkpoint(numpy_models.sem_gcn_shapes(49, channels=8, blocks=3))
    import_torch("sem_gcn", path, run)
    model = Workdir(run).config().model
    assert (model.channels, model.num_blocks, model.non_local) == (8, 3, False)


def test_a_graph_lifter_of_the_public_code_has_its_16_joints(checkpoint, run, rng):
    path, state = checkpoint(numpy_models.sem_gcn_shapes(46, channels=8, blocks=1))
    with pytest.raises(UserError, match="gconv_output.e"):
        import_torch("sem_gcn", path, run)
    import_torch("sem_gcn", path, run, skeleton=H36M_16)
    workdir = Workdir(run)
    assert workdir.skeleton() == H36M_16 and workdir.statistics().mean.shape == (16, 3)
    pose2d = rng.normal(0, 0.3, (3, 16, 2)).astype(np.float32)
    expected = numpy_models.sem_gcn(state, pose2d, H36M_16.bones)
    np.testing.assert_allclose(workdir.load_best("lifter")(pose2d), expected, rtol=1e-3, atol=1e-4)


def test_joints_of_a_detector_are_mapped_to_those_of_the_run(checkpoint, small_hrnet, run):
    shapes = small_hrnet | {name: (16, *small_hrnet[name][1:]) for name in small_hrnet if "final_layer" in name}
    path, state = checkpoint(shapes)
    loaded = import_torch("hrnet_w4", path, run, map_joints="mpii", skeleton=H36M_16)
    assert loaded.skipped == ("final_layer of Neck",) and loaded.initialized == ("final_layer of Spine",)
    bias = Workdir(run).load_best("detector").get_layer("final_layer").bias.numpy()
    for joint in ("Hip", "LWrist", "Head", "Thorax"):
        assert bias[H36M_16.index(joint)] == state["final_layer.bias"][MPII.index(joint)]


def test_a_released_lifter_needs_the_statistics_of_its_poses(checkpoint, run, files_of_statistics):
    path, _ = checkpoint(numpy_models.released_shapes(17, 16))
    given, mean, std = files_of_statistics
    for options in ({}, {"mean": given["mean"]}, {"std": given["std"]}):
        with pytest.raises(UserError, match="give pose_mean and pose_std"):
            import_torch("released_feed_forward", path, run, **options)
    import_torch("released_feed_forward", path, run, **given)
    workdir = Workdir(run)
    np.testing.assert_allclose(workdir.statistics().mean, mean, rtol=1e-6)
    np.testing.assert_allclose(workdir.statistics().std, std, rtol=1e-6)
    assert workdir.config().model.to_dict() == {
        "name": "feed_forward",
        "raw_pixels": True,
        "units": 16,
        "share_blocks": True,
    }
    assert workdir.config().normalized_by == "crop"


@pytest.fixture
def small_hrnet(monkeypatch):
    """Weights' shapes of a detector with one module and few channels, which imports make instead of a whole one."""
    sizes = {"stem": 4, "modules": (0, 0, 1), "blocks": 1}
    monkeypatch.setitem(networks.DETECTORS, "hrnet", functools.partial(HRNet, **sizes))
    return numpy_models.hrnet_shapes(width=4, **sizes)


def test_a_detector_is_decoded_as_in_the_code_it_comes_from(checkpoint, small_hrnet, run, tmp_path):
    path, state = checkpoint(small_hrnet)
    import_torch("hrnet_w4", path, run)
    config = Workdir(run).config()
    assert config.decoding.to_dict() == {"method": "argmax", "beta": 1.0, "alignment": "corner"}
    assert not (tmp_path / "run" / "statistics.json").exists()
    model = Workdir(run).load_best("detector")
    np.testing.assert_array_equal(model.get_layer("final_layer").bias, state["final_layer.bias"])


def test_imported_stages_make_an_estimator(checkpoint, small_hrnet, tmp_path):
    path, _ = checkpoint(small_hrnet)
    import_torch("hrnet_w4", path, str(tmp_path / "detector"))
    path, _ = checkpoint(numpy_models.sem_gcn_shapes(49, channels=8, blocks=1))
    import_torch("sem_gcn", path, str(tmp_path / "lifter"))
    poses = load_estimator(str(tmp_path / "detector"), str(tmp_path / "lifter"))(np.zeros((1, 256, 256, 3), np.uint8))
    assert poses["pose3d"].shape == (1, 17, 3) and np.isfinite(poses["pose3d"]).all()
    card = describe_runs(str(tmp_path / "detector"), str(tmp_path / "lifter"))  # of their export
    assert card["validation_errors"] == {"detector": {}, "lifter": {}}
    assert card["training"]["lifter"]["imported"] == "model.pth"


@pytest.mark.parametrize("name", ["resnet", "hrnet", "hrnet_w", "hrnet_w<width>", "hrnet_w32x", "SemGCN", ""])
def test_an_unknown_architecture_is_named_with_the_known_ones(run, name, tmp_path):
    with pytest.raises(UserError) as caught:
        import_torch(name, "nowhere.pth", run)
    assert str(caught.value) == f"architecture {name} is not known; it can be {', '.join(ARCHITECTURES)}"
    assert not (tmp_path / "run").exists()


def test_a_file_of_another_architecture_is_refused_and_nothing_is_written(checkpoint, run, tmp_path):
    path, _ = checkpoint(numpy_models.sem_gcn_shapes(49, channels=8, blocks=1))
    for name, lacks in (("feed_forward", "w1.bias"), ("released_feed_forward", "linear_in.bias")):
        with pytest.raises(UserError, match=f"model.pth is not a {name}: it lacks '{lacks}'"):
            import_torch(name, path, run)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (np.zeros((16, 3)), "mean.npy does not hold 17 x 3 numbers"),
        (np.full((17, 3), np.nan), "mean.npy does not hold 17 x 3 numbers"),
        (np.full((17, 3), None), "mean.npy cannot be read as an .npy file"),  # pickled
        (None, "mean.npy cannot be read as an .npy file"),
    ],
    ids=["16 joints", "NaN", "objects", "missing"],
)
def test_statistics_that_are_none_are_refused(checkpoint, run, files_of_statistics, tmp_path, content, words):
    path, _ = checkpoint(numpy_models.released_shapes(17, 16))
    (tmp_path / "mean.npy").unlink()
    if content is not None:
        np.save(tmp_path / "mean.npy", content)
    with pytest.raises(UserError, match=words):
        import_torch("released_feed_forward", path, run, **files_of_statistics[0])
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_replaced(checkpoint, run, tmp_path):
    path, _ = checkpoint(numpy_models.sem_gcn_shapes(49, channels=8, blocks=1))
    import_torch("sem_gcn", path, run)
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    with pytest.raises(UserError, match=f"{run} already contains a run; use another directory"):
        import_torch("sem_gcn", path, run)
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before
    assert json.loads(before["config.json"])["stage"] == "lifter"
