"""Tests of joining two trained stages: their weights, and the options of their recipes unless others are given."""

import numpy as np
import pytest

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.evaluation.loading import load_estimator
from pose_tf.models import FeedForward, HRNet, PoseEstimator, SemGCN
from pose_tf.models.decoding import Decoding
from pose_tf.models.features import feature_channels
from pose_tf.models.statistics import PoseStatistics
from pose_tf.skeleton import H36M
from pose_tf.workdir import Workdir
from tests.export.models import set_random_weights


@pytest.fixture(scope="module")
def statistics():
    rng = np.random.default_rng(0)
    return PoseStatistics(np.float32(rng.normal(0, 300, (17, 3))), np.float32(rng.uniform(50, 200, (17, 3))), 1.5)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, statistics):
    """Workdirs of a detector with flip test and of a lifter without."""
    detector, lifter = (Workdir(str(tmp_path_factory.mktemp(name))) for name in ("detector", "lifter"))
    HRNet(width=4, stem=4, modules=(0, 0, 1), blocks=0).save(detector.file("best.keras"))
    FeedForward(units=8, num_blocks=1).save(lifter.file("best.keras"))
    decoding = {"method": "argmax", "beta": 2.0, "alignment": "corner"}
    config = {"stage": "detector", "flip_test": True, "model": {"name": "hrnet"}, "decoding": decoding}
    files.write_json(detector.file("config.json"), config)
    config = {"stage": "lifter", "flip_test": False, "model": {"name": "feed_forward"}}
    files.write_json(lifter.file("config.json"), config)
    files.write_json(lifter.file("statistics.json"), statistics.to_json())
    return detector, lifter


def test_the_stages_come_with_the_options_of_their_recipes(runs, statistics):
    detector, lifter = runs
    found = load_estimator(detector.path, lifter.path)
    for model, workdir, stage in ((found.detector, detector, "detector"), (found.lifter, lifter, "lifter")):
        for ours, theirs in zip(model.get_weights(), workdir.load_best(stage).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(found.statistics.mean, statistics.mean)
    np.testing.assert_array_equal(found.statistics.std, statistics.std)
    assert found.statistics.margin == 1.5
    assert (found.flip_detector, found.flip_lifter) == (True, False)
    assert found.decoding == Decoding("argmax", 2.0, "corner")


@pytest.mark.parametrize("flip_test", [False, True])
def test_given_options_replace_those_of_both_recipes(runs, flip_test):
    found = load_estimator(runs[0].path, runs[1].path, flip_test, method="debiased", beta=3.0)
    assert (found.flip_detector, found.flip_lifter) == (flip_test, flip_test)
    assert found.decoding == Decoding("debiased", 3.0, "corner")


def test_a_recipe_without_decoding_has_the_usual_one(runs, tmp_path):
    (tmp_path / "best.keras").symlink_to(runs[0].file("best.keras"))
    config = {"stage": "detector", "flip_test": False, "model": {"name": "hrnet"}}
    files.write_json(f"{tmp_path}/config.json", config)
    assert load_estimator(str(tmp_path), runs[1].path).decoding == Decoding()


def test_stages_in_each_others_place_are_refused(runs):
    with pytest.raises(UserError, match="detector"):
        load_estimator(runs[1].path, runs[1].path)
    with pytest.raises(UserError, match="lifter"):
        load_estimator(runs[0].path, runs[0].path)


def test_a_lifter_that_sees_the_image_belongs_to_its_detector(runs, statistics, tmp_path):
    detector = HRNet(width=4, stem=4, modules=(1, 1, 1), blocks=1)
    lifter = FeedForward(units=8, num_blocks=1, features=feature_channels(detector))
    estimator = PoseEstimator(detector, lifter, statistics, flip_lifter=True)
    estimator.build_from_config(None)
    Workdir(str(tmp_path)).save_best(estimator)
    files.write_json(f"{tmp_path}/config.json", {"stage": "end_to_end", "flip_test": True, "model": {"name": "hrnet"}})
    files.write_json(f"{tmp_path}/statistics.json", statistics.to_json())
    found = load_estimator(str(tmp_path), str(tmp_path))
    for ours, theirs in zip(found.get_weights(), estimator.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found.sees_images and found.flip_detector and found.flip_lifter
    assert load_estimator(str(tmp_path), runs[1].path).sees_images is False
    with pytest.raises(
        UserError, match="sees the features of the detector .* give .* as the detector, too, instead of"
    ):
        load_estimator(runs[0].path, str(tmp_path))


def test_mirrored_images_give_mirrored_poses(statistics, rng):
    """With both flips, whatever the weights; the mean pose is not symmetric, so poses are compared without it."""
    detector = HRNet(width=4, stem=4, modules=(1, 1, 1), blocks=1)
    lifter = SemGCN(channels=8, num_blocks=1, confidence=True, features=feature_channels(detector))
    set_random_weights(detector, rng)
    join = lifter.get_layer("features.join")
    join.kernel.assign(rng.normal(size=join.kernel.shape))
    estimator = PoseEstimator(detector, lifter, statistics, True, True, Decoding(beta=20.0))
    images = rng.integers(0, 256, (2, 16, 16, 3), np.uint8).repeat(16, 1).repeat(16, 2)
    one, other = estimator(images), estimator(images[:, :, ::-1].copy())
    mirror = list(H36M.mirror)
    assert np.ptp(one["confidence"]) > 0.1
    np.testing.assert_allclose(one["pose2d"].numpy()[:, mirror] * [-1, 1] + [255, 0], other["pose2d"], atol=0.05)
    np.testing.assert_allclose(one["pose3d"].numpy()[:, mirror] * [-1, 1, 1], other["pose3d"], atol=0.5)
    known = estimator.call(images, one["pose2d"] + 3.0)
    np.testing.assert_allclose(known["pose3d"], one["pose3d"], atol=0.01)
    assert np.abs(known["lifted"] - one["pose3d"]).max() > 0.1
