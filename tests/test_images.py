"""Tests of images: sizes, and bytes that decode to the same pixels."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from pose_tf import images


def test_written_png_reads_back_as_rgb(tmp_path, rng):
    picture = rng.integers(0, 256, (20, 30, 3), np.uint8)
    path = tmp_path / "new" / "folder" / "picture.png"
    images.write_png(str(path), picture)
    np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], picture)
    assert [entry.name for entry in path.parent.iterdir()] == ["picture.png"]


def test_a_chunk_follows_the_header(tmp_path, rng):
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    chunk = bytes.fromhex("00000003") + b"tEXta\0b" + bytes.fromhex("06c4a72c")
    images.write_png(f"{tmp_path}/a.png", image, chunk)
    data = (tmp_path / "a.png").read_bytes()
    assert data[12:16] == b"IHDR" and data[33 : 33 + len(chunk)] == chunk


def test_encoded_images_are_rgb_of_the_kind_and_quality_asked_for(rng):
    image = np.full((16, 24, 3), (250, 120, 10), np.uint8)
    png = images.encode(image, ".png")
    assert png.startswith(b"\x89PNG")
    np.testing.assert_array_equal(Image.open(io.BytesIO(png)), image)
    jpeg = images.encode(image, ".jpg")
    assert jpeg.startswith(b"\xff\xd8")
    np.testing.assert_allclose(Image.open(io.BytesIO(jpeg)), image, atol=3)
    noise = rng.integers(0, 256, (64, 64, 3), np.uint8)
    assert len(images.encode(noise, ".jpg", cv2.IMWRITE_JPEG_QUALITY, 10)) < len(images.encode(noise, ".jpg")) / 2


@pytest.mark.parametrize(("scale", "shape"), [(0.5, (20, 15)), (2.0, (80, 60)), (0.001, (1, 1))])
def test_resized_images_keep_their_mean(scale, shape):
    assert images.resize(np.full((40, 30, 3), 77, np.uint8), scale).shape == (*shape, 3)
    assert (images.resize(np.full((40, 30), 77, np.uint8), scale) == np.full(shape, 77)).all()
