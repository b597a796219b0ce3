"""Tests of the Python API: every kind of model, image and bad input; the same results for videos as the command."""

import json
import pathlib

import cv2
import numpy as np
import pytest

import pose_tf
from pose_tf.errors import UserError
from pose_tf.export import saved_model
from pose_tf.predict.model import PoseModel
from pose_tf.predict.people import GivenBoxes
from pose_tf.predict.predictor import Options, predict
from pose_tf.serving.client import Client
from pose_tf.synthetic.sample import render_sample
from tests.predict.marks import MARKS, marked
from tests.serving.prediction_service import PredictionService

BOXES = np.float32([[200, 60, 120, 300], [-30, -20, 200, 300], [400.5, 100.25, 90.5, 210], [600, 440, 60, 90]])


@pytest.fixture(scope="module")
def image():
    """Coarse noise, uint8 [480, 640, 3]."""
    return cv2.resize(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8), (640, 480))


@pytest.fixture(scope="module")
def runs(estimator, tmp_path_factory):
    """Directories of two runs that hold the estimator's models."""
    folder = tmp_path_factory.mktemp("runs")
    for stage, model in (("detector", estimator.detector), ("lifter", estimator.lifter)):
        (folder / stage).mkdir()
        model.save(folder / stage / "best.keras")
        (folder / stage / "config.json").write_text(json.dumps({"stage": stage, "flip_test": True, "model": {}}))
    (folder / "lifter" / "statistics.json").write_text(json.dumps(estimator.statistics.to_json()))
    return {"detector": folder / "detector", "lifter": folder / "lifter"}


@pytest.fixture(scope="module")
def exported_before(estimator, tmp_path_factory):
    """An exported model without the signature `people`."""
    make = saved_model.make_signatures

    def make_before(*arguments):
        return {name: function for name, function in make(*arguments).items() if name != "people"}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(saved_model, "make_signatures", make_before)
        return saved_model.export(estimator, str(tmp_path_factory.mktemp("before") / "model"))


@pytest.fixture(scope="module")
def model(exported):
    return pose_tf.load(pathlib.Path(exported).parent)


@pytest.fixture(scope="module")
def models(model, exported, exported_before, runs):
    """The same model, loaded in every way."""
    with PredictionService(exported) as service:
        yield {
            "directory": model,
            "version": pose_tf.load(exported),
            "directory of before": pose_tf.load(exported_before),
            "gRPC": PoseModel(Client(service.grpc, timeout_s=300)),
            "REST": PoseModel(Client(service.rest, timeout_s=300)),
            "runs": pose_tf.load(**runs),
        }


KINDS = ("version", "directory of before", "gRPC", "REST", "runs")


def assert_same(found, expected, px=0.05, mm=0.5):
    assert [person.number for person in found] == [person.number for person in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.box, other.box)
        np.testing.assert_allclose(one.pose2d, other.pose2d, atol=px)
        np.testing.assert_allclose(one.pose3d, other.pose3d, atol=mm)
        np.testing.assert_allclose(one.confidence, other.confidence, atol=1e-3)


def test_a_person_has_a_pose_in_pixels_of_the_image_and_in_mm(model, image):
    people = model.people(image, BOXES)
    assert [person.number for person in people] == [1, 2, 3, 4]
    for person, box in zip(people, BOXES):
        assert isinstance(person, pose_tf.Person)
        np.testing.assert_array_equal(person.box, box)
        shapes = {"box": (4,), "pose2d": (17, 2), "pose3d": (17, 3), "confidence": (17,)}
        for name, shape in shapes.items():
            values = getattr(person, name)
            assert values.shape == shape and values.dtype == np.float32
        side = 1.3 * max(box[2:])
        assert (np.abs(person.pose2d - (box[:2] + box[2:] / 2)) < side / 2).all()
        np.testing.assert_array_equal(person.pose3d[0], [0, 0, 0])
    assert model.people(image, []) == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_finds_the_same(models, image, kind):
    assert_same(models[kind].people(image, BOXES), models["directory"].people(image, BOXES))


