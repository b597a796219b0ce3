"""Tests of the signatures: batches of any mix, `people` as files and boxes, and bad requests."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.export.signatures import make_signatures
from pose_tf.models import FeedForward, HRNet, PoseEstimator
from pose_tf.models.decoding import Decoding
from pose_tf.models.features import feature_channels
from pose_tf.models.statistics import PoseStatistics
from pose_tf.predict.camera import Camera, put_in_space
from tests.export.inputs import BAD_BOXES, BOXES, GOOD, encode
from tests.export.memory import memory_of_request, reports_memory
from tests.export.models import set_random_weights


def test_a_batch_may_hold_all_sizes_and_kinds(signatures):
    sizes = [encode("PNG", size=size) for size in ((1, 1), (300, 20), (7, 900))]
    together = signatures["serving_default"](image_bytes=tf.constant([*GOOD.values(), *sizes]))
    assert together["pose3d"].shape == (13, 17, 3)
    for i, data in enumerate((*GOOD.values(), *sizes)):
        alone = signatures["serving_default"](image_bytes=tf.constant([data]))
        np.testing.assert_allclose(alone["pose2d"][0], together["pose2d"][i], atol=0.02)


@pytest.mark.parametrize("name", ["serving_default", "image_and_box", "images", "lift"])
def test_an_empty_batch_is_refused(signatures, name):
    inputs = {
        spec.name: tf.zeros([0, *spec.shape[1:]], spec.dtype)
        for spec in signatures[name].structured_input_signature[1].values()
    }
    with pytest.raises(tf.errors.InvalidArgumentError, match="the batch is empty"):
        signatures[name](**inputs)


def test_joints_that_are_no_numbers_are_refused(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match="pose2d"):
        signatures["lift"](pose2d=tf.fill([1, 17, 2], np.nan))


def test_pixels_and_files_have_the_same_poses(signatures, image):
    found = signatures["people"](image=tf.constant(image), box=tf.constant(BOXES))
    files = tf.repeat(tf.io.encode_png(image), len(BOXES))
    expected = signatures["image_and_box"](image_bytes=files, box=tf.constant(BOXES))
    assert set(found) == {"pose2d", "pose3d", "confidence"}
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("words", "box"), [(words, boxes[0]) for words, boxes in BAD_BOXES.items()])
def test_one_box_that_holds_nobody_is_refused(signatures, words, box):
    boxes = tf.constant([(10, 10, 20, 20), box], tf.float32)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"box is {words}"):
        signatures["people"](image=tf.zeros([50, 70, 3], tf.uint8), box=boxes)


def test_no_boxes_are_refused(signatures, image):
    with pytest.raises(tf.errors.InvalidArgumentError, match="the batch is empty"):
        signatures["people"](image=tf.constant(image), box=tf.zeros([0, 4]))


@reports_memory
def test_people_share_the_image(exported):
    """The image takes 48 MiB. Eight copies would take 384 MiB."""
    image, box = np.zeros([4096, 4096, 3], np.uint8), np.float32([[100, 200, 900, 2500]])
    first, request = ({"image": image, "box": box.repeat(people, axis=0)} for people in (1, 8))
    assert memory_of_request(exported, "people", first, request) < 200  # the network takes about 100


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_lifter_that_sees_the_image_is_in_the_graph_with_the_detectors_features(rng, precision):
    detector = HRNet(width=4, stem=4, modules=(0, 0, 1), blocks=1)
    lifter = FeedForward(units=8, num_blocks=1, confidence=True, features=feature_channels(detector))
    set_random_weights(detector, rng)
    join = lifter.get_layer("features.join")
    join.kernel.assign(rng.normal(size=join.kernel.shape))
    statistics = PoseStatistics(np.zeros((17, 3), np.float32), np.full((17, 3), 100, np.float32))
    estimator = PoseEstimator(detector, lifter, statistics, flip_detector=True, flip_lifter=True)
    signatures = make_signatures(estimator, precision)
    assert sorted(signatures) == ["image_and_box", "image_box_and_camera", "images", "people", "serving_default"]
    images = tf.constant(rng.integers(0, 256, (2, 256, 256, 3), np.uint8))
    expected, found = estimator(images), signatures["images"](images)
    share = 1e-4 if precision == "float32" else 0.1
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, atol=share * np.abs(values).max())


def test_the_lifter_gets_the_confidences_of_detected_joints_and_ones_for_given_ones(rng):
    detector = HRNet(width=4, stem=4, modules=(0, 0, 1), blocks=1)
    lifter = FeedForward(units=8, num_blocks=1, confidence=True)
    set_random_weights(detector, rng)
    statistics = PoseStatistics(np.zeros((17, 3), np.float32), np.full((17, 3), 100, np.float32))
    estimator = PoseEstimator(detector, lifter, statistics, decoding=Decoding(beta=20.0))
    signatures = make_signatures(estimator)
    found = signatures["images"](tf.constant(rng.integers(0, 256, (2, 256, 256, 3), np.uint8)))
    joints = np.concatenate([found["pose2d"] / 128 - 1, np.asarray(found["confidence"])[..., None]], axis=-1)
    assert np.ptp(joints[..., 2]) > 0.1
    expected = 100 * lifter(joints)
    np.testing.assert_allclose(found["pose3d"], expected - expected[:, :1], atol=0.05)
    joints[..., 2] = 1
    given, expected = signatures["lift"](found["pose2d"])["pose3d"], 100 * lifter(joints)
    np.testing.assert_allclose(given, expected - expected[:, :1], atol=0.05)
    assert np.abs(given - found["pose3d"]).max() > 1


@pytest.mark.parametrize("frame", ["camera", "sight"])
def test_with_a_camera_the_result_says_where_the_hip_is(rng, frame):
    detector = HRNet(width=4, stem=4, modules=(0, 0, 1), blocks=1)
    set_random_weights(detector, rng)
    mean = rng.normal(0, 300, (17, 3)).astype(np.float32)
    statistics = PoseStatistics(mean, np.full((17, 3), 10, np.float32), frame=frame)
    signatures = make_signatures(PoseEstimator(detector, FeedForward(units=8), statistics))
    files, boxes = (
        tf.constant([encode("PNG", size=(600, 400))] * 2),
        tf.constant([[20, 30, 200, 300], [300, 10, 150, 350.0]]),
    )
    cameras = np.float32([[700, 300, 710, 200], [500, 310, 505, 190]])
    alone = signatures["image_and_box"](files, boxes)
    found = signatures["image_box_and_camera"](files, boxes, tf.constant(cameras))
    np.testing.assert_array_equal(found["pose2d"], alone["pose2d"])
    for i, camera in enumerate(cameras):
        pose = [alone[key][i].numpy() for key in ("pose2d", "pose3d", "confidence")]
        pose3d, root3d = put_in_space(*pose, Camera(tuple(camera), "given"), frame, None)
        np.testing.assert_allclose(found["pose3d"][i], pose3d, atol=0.1)
        np.testing.assert_allclose(found["root3d"][i], root3d, rtol=1e-3)
    assert (np.abs(found["pose3d"] - alone["pose3d"]).max() > 1) == (frame == "sight")
    for wrong, message in (
        (cameras[:1], "box holds 2 boxes and intrinsics 1 cameras; send one camera with each box"),
        (cameras * [0, 1, 1, 1], "intrinsics are not fx, cx, fy, cy with focal lengths above 0"),
        (cameras * np.nan, "intrinsics are not fx, cx, fy, cy"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            signatures["image_box_and_camera"](files, boxes, tf.constant(wrong, tf.float32))
