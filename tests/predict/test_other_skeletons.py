"""Tests of models with other joints than Human3.6M's 17: exported, on a server, and in the results of `predict`."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest

import pose_tf
from pose_tf.data.poses import PoseSet
from pose_tf.errors import UserError
from pose_tf.export.saved_model import export
from pose_tf.predict.camera import CameraOptions
from pose_tf.predict.model import PoseModel, skeleton_of_card
from pose_tf.predict.motion import read_motions
from pose_tf.predict.people import GivenBoxes
from pose_tf.predict.predictor import Options, predict
from pose_tf.predict.results import Frame, Person, Poses, write_json
from pose_tf.predict.tensorflow_backends import KerasModels
from pose_tf.serving.client import Client
from pose_tf.skeleton import H36M
from tests.export.models import coarse_noise, make_estimator, read_card
from tests.predict.marks import write_photo
from tests.serving.prediction_service import PredictionService
from tests.skeletons import BODY_14, BODY_21, COMPOSITE, H36M_16, LEGS

ORDER = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 13, 14, 15, 10, 11, 12]
"""The mirror of the 16 joints."""


@pytest.fixture(scope="module")
def estimator_16():
    return make_estimator(H36M_16)


@pytest.fixture(scope="module")
def exported_16(estimator_16, tmp_path_factory):
    return export(estimator_16, str(tmp_path_factory.mktemp("export") / "model"))


@pytest.fixture(scope="module")
def model_16(exported_16):
    return pose_tf.load(exported_16)


def test_an_exported_model_names_its_joints(exported_16, model_16):
    card = read_card(exported_16)
    assert card["skeleton"] == "h36m_16" and card["joints"] == list(H36M_16.joints)
    assert card["bones"] == [list(bone) for bone in H36M_16.bones] and card["mirror"] == ORDER
    assert model_16.skeleton == H36M_16
    assert (model_16.joint_names, model_16.bones) == (H36M_16.joints, H36M_16.bones)
    lift = model_16._backend._signatures["lift"]
    assert lift.structured_input_signature[1]["pose2d"].shape.as_list() == [None, 16, 2]


def test_a_model_whose_card_is_missing_or_of_another_is_refused(exported_16, tmp_path):
    shutil.copytree(exported_16, tmp_path / "1")
    card = tmp_path / "1" / "assets.extra" / "model_card.json"
    card.write_text(json.dumps(H36M.to_card()))
    has = f"{tmp_path}/1 has poses of 16 joints, but its assets.extra/model_card.json"
    with pytest.raises(UserError, match=f"^{has} names 17; copy the model with its card, or export it again"):
        pose_tf.load(tmp_path)
    card.unlink()
    with pytest.raises(UserError, match=f"^{has} is missing, which would name them; copy the model"):
        pose_tf.load(tmp_path)


@pytest.mark.parametrize("skeleton", [H36M, BODY_14, LEGS], ids=lambda skeleton: skeleton.name)
def test_a_box_around_the_body_gives_the_crop_of_training(skeleton):
    """Joints of Human3.6M that span 200 of 256 px are seen in crops of 256 / 210 times the body's box."""
    rng = np.random.default_rng(0)
    pose2d = np.float32(rng.uniform(60, 190, (9, 17, 2)))
    pose2d[:, H36M.index("Head")], pose2d[:, H36M.index("LFoot")] = (127.5, 27.5), (127.5, 227.5)
    pose3d = np.float32(rng.normal(0, 300, (9, 17, 3)))
    poses = PoseSet(pose2d, pose3d, np.ones(9, int), np.ones(9, int), "poses").in_joints(skeleton)
    estimator = make_estimator(skeleton)
    estimator.statistics = dataclasses.replace(estimator.statistics, margin=poses.crop_margin())
    model, (image,) = PoseModel(KerasModels(estimator)), coarse_noise(1)
    (person,) = model.people(image, boxes=[[23, 23, 210, 210]])
    expected = model.crops(image[None])
    np.testing.assert_allclose(person.pose2d, expected["pose2d"][0], atol=0.05)
    np.testing.assert_allclose(person.pose3d, expected["pose3d"][0], atol=0.5)