@pytest.mark.parametrize("kind", ("directory", *KINDS))
def test_crops_are_estimated_as_they_are(models, estimator, kind):
    count = 35 if kind == "directory" else 2  # more than one batch
    crops = np.random.default_rng(1).integers(0, 256, (count, 8, 8, 3), np.uint8).repeat(32, 1).repeat(32, 2)
    found, expected = models[kind].crops(crops), estimator(crops)
    assert set(found) == {"pose2d", "pose3d", "confidence"}
    np.testing.assert_allclose(found["pose2d"], expected["pose2d"], atol=0.05)
    np.testing.assert_allclose(found["pose3d"], expected["pose3d"], atol=0.5)
    np.testing.assert_allclose(found["confidence"], expected["confidence"], atol=1e-3)


@pytest.mark.parametrize("kind", ("directory", *KINDS))
def test_every_model_knows_its_joints_and_its_card(models, kind):
    model = models[kind]
    assert model.joint_names[:4] == ("Hip", "RHip", "RKnee", "RFoot") and len(model.joint_names) == 17
    assert model.bones[:2] == ((1, 0), (2, 1)) and len(model.bones) == 16
    assert model.card["joints"] == list(model.joint_names)
    assert model.card["bones"] == [list(bone) for bone in model.bones]
    assert ("server" in model.card) == (kind in ("gRPC", "REST"))
    assert (model.card.get("crop_margin") is None) == (kind in ("gRPC", "REST"))


def test_a_path_bytes_and_an_array_are_the_same_image(model, image, tmp_path):
    cv2.imwrite(f"{tmp_path}/photo.png", image[..., ::-1])
    expected = model.people(image, BOXES)
    for same in (f"{tmp_path}/photo.png", tmp_path / "photo.png", (tmp_path / "photo.png").read_bytes()):
        assert_same(model.people(same, BOXES), expected, px=0, mm=0)


def test_bytes_of_16_bits_are_read_as_their_file(model, image, tmp_path):
    cv2.imwrite(f"{tmp_path}/photo.png", image.astype(np.uint16) * 16)
    data = (tmp_path / "photo.png").read_bytes()
    assert_same(model.people(data, BOXES), model.people(f"{tmp_path}/photo.png", BOXES), px=0, mm=0)


def test_people_are_found_where_no_boxes_are_given(model, pedestrian_hog):
    sample = render_sample(0, 54, 9)
    image = np.full((500, 900, 3), 128, np.uint8)
    image[200:456, 30:286] = image[90:346, 600:856] = sample["image"]
    people = model.people(image)
    assert [person.number for person in people] == [1, 2]
    middles = sorted(float(person.box[0] + person.box[2] / 2) for person in people)
    joints = sample["pose2d_crop"][:, 0]
    np.testing.assert_allclose(middles, (joints.min() + joints.max()) / 2 + np.float32([30, 600]), atol=25)
    assert_same(model.people(image, [person.box for person in people]), people, px=0, mm=0)
    assert model.people(image, min_score=9.0) == []


class Octagons:
    """A backend that finds the same joints around (100, 80) in every box, and remembers the boxes."""

    card = {}
    takes_pixels = takes_cameras = True

    def __init__(self):
        self.boxes = []

    def predict(self, signature, inputs):
        self.boxes += inputs["box"].tolist()
        angle, people = np.arange(17) * np.pi / 8, len(inputs["box"])
        pose2d = np.stack([99.5 + 20 * np.cos(angle), 79.5 + 40 * np.sin(angle)], axis=-1)
        confidence = np.ones((people, 17), np.float32)
        return {"pose2d": np.float32([pose2d] * people), "pose3d": np.zeros((people, 17, 3)), "confidence": confidence}


def test_boxes_that_were_found_are_fitted_to_the_joints(monkeypatch):
    image, loose = np.zeros((200, 200, 3), np.uint8), np.float32([[60, 30, 80, 90], [150, 150, 40, 40]])
    monkeypatch.setattr("pose_tf.predict.model.find_people", lambda image, min_score: (loose, np.ones(2)))
    backend = Octagons()
    people = PoseModel(backend).people(image)
    np.testing.assert_allclose([person.box for person in people], [[80, 40, 40, 80], loose[1]], atol=1e-4)
    np.testing.assert_allclose(backend.boxes, [*loose, [80, 40, 40, 80], loose[1]], atol=1e-4)


