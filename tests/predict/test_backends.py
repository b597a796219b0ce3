"""Tests of backends: the data that they send, and agreement of exported models with those of runs."""

import dataclasses
import os
import shutil

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pose_tf import model_files
from pose_tf.errors import UserError
from pose_tf.geometry import CROP_SIZE, Crop
from pose_tf.models import FeedForward, HRNet, PoseEstimator
from pose_tf.models.statistics import PoseStatistics
from pose_tf.predict.backends import ModelFile, _cut, estimate_people, open_exported
from pose_tf.predict.camera import Camera, CameraOptions
from pose_tf.predict.model import PoseModel
from pose_tf.predict.people import check_boxes
from pose_tf.predict.tensorflow_backends import KerasModels, SavedModel
from tests.export.models import coarse_noise, make_estimator, set_random_weights
from tests.predict.marks import Files, find_mark, marked

CAMERAS = [Camera((1000.0, 500.0, 1000.0, 400.0), "guess")]
INPUTS = {"image_bytes": [b""], "box": np.zeros((1, 4), np.float32)}


def write_model(path, number):
    """Writes a model that returns a number."""

    @tf.function
    def estimate(image_bytes, box):
        del image_bytes
        return {"pose2d": number + 0 * box}

    specs = {
        "image_bytes": tf.TensorSpec([None], tf.string, "image_bytes"),
        "box": tf.TensorSpec([None, 4], name="box"),
    }
    signature = estimate.get_concrete_function(**specs)
    tf.saved_model.save(tf.Module(), path, signatures={"image_and_box": signature})


def test_the_newest_version_is_loaded_unless_another_one_is_named(tmp_path):
    for version in (2, 9, 10):
        write_model(f"{tmp_path}/{version}", version)
    for name in (".partial-11", "11.old"):  # an export that has not ended, and a directory of the user
        shutil.copytree(tmp_path / "2", tmp_path / name)
    for path, number in (("", 10), ("/9", 9)):
        found = SavedModel(f"{tmp_path}{path}").predict("image_and_box", INPUTS)
        assert found["pose2d"].tolist() == [[number] * 4]


def test_a_model_may_lie_anywhere(tmp_path):
    write_model(f"{tmp_path}/model/7", 1)
    for name in (b"a[x]", b"a\\b", b"a*?{c}", b"w\xfc", "wä".encode()):
        path = os.fsencode(tmp_path) + b"/" + name
        shutil.copytree(os.fsencode(tmp_path) + b"/model", path)
        found = SavedModel(os.fsdecode(path)).predict("image_and_box", INPUTS)
        assert found["pose2d"].tolist() == [[1, 1, 1, 1]]
    os.truncate(f"{tmp_path}/a[x]/7/saved_model.pb", 40)
    with pytest.raises(UserError, match=r"^/.*/a\[x\]/7 is damaged: ((?!/proc).)*$"):
        SavedModel(f"{tmp_path}/a[x]")


def test_joints_are_in_pixels_of_the_image():
    image = marked(900, 700, (400, 300), (800, 650))
    boxes = np.float32([[350, 200, 90, 180], [760.5, 600, 200, 90.25]])
    ((first, second),) = estimate_people(Files(find_mark), [(image, boxes)], CAMERAS, 8)
    np.testing.assert_allclose(first["pose2d"][0], [399.5, 299.5], atol=1e-3)
    np.testing.assert_allclose(second["pose2d"][16], [799.5, 649.5], atol=1e-3)
    np.testing.assert_allclose(first["pose3d"][0, :2], [50 / 90, 100 / 180], atol=1e-5)


def test_large_people_are_sent_smaller_and_come_back_in_place():
    sizes, people = [], []

    def estimate(image_bytes, box):
        sizes.append(cv2.imdecode(np.frombuffer(image_bytes[0], np.uint8), cv2.IMREAD_COLOR).shape[:2])
        people.append(box[0, 2:].max())
        return find_mark(image_bytes, box)

    image = marked(4000, 3001, (1236, 2000), radius=60)  # of whole pixels after shrinking
    ((pose,),) = estimate_people(Files(estimate), [(image, np.float32([[500, 300, 1500, 2500]]))], CAMERAS, 8)
    assert max(sizes[0]) <= 1000
    assert people[0] >= 512
    np.testing.assert_allclose(pose["pose2d"][0], [1235.5, 1999.5], atol=0.01)


