"""Tests of the conversion of MPII Human Pose: the official MATLAB file, and HRNet's JSON files."""

import json

import numpy as np
import pytest
import scipy.io
import tensorflow as tf

from tests.data.converters.layouts import (
    MPII_NAMES,
    PERSON,
    dot_in,
    hrnet_person,
    in_crop,
    mpii_person,
    struct,
    write_mpii,
    write_photo,
)

# The center (161, 110) counts from 1: its pixel's middle is 160.5, 109.5 from the outer edge. HRNet's square has a
# side of 200 px times the scale, 1.25 times enlarged, and its middle is 15 px times the scale lower.
BOX = (160.5 - 90, 109.5 + 13.5 - 90, 180, 180)


def mat_file(folder, people):
    write_mpii(folder / "mpii.mat", [("015601864.jpg", people, 1)])
    return folder / "mpii.mat"


def json_file(folder, people):
    for person in people:
        person["image"] = "015601864.jpg"
    (folder / "train.json").write_text(json.dumps(people))
    return folder / "train.json"


def options(path):
    return {"annotations": str(path), "images": str(path.parent / "images"), "min_joints": 6, "min_side": 48.0}


FORMS = pytest.mark.parametrize(
    ("write", "person"),
    [(mat_file, mpii_person), (json_file, lambda **more: hrnet_person("", **more))],
    ids=["mat", "json"],
)


@FORMS
@pytest.mark.parametrize("name", ["right_wrist", "left_ankle", "head_top"])
def test_joints_land_where_they_are_in_the_crop(tmp_path, converted, write, person, name):
    write_photo(tmp_path / "images" / "015601864.jpg", PERSON[name])
    ((sample,), left_out) = converted("mpii", **options(write(tmp_path, [person()])))
    assert not left_out
    dot = dot_in(tf.io.decode_jpeg(sample["image"]).numpy())
    np.testing.assert_allclose(sample["pose2d"][MPII_NAMES.index(name)], dot, atol=0.7)


@FORMS
def test_the_crop_and_all_joints_are_those_of_hrnet(tmp_path, converted, write, person):
    write_photo(tmp_path / "images" / "015601864.jpg")
    ((sample,), _) = converted("mpii", **options(write(tmp_path, [person()])))
    expected = in_crop([PERSON[name] for name in MPII_NAMES], BOX)
    np.testing.assert_allclose(sample["pose2d"], expected, atol=1e-3)
    np.testing.assert_array_equal(sample["visibility"], np.ones((1, 16)))


@FORMS
def test_joints_may_lack_labels(tmp_path, converted, write, person):
    write_photo(tmp_path / "images" / "015601864.jpg")
    names = tuple(name for name in MPII_NAMES if name not in ("left_knee", "pelvis", "thorax"))
    ((sample,), _) = converted("mpii", **options(write(tmp_path, [person(names=names)])))
    unseen = [name for name, seen in zip(MPII_NAMES, sample["visibility"][0]) if not seen]
    assert unseen == ["left_knee", "pelvis", "thorax"]


@FORMS
def test_who_is_left_out_is_counted_by_reason(tmp_path, converted, write, person):
    write_photo(tmp_path / "images" / "015601864.jpg")
    people = [person(), person(names=("pelvis", "thorax")), person(scale=0.2)]
    samples, left_out = converted("mpii", **options(write(tmp_path, people)))
    assert len(samples) == 1
    assert left_out == {"with fewer than 6 joints": 1, "smaller than 48 px": 1}


def test_all_forms_of_people_in_the_official_file_are_understood(tmp_path, converted):
    photos = [f"{number:09d}.jpg" for number in range(6)]
    for photo in photos[:4]:
        write_photo(tmp_path / "images" / photo)
    without_scale = mpii_person() | {"scale": np.zeros((0, 0)), "objpos": np.zeros((0, 0))}
    of_test_set = {"scale": 1.2, "objpos": struct({"x": 10.0, "y": 20.0})}
    without_points = mpii_person() | {"annopoints": np.zeros((0, 0))}
    one_joint = mpii_person(names=("pelvis",))
    images = [
        (photos[0], [mpii_person(), mpii_person(center=(171.0, 110.0))], 1),
        (photos[1], [], 1),
        (photos[2], [of_test_set, of_test_set], 0),
        (photos[3], [mpii_person(), without_scale, without_points, of_test_set, one_joint], 1),
        (photos[4], [mpii_person()], 1),
        (photos[5], [], 0),
    ]
    write_mpii(tmp_path / "mpii.mat", images)
    samples, left_out = converted("mpii", **options(tmp_path / "mpii.mat"))
    assert len(samples) == 3
    assert left_out == {
        "of the test set, whose joints are not public": 2,
        "without a place and a scale": 1,
        "with fewer than 6 joints": 3,
        "image missing": 1,
    }


