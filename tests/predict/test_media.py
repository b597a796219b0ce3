"""Tests of finding users' photos and videos, and of reading photos."""

import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from pose_tf.errors import UserError
from pose_tf.images import write_png
from pose_tf.predict.media import MediaError, find_inputs, read_photo, to_8_bits
from pose_tf.predict.results import PNG_MARK, is_result
from pose_tf.predict.video_files import writing_video
from tests.export.inputs import png_header


@pytest.fixture
def photo():
    """Left half red, right half blue, 40x20."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20, 0] = pixels[:, 20:, 2] = 255
    return Image.fromarray(pixels)


def is_red(pixel):
    return pixel[0] > 200 and pixel[2] < 60


def test_exif_turns_an_image_upright(photo, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees clockwise
    photo.save(tmp_path / "a.jpg", exif=exif)
    image = read_photo(f"{tmp_path}/a.jpg")
    assert image.shape == (40, 20, 3)
    assert is_red(image[5, 10]) and not is_red(image[35, 10])


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", "png"), ("P", "png"), ("CMYK", "jpg"), ("RGB", "webp")])
def test_colors_survive_whatever_the_format(photo, tmp_path, mode, suffix):
    photo.convert(mode).save(tmp_path / f"a.{suffix}")
    image = read_photo(f"{tmp_path}/a.{suffix}")
    assert image.shape == (20, 40, 3)
    assert image.dtype == np.uint8
    assert is_red(image[10, 10]) and not is_red(image[10, 30])


def test_gray_and_16_bit_images_become_8_bit_colors(tmp_path):
    for name, pixels in (("8", np.full((4, 6), 200, np.uint8)), ("16", np.full((4, 6), 51200, np.uint16))):
        cv2.imwrite(f"{tmp_path}/{name}.png", pixels)
        np.testing.assert_array_equal(read_photo(f"{tmp_path}/{name}.png"), np.full((4, 6, 3), 200))
    cv2.imwrite(f"{tmp_path}/rgb.png", np.full((4, 6, 3), (51200, 256, 40000), np.uint16))
    np.testing.assert_array_equal(read_photo(f"{tmp_path}/rgb.png"), np.full((4, 6, 3), (156, 1, 200)))


LEVELS = np.linspace(0, 1, 48).reshape(6, 8)


def write_tiff(path, samples, order="<", bits=None, compress=False, orientation=1):
    """Writes a TIFF of samples [H, W] or [H, W, 3] without a library: none here supports all sample types."""
    height, width, channels = (*samples.shape, 1)[:3]
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    pixels = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    if bits == 12:
        first, second = np.uint32(samples).reshape(-1, 2).T
        pixels = b"".join(int(a << 12 | b).to_bytes(3, "big") for a, b in zip(first, second))
    pixels = zlib.compress(pixels) if compress else pixels
    bits = bits or 8 * samples.itemsize
    tags = {256: width, 257: height, 258: bits, 259: 8 if compress else 1, 262: 1 if channels == 1 else 2, 273: None}
    tags |= {274: orientation, 277: channels, 278: height, 279: len(pixels), 339: kind}
    end = 8 + 2 + 12 * len(tags) + 4
    tags[273] = end + 12
    data = struct.pack(f"{order}2sHIH", b"II" if order == "<" else b"MM", 42, 8, len(tags))
    for tag, value in tags.items():
        if tag in (258, 339) and channels == 3:
            data += struct.pack(f"{order}HHII", tag, 3, 3, end if tag == 258 else end + 6)
        elif tag in (273, 279):
            data += struct.pack(f"{order}HHII", tag, 4, 1, value)
        else:
            data += struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)
    data += struct.pack(f"{order}I3H3H", 0, *[bits] * 3, *[kind] * 3)
    path.write_bytes(data + pixels)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "white", "words"),
    [
        (np.uint16, 255, "its values reach 255 of 65535; 255 becomes white"),
        (np.uint16, 4095, "its values reach 4095 of 65535; 4095 becomes white"),
        (np.uint16, 16383, "its values reach 16383 of 65535; 16383 becomes white"),
        (np.uint16, 65535, ""),
        (np.int16, 32767, ""),
        (np.int32, 4095, "its values reach 4095 of 2147483647; 4095 becomes white"),
        (np.int32, 65535, "its values reach 65535 of 2147483647; 65535 becomes white"),
        (np.int32, 2**31 - 1, ""),
        (np.float32, 1, ""),
        (np.float32, 4095 / 65535, "its values reach 4095 of 65535; 4095 becomes white"),
        (np.float32, 255, "its values are 0 to 255; 255 becomes white"),
        (np.float32, 65535, "its values are 0 to 65535; 65535 becomes white"),
    ],
)
def test_no_gray_tiff_is_black(tmp_path, kind, white, words, order, caplog):
    write_tiff(tmp_path / "a.tif", (white * LEVELS).astype(kind), order)
    image = read_photo(f"{tmp_path}/a.tif")
    assert image.shape == (6, 8, 3)
    np.testing.assert_allclose(image, np.repeat(255 * LEVELS[..., None], 3, axis=-1), atol=1)
    assert caplog.messages == ([f"{tmp_path}/a.tif: {words}"] if words else [])


def test_32_bits_without_a_sign(tmp_path):
    write_tiff(tmp_path / "a.tif", ((2**32 - 1) * LEVELS).astype(np.uint32))
    np.testing.assert_allclose(read_photo(f"{tmp_path}/a.tif")[..., 0], 255 * LEVELS, atol=1)


def test_the_bits_that_a_file_declares_are_believed(tmp_path, caplog):
    write_tiff(tmp_path / "a.tif", (1000 * LEVELS).astype(np.uint16), bits=12)
    np.testing.assert_allclose(read_photo(f"{tmp_path}/a.tif")[..., 0], 1000 / 4096 * 255 * LEVELS, atol=1)
    assert not caplog.messages


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_12_bits_in_16_are_not_black(tmp_path, channels, suffix, caplog):
    levels = np.stack([LEVELS, LEVELS[::-1], LEVELS[:, ::-1]], axis=-1)[..., :channels]
    samples = (4095 * levels).astype(np.uint16)
    if channels == 4:
        samples = np.concatenate([samples, np.full((6, 8, 1), 65535, np.uint16)], axis=-1)
    cv2.imwrite(f"{tmp_path}/a.{suffix}", samples)
    image = read_photo(f"{tmp_path}/a.{suffix}")
    np.testing.assert_allclose(image, np.broadcast_to(255 * levels[..., ::-1], (6, 8, 3)), atol=1)
    assert caplog.messages == [f"{tmp_path}/a.{suffix}: its values reach 4095 of 65535; 4095 becomes white"]


def test_deep_images_are_turned_upright_too(tmp_path):
    samples = np.zeros((4, 6, 3), np.uint16)
    samples[0, 0] = (4000, 0, 0)
    write_tiff(tmp_path / "a.tif", samples, orientation=6)
    exif = Image.Exif()
    exif[0x0112] = 6
    chunk = b"eXIf" + exif.tobytes()[6:]
    png = cv2.imencode(".png", samples[..., ::-1])[1].tobytes()
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "a.png").write_bytes(png[:33] + chunk + png[33:])
    for name in ("a.tif", "a.png"):
        image = read_photo(f"{tmp_path}/{name}")
        assert image.shape == (6, 4, 3)
        assert np.argwhere(image).tolist() == [[0, 3, 0]] and image.max() == 250


@pytest.mark.parametrize("kind", [np.float32, np.int16, np.int32])
def test_what_would_be_read_wrong_is_refused(tmp_path, kind):
    samples = (100 * LEVELS).astype(kind)
    write_tiff(tmp_path / "a.tif", samples, compress=True)
    assert read_photo(f"{tmp_path}/a.tif").max() >= 100
    write_tiff(tmp_path / "a.tif", samples, ">", compress=True)  # Pillow swaps its bytes twice
    with pytest.raises(MediaError, match=r"a.tif is a compressed big-endian TIFF"):
        read_photo(f"{tmp_path}/a.tif")


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.uint16([0, 51200, 65535]), [0, 200, 255]),
        (np.uint16([0, 100, 255]), [0, 100, 255]),
        (np.uint16([0, 1000, 3000]), [0, 62, 187]),  # of 12 bits
        (np.int16([0, 32767]), [0, 255]),
        (np.int16([-100, 0, 150]), [0, 102, 255]),
        (np.uint32([0, 1 << 31, (1 << 32) - 1]), [0, 128, 255]),
        (np.float32([0, 0.5, 1]), [0, 128, 255]),
        (np.float64([0, 0.25]), [0, 64]),
        (np.float32([0, 6, 12]), [0, 128, 255]),
        (np.float32([-1, 0, 1]), [0, 128, 255]),
        (np.float32([np.nan, np.inf, 0.5, 1]), [0, 0, 128, 255]),
        (np.float32([5, 5]), [255, 255]),
        (np.float32([-5, -5]), [0, 0]),
        (np.uint16([0, 0]), [0, 0]),
    ],
)
def test_samples_become_8_bits(samples, expected):
    image, _ = to_8_bits(samples)
    assert image.dtype == np.uint8
    assert image.tolist() == expected


def test_declared_bits_are_taken():
    assert to_8_bits(np.uint16([0, 1000]), 12) == (pytest.approx([0, 62]), "")


@pytest.mark.parametrize("size", [(10_000, 10_000), (100_000, 100_000)])
def test_an_image_that_would_fill_the_memory_is_named(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(png_header(*size))
    with pytest.raises(MediaError, match=r"bomb.png has too many pixels: more than 67,108,864"):
        read_photo(f"{tmp_path}/bomb.png")


def test_what_is_no_image_is_named(photo, tmp_path):
    (tmp_path / "notes.txt").write_text("Dear reader")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("a.png", "a.jpg", "a.webp"):
        photo.resize((400, 200)).save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / f"cut_{name}").write_bytes(data[: len(data) // 2])
    for name in ("notes.txt", "empty.jpg", "cut_a.png", "cut_a.jpg", "cut_a.webp"):
        with pytest.raises(MediaError, match=f"{name} is not an image"):
            read_photo(f"{tmp_path}/{name}")


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_an_animation_is_refused(photo, tmp_path, suffix):
    others = [photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT), photo]
    photo.save(tmp_path / f"a.{suffix}", save_all=True, append_images=others)
    with pytest.raises(MediaError, match=rf"a.{suffix} is an animation of 3 frames"):
        read_photo(f"{tmp_path}/a.{suffix}")


def test_damaged_photos_never_do_more_than_be_refused(photo, tmp_path, rng):
    kinds = []
    for suffix in ("jpg", "png", "webp", "bmp", "tif"):
        photo.save(tmp_path / f"good.{suffix}")
        kinds.append((tmp_path / f"good.{suffix}").read_bytes())
    refused = 0
    for number in range(1000):
        data = bytearray(kinds[number % len(kinds)])
        for place in rng.integers(0, len(data), rng.integers(1, 9)):
            data[place] = rng.integers(256)
        (tmp_path / "damaged").write_bytes(data[: rng.integers(len(data))] if rng.random() < 0.3 else data)
        try:
            image = read_photo(f"{tmp_path}/damaged")
            assert (image.ndim, image.shape[2], image.dtype) == (3, 3, np.uint8)
        except MediaError as error:
            assert "damaged" in str(error)
            refused += 1
    assert 200 < refused < 1000


def test_hidden_files_and_folders_are_no_photos(photo, tmp_path):
    photo.save(tmp_path / "a.jpg")
    (tmp_path / "._a.jpg").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        ")
    (tmp_path / ".partial-0123.png").write_bytes(b"")
    (tmp_path / ".DS_Store").write_bytes(b"")
    (tmp_path / "Thumbs.db").write_bytes(b"")
    (tmp_path / "album.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    assert find_inputs(str(tmp_path)) == [f"{tmp_path}/a.jpg"]
    os.symlink("nowhere", tmp_path / "broken.jpg")
    assert find_inputs(str(tmp_path)) == [f"{tmp_path}/a.jpg", f"{tmp_path}/broken.jpg"]


def test_results_of_earlier_runs_are_no_photos(photo, tmp_path, caplog):
    write_png(f"{tmp_path}/a.png", np.asarray(photo), PNG_MARK)
    with writing_video(f"{tmp_path}/b.mp4", 64, 48) as write:
        write(0.0, np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(UserError, match="holds no photos or videos but 2 results of earlier runs"):
        find_inputs(str(tmp_path))
    photo.save(tmp_path / "c.png")
    assert find_inputs(str(tmp_path)) == [f"{tmp_path}/c.png"]
    assert caplog.messages == [f"{tmp_path}: skipped 2 results of earlier runs"]
    assert find_inputs(f"{tmp_path}/a.png") == [f"{tmp_path}/a.png"]  # a file that the user names is used
    assert is_result(f"{tmp_path}/b.mp4") and not is_result(f"{tmp_path}/c.png") and not is_result(f"{tmp_path}/none")
    np.testing.assert_array_equal(read_photo(f"{tmp_path}/a.png"), np.asarray(photo))


def test_a_folder_has_its_photos_and_videos(tmp_path):
    for name in ("b.JPG", "a.png", "c.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert find_inputs(str(tmp_path)) == [f"{tmp_path}/{name}" for name in ("a.png", "b.JPG", "c.mp4")]
    assert find_inputs(f"{tmp_path}/notes.txt") == [f"{tmp_path}/notes.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=".*/empty holds no photos or videos"):
        find_inputs(f"{tmp_path}/empty")
    with pytest.raises(UserError, match=".*/none does not exist"):
        find_inputs(f"{tmp_path}/none")
