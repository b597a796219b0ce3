"""Tests of the conversion of Leeds Sports Pose and of its extended training set."""

import numpy as np
import pytest
import scipy.io
import tensorflow as tf

from tests.data.converters.layouts import (
    LSP_NAMES,
    MPII_NAMES,
    PERSON,
    around_joints,
    dot_in,
    in_crop,
    lsp_joints,
    write_lsp,
    write_lspet,
    write_photo,
)

FORMS = pytest.mark.parametrize(
    ("write", "photo"), [(write_lsp, "im{:04d}.jpg"), (write_lspet, "im{:05d}.jpg")], ids=["LSP", "extended"]
)
BOX = around_joints([PERSON["thorax" if name == "neck" else name] for name in LSP_NAMES])


@pytest.fixture
def convert(tmp_path, converted):
    def run(min_joints=6, min_side=48.0):
        return converted("lsp", **options(tmp_path, min_joints, min_side))

    return run


def options(folder, min_joints=6, min_side=48.0):
    path, images = str(folder / "joints.mat"), str(folder / "images")
    return {"annotations": path, "images": images, "min_joints": min_joints, "min_side": min_side}


@FORMS
@pytest.mark.parametrize("name", ["right_wrist", "left_ankle", "head_top", "thorax"])
def test_joints_land_where_they_are_in_the_crop(tmp_path, convert, write, photo, name):
    write_photo(tmp_path / "images" / photo.format(1), PERSON[name])
    write(tmp_path / "joints.mat", lsp_joints()[None], np.ones((1, 14)))
    ((sample,), left_out) = convert()
    assert not left_out
    dot = dot_in(tf.io.decode_jpeg(sample["image"]).numpy())
    np.testing.assert_allclose(sample["pose2d"][MPII_NAMES.index(name)], dot, atol=0.7)


@FORMS
def test_the_neck_is_the_thorax_and_the_pelvis_is_between_the_hips(tmp_path, convert, write, photo):
    write_photo(tmp_path / "images" / photo.format(1))
    write(tmp_path / "joints.mat", lsp_joints()[None], np.ones((1, 14)))
    ((sample,), _) = convert()
    labeled = [name != "upper_neck" for name in MPII_NAMES]
    expected = in_crop([PERSON[name] for name in MPII_NAMES], BOX)
    np.testing.assert_array_equal(sample["visibility"][0], labeled)
    np.testing.assert_allclose(sample["pose2d"][labeled], expected[labeled], atol=2e-3)


@FORMS
def test_images_are_numbered_from_one(tmp_path, convert, write, photo):
    people = np.stack([lsp_joints() + shift for shift in (0, 3, 6)])
    people[:, 0, 0] += [0, -10, -20]  # so that the crops differ
    for number in (1, 3):
        write_photo(tmp_path / "images" / photo.format(number))
    write(tmp_path / "joints.mat", people, np.ones((3, 14)))
    samples, left_out = convert()
    assert left_out == {"image missing": 1}
    expected = [in_crop(person - 1, around_joints(person - 1))[0] for person in people[[0, 2]]]
    found = sorted((sample["pose2d"][0] for sample in samples), key=lambda joint: -joint[0])
    np.testing.assert_allclose(found, sorted(expected, key=lambda joint: -joint[0]), atol=2e-3)


def test_occluded_joints_are_labeled_in_the_first(tmp_path, convert):
    write_photo(tmp_path / "images" / "im0001.jpg")
    write_lsp(tmp_path / "joints.mat", lsp_joints()[None], np.arange(14)[None] % 2)
    ((sample,), _) = convert()
    assert sample["visibility"].sum() == 15


def test_joints_of_zero_visibility_have_no_label_in_the_second(tmp_path, convert):
    write_photo(tmp_path / "images" / "im00001.jpg")
    joints, seen = lsp_joints(), np.ones(14)
    hidden = LSP_NAMES.index("left_ankle")
    joints[hidden], seen[hidden] = (-700.0, -20.0), 0
    write_lspet(tmp_path / "joints.mat", joints[None], seen[None])
    ((sample,), _) = convert()
    assert [name for name, one in zip(MPII_NAMES, sample["visibility"][0]) if not one] == ["left_ankle", "upper_neck"]
    rest = np.delete(joints, hidden, axis=0) - 1
    np.testing.assert_allclose(sample["pose2d"][0], in_crop(rest[0], around_joints(rest)), atol=2e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_joints_that_are_not_finite_have_no_label(tmp_path, convert, value):
    write_photo(tmp_path / "images" / "im0001.jpg")
    joints = lsp_joints()
    joints[0] = value
    write_lsp(tmp_path / "joints.mat", joints[None], np.zeros((1, 14)))
    ((sample,), _) = convert()
    rest = joints[1:] - 1
    assert not sample["visibility"][0, 0]
    np.testing.assert_allclose(sample["pose2d"][1], in_crop(rest[0], around_joints(rest)), atol=2e-3)


def test_who_is_left_out_is_counted_by_reason(tmp_path, convert):
    write_photo(tmp_path / "images" / "im00001.jpg")
    small = 100 + 0.2 * lsp_joints()
    seen = np.ones((4, 14))
    seen[1, 5:], seen[2] = 0, 0
    write_lspet(tmp_path / "joints.mat", np.stack([lsp_joints(), lsp_joints(), lsp_joints(), small]), seen)
    samples, left_out = convert()
    assert len(samples) == 1 and left_out == {"with fewer than 6 joints": 2, "smaller than 48 px": 1}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"joints": np.zeros((3, 15, 5))},
        {"joints": np.zeros((5, 14, 3))},
        {"joints": np.zeros((3, 14, 5, 2))},
        {"joints": "none"},
        {"joints": np.full((3, 14), "ab")},
        {"joints": np.zeros((3, 14, 0))},
        {"joints": np.full((3, 14, 2), np.nan)},
        {"RELEASE": np.zeros((3, 14, 5))},
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, refusal, content):
    scipy.io.savemat(tmp_path / "joints.mat", content)
    assert str(tmp_path / "joints.mat") in refusal("lsp", **options(tmp_path))
