"""Tests of EXIF orientation against Pillow, and of files with damaged or malicious headers."""

import io
import struct
import time

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from pose_tf.export.crops import crop_box, crop_whole
from pose_tf.export.headers import MAX_SEGMENTS, orientation
from tests.export.exif import (
    KINDS,
    LONG,
    ORIENTATION,
    ORIENTATIONS,
    THUMBNAIL,
    XMP,
    as_png,
    chunk,
    exif,
    jpeg,
    png,
    save,
    segment,
    tiff,
    upright,
)

FILE, BOX = tf.TensorSpec([], tf.string), tf.TensorSpec([4], tf.float32)
read_orientation = tf.function(orientation, input_signature=[FILE])
whole = tf.function(crop_whole, input_signature=[FILE])
boxed = tf.function(lambda data, box: crop_box(data, box, 1.2), input_signature=[FILE, BOX])


def found(data):
    return int(read_orientation(tf.constant(data)))


@pytest.mark.parametrize("kind", KINDS)
def test_orientations_are_those_that_pillow_sees(kind):
    for value in ORIENTATIONS:
        data = KINDS[kind](value)
        assert PIL.Image.open(io.BytesIO(data)).getexif()[ORIENTATION] == value
        assert found(data) == value


@pytest.mark.parametrize("kind", ["JPEG by Pillow", "big-endian PNG"])
@pytest.mark.parametrize("value", ORIENTATIONS)
def test_crops_are_those_of_the_upright_image(kind, value):
    """The image decoded and turned by Pillow. A whole image 256 pixels wide is cropped pixel for pixel."""
    data = KINDS[kind](value)
    picture = upright(data)
    assert picture.size == ((256, 160) if value < 5 else (160, 256))
    crop, corner, side = whole(tf.constant(data))
    left, top = (256 - picture.width) // 2, (256 - picture.height) // 2
    np.testing.assert_array_equal(crop[top : top + picture.height, left : left + picture.width], np.asarray(picture))
    np.testing.assert_array_equal(corner, [-left, -top])
    assert float(side) == 256

    box = tf.constant([20.0, 90.0, 100.5, 61.25])
    turned = boxed(tf.constant(data), box)
    expected = boxed(tf.constant(as_png(picture)), box)
    assert np.abs(np.int32(turned[0]) - np.int32(expected[0])).max() <= 1
    np.testing.assert_allclose(turned[1], expected[1])
    np.testing.assert_allclose(turned[2], expected[2])


UNUSABLE = {
    "no orientation": jpeg(exif(tiff(6, tag=0x0113))),
    "orientation 0": jpeg(exif(tiff(0))),
    "orientation 9": jpeg(exif(tiff(9))),
    "orientation 65535": jpeg(exif(tiff(65535))),
    "large orientation": jpeg(exif(tiff(2**32 - 1, kind=LONG))),
    "text for a number": jpeg(exif(tiff(6, kind=2))),
    "two numbers": jpeg(exif(tiff(6, count=2))),
    "four billion numbers": jpeg(exif(tiff(6, count=2**32 - 1))),
    "other byte order": jpeg(exif(b"JJ*\0" + tiff(6)[4:])),
    "nothing": jpeg(exif(b"")),
    "byte order alone": jpeg(exif(b"MM\0*")),
    "directory beyond the end": jpeg(exif(b"II*\0\xff\xff\xff\xff" + tiff(6)[8:])),
    "directory that is the header": jpeg(exif(b"II*\0\0\0\0\0" + tiff(6)[8:])),
    "entries without end": jpeg(exif(b"II*\0\x08\0\0\0\xff\xff" + bytes(range(256)))),
    "half an entry": jpeg(exif(tiff(6)[:20])),
    "XMP alone": jpeg(segment(0xE1, XMP)),
    "thumbnail alone": jpeg(exif(b"II*\0\x08\0\0\0\0\0" + struct.pack("<I", 14) + THUMBNAIL)),
    "among the pixels": save("JPEG")[:-2] + exif(tiff(6)) + b"\xff\xd9",
    "chunk of text": png(chunk(b"tEXt", b"eXIf\0" + tiff(6))),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_without_usable_exif_data_pixels_stay_as_they_are_stored(name):
    assert found(UNUSABLE[name]) == 1
    whole(tf.constant(UNUSABLE[name]))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + segment(0xE2, b"") * 1_000_000,
        b"\xff\xd8" + b"\xff" * 10_000_000,
        b"\xff\xd8" + b"\xff\xe1\0\0" * 1_000_000,
        b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"") * 1_000_000,
    ],
    ids=["JPEG of empty segments", "JPEG of fill bytes", "JPEG of sizes below two", "PNG of empty chunks"],
)
def test_segments_without_end_are_refused_at_once(data):
    begin = time.monotonic()
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"image has more than {MAX_SEGMENTS} segments before its"):
        found(data)
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize("kind", ["little-endian", "big-endian PNG", "after other segments"])
def test_damaged_exif_data_is_never_an_unknown_error(kind):
    rng = np.random.default_rng(0)
    good = KINDS[kind](6)
    first = good.index(b"II*\0" if b"II*\0" in good else b"MM\0*")
    for number in range(300):
        data = bytearray(good)
        for place in rng.integers(0, first + 40, 1 + number % 5):
            data[place] = rng.integers(256)
        data = bytes(data[: rng.integers(first + 40)] if number % 3 == 0 else data)
        try:
            assert 1 <= found(data) <= 8
        except tf.errors.InvalidArgumentError as error:
            assert "segments before its pixels" in error.message


def test_reading_the_orientation_takes_little_time():
    """It takes 1 or 2 ms, while the network takes 100 ms per image."""
    for data in (save("JPEG"), KINDS["JPEG by Pillow"](6), save("PNG")):
        data = tf.constant(data)
        read_orientation(data)
        times = []
        for _ in range(20):
            begin = time.perf_counter()
            read_orientation(data)
            times.append(time.perf_counter() - begin)
        assert min(times) < 0.005