def test_colors_arrive_as_they_are():
    image = np.zeros((50, 60, 3), np.uint8)
    image[..., 0] = 200

    def estimate(image_bytes, box):
        sent = cv2.imdecode(np.frombuffer(image_bytes[0], np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_array_equal(sent, image)
        return find_mark(image_bytes, box)

    estimate_people(Files(estimate), [(image, np.float32([[10, 10, 40, 40]]))], CAMERAS, 8)


def test_people_of_many_images_share_batches():
    sizes = []

    def estimate(image_bytes, box):
        sizes.append(len(image_bytes))
        return find_mark(image_bytes, box)

    image = marked(100, 100, (50, 50))
    box = np.float32([40, 40, 20, 20])
    images = [(image, np.stack([box] * count)) for count in (2, 1, 4)] + [(image, np.zeros((0, 4), np.float32))]
    assert [len(poses) for poses in estimate_people(Files(estimate), images, 4 * CAMERAS, 3)] == [2, 1, 4, 0]
    assert sizes == [3, 3, 1]


@pytest.mark.parametrize(
    "box", [(3839, 301, 700, 1400), (10, 10, 2, 2000), (-1590, -1590, 1600, 1600), (3000, 2000, 3000, 3000)]
)
def test_boxes_that_touch_the_image_do_so_in_what_is_sent(box):
    def estimate(image_bytes, box):
        sent = cv2.imdecode(np.frombuffer(image_bytes[0], np.uint8), cv2.IMREAD_COLOR)
        check_boxes(box, *sent.shape[1::-1], "sent")
        assert (box[:, 2:] >= 1).all()
        return find_mark(image_bytes, box)

    image = np.zeros((2160, 3840, 3), np.uint8)
    check_boxes(np.float32([box]), 3840, 2160, "a.jpg")
    estimate_people(Files(estimate), [(image, np.float32([box]))], CAMERAS, 8)


@pytest.fixture
def sight(rng):
    """A model whose poses are in the frame of the line of sight."""
    detector = HRNet(width=4, stem=4, modules=(0, 0, 1), blocks=1)
    set_random_weights(detector, rng)
    mean = rng.normal(0, 300, (17, 3)).astype(np.float32)
    statistics = PoseStatistics(mean, np.full((17, 3), 10, np.float32), frame="sight")
    return KerasModels(PoseEstimator(detector, FeedForward(units=8), statistics))


class Server:
    """A model without a card that takes files, as TF Serving has it."""

    card, takes_pixels, takes_cameras = {}, False, True

    def __init__(self, model):
        self._model = model
        self.asked = []

    def predict(self, signature, inputs):
        self.asked.append(signature)
        return self._model.predict(signature, inputs)


def test_a_model_on_a_server_has_poses_in_the_frame_of_the_camera(sight, rng):
    image = cv2.resize(rng.integers(0, 256, (30, 40, 3), np.uint8), (640, 480))
    boxes, camera = np.float32([[20, 30, 200, 300], [420, 10, 150, 350]]), CameraOptions(fov=70)
    server = Server(sight)
    found, expected = (PoseModel(model).people(image, boxes, camera=camera) for model in (server, sight))
    assert server.asked == ["image_box_and_camera"]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.pose3d, other.pose3d, atol=1)
        np.testing.assert_allclose(one.root3d, other.root3d, rtol=1e-3, atol=1)
    alone = sight.predict("people", {"image": image, "box": boxes})["pose3d"]
    assert np.abs(alone[0] - expected[0].pose3d).max() > 10


@pytest.mark.parametrize("margin", [1.25, 3.0])
def test_all_of_a_crop_is_sent(margin):
    model = make_estimator()
    model.statistics = dataclasses.replace(model.statistics, margin=margin)
    local = KerasModels(model)
    server = Server(local)
    server.card = local.card
    image, boxes = coarse_noise(1)[0], np.float32([[88, 78, 70, 80]])
    ((found,),), ((expected,),) = (estimate_people(one, [(image, boxes)], CAMERAS, 8) for one in (server, local))
    np.testing.assert_allclose(found["pose2d"], expected["pose2d"], atol=0.01)
    np.testing.assert_allclose(found["pose3d"], expected["pose3d"], atol=0.1)


@pytest.mark.parametrize("height", [300, 1100, 1900])  # sent as it is, and shrunk by 2 and 3
def test_a_camera_sees_the_part_that_is_sent_as_it_sees_the_image(height, rng):
    image, camera = np.zeros((2000, 2400, 3), np.uint8), Camera((1500.0, 1180.0, 1520.0, 990.0), "given")
    data, box, intrinsics, corner, shrink = _cut(image, np.float32([500.5, 40.25, 300, height]), camera)
    assert shrink == {300: 1, 1100: 2, 1900: 3}[height]
    points = rng.uniform([-500, -500, 3000], [500, 500, 5000], (17, 3))
    in_image, in_part = (
        points[:, :2] / points[:, 2:] * (fx, fy) + (cx, cy) for fx, cx, fy, cy in (camera.intrinsics, intrinsics)
    )
    np.testing.assert_allclose(Crop(corner, np.float32(CROP_SIZE * shrink)).to_image(in_part), in_image, atol=1e-3)


def test_a_model_in_one_file_finds_the_same_people(exported, exported_files, rng):
    image = cv2.resize(rng.integers(0, 256, (30, 40, 3), np.uint8), (640, 480))
    boxes = np.float32([[20, 30, 200, 300], [420.5, 10, 150, 350], [600, 440, 60, 90]])
    expected = PoseModel(open_exported(exported)).people(image, boxes)
    for path in exported_files:
        if "float32" in path.name:
            found = PoseModel(open_exported(str(path))).people(image, boxes)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_allclose(one.pose2d, other.pose2d, atol=0.05)
                np.testing.assert_allclose(one.pose3d, other.pose3d, atol=1)
                np.testing.assert_allclose(one.root3d, other.root3d, rtol=0.01)


def test_a_model_in_one_file_takes_crops_only(exported_files):
    model = ModelFile(str(exported_files[0]))
    with pytest.raises(UserError, match="no signature image_and_box"):
        model.predict("image_and_box", INPUTS)
    assert PoseModel(model).crops(np.zeros((2, 256, 256, 3), np.uint8))["pose3d"].shape == (2, 17, 3)


@pytest.mark.parametrize("margin", [None, "1", 0, -1, float("nan")])
def test_a_card_without_a_margin_is_damaged(exported_files, margin, tmp_path):
    card, _ = model_files.read(str(exported_files[0]))
    model = exported_files[0].read_bytes()[: card["model_bytes"]]
    (tmp_path / "m.tflite").write_bytes(model_files.LiteRT.attach(model, card | {"crop_margin": margin}))
    with pytest.raises(UserError, match="m.tflite is damaged: its card has no crop_margin"):
        ModelFile(f"{tmp_path}/m.tflite")
