"""Tests of the conversion of COCO's keypoints."""

import json

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pose_tf.data.converters import coco
from pose_tf.data.converters.people import LeftOut, read_image
from tests.data.converters.layouts import (
    BOX,
    COCO_NAMES,
    MPII_NAMES,
    PERSON,
    coco_crowd,
    coco_person,
    dot_in,
    in_crop,
    write_coco,
    write_photo,
)

BODY = [name for name in MPII_NAMES if name in COCO_NAMES]


@pytest.fixture
def convert(tmp_path, converted):
    def run(people, images=1, min_joints=6, min_side=48.0):
        write_coco(tmp_path / "person_keypoints.json", people, images)
        return converted("coco", **options(tmp_path) | {"min_joints": min_joints, "min_side": min_side})

    return run


def options(folder):
    path = str(folder / "person_keypoints.json")
    return {"annotations": path, "images": str(folder / "images"), "min_joints": 6, "min_side": 48.0}


@pytest.mark.parametrize("name", ["right_wrist", "left_ankle", "nose"])
def test_joints_land_where_they_are_in_the_crop(tmp_path, convert, name):
    write_photo(tmp_path / "images" / "000000000001.jpg", PERSON[name])
    ((sample,), left_out) = convert([coco_person()])
    assert not left_out
    dot = dot_in(tf.io.decode_jpeg(sample["image"]).numpy())
    np.testing.assert_allclose(dot, in_crop(PERSON[name], BOX), atol=0.7)
    if name in MPII_NAMES:
        np.testing.assert_allclose(sample["pose2d"][MPII_NAMES.index(name)], dot, atol=0.7)
        assert sample["visibility"][0, MPII_NAMES.index(name)] == 1


def test_joints_get_their_names_and_the_middles_of_hips_and_shoulders_are_derived(tmp_path, convert):
    write_photo(tmp_path / "images" / "000000000001.jpg")
    ((sample,), _) = convert([coco_person()])
    places = dict(PERSON, pelvis=(160, 126), thorax=(160, 74))
    labeled = [name not in ("upper_neck", "head_top") for name in MPII_NAMES]
    expected = in_crop([places[name] for name in MPII_NAMES], BOX)
    np.testing.assert_array_equal(sample["visibility"][0], labeled)
    np.testing.assert_allclose(sample["pose2d"][labeled], expected[labeled], atol=1e-3)
    np.testing.assert_array_equal(sample["pose2d"][8:10], 0)


def test_joints_without_a_label_are_not_at_the_corner_of_the_image(tmp_path, convert):
    write_photo(tmp_path / "images" / "000000000001.jpg")
    names = tuple(name for name in COCO_NAMES if name not in ("left_hip", "right_wrist", "left_shoulder"))
    ((sample,), _) = convert([coco_person(names=names)])
    missing = {"left_hip", "right_wrist", "left_shoulder", "pelvis", "thorax", "upper_neck", "head_top"}
    assert {name for name, seen in zip(MPII_NAMES, sample["visibility"][0]) if not seen} == missing
    ankle = MPII_NAMES.index("right_ankle")
    np.testing.assert_allclose(sample["pose2d"][ankle], in_crop(PERSON["right_ankle"], BOX), atol=1e-3)


def test_who_is_left_out_is_counted_by_reason(tmp_path, convert):
    write_photo(tmp_path / "images" / "000000000001.jpg")
    write_photo(tmp_path / "images" / "000000000003.jpg", size=(240, 320))
    write_photo(tmp_path / "images" / "000000000004.jpg")
    path = tmp_path / "images" / "000000000004.jpg"
    path.write_bytes(path.read_bytes()[:300])
    people = [
        coco_person(),
        coco_crowd(),
        coco_person(names=()),
        coco_person(keypoints=[]),
        coco_person(names=("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_knee")),
        coco_person(box=(110, 30, 20, 47)),
        coco_person(image_id=2),
        coco_person(image_id=3),
        coco_person(image_id=4),
        coco_person(image_id=99),
    ]
    samples, left_out = convert(people, images=4)
    assert len(samples) == 1
    assert left_out == {
        "crowd": 1,
        "without keypoints": 1,
        "with fewer than 6 joints": 2,
        "smaller than 48 px": 1,
        "image missing": 1,
        "image of another size than its labels say": 1,
        "image damaged": 1,
        "of an image that the file does not list": 1,
    }


def test_people_with_few_joints_and_small_people_can_be_kept(tmp_path, convert):
    write_photo(tmp_path / "images" / "000000000001.jpg")
    people = [coco_person(names=("left_knee", "nose")), coco_person(box=(150, 100, 10, 12))]
    samples, left_out = convert(people, min_joints=1, min_side=12.0)
    assert not left_out
    assert sorted(int(sample["visibility"].sum()) for sample in samples) == [1, 14]


def test_joints_that_are_derived_do_not_count_as_labeled(tmp_path, convert):
    write_photo(tmp_path / "images" / "000000000001.jpg")
    hips_and_shoulders = ("left_hip", "right_hip", "left_shoulder", "right_shoulder")
    people = [coco_person(), coco_person(names=hips_and_shoulders)]
    samples, left_out = convert(people, min_joints=5)
    assert len(samples) == 1 and left_out == {"with fewer than 5 joints": 1}


