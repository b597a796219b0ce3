"""Tests of requests that a server refuses, and of files in requests."""

import numpy as np
import pytest
import tensorflow as tf

from tests.export.exif import KINDS, ORIENTATIONS, as_png, photo, upright
from tests.export.inputs import bmp
from tests.serving.requests import INPUTS, PHOTOS, complaint


def test_files_that_end_with_zeros_arrive_whole(client, signatures):
    black = tf.image.encode_png(np.zeros((9, 9, 3), np.uint8)).numpy() + bytes(100)
    bitmap = b"BM" + bytes(8) + b"\x36\0\0\0\x28\0\0\0\x02\0\0\0\x02\0\0\0\x01\0\x18\0" + bytes(24) + bytes(16)
    expected = signatures["serving_default"](image_bytes=tf.constant([black, bitmap]))
    for files in ([black, bitmap], np.array([black, bitmap], object)):
        found = client.predict("serving_default", {"image_bytes": files})
        np.testing.assert_allclose(found["pose2d"], expected["pose2d"], atol=1e-3)


@pytest.mark.parametrize("more", [{}, {"box": np.float32([[20, 30, 100, 120]] * 8)}], ids=["whole", "box"])
def test_phones_photos_are_seen_upright(client, more):
    photos = [KINDS["JPEG by Pillow"](value) for value in ORIENTATIONS]
    signature = "image_and_box" if more else "serving_default"
    turned, expected, as_stored = (
        client.predict(signature, {"image_bytes": files, **more})["pose2d"]
        for files in (photos, [as_png(upright(data)) for data in photos], [as_png(photo())] * 8)
    )
    np.testing.assert_allclose(turned, expected, atol=0.5)
    assert np.abs(as_stored - expected)[5].max() > 5  # orientation 6 does matter


REFUSED = {
    "no image": ("serving_default", {"image_bytes": [PHOTOS[0], b"Dear reader"]}, "image is not a JPEG, PNG or BMP:"),
    "boxes for one image": (
        "image_and_box",
        {"image_bytes": PHOTOS[:1], "box": np.float32([[10, 5, 30, 40], [2, 3, 20, 30]])},
        "image_bytes holds 1 images and box 2 boxes; send one box with each image",
    ),
    "one box for images": (
        "image_and_box",
        {"image_bytes": PHOTOS * 2, "box": np.float32([[10, 5, 30, 40]])},
        "image_bytes holds 4 images and box 1 boxes; send one box with each image",
    ),
    "no boxes": (
        "image_and_box",
        {"image_bytes": PHOTOS, "box": np.zeros((0, 4), np.float32)},
        "box",  # REST turns an array of [0, 4] into [], whose shape is refused before boxes are counted
    ),
    "BMP of 16 bits": (
        "serving_default",
        {"image_bytes": [bmp(16, bytes(10 * 8))]},
        "image is a BMP with compression or without 8, 24 or 32 bits per pixel; send 24 bits, or a PNG or JPEG",
    ),
    "NaN box": ("image_and_box", {"image_bytes": PHOTOS[:1], "box": np.float32([[0, 0, np.nan, 9]])}, "box is not"),
    "infinite joint": ("lift", {"pose2d": np.full((1, 17, 2), np.inf, np.float32)}, "pose2d : Tensor had Inf"),
    "empty batch": ("images", {"images": np.zeros((0, 256, 256, 3), np.uint8)}, ""),
    "wrong shape": ("lift", {"pose2d": np.zeros((1, 16, 2), np.float32)}, "pose2d"),
    "missing input": ("image_and_box", {"image_bytes": PHOTOS}, "box"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_not_asked_again_and_the_next_request_is_answered(client, service, name):
    signature, inputs, words = REFUSED[name]
    message = complaint(client, signature, inputs)
    assert " refused the request: " in message and words in message
    assert "node" not in message
    assert service.requests <= 1
    assert client.predict("lift", INPUTS["lift"])["pose3d"].shape == (2, 17, 3)
