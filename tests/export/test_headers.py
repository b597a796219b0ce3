"""Tests of EXIF orientation against Pillow, and of files with damaged or malicious headers."""

import io
import struct
import time
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf

from pose_tf.export.crops import crop_box, crop_whole
from pose_tf.export.headers import MAX_SEGMENTS, orientation

ORIENTATIONS = range(1, 9)
ORIENTATION, SHORT, LONG = 0x0112, 3, 4


def photo(size=(256, 160)):
    """An image in which each of the eight orientations looks different."""
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    return PIL.Image.fromarray(np.uint8(np.dstack([x, y, 128 + 60 * np.sin(x / 9) * np.cos(y / 30)])))


def save(format, **options):
    buffer = io.BytesIO()
    photo().save(buffer, format, **options)
    return buffer.getvalue()


def tiff(value, order="<", kind=SHORT, count=1, before=(), after=b"", tag=ORIENTATION):
    """TIFF data whose first directory holds the orientation after some other entries (tag, type, count, value)."""
    packed = struct.pack(order + ("HH" if kind == SHORT else "I"), *((value, 0) if kind == SHORT else (value,)))
    entries = [struct.pack(order + "HHII", *entry) for entry in before]
    entries.append(struct.pack(order + "HHI", tag, kind, count) + packed)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
    return magic + struct.pack(order + "I", 8) + directory + after


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg(*segments):
    """A JPEG with these segments at its beginning."""
    return b"\xff\xd8" + b"".join(segments) + save("JPEG")[2:]


def exif(data):
    return segment(0xE1, b"Exif\0\0" + data)


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(*chunks, at_end=False):
    """A PNG with these chunks before or after its pixels."""
    data = save("PNG")
    place = data.index(b"IEND") - 4 if at_end else 33  # after IHDR
    return data[:place] + b"".join(chunks) + data[place:]


FILE, BOX = tf.TensorSpec([], tf.string), tf.TensorSpec([4], tf.float32)
read_orientation = tf.function(orientation, input_signature=[FILE])
whole = tf.function(crop_whole, input_signature=[FILE])
boxed = tf.function(lambda data, box: crop_box(data, box, 1.2), input_signature=[FILE, BOX])


def found(data):
    return int(read_orientation(tf.constant(data)))


def upright(data):
    return PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))).convert("RGB")


def as_png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>Exif\0\0</x:xmpmeta>"
THUMBNAIL = struct.pack("<HHHII", 1, ORIENTATION, SHORT, 1, 3) + bytes(
    4
)  # the second directory, which describes another image

KINDS = {
    "JPEG by Pillow": lambda value: save("JPEG", exif=pillow_exif(value)),
    "progressive JPEG": lambda value: save("JPEG", exif=pillow_exif(value), progressive=True),
    "PNG by Pillow": lambda value: save("PNG", exif=pillow_exif(value)),
    "little-endian": lambda value: jpeg(exif(tiff(value, "<"))),
    "big-endian": lambda value: jpeg(exif(tiff(value, ">"))),
    "long": lambda value: jpeg(exif(tiff(value, ">", LONG))),
    "big-endian PNG": lambda value: png(chunk(b"eXIf", tiff(value, ">"))),
    "PNG with JPEG's header": lambda value: png(chunk(b"eXIf", b"Exif\0\0" + tiff(value))),
    "PNG after text": lambda value: png(chunk(b"tEXt", b"Comment\0" + bytes(70_000)), chunk(b"eXIf", tiff(value))),
    "PNG after its pixels": lambda value: png(chunk(b"eXIf", tiff(value)), at_end=True),
    "after other segments": lambda value: jpeg(
        segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
        segment(0xE2, b"ICC_PROFILE\0" + bytes(65_000)),
        segment(0xFE, b"Exif\0\0" + tiff(3)),  # a comment
        segment(0xE1, XMP),
        b"\xff\xff\xff" + exif(tiff(value)),  # fill bytes
    ),
    "among other entries": lambda value: jpeg(
        exif(tiff(value, before=[(0x010F, 2, 4, 0x41414141), (0x0110, SHORT, 1, 7), (0x011A, 5, 1, 8)]))
    ),
    "with a thumbnail": lambda value: jpeg(exif(tiff(value)[:-4] + struct.pack("<I", 26) + THUMBNAIL)),
    "far directory": lambda value: jpeg(exif(b"II*\0" + struct.pack("<I", 60_000) + bytes(59_992) + tiff(value)[8:])),
    "two": lambda value: jpeg(exif(tiff(value)), exif(tiff(3))),
}


def pillow_exif(value):
    data = PIL.Image.Exif()
    data[0x010F], data[ORIENTATION], data[0x0132] = "Some Camera", value, "2024:01:02 03:04:05"
    return data


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