# ------------------------------------------------------------------------------------------------------- damaged files


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"RELEASE": 3.0},
        {"RELEASE": "version 12"},
        {"RELEASE": struct({"annolist": 3.0})},
        {"RELEASE": struct({"annolist": struct({"image": 5.0}), "img_train": 1.0})},
        {"RELEASE": struct({"annolist": 5.0, "img_train": 1.0})},
        {"RELEASE": struct({"annolist": struct({"annorect": struct({"scale": 1.0})}), "img_train": 1.0})},
        {"RELEASE": struct({"annolist": struct({"image": struct({"name": "a.jpg"})}), "img_train": 1.0})},
        {"joints": np.zeros((3, 14, 5))},
    ],
)
def test_a_matlab_file_of_another_form_is_refused(tmp_path, refusal, content):
    scipy.io.savemat(tmp_path / "mpii.mat", content)
    assert str(tmp_path / "mpii.mat") in refusal("mpii", **options(tmp_path / "mpii.mat"))


@pytest.mark.parametrize(
    "point",
    [
        {"x": 1.0, "y": 1.0, "id": 16.0},
        {"x": 1.0, "y": 1.0, "id": -1.0},
        {"x": 1.0, "y": 1.0, "id": np.nan},
        {"x": 1.0, "y": 1.0},
        {"x": "left", "y": 1.0, "id": 1.0},
        {"y": 1.0, "id": 1.0},
        {"x": np.zeros((0, 0)), "y": 1.0, "id": 1.0},
    ],
)
def test_a_damaged_joint_is_refused(tmp_path, refusal, point):
    person = mpii_person() | {"annopoints": struct({"point": struct(point)})}
    path = mat_file(tmp_path, [mpii_person(), person])
    assert f"{path}: 015601864.jpg person 1 is not valid" in refusal("mpii", **options(path))


@pytest.mark.parametrize("size", [0, 100, 150, 700, -20])
def test_a_cut_matlab_file_is_refused(tmp_path, refusal, size):
    path = mat_file(tmp_path, [mpii_person()])
    path.write_bytes(path.read_bytes()[:size])
    assert str(path) in refusal("mpii", **options(path))


@pytest.mark.parametrize(
    "content", [b"hello, world\n" * 99, b"\x89HDF\r\n\x1a\n" + bytes(500), b"PK\x03\x04" + bytes(99)]
)
def test_what_is_no_matlab_file_is_refused(tmp_path, refusal, content):
    (tmp_path / "mpii.mat").write_bytes(content)
    assert str(tmp_path / "mpii.mat") in refusal("mpii", **options(tmp_path / "mpii.mat"))


@pytest.mark.parametrize(
    "change",
    [
        {"joints": [[1, 2]] * 15},
        {"joints": "none"},
        {"joints": None},
        {"joints_vis": [1] * 17},
        {"joints_vis": ["yes"] * 16},
        {"center": [1, 2, 3]},
        {"center": "middle"},
        {"scale": "large"},
        {"scale": [1, 2]},
        {"scale": None},
        {"image": 7},
        {"image": None},
    ],
)
def test_a_person_of_another_form_in_hrnets_file_is_refused(tmp_path, refusal, change):
    path = tmp_path / "train.json"
    path.write_text(json.dumps([hrnet_person("a.jpg"), hrnet_person("a.jpg") | change]))
    assert f"{path}: person 1 is not valid" in refusal("mpii", **options(path))


@pytest.mark.parametrize("content", ["{}", '{"images": []}', "[1, 2]", "[[]]", '["a"]', "[null]", "[", "", "[]"])
def test_what_is_not_hrnets_file_is_refused(tmp_path, refusal, content):
    path = tmp_path / "train.json"
    path.write_text(content)
    assert str(path) in refusal("mpii", **options(path))


def test_people_whose_place_is_not_known_are_left_out(tmp_path, converted):
    write_photo(tmp_path / "images" / "015601864.jpg")
    people = [
        hrnet_person(""),
        hrnet_person("", scale=float("nan")),
        hrnet_person("", scale=-1.0),
        hrnet_person("", center=(float("nan"), 5.0)),
    ]
    samples, left_out = converted("mpii", **options(json_file(tmp_path, people)))
    assert len(samples) == 1 and left_out == {"without a place and a scale": 3}
