"""Tests of the model that comes with the package."""

import pathlib
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

import pose_tf
from pose_tf import skeleton, starter
from pose_tf.evaluation.loading import load_detector, load_estimator
from pose_tf.models import load_keras
from pose_tf.models.networks import make_network
from pose_tf.training.initial_weights import load_initial_weights
from pose_tf.workdir import Workdir
from tests.training.recipes import recipe

ROOT = pathlib.Path(__file__).parents[2]
PHOTO = ROOT / "docs" / "basketball1.png"
PLAYERS = np.float32([(29, 82, 130, 395), (436, 19, 202, 455)])


@pytest.fixture(scope="module")
def model():
    return pose_tf.load()


@pytest.fixture(scope="module")
def in_float32():
    return pose_tf.load(detector="starter", lifter="starter")


def test_the_name_stands_for_the_runs_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert starter.run_dir("runs/detector", "detector") == "runs/detector"
    assert starter.run_dir("starter", "lifter") == starter.folder("lifter")
    assert starter.folder("detector").endswith("pose_tf/starter/detector")
    (tmp_path / "starter").mkdir()
    assert starter.run_dir("starter", "detector") == "starter"  # the user's own


def test_it_is_small():
    files = [path for path in pathlib.Path(starter.folder("")).rglob("*") if path.suffix in (".keras", ".json")]
    assert len(files) == 6 and sum(path.stat().st_size for path in files) < 20e6


def test_the_card_says_what_it_was_made_of(model):
    card = model.card
    assert card["name"] == "starter" and "efficientnet-lite0" in card["started_from"]
    assert [data["name"] for data in card["data"]] and all(data["terms"] for data in card["data"])
    assert card["training"]["detector"]["model"]["name"] == "efficientnet_lite0"
    assert card["validation_errors"]["detector"]["mpii/pck2d"] > 0.5
    assert "/" not in card["training"]["lifter"]["data"]["poses"]  # no directory of the machine that trained it
    assert card["joints"] == list(model.joint_names)
    assert any("one person at a time" in limit for limit in card["limits"])


def test_its_detector_sees_images_of_224_px():
    assert Workdir(starter.folder("detector")).config().model.scale * 256 == 224
    network = load_keras(f"{starter.folder('detector')}/best.keras")
    assert network(np.zeros((1, 256, 256, 3), np.float32)).shape == (1, 224 // 4, 224 // 4, 17)


def joint(pose, name):
    return pose[skeleton.H36M.index(name)]


def test_two_players_have_plausible_poses(model):
    left, right = model.people(PHOTO, PLAYERS)
    for person in (left, right):
        assert joint(person.pose2d, "Head")[1] < joint(person.pose2d, "Thorax")[1] < joint(person.pose2d, "Hip")[1]
        assert joint(person.pose3d, "Head")[1] < -400  # mm above the hip
    # The photo shows the legs of the left player only.
    legs = [skeleton.H36M.index(side + part) for side in "LR" for part in ("Knee", "Foot")]
    assert left.confidence[legs].min() > 0.6 > right.confidence[legs].max()
    for side in "LR":
        hip, knee, foot = (joint(left.pose2d, name)[1] for name in (f"{side}Hip", f"{side}Knee", f"{side}Foot"))
        assert hip < knee < foot
    bones = {child: np.linalg.norm(left.pose3d[child] - left.pose3d[parent]) for child, parent in skeleton.H36M.bones}
    for name in ("RKnee", "RFoot", "LKnee", "LFoot"):
        assert 300 < bones[skeleton.H36M.index(name)] < 550, name


@pytest.mark.parametrize("stage", ["detector", "lifter"])
def test_a_run_of_its_recipe_starts_from_it(stage):
    network = make_network(recipe(f"starter_{stage}").model.to_dict())
    assert load_initial_weights(network, "starter") == []
    stored = load_keras(f"{starter.folder(stage)}/best.keras")
    for ours, theirs in zip(network.get_weights(), stored.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_commands_take_its_name(in_float32):
    image = np.zeros((1, 256, 256, 3), np.uint8)
    pose2d, _ = load_detector("starter")(image)
    assert pose2d.shape == (1, 17, 2)
    found, expected = load_estimator("starter", "starter")(image), in_float32.crops(image)
    np.testing.assert_allclose(found["pose2d"], pose2d, atol=1e-3)
    np.testing.assert_allclose(found["pose3d"], expected["pose3d"], atol=0.5)


def test_it_is_the_same_model_in_int8_and_in_float32(model, in_float32):
    assert model.card["precision"] == "int8"
    assert model.skeleton == in_float32.skeleton
    for ours, theirs in zip(model.people(PHOTO, PLAYERS), in_float32.people(PHOTO, PLAYERS), strict=True):
        sure = theirs.confidence > 0.7
        assert sure.sum() >= 3
        distance_px = np.linalg.norm(ours.pose2d - theirs.pose2d, axis=1)
        assert distance_px[sure].max() < 0.03 * max(theirs.box[2:])
        assert np.median(np.linalg.norm(ours.pose3d - theirs.pose3d, axis=1)) < 40  # mm


def test_it_starts_without_tensorflow():
    """TensorFlow takes several seconds to import."""
    code = "import sys, pose_tf; pose_tf.load().people(sys.argv[1], [(29, 82, 130, 395)]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, PHOTO], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "ai_edge_litert" in done.stdout.split() and "tensorflow" not in done.stdout.split()


def test_weights_are_in_float16(tmp_path):
    with zipfile.ZipFile(f"{starter.folder('detector')}/best.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
    types = set()
    with h5py.File(tmp_path / "model.weights.h5") as file:
        file.visititems(lambda _, item: types.add(str(item.dtype)) if isinstance(item, h5py.Dataset) else None)
    assert types == {"float16"}
