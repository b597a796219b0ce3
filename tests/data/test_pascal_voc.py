"""Tests of the choice of VOC objects that become occluders, and of reports of damage."""

import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from pose_tf.data.occluders import OccluderBank
from pose_tf.errors import UserError
from tests.data.hidden import APPLE_DOUBLE, hide_files
from tests.data.voc_images import BOX, write_image


@pytest.fixture
def voc(tmp_path):
    chair = (10, 20, 70, 60, "chair", 0, 0)
    write_image(tmp_path, "a", [(80, 20, 150, 110, "person", 0, 0), chair])
    write_image(tmp_path, "b", [(*chair[:5], 1, 0), (*[90, 20, 150, 60], "sofa", 0, 1), (0, 100, 20, 120, "cat", 0, 0)])
    write_image(tmp_path, "c", [(0, 0, 160, 120, "car", 0, 0)])
    write_image(tmp_path, "d", [chair], segmented="<segmented>0</segmented>")
    return tmp_path


def test_whole_objects_that_are_no_people_are_taken_at_half_size(voc):
    bank = OccluderBank.from_voc(str(voc))
    assert [picture.shape for picture in bank.objects] == [(20, 30, 4), (60, 80, 4)]
    chair = bank.objects[0]
    np.testing.assert_allclose(chair[4:-4, 4:-4, :3], np.broadcast_to((200, 100, 50), (12, 22, 3)), atol=6)


def test_the_rim_of_an_object_is_softened(tmp_path):
    write_image(tmp_path, "a", [(10, 20, 70, 60, "chair", 0, 0)])
    objects = cv2.imread(str(tmp_path / "SegmentationObject" / "a.png"), cv2.IMREAD_UNCHANGED)
    assert objects is not None
    # Here the box of the mask is larger than the object, so its rim lies inside.
    annotation = tmp_path / "Annotations" / "a.xml"
    annotation.write_text(annotation.read_text().replace(BOX.format(10, 20, 70, 60), BOX.format(0, 10, 80, 70)))
    (picture,) = OccluderBank.from_voc(str(tmp_path)).objects
    alpha = picture[..., 3]
    assert alpha.shape == (30, 40)
    assert (alpha[:5] == 0).all() and (alpha[:, :5] == 0).all()
    assert (alpha[5:25, 5:35] >= 192).all()
    assert (alpha[5, 5:35] == 192).all() and (alpha[5:25, 5] == 192).all()
    assert (alpha[8:22, 8:32] == 255).all()


def test_a_difficult_object_whose_pixels_are_marked_255_leaves_the_others_of_its_image(tmp_path):
    """As in VOC: numbers count all objects, and only the objects that are used need pixels."""
    chair, sofa = (10, 20, 70, 60, "chair", 1, 0), (80, 20, 150, 110, "sofa", 0, 0)
    write_image(tmp_path, "a", [chair, sofa, (0, 100, 20, 120, "person", 0, 0)])
    path = tmp_path / "SegmentationObject" / "a.png"
    with Image.open(path) as mask:
        numbers, palette = np.array(mask), mask.getpalette()
    numbers[(numbers == 1) | (numbers == 3)] = 255
    mask = Image.fromarray(numbers, mode="P")
    mask.putpalette(palette)
    mask.save(path)
    assert [picture.shape for picture in OccluderBank.from_voc(str(tmp_path)).objects] == [(45, 35, 4)]


def test_an_object_one_pixel_wide_is_no_error(tmp_path):
    write_image(tmp_path, "a", [(10, 0, 11, 700, "lamp", 0, 0)], size=(700, 160))
    assert [picture.shape for picture in OccluderBank.from_voc(str(tmp_path)).objects] == [(350, 1, 4)]


def test_hidden_files_are_no_annotations(voc, capsys):
    for folder, name in (("Annotations", "a.xml"), ("JPEGImages", "a.jpg"), ("SegmentationObject", "a.png")):
        hide_files(voc / folder, name)
    bank = OccluderBank.from_voc(str(voc))
    assert [picture.shape for picture in bank.objects] == [(20, 30, 4), (60, 80, 4)]
    output = capsys.readouterr()
    assert "skipped" not in output.out + output.err and " 4/4 " in output.err


def test_a_folder_of_hidden_files_has_no_annotations(tmp_path):
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "._a.xml").write_bytes(APPLE_DOUBLE)
    with pytest.raises(UserError, match="has no Annotations"):
        OccluderBank.from_voc(str(tmp_path))