def test_an_empty_box_is_never_a_person(tmp_path, convert):
    write_photo(tmp_path / "images" / "000000000001.jpg")
    people = [coco_person(), coco_person(box=(150, 100, 0, 0)), coco_person(box=(150, 100, -5, -5))]
    samples, left_out = convert(people, min_side=0.0)
    assert len(samples) == 1 and left_out.total() == 2


def test_gray_and_turned_photos_are_read_as_they_are_stored(tmp_path, convert):
    path = tmp_path / "images" / "000000000001.jpg"
    write_photo(path, PERSON["left_knee"])
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    data = cv2.imencode(".jpg", image)[1].tobytes()
    turned = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    path.write_bytes(data[:2] + turned + data[2:])
    assert cv2.imread(str(path)).shape == (320, 240, 3)  # OpenCV turns it
    ((sample,), _) = convert([coco_person()])
    dot = dot_in(tf.io.decode_jpeg(sample["image"]).numpy())
    np.testing.assert_allclose(dot, in_crop(PERSON["left_knee"], BOX), atol=0.7)


# ------------------------------------------------------------------------------------------------------- damaged files


def change(key, number=0, **values):
    return lambda content: content[key][number].update(values)


FAULTS = {
    "no people": lambda content: content.update(annotations=[]),
    "no list of images": lambda content: content.pop("images"),
    "people as a dictionary": lambda content: content.update(annotations={"1": {}}),
    "images as a number": lambda content: content.update(images=3),
    "people that are numbers": lambda content: content.update(annotations=[1, 2]),
    "people that are lists": lambda content: content.update(annotations=[["nose", 1, 2]]),
    "images that are strings": lambda content: content.update(images=["a.jpg"]),
    "an image without a name": lambda content: content["images"][0].pop("file_name"),
    "an image with a number as its name": change("images", file_name=5),
    "an image without a size": lambda content: content["images"][0].pop("width"),
    "an image of NaN px": change("images", width=float("nan")),
    "an image of infinitely many px": change("images", width=float("inf")),
    "an image with a list as its number": change("images", id=[1]),
    "a person without a box": lambda content: content["annotations"][0].pop("bbox"),
    "a person without an image": lambda content: content["annotations"][0].pop("image_id"),
    "a person with a list as image": change("annotations", image_id=[1]),
    "a box of three numbers": change("annotations", bbox=[1, 2, 3]),
    "a box of words": change("annotations", bbox=["a", "b", "c", "d"]),
    "a box with NaN": change("annotations", bbox=[1, 2, float("nan"), 100]),
    "a box as a dictionary": change("annotations", bbox={"x": 1}),
    "keypoints of words": change("annotations", keypoints=["x"] * 51),
    "keypoints of a hand": change("annotations", keypoints=[1] * 63),
    "keypoints as a dictionary": change("annotations", keypoints={"nose": [1, 2, 2]}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_of_another_form_is_refused(tmp_path, refusal, fault):
    write_photo(tmp_path / "images" / "000000000001.jpg")
    path = tmp_path / "person_keypoints.json"
    write_coco(path, [coco_person(), coco_person()])
    content = json.loads(path.read_text())
    FAULTS[fault](content)
    path.write_text(json.dumps(content))
    assert str(path) in refusal("coco", **options(tmp_path))


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"images": [], "annot', b"[1, 2]", b"3", b"\xff\xd8\xff\xe0", b"[" * 100_000, b"null"]
)
def test_what_is_no_json_file_of_coco_is_refused(tmp_path, refusal, content):
    path = tmp_path / "person_keypoints.json"
    path.write_bytes(content)
    assert str(path) in refusal("coco", **options(tmp_path))


def test_a_missing_file_and_a_directory_are_refused(tmp_path, refusal):
    path = tmp_path / "person_keypoints.json"
    assert refusal("coco", **options(tmp_path)) == f"{path} does not exist"
    path.mkdir()
    assert refusal("coco", **options(tmp_path)).startswith(f"{path} cannot be read: ")


def test_joints_that_are_not_finite_have_no_label(tmp_path, convert):
    write_photo(tmp_path / "images" / "000000000001.jpg")
    person = coco_person()
    knee, ankle, wrist = (3 * COCO_NAMES.index(name) for name in ("left_knee", "right_ankle", "left_wrist"))
    person["keypoints"][knee] = float("nan")
    person["keypoints"][ankle + 1] = float("inf")
    person["keypoints"][wrist + 2] = float("nan")
    ((sample,), _) = convert([person])
    seen = dict(zip(MPII_NAMES, sample["visibility"][0]))
    assert not seen["left_knee"] and not seen["right_ankle"] and not seen["left_wrist"]
    assert seen["right_knee"] and np.isfinite(sample["pose2d"]).all()


def test_an_image_whose_name_no_file_can_have_is_left_out(tmp_path):
    path = tmp_path / "person_keypoints.json"
    write_coco(path, [coco_person(), coco_person(image_id=2)], images=2)
    path.write_text(path.read_text().replace("000000000002.jpg", "a\\u0000b.jpg"))
    people, _ = coco.read(**options(tmp_path))
    with pytest.raises(LeftOut):
        read_image(people[1].path)
