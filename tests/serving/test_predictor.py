"""Reading the photos that people have."""

import cv2
import numpy as np
import pytest
from PIL import Image

from pose_tf.errors import UserError
from pose_tf.serving.predictor import read_image
from tests.serving.test_crops import png_header


@pytest.fixture
def picture():
    """Left half red, right half blue, 40x20."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20, 0] = pixels[:, 20:, 2] = 255
    return Image.fromarray(pixels)


def is_red(pixel):
    return pixel[0] > 200 and pixel[2] < 60


def test_exif_turns_an_image_upright(picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees clockwise
    picture.save(tmp_path / "a.jpg", exif=exif)
    image = read_image(f"{tmp_path}/a.jpg")
    assert image.shape == (40, 20, 3)
    assert is_red(image[5, 10]) and not is_red(image[35, 10])


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", "png"), ("P", "png"), ("CMYK", "jpg"), ("RGB", "webp")])
def test_colours_survive_whatever_the_format(picture, tmp_path, mode, suffix):
    picture.convert(mode).save(tmp_path / f"a.{suffix}")
    image = read_image(f"{tmp_path}/a.{suffix}")
    assert image.shape == (20, 40, 3)
    assert image.dtype == np.uint8
    assert is_red(image[10, 10]) and not is_red(image[10, 30])


def test_grey_and_16_bit_images_become_8_bit_colours(tmp_path):
    cv2.imwrite(f"{tmp_path}/a.png", np.full((4, 6), 51200, np.uint16))
    np.testing.assert_array_equal(read_image(f"{tmp_path}/a.png"), np.full((4, 6, 3), 200))


@pytest.mark.parametrize("size", [(10_000, 10_000), (100_000, 100_000)])
def test_an_image_that_would_fill_the_memory_is_named(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(png_header(*size))
    with pytest.raises(UserError, match=r"bomb.png has too many pixels, more than 67,108,864"):
        read_image(f"{tmp_path}/bomb.png")


def test_what_is_no_image_is_named(picture, tmp_path):
    (tmp_path / "notes.txt").write_text("Dear reader")
    picture.save(tmp_path / "a.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    for name in ("notes.txt", "cut.png"):
        with pytest.raises(UserError, match=f"{name} is not an image"):
            read_image(f"{tmp_path}/{name}")
