"""Reading the photos and videos that people have."""

import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from pose_tf.errors import UserError
from pose_tf.serving.media import MediaError, Video, find_inputs, read_photo, writing_video
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
    image = read_photo(f"{tmp_path}/a.jpg")
    assert image.shape == (40, 20, 3)
    assert is_red(image[5, 10]) and not is_red(image[35, 10])


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", "png"), ("P", "png"), ("CMYK", "jpg"), ("RGB", "webp")])
def test_colours_survive_whatever_the_format(picture, tmp_path, mode, suffix):
    picture.convert(mode).save(tmp_path / f"a.{suffix}")
    image = read_photo(f"{tmp_path}/a.{suffix}")
    assert image.shape == (20, 40, 3)
    assert image.dtype == np.uint8
    assert is_red(image[10, 10]) and not is_red(image[10, 30])


def test_grey_and_16_bit_images_become_8_bit_colours(tmp_path):
    for name, pixels in (("8", np.full((4, 6), 200, np.uint8)), ("16", np.full((4, 6), 51200, np.uint16))):
        cv2.imwrite(f"{tmp_path}/{name}.png", pixels)
        np.testing.assert_array_equal(read_photo(f"{tmp_path}/{name}.png"), np.full((4, 6, 3), 200))
    cv2.imwrite(f"{tmp_path}/rgb.png", np.full((4, 6, 3), (51200, 256, 40000), np.uint16))
    np.testing.assert_array_equal(read_photo(f"{tmp_path}/rgb.png"), np.full((4, 6, 3), (156, 1, 200)))


@pytest.mark.parametrize("size", [(10_000, 10_000), (100_000, 100_000)])
def test_an_image_that_would_fill_the_memory_is_named(tmp_path, size):
    (tmp_path / "bomb.png").write_bytes(png_header(*size))
    with pytest.raises(MediaError, match=r"bomb.png has too many pixels, more than 67,108,864"):
        read_photo(f"{tmp_path}/bomb.png")


def test_what_is_no_image_is_named(picture, tmp_path):
    (tmp_path / "notes.txt").write_text("Dear reader")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("a.png", "a.jpg", "a.webp"):
        picture.resize((400, 200)).save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / f"cut_{name}").write_bytes(data[: len(data) // 2])
    for name in ("notes.txt", "empty.jpg", "cut_a.png", "cut_a.jpg", "cut_a.webp"):
        with pytest.raises(MediaError, match=f"{name} is not an image"):
            read_photo(f"{tmp_path}/{name}")


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_an_animation_is_refused(picture, tmp_path, suffix):
    others = [picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), picture]
    picture.save(tmp_path / f"a.{suffix}", save_all=True, append_images=others)
    with pytest.raises(MediaError, match=rf"a.{suffix} is an animation of 3 pictures"):
        read_photo(f"{tmp_path}/a.{suffix}")


def test_damaged_photos_never_do_more_than_be_refused(picture, tmp_path, rng):
    kinds = []
    for suffix in ("jpg", "png", "webp", "bmp", "tif"):
        picture.save(tmp_path / f"good.{suffix}")
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


def test_a_folder_has_its_photos_and_videos(tmp_path):
    for name in ("b.JPG", "a.png", "c.mp4", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert find_inputs(str(tmp_path)) == [f"{tmp_path}/{name}" for name in ("a.png", "b.JPG", "c.mp4")]
    assert find_inputs(f"{tmp_path}/notes.txt") == [f"{tmp_path}/notes.txt"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="--input=.*/empty holds no photos or videos"):
        find_inputs(f"{tmp_path}/empty")
    with pytest.raises(UserError, match="--input=.*/none does not exist"):
        find_inputs(f"{tmp_path}/none")


class FakeVideo:
    width, height, fps = 64, 48, 10.0


def write_levels(path, levels):
    """A video of even pictures of some grey levels, the upper half darker."""
    with writing_video(path, FakeVideo) as write:
        for number, level in enumerate(levels):
            image = np.full((48, 64, 3), (level, 128, 128), np.uint8)
            image[:24] //= 2
            write(number / 10, image)


def test_a_video_has_the_pictures_that_were_written(tmp_path):
    write_levels(f"{tmp_path}/a.mp4", [40, 120, 200])
    video = Video(f"{tmp_path}/a.mp4")
    assert (video.width, video.height, video.fps, video.length, video.live) == (64, 48, 10.0, 3, False)
    times, images = zip(*video)
    np.testing.assert_allclose(times, [0, 0.1, 0.2])
    np.testing.assert_allclose([image[30:, :, 0].mean() for image in images], [40, 120, 200], atol=6)
    assert images[0].shape == (48, 64, 3)


def test_a_picture_is_shown_until_the_next_ones_time(tmp_path):
    with writing_video(f"{tmp_path}/a.mp4", FakeVideo) as write:
        for time, level in ((0.0, 40), (0.31, 120), (0.33, 200)):  # the last one is too soon to be seen
            write(time, np.full((48, 64, 3), level, np.uint8))
    levels = [image.mean() for _, image in Video(f"{tmp_path}/a.mp4")]
    np.testing.assert_allclose(levels, [40, 120, 120, 120], atol=6)


def test_a_video_is_turned_upright(tmp_path):
    write_levels(f"{tmp_path}/a.mp4", [200, 200])
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    place = data.index(b"tkhd") + 44  # of the matrix, 9 numbers of 32 bits: here, by 90 degrees clockwise
    quarter = [0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30]
    data[place : place + 36] = struct.pack(">9i", *quarter)
    (tmp_path / "a.mp4").write_bytes(data)
    video = Video(f"{tmp_path}/a.mp4")
    assert (video.width, video.height) == (48, 64)
    _, image = next(iter(video))
    assert image.shape == (64, 48, 3)
    assert image[:, :20].mean() > image[:, 28:].mean() + 20  # what was above is now on the right


@pytest.mark.parametrize("fps", [0.5, 29.97, 66.6667, 119.8765, 960.0123])
def test_videos_of_any_speed_can_be_written(tmp_path, fps):
    class Fast(FakeVideo):
        pass

    Fast.fps = fps
    with writing_video(f"{tmp_path}/a.mp4", Fast) as write:
        for number in range(20):
            write(number / fps, np.zeros((48, 64, 3), np.uint8))
    video = Video(f"{tmp_path}/a.mp4")
    assert video.fps == pytest.approx(fps, rel=0.01)
    assert video.length in (19, 20, 21)


def test_a_video_that_is_not_finished_is_not_there(tmp_path):
    with pytest.raises(RuntimeError), writing_video(f"{tmp_path}/a.mp4", FakeVideo) as write:
        write(0.0, np.zeros((48, 64, 3), np.uint8))
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_video_that_lacks_pictures_is_not_there(tmp_path):
    """OpenCV leaves out what it cannot write, and tells nobody."""
    with (
        pytest.raises(UserError, match=r"a.mp4 cannot be written"),
        writing_video(f"{tmp_path}/a.mp4", FakeVideo) as write,
    ):
        write(0.0, np.zeros((48, 64, 3), np.uint8))
        write(0.1, np.zeros((20, 20, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_what_is_no_video_is_named(tmp_path):
    (tmp_path / "a.mp4").write_text("Dear reader")
    with pytest.raises(MediaError, match=r"a.mp4 is not a video"):
        Video(f"{tmp_path}/a.mp4")
    with pytest.raises(MediaError, match="there is no camera 99"):
        Video(99)