def test_its_poses_are_those_of_the_networks_and_mirrored_by_its_joints(model_16, estimator_16, rng):
    images = rng.integers(0, 256, (2, 256, 256, 3)).astype(np.uint8)
    found, expected = model_16.crops(images), estimator_16(images)
    assert found["pose3d"].shape == (2, 16, 3)
    np.testing.assert_allclose(found["pose3d"], expected["pose3d"], atol=0.5)
    mirrored = model_16.crops(np.ascontiguousarray(images[:, :, ::-1]))
    np.testing.assert_allclose(mirrored["pose2d"][:, ORDER, 0], 255 - found["pose2d"][..., 0], atol=0.05)
    np.testing.assert_allclose(mirrored["pose3d"][:, ORDER] * [-1, 1, 1], found["pose3d"], atol=0.5)


def test_the_results_of_a_photo_have_its_joints(model_16, tmp_path):
    write_photo(tmp_path / "photo.png", (200, 150))
    outputs = ("overlay", "views", "page", "json", "csv", "npz", "coco")
    options = Options(f"{tmp_path}/out", GivenBoxes("50,20,80,120"), outputs=outputs)
    predict(model_16, f"{tmp_path}/photo.png", options)
    result = json.loads((tmp_path / "out" / "photo.json").read_text())
    (person,) = result["frames"][0]["people"]
    assert result["joints"] == list(H36M_16.joints) and result["bones"] == [list(bone) for bone in H36M_16.bones]
    assert np.shape(person["pose2d_px"]) == (16, 2) and np.shape(person["pose3d_mm"]) == (16, 3)
    with open(tmp_path / "out" / "photo.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["joint"] for row in rows] == list(H36M_16.joints)
    np.testing.assert_allclose([float(row["x_px"]) for row in rows], np.array(person["pose2d_px"])[:, 0], atol=0.01)
    with np.load(tmp_path / "out" / "photo.npz") as arrays:
        assert arrays["joints"].tolist() == list(H36M_16.joints) and arrays["pose3d_mm"].shape == (1, 16, 3)
    page = (tmp_path / "out" / "photo.html").read_text()
    assert json.dumps(H36M_16.joints, separators=(",", ":")) in page
    (entry,) = json.loads((tmp_path / "out" / "photo.coco.json").read_text())
    wrist = H36M_16.index("LWrist")
    np.testing.assert_allclose(np.reshape(entry["keypoints"], (17, 3))[9, :2], person["pose2d_px"][wrist], atol=1e-3)


def test_what_needs_other_joints_is_refused_before_the_work(tmp_path):
    model = PoseModel(KerasModels(make_estimator(BODY_14)))
    write_photo(tmp_path / "photo.png", (200, 150))
    options = Options(f"{tmp_path}/out", GivenBoxes("whole"), camera=CameraOptions(height=1.8))
    with pytest.raises(UserError, match=r"the height of people cannot be used: the model's skeleton body_14 .* Head"):
        predict(model, f"{tmp_path}/photo.png", options)
    with pytest.raises(UserError, match="cannot be used"):
        model.people(f"{tmp_path}/photo.png", [[0, 0, 100, 100]], camera=CameraOptions(height=1.8))
    assert not (tmp_path / "out").exists()


def write_result(path, skeleton, rng):
    """Writes a result with two frames of a person, and returns the 3D poses."""
    pose3d = np.float32(rng.normal(0, 300, (2, len(skeleton.joints), 3)))
    pose2d, confidence = np.zeros((len(skeleton.joints), 2), np.float32), np.ones(len(skeleton.joints), np.float32)
    frames = [
        Frame(i / 30, (Person(np.float32([0, 0, 9, 9]), pose2d, pose, confidence, 1, np.float32([0, 0, 4000])),))
        for i, pose in enumerate(pose3d)
    ]
    camera = CameraOptions().camera(100, 100)
    write_json(str(path), Poses("walk.mp4", 100, 100, 30.0, camera, frames, skeleton))
    return pose3d


def test_motions_take_human36ms_joints_by_name_and_need_all_of_them(tmp_path, rng):
    pose3d = write_result(tmp_path / "walk.json", BODY_21, rng)
    (motion,) = read_motions(f"{tmp_path}/walk.json")
    reversed_order = json.loads((tmp_path / "walk.json").read_text())
    reversed_order["joints"] = reversed_order["joints"][::-1]
    for frame in reversed_order["frames"]:
        frame["people"][0]["pose3d_mm"] = frame["people"][0]["pose3d_mm"][::-1]
    (tmp_path / "other.json").write_text(json.dumps(reversed_order))
    np.testing.assert_allclose(read_motions(f"{tmp_path}/other.json")[0].joints, motion.joints)
    head = H36M.index("Head")
    expected = (pose3d[:, head] + [0, 0, 4000]) * [1, -1, -1]
    np.testing.assert_allclose(motion.joints[:, head], expected, atol=0.01)
    pose3d = write_result(tmp_path / "walk.json", COMPOSITE, rng)
    foot = COMPOSITE.find("LFoot")
    assert COMPOSITE.joints[foot] == "LAnkle/LFoot"
    found = read_motions(f"{tmp_path}/walk.json")[0].joints[:, H36M.index("LFoot")]
    np.testing.assert_allclose(found, (pose3d[:, foot] + [0, 0, 4000]) * [1, -1, -1], atol=0.01)
    write_result(tmp_path / "walk.json", H36M_16, rng)
    message = "its poses lack Neck/Nose; motions need the joints of Human3.6M"
    with pytest.raises(UserError, match=message):
        read_motions(f"{tmp_path}/walk.json")


def test_a_server_is_told_which_joints_its_model_has(exported_16, model_16, rng):
    image = rng.integers(0, 256, (200, 150, 3)).astype(np.uint8)
    with PredictionService(exported_16) as service:
        for address in (service.grpc, service.rest):
            with pytest.raises(UserError) as caught:
                PoseModel(Client(address, timeout_s=120)).people(image, [[20, 20, 80, 120]])
            assert str(caught.value) == (
                f"{address} answers with 16 joints, but the skeleton h36m (17 joints) has another number; name the "
                "skeleton of its model"
            )
            model = pose_tf.load(address, skeleton="h36m_16")
            assert model.joint_names == H36M_16.joints
            (person,) = model.people(image, [[20, 20, 80, 120]])
            (expected,) = model_16.people(image, [[20, 20, 80, 120]])
            np.testing.assert_allclose(person.pose3d, expected.pose3d, atol=5)
    with pytest.raises(UserError, match="skeleton is for models on a server; other models name their joints"):
        pose_tf.load(exported_16, skeleton="h36m_16")


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"joints": ["Hip"], "bones": []}, "the model's card: 'joints' must be a list of 2 to 256 names"),
        (
            {"joints": ["Hip", "Head"], "bones": [[5, 0]]},
            "the model's card is damaged: its joints and bones do not fit",
        ),
        ({"joints": ["Hip", "Head"]}, "the model's card is damaged: its joints and bones do not fit"),
        ({"joints": 3, "bones": [[1, 0]]}, "the model's card is damaged: its joints and bones do not fit"),
    ],
)
def test_a_card_with_other_joints_must_be_whole(card, message):
    assert skeleton_of_card({}) == skeleton_of_card({"server": "x"}) == H36M
    with pytest.raises(UserError, match=message):
        skeleton_of_card(card)