@pytest.mark.skipif(os.fsencode("\udcff") != b"\xff", reason="all names on this file system are UTF-8")
def test_an_image_whose_name_is_not_utf_8_is_read(tmp_path):
    write_image(tmp_path, "a", [(10, 20, 70, 60, "chair", 0, 0)])
    for folder in ("Annotations", "JPEGImages", "SegmentationObject"):
        (path,) = (tmp_path / folder).iterdir()
        path.rename(path.with_stem("\udcff"))
    assert len(OccluderBank.from_voc(str(tmp_path))) == 1


def large_png(folder, size=20_000):
    """A header that claims 400 million pixels."""
    path = folder / "SegmentationObject" / "a.png"
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", size, size)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)


ENTITIES = "".join(f"<!ENTITY b{i + 1} '&b{i};&b{i};'>" for i in range(40))

LAUGHS = f"<!DOCTYPE a [<!ENTITY b0 'x'>{ENTITIES}]><annotation>&b40;</annotation>"


@pytest.mark.parametrize(
    "damage, message",
    [
        (large_png, "a.png cannot be read"),
        (lambda d: (d / "SegmentationObject" / "a.png").write_bytes(b""), "a.png cannot be read"),
        (lambda d: (d / "JPEGImages" / "a.jpg").write_bytes(b""), "a.jpg cannot be read"),
        (lambda d: (d / "JPEGImages" / "a.jpg").unlink(), "a.jpg cannot be read as an image: No such file"),
        (lambda d: (d / "Annotations" / "a.xml").write_text(LAUGHS), "a.xml cannot be read"),
        (
            lambda d: (d / "Annotations" / "a.xml").write_bytes(b"<?xml version='1.0' encoding='x'?><a/>"),
            "a.xml cannot",
        ),
        (
            lambda d: (d / "Annotations" / "a.xml").write_text(
                "<annotation><segmented>1</segmented><object><name>chair</name>"
                + BOX.format("inf", "nan", 3, 4)
                + "</object></annotation>"
            ),
            "object 1 has no box",
        ),
        (lambda d: (d / "SegmentationObject" / "a.png").unlink(), "a.png cannot be read"),
        (lambda d: (d / "SegmentationObject" / "a.png").write_bytes(b"not an image"), "a.png cannot be read"),
        (lambda d: (d / "JPEGImages" / "a.jpg").write_bytes(b"not an image"), "a.jpg cannot be read"),
        (lambda d: (d / "Annotations" / "a.xml").write_text("<annotation><segm"), "a.xml cannot be read"),
        (lambda d: (d / "Annotations" / "a.xml").write_text("<annotation/>"), "a.xml does not say whether"),
        (lambda d: write_image(d, "a", [(10, 20, 70, 60, "chair", 0, 0)] * 2), "no pixel of object 1"),
        (lambda d: write_image(d, "a", [(10, 20, 170, 60, "chair", 0, 0)]), "the box of object 1 is not inside"),
        (
            lambda d: (d / "Annotations" / "a.xml").write_text(
                "<annotation><segmented>1</segmented><object><name>chair</name></object></annotation>"
            ),
            "object 1 has no box",
        ),
    ],
)
def test_damaged_images_are_named_and_skipped(voc, damage, message, capsys):
    damage(voc)
    bank = OccluderBank.from_voc(str(voc))
    assert [picture.shape for picture in bank.objects] == [(60, 80, 4)]
    output = capsys.readouterr()
    text = output.out + output.err
    assert message in text
    assert "1 of 4 images were skipped" in text


def test_a_directory_without_annotations_or_usable_objects_is_refused(tmp_path):
    with pytest.raises(UserError, match="has no Annotations"):
        OccluderBank.from_voc(str(tmp_path))
    write_image(tmp_path, "a", [(80, 20, 150, 110, "person", 0, 0)])
    with pytest.raises(UserError, match="no usable object"):
        OccluderBank.from_voc(str(tmp_path))


def test_the_objects_of_real_photographs(shared_data):
    bank = OccluderBank.from_voc(str(shared_data / "voc_mini" / "VOCdevkit" / "VOC2012"))
    with np.load(shared_data / "parity" / "occlusion_io.npz") as file:
        shapes, pixels = file["occluder_shapes"], file["occluder_pixels"]
    np.testing.assert_array_equal([picture.shape[:2] for picture in bank.objects], shapes)
    ours = np.concatenate([picture.reshape(-1, 4) for picture in bank.objects])
    assert np.abs(ours.astype(int) - pixels).max() <= 1
