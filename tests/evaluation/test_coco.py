"""Tests of COCO's evaluation: perfect predictions, known similarities, and who does not count."""

import json
import sys

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pose_tf import coco_results
from pose_tf.errors import UserError
from pose_tf.evaluation import coco
from pose_tf.evaluation.report import format_report
from tests.predict.test_results import H36M_OF_COCO

SIGMAS = np.float64([0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089])
"""COCO's constants of shoulders, elbows, wrists, hips, knees and ankles."""
SIZE = (200, 160)


def person(number, image_id, side=100.0, labeled=range(17), **more):
    """An annotation: a person at random places in a box of (side, side) px."""
    corner = np.float64([20, 30])
    keypoints = np.zeros((17, 3))
    places = np.random.default_rng(number).uniform(0, side, (17, 2)) + corner
    keypoints[labeled] = np.column_stack([places, np.full(17, 2)])[list(labeled)]
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "area": side**2 / 2,
        "bbox": [*corner, side, side],
        "keypoints": keypoints.ravel().tolist(),
        "num_keypoints": len(labeled),
    } | more


def write(folder, people, images=(1, 2)):
    """Writes annotations and black images, each with its id as the level of its first pixel."""
    (folder / "images").mkdir(exist_ok=True)
    listed = []
    for image in images:
        name = f"{image:012d}.png"
        cv2.imwrite(f"{folder}/images/{name}", np.zeros((*SIZE[::-1], 3), np.uint8))
        listed.append({"id": image, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
    (folder / "labels.json").write_text(json.dumps({"images": listed, "annotations": people, "categories": []}))
    return str(folder / "labels.json"), str(folder / "images")


def predicted(label, offset=(0.0, 0.0), confidence=0.5):
    """What a detector finds that misses all joints of an annotation by the same offset."""
    keypoints = np.reshape(label["keypoints"], (17, 3))
    pose2d = np.full((17, 2), 7.0)
    pose2d[H36M_OF_COCO] = keypoints[5:, :2] + offset
    return coco_results.entry(label["image_id"], pose2d, np.full(17, confidence), label["bbox"])


def measure(folder, people, entries, images=(1, 2)):
    labels, listed = coco.read_labels(*write(folder, people, images))
    return coco.measure(labels, list(listed), entries)


def test_perfect_predictions_have_an_ap_of_100(tmp_path):
    people = [person(1, 1), person(2, 2), person(3, 2, side=80.0)]
    figures = measure(tmp_path, people, [predicted(one) for one in people])
    assert [figures.pop("APL"), figures.pop("ARL")] == [None, None]
    assert figures == pytest.approx(dict.fromkeys("AP AP50 AP75 APM AR AR50 AR75 ARM".split(), 100))  # noqa: SIM905


@pytest.mark.parametrize("offset", [2.0, 5.0, 8.0, 11.0, 14.0, 30.0])
def test_ap_counts_the_thresholds_below_the_similarity(tmp_path, offset):
    """OKS = mean of exp(−d² / (2 · area · (2σ)²)); a single person is right at the thresholds 0.5, 0.55, … up to it."""
    label = person(1, 1)
    oks = np.exp(-(offset**2) / (2 * label["area"] * (2 * SIGMAS) ** 2)).mean()
    thresholds = np.arange(10) * 0.05 + 0.5
    assert np.abs(oks - thresholds).min() > 0.002
    figures = measure(tmp_path, [label], [predicted(label, (0, offset))])
    assert figures["AP"] == pytest.approx(100 * (oks >= thresholds).mean())
    assert figures["AP50"] == pytest.approx(100 if oks >= 0.5 else 0)
    assert figures["AR75"] == pytest.approx(100 if oks >= 0.75 else 0)


def test_the_similarity_is_that_of_labeled_joints(tmp_path):
    label = person(1, 1, labeled=[0, 9, 11])  # nose, left wrist, left hip
    offset = 11.0
    oks = np.exp(-(offset**2) / (2 * label["area"] * (2 * SIGMAS[[4, 6]]) ** 2)).mean()
    assert 0.602 < oks < 0.648
    figures = measure(tmp_path, [label], [predicted(label, (offset, 0))])
    assert figures["AP"] == pytest.approx(30)


def test_people_without_arms_and_legs_and_crowds_do_not_count(tmp_path):
    """Neither are they missed, nor is a detection at their place wrong."""
    people = [person(1, 1), person(2, 2, labeled=[0, 1, 2]), person(3, 2, labeled=[], iscrowd=1)]
    found = [predicted(one) for one in people]
    for entries in (found[:1], found[:2]):
        figures = measure(tmp_path, people, entries)
        assert [figures["AP"], figures["AR"]] == pytest.approx([100, 100])
    elsewhere = predicted(person(4, 2), (500, 0), confidence=0.9)
    assert measure(tmp_path, people, [*found[:1], elsewhere])["AP"] < 60  # wrong, and more confident


def test_other_categories_are_not_people(tmp_path):
    labels, _ = coco.read_labels(*write(tmp_path, [person(1, 1), person(2, 2, category_id=2)]))
    assert [label["image_id"] for label in labels] == [1]


CENTER = np.float32([120, 135])


def detect(images):
    """Finds all joints at one place of the crop."""
    pose2d = tf.tile(tf.constant(CENTER)[None, None], [tf.shape(images)[0], 17, 1])
    return pose2d, tf.fill(tf.shape(pose2d)[:2], 0.8)


def test_the_people_in_labeled_boxes_are_estimated(tmp_path):
    people = [person(1, 2), person(2, 1, side=60.0), person(3, 1, labeled=[0]), person(4, 2, iscrowd=1)]
    annotations, images = write(tmp_path, people)
    report, entries = coco.evaluate(detect, annotations, images, batch_size=1)
    assert (report["images"], report["samples"], report["boxes"]) == (2, 2, None)
    assert [one["image_id"] for one in entries] == [1, 2]
    for one, side in zip(entries, (60, 100)):
        assert one["score"] == pytest.approx(0.8)
        # The crop has 1.25 times the side of the box, whose center is at 20 + side / 2, measured from the outer edge.
        expected = (CENTER + 0.5) / 256 * 1.25 * side + [20, 30] - 0.125 * side - 0.5
        np.testing.assert_allclose(
            np.reshape(one["keypoints"], (17, 3))[5:, :2], expected[None].repeat(12, 0), atol=0.01
        )
    assert list(report["protocol"]["rows"]) == ["labeled boxes"]
    text = format_report(report)
    assert "12 joints of arms and legs" in text and "not comparable with published AP over 17 keypoints" in text


def test_the_people_in_detected_boxes_are_estimated(tmp_path):
    annotations, images = write(tmp_path, [person(1, 1), person(2, 2)])
    boxes = [
        {"image_id": 2, "category_id": 1, "bbox": [50, 40, 80, 90], "score": 0.5},
        {"image_id": 2, "category_id": 3, "bbox": [0, 0, 80, 90], "score": 0.9},
        {"image_id": 1, "category_id": 1, "bbox": [10, 20, 0.1, 0], "score": 0.25},
    ]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    report, entries = coco.evaluate(detect, annotations, images, str(tmp_path / "boxes.json"))
    assert [(one["image_id"], one["score"]) for one in entries] == [(1, 0.2), (2, 0.4)]
    assert entries[1]["bbox"] == [50, 40, 80, 90]
    assert list(report["protocol"]["rows"]) == ["boxes of boxes.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "is not a list of COCO's detection results"),
        ([{"image_id": 1, "category_id": 1, "score": 1}], "entry 0 is not valid: 'bbox' is missing"),
        (
            [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3], "score": 1}],
            "entry 0 is not valid: 'bbox' is not four",
        ),
        ([{"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}], "the annotations do not list image 7"),
        ([{"image_id": [], "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}], "entry 0 is not valid"),
        ([5], "entry 0 is not valid"),
        ([], "has no person of whom joints are labeled"),
    ],
)
def test_boxes_that_are_wrong_are_named(tmp_path, content, message):
    annotations, images = write(tmp_path, [person(1, 1)])
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"boxes.json.*{message}"):
        coco.evaluate(detect, annotations, images, str(tmp_path / "boxes.json"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"area": None}, r"labels.json: annotations\[0\] is not valid"),
        ({"area": float("nan")}, r"labels.json: annotations\[0\] is not valid: its area is nan"),
        ({"area": -1}, r"labels.json: annotations\[0\] is not valid: its area is -1"),
        (
            {"keypoints": [1, 2, 3]},
            r"labels.json: annotations\[0\] is not valid: 'keypoints' has 3 numbers, expected 51",
        ),
        ({"bbox": [1, 2, 3]}, r"labels.json: annotations\[0\] is not valid: 'bbox' is not four numbers"),
        ({"iscrowd": 1}, "labels.json has no person of whom joints are labeled"),
    ],
)
def test_labels_that_are_wrong_are_named(tmp_path, change, message):
    annotations, images = write(tmp_path, [person(1, 1) | change])
    with pytest.raises(UserError, match=message):
        coco.evaluate(detect, annotations, images)


def test_images_that_are_missing_or_others_are_named(tmp_path):
    annotations, images = write(tmp_path, [person(1, 1)])
    cv2.imwrite(f"{images}/000000000001.png", np.zeros((50, 60, 3), np.uint8))
    with pytest.raises(UserError, match="000000000001.png is 60x50, but the annotations say 200x160"):
        coco.evaluate(detect, annotations, images)
    (tmp_path / "images" / "000000000001.png").unlink()
    with pytest.raises(UserError, match="000000000001.png: image missing"):
        coco.evaluate(detect, annotations, images)


def test_a_missing_package_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(UserError, match=r"^COCO's evaluation needs pycocotools: pip install 'pose_tf\[coco\]'$"):
        coco.evaluate(detect, str(tmp_path), str(tmp_path))


def test_nothing_is_printed_by_the_evaluation(tmp_path, capsys):
    measure(tmp_path, [person(1, 1)], [predicted(person(1, 1))])
    assert capsys.readouterr().out == ""