def test_boxes_that_are_given_stay(monkeypatch):
    backend, given = Octagons(), [[60, 30, 80, 90]]
    people = PoseModel(backend).people(np.zeros((200, 200, 3), np.uint8), given)
    assert [person.box.tolist() for person in people] == backend.boxes == given


@pytest.mark.parametrize("address", ["localhost:8500", "http://localhost:8501"])
def test_an_address_loads_a_client(address):
    """The client connects on first use."""
    card = pose_tf.load(address).card
    assert (card["server"], card["model"]) == (address, "pose")


BAD_IMAGES = {
    "dtype": (np.zeros((8, 8, 3)), "an image must be uint8 [H, W, 3] RGB, not float64 [8, 8, 3]"),
    "gray": (np.zeros((8, 8), np.uint8), "an image must be uint8 [H, W, 3] RGB, not uint8 [8, 8]"),
    "empty": (np.zeros((0, 8, 3), np.uint8), "an image must be uint8 [H, W, 3] RGB, not uint8 [0, 8, 3]"),
    "missing": ("nowhere.jpg", "nowhere.jpg does not exist"),
    "text": (b"Dear reader", "the image is not an image that can be read"),
    "none": (None, "an image must be uint8 [H, W, 3] RGB, not object []"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_is_one_sentence(name):
    image, words = BAD_IMAGES[name]
    with pytest.raises(UserError) as error:
        MARKS.people(image, [[0, 0, 4, 4]])
    assert str(error.value) == words


BAD_BOXES = {
    "outside": ([[640, 0, 10, 10]], "the image: the box 640,0,10,10 is outside of its 640x480 pixels"),
    "large": ([[0, 0, 1e8, 10]], "the image: the box 0,0,1e+08,10 is too large for its 640x480 pixels"),
    "small": ([[5, 5, 0.5, 10]], "the image: the box 5,5,0.5,10 is smaller than a pixel"),
    "not finite": ([[5, np.nan, 5, 10]], "the image: the box 5,nan,5,10 is not finite"),
    "one box": ([5, 5, 10, 10], "the image: boxes must be [N, 4]: x, y, width, height in pixels"),
    "corners": (np.zeros((2, 2, 2)), "the image: boxes must be [N, 4]: x, y, width, height in pixels"),
    "text": ("whole", "the image: boxes must be [N, 4]: x, y, width, height in pixels"),
    "ragged": ([[1, 2], [3]], "the image: boxes must be [N, 4]: x, y, width, height in pixels"),
}


@pytest.mark.parametrize("name", BAD_BOXES)
def test_a_bad_box_is_one_sentence(image, name):
    boxes, words = BAD_BOXES[name]
    with pytest.raises(UserError) as error:
        MARKS.people(image, boxes)
    assert str(error.value) == words


@pytest.mark.parametrize(
    "crops", [np.zeros((2, 256, 256, 3)), np.zeros((256, 256, 3), np.uint8), np.zeros((0, 256, 256, 3), np.uint8)]
)
def test_bad_crops_are_one_sentence(crops):
    with pytest.raises(UserError) as error:
        MARKS.crops(crops)
    wanted = "crops must be uint8 [N, 256, 256, 3], N ≥ 1"
    assert str(error.value) == f"{wanted}, not {crops.dtype} {list(crops.shape)}"


@pytest.fixture
def walk(tmp_path):
    """A mark on a coarse texture that moves right by 2 px per frame; 12 frames at 10 fps."""
    writer = cv2.VideoWriter(f"{tmp_path}/walk.avi", cv2.VideoWriter_fourcc(*"FFV1"), 10, (200, 100))
    coarse = np.random.default_rng(0).integers(20, 120, (60, 60, 3), np.uint8)
    for x in range(60, 84, 2):
        image = marked(200, 100)
        image[20:80, x - 30 : x + 30] = coarse
        image[48:52, x - 2 : x + 2] = 255
        writer.write(image)
    writer.release()
    return tmp_path / "walk.avi"


@pytest.mark.parametrize("smooth", [True, False])
def test_a_video_has_the_frames_that_the_command_writes(walk, tmp_path, smooth):
    options = Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60"), outputs=("json",), smooth=smooth)
    predict(MARKS, str(walk), options)
    written = json.loads((tmp_path / "out" / "walk.json").read_text())["frames"]
    frames = list(MARKS.video(walk, [[30, 20, 60, 60]], smooth=smooth))
    assert len(frames) == len(written) == 12
    for frame, expected in zip(frames, written):
        assert isinstance(frame, pose_tf.Frame)
        assert frame.time == pytest.approx(expected["time_s"], abs=1e-4)
        (person,), (expected,) = frame.people, expected["people"]
        assert person.number == expected["person"] == 1
        np.testing.assert_allclose(person.box, expected["box_px"], atol=0.005)
        np.testing.assert_allclose(person.pose2d, expected["pose2d_px"], atol=0.0005)
        np.testing.assert_allclose(person.pose3d, expected["pose3d_mm"], atol=0.0005)
        np.testing.assert_allclose(person.confidence, expected["confidence"], atol=0.00005)


def test_people_in_a_video_are_found_before_its_first_frame(walk, monkeypatch):
    searches = []

    def find(image, score):
        searches.append(score)
        left = np.argwhere(image.min(axis=-1) > 128)[:, 1].mean() + 0.5 - 30
        return np.float32([[left, 20, 60, 60]]), np.float32([0.4])

    monkeypatch.setattr("pose_tf.predict.finders.find_people", find)
    frames = MARKS.video(walk, min_score=0.4, smooth=False)
    first = next(frames)
    assert len(searches) == 6  # of 12 frames at 10 fps, every second one
    assert max(searches) < 0.4  # a person who is tracked may be less sure
    found = [frame.people for frame in (first, *frames)]
    assert [len(people) for people in found] == 11 * [1] + [0]  # up to the last frame with a search
    for number, (person,) in enumerate(found[:11]):
        assert person.number == 1
        np.testing.assert_allclose(person.pose2d[0], [59.5 + 2 * number, 49.5], atol=1e-3)
    assert len(searches) == 6
    assert [frame.people for frame in MARKS.video(walk, min_score=0.5)] == [()] * 12


def test_a_bad_video_is_one_sentence(walk, tmp_path):
    with pytest.raises(UserError, match=r"^nowhere.mp4 cannot be read: No such file or directory$"):
        MARKS.video("nowhere.mp4")
    (tmp_path / "a.mp4").write_text("Dear reader")
    with pytest.raises(UserError, match=r"a.mp4 is not a video that can be read$"):
        MARKS.video(tmp_path / "a.mp4")
    with pytest.raises(UserError, match=r"walk.avi: the box 200,0,9,9 is outside of its 200x100 pixels$"):
        MARKS.video(walk, [[200, 0, 9, 9]])


WHAT_TO_LOAD = (
    "specify what to load: the directory of an exported model, the address of a server such as localhost:8500, or the "
    "directories of two runs, detector=… and lifter=…"
)
BAD_SOURCES = {
    "one run": ({"lifter": "runs/lifter"}, WHAT_TO_LOAD),
    "both": ({"source": "model", "detector": "a", "lifter": "b"}, WHAT_TO_LOAD),
    "no directory": (
        {"source": "nowhere"},
        "nowhere does not exist and is not an address such as localhost:8500",
    ),
}


@pytest.mark.parametrize("name", BAD_SOURCES)
def test_what_cannot_be_loaded_is_one_sentence(name):
    sources, words = BAD_SOURCES[name]
    with pytest.raises(UserError) as error:
        pose_tf.load(**sources)
    assert str(error.value) == words


def test_a_damaged_card_is_named(exported_before, tmp_path):
    card = pathlib.Path(exported_before) / "assets.extra" / "model_card.json"
    text = card.read_text()
    try:
        for damaged in ("[]", text[:40]):
            card.write_text(damaged)
            with pytest.raises(UserError, match=r"model_card.json is not a model card$"):
                pose_tf.load(exported_before)
        card.unlink()
        assert pose_tf.load(exported_before).card == {}
    finally:
        card.write_text(text)
