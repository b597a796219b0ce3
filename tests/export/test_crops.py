"""Tests of untrusted input: invalid images and boxes are refused with a reason, and the next request works."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pose_tf.export.crops import crop_box, crop_people, crop_whole, decode, encoded_size
from pose_tf.predict.media import read_photo
from tests.export.inputs import BAD_BOXES, BOXES, GOOD, bmp, encode, png_header

NOISE = np.random.default_rng(0).integers(0, 256, (8, 10, 4), np.uint8)
NUMBERS = np.pad(NOISE[..., 0], ((0, 0), (0, 2))).tobytes()  # of colors, 12 bytes a row
GRAYS = b"".join(bytes([i, i, i, 0]) for i in range(256))
COLORS = b"".join(bytes([i * 37 % 256, i * 91 % 256, i * 13 % 256, 0]) for i in range(256))
BGRA_MASKS = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
RGBA_MASKS = struct.pack("<III", 0xFF, 0xFF00, 0xFF0000)

READ = {
    "8-bit BMP, Pillow's palette": encode("BMP", "P"),
    "8-bit BMP, gray by Pillow": encode("BMP", "L"),
    "8-bit BMP, palette": bmp(8, NUMBERS, palette=COLORS),
    "8-bit BMP, palette, from the top": bmp(8, NUMBERS, palette=COLORS, height=-8),
    "8-bit BMP, gray palette": bmp(8, NUMBERS, palette=GRAYS),
    "8-bit BMP, dark first": bmp(8, NUMBERS, palette=GRAYS[::-1]),
    "8-bit BMP, 16 colors": bmp(8, bytes(value % 16 for value in NUMBERS), palette=COLORS[:64]),
    "24-bit BMP, from the top": bmp(24, bytes(32 * 8), height=-8),
    "32-bit BMP": bmp(32, NOISE.tobytes()),
    "32-bit BMP, from the top": bmp(32, NOISE.tobytes(), height=-8),
    "32-bit BMP, masks": bmp(32, NOISE.tobytes(), compression=3, more=BGRA_MASKS),
    "32-bit BMP with alpha by Pillow": encode("BMP", "RGBA"),
    "1-bit PNG": encode("PNG", "1"),
    "4-bit palette PNG": encode("PNG", "P", colors=16, bits=4),
    "palette PNG with a transparent color": encode("PNG", "P", transparency=3),
    "PNG with a transparent color": encode("PNG", transparency=(0, 0, 0)),
    "gray PNG with alpha": encode("PNG", "LA"),
    "16-bit gray PNG": tf.io.encode_png(np.arange(0, 64000, 40, np.uint16).reshape(40, 40, 1)).numpy(),
    "16-bit PNG with alpha": tf.io.encode_png(np.arange(0, 64000, 40, np.uint16).reshape(20, 20, 4)).numpy(),
    "JPEG of RGB": encode("JPEG", keep_rgb=True),
    "JPEG of YCCK": GOOD["CMYK JPEG"].replace(b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\2"),
    "JPEG with more behind it": GOOD["JPEG"] + GOOD["PNG"],
}
"""Files that decode pixel for pixel like Pillow."""

NOT_READ = {
    "1-bit BMP": encode("BMP", "1"),
    "4-bit BMP": bmp(4, bytes(8 * 8), palette=COLORS[:64]),
    "16-bit BMP": bmp(16, bytes(20 * 8)),
    "16-bit BMP, masks": bmp(16, bytes(20 * 8), compression=3, more=struct.pack("<III", 0xF800, 0x7E0, 0x1F)),
    "8-bit BMP, run lengths": bmp(8, b"\x0a\5\0\0" * 8 + b"\0\1", palette=COLORS, compression=1),
    "32-bit BMP, other masks": bmp(32, NOISE.tobytes(), compression=3, more=RGBA_MASKS),
    "BMP of OS/2": b"BM" + struct.pack("<IHHIIHHHH", 26 + 256, 0, 0, 26, 12, 10, 8, 1, 24) + bytes(256),
    "BMP that holds a JPEG": bmp(0, GOOD["JPEG"], compression=4),
}


def jpeg_header(width, height):
    data = bytearray(GOOD["JPEG"])
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def bmp_header(width, height):
    data = bytearray(GOOD["BMP"])
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


@pytest.mark.parametrize("name", GOOD)
def test_images_of_all_kinds_are_decoded(name):
    np.testing.assert_array_equal(encoded_size(tf.constant(GOOD[name])), [50, 70])
    image = decode(tf.constant(GOOD[name]))
    assert image.shape == (50, 70, 3)
    expected = np.asarray(Image.open(io.BytesIO(GOOD[name])).convert("RGB"), np.float32)
    np.testing.assert_allclose(image, expected, atol=1 if name == "CMYK JPEG" else 0)


@pytest.mark.parametrize("name", READ)
def test_pixels_are_those_that_pillow_reads(name):
    picture = Image.open(io.BytesIO(READ[name]))
    if picture.mode == "I;16":
        picture = Image.fromarray(np.uint8(np.asarray(picture) >> 8))
    image = decode(tf.constant(READ[name]))
    np.testing.assert_allclose(image, np.float32(picture.convert("RGB")), atol=1 if "CCK" in name else 0)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("largest", "bits"), [(0, 8), (255, 8), (256, 10), (1023, 10), (4095, 12), (16383, 14), (16384, 16)]
)
def test_16_bit_pngs_of_fewer_bits_are_not_dark(largest, bits, channels):
    """An image of 12 bits, say, is as bright as its 8-bit copy, as it is in photos that `pose-tf predict` reads."""
    samples = np.random.default_rng(0).integers(0, largest + 1, (40, 30, channels)).astype(np.uint16)
    samples[3, 5] = largest
    if channels == 4:
        samples[..., 3] = 65535  # opaque
    data = tf.io.encode_png(samples).numpy()
    image = decode(tf.constant(data))
    np.testing.assert_array_equal(image, np.broadcast_to(samples[..., :3] >> (bits - 8), [40, 30, 3]))
    np.testing.assert_array_equal(image, read_photo(data))


@pytest.mark.parametrize("name", NOT_READ)
def test_what_is_not_read_is_refused_with_what_to_send(name):
    words = "image is a BMP with compression or without 8, 24 or 32 bits per pixel; send 24 bits, or a PNG or JPEG"
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        decode(tf.constant(NOT_READ[name]))


BAD_IMAGES = {
    "nothing": (b"", "not a JPEG, PNG or BMP:.*0.*bytes"),
    "text": (b"Dear reader", "not a JPEG, PNG or BMP:.*11.*bytes"),
    "GIF": (encode("GIF", "P"), "not a JPEG, PNG or BMP"),
    "half a JPEG": (GOOD["JPEG"][: len(GOOD["JPEG"]) // 2], None),
    "start of a JPEG": (GOOD["JPEG"][:3], None),
    "half a PNG": (GOOD["PNG"][: len(GOOD["PNG"]) // 2], None),
    "huge PNG": (png_header(100_000, 100_000), "image has too many pixels.*100000 100000"),
    "wide PNG": (png_header(2**31 - 1, 1), "image has too many pixels"),
    "wide PNG of few pixels": (png_header(32_769, 1), "more than 32768 in a row or column; height and width: .1 32769"),
    "high PNG of few pixels": (png_header(1, 32_769), "more than 32768 in a row or column; height and width: .32769 1"),
    "overflowing PNG": (png_header(2**31, 2**31), "image has too many pixels"),
    "empty PNG": (png_header(0, 10), "not a JPEG, PNG or BMP"),
    "huge JPEG": (jpeg_header(65_500, 65_500), "image has too many pixels.*65500 65500"),
    "huge BMP": (bmp_header(60_000, -60_000), "image has too many pixels"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_what_is_no_image_or_too_large_is_refused(name):
    data, words = BAD_IMAGES[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        tf.function(crop_whole)(tf.constant(data))


@pytest.mark.parametrize(("words", "box"), [(words, box) for words, boxes in BAD_BOXES.items() for box in boxes])
def test_boxes_that_hold_nobody_are_refused(words, box):
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"box is {words}"):
        tf.function(crop_box)(tf.constant(GOOD["PNG"]), tf.constant(box, tf.float32), 1.2)


def test_a_box_may_reach_over_the_border():
    crop, corner, side = crop_box(tf.constant(GOOD["PNG"]), tf.constant([-20.0, 10.0, 60.0, 30.0]), 1.2)
    np.testing.assert_allclose(corner, [-20 - 6, 10 + 15 - 36], atol=1e-4)
    assert float(side) == pytest.approx(72)
    assert (crop[:, :92].numpy() == (124, 116, 104)).all()  # 26 of 72 pixels lie left of the image
    assert (crop[:38].numpy() == (124, 116, 104)).all()  # and 11 above it
    assert (crop[40:216, 94:].numpy() != (124, 116, 104)).any(axis=-1).all()


def test_the_crops_are_those_of_files_bit_for_bit(image):
    crops, corners, sides = tf.function(crop_people)(image, BOXES, 1.3)
    data, crop_file = tf.io.encode_png(image), tf.function(crop_box)
    for i, box in enumerate(tf.constant(BOXES)):
        crop, corner, side = crop_file(data, box, 1.3)
        np.testing.assert_array_equal(crops[i], crop)
        np.testing.assert_array_equal(corners[i], corner)
        assert float(sides[i]) == float(side)


def test_a_thousand_damaged_requests_do_no_harm(signatures):
    """Each request is answered or refused, and a good one among them is answered as before."""
    rng = np.random.default_rng(0)
    kinds = list(GOOD.values())
    good = {"image_bytes": tf.constant([GOOD["JPEG"]]), "box": tf.constant([[10.0, 5.0, 30.0, 40.0]])}
    expected = signatures["image_and_box"](**good)
    refused = 0
    for number in range(1000):
        data = bytearray(kinds[number % len(kinds)])
        if rng.random() < 0.5:
            data = data[: rng.integers(len(data))]
        for place in rng.integers(0, max(len(data), 1), rng.integers(1, 9)):
            if len(data):
                data[min(place, 40 if rng.random() < 0.5 else place)] = rng.integers(256)
        box = tf.constant(rng.normal(0, 10.0 ** rng.integers(-2, 10), (1, 4)), tf.float32)
        request = {"image_bytes": tf.constant([bytes(data)]), "box": abs(box) if rng.random() < 0.8 else box}
        try:
            found = signatures["image_and_box"](**request)
            assert all(np.isfinite(value).all() for value in found.values())
        except tf.errors.InvalidArgumentError:
            refused += 1
        if number % 50 == 0:
            for key, value in signatures["image_and_box"](**good).items():
                np.testing.assert_array_equal(value, expected[key])
    assert 500 < refused < 1000
