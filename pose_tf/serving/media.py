"""Photos and videos as people have them: found, checked, and read as upright RGB pictures."""

import contextlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.serving.crops import MAX_PIXELS

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")


class MediaError(UserError):
    """A photo or video cannot be used; others may."""


def is_video(path: str) -> bool:
    """Whether a file's name says that it is a video."""
    return path.lower().endswith(VIDEO_SUFFIXES)


def find_inputs(path: str) -> list[str]:
    """The file itself, or the photos and videos of a folder, sorted.

    Raises:
        UserError: there is nothing.
    """
    if os.path.isdir(path):
        found = sorted(name for name in os.listdir(path) if name.lower().endswith(PHOTO_SUFFIXES + VIDEO_SUFFIXES))
        if not found:
            raise UserError(f"--input={path} holds no photos or videos ({', '.join(PHOTO_SUFFIXES + VIDEO_SUFFIXES)})")
        return [os.path.join(path, name) for name in found]
    if not os.path.exists(path):
        raise UserError(f"--input={path} does not exist")
    return [path]


def read_photo(path: str) -> np.ndarray:
    """uint8 [H, W, 3] RGB, turned upright as its EXIF data says. 16 bits become 8; transparency is ignored.

    Raises:
        MediaError: it is not an image, damaged, animated or too large.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow thinks large or odd
            with PIL.Image.open(path) as photo:  # reads the header
                if photo.width * photo.height > MAX_PIXELS:
                    raise MediaError(_too_large(path))
                if photo.format in ("GIF", "PNG", "WEBP") and getattr(photo, "is_animated", False):
                    raise MediaError(f"{path} is an animation of {photo.n_frames} pictures; make it a video or a photo")
                photo = PIL.ImageOps.exif_transpose(photo)
                if photo.mode.startswith("I"):  # 16 bits
                    photo = PIL.Image.fromarray(np.uint8(np.clip(np.asarray(photo), 0, 65535) >> 8))
                return np.asarray(photo.convert("RGB"))
    except PIL.Image.DecompressionBombError:
        raise MediaError(_too_large(path)) from None
    except (MediaError, MemoryError):
        raise
    except Exception:  # each of Pillow's readers raises its own
        raise MediaError(f"{path} is not an image that can be read") from None


def _too_large(path):
    return f"{path} has too many pixels, more than {MAX_PIXELS:,}"


class Video:
    """The pictures of a video or a camera, from the first to the last.

    Iterating gives (seconds since the first, uint8 [H, W, 3] RGB), upright as the file says.

    Args:
        source: a file, or the number of a camera.

    Attributes:
        source: the file, or `camera N`.
        width, height: in pixels.
        fps: pictures a second.
        length: how many pictures the file claims to have; None for a camera.

    Raises:
        MediaError: it cannot be opened, or its pictures are too large.
    """

    def __init__(self, source: str | int):
        self.source = source if isinstance(source, str) else f"camera {source}"
        self._capture = cv2.VideoCapture(source)
        if not self._capture.isOpened():
            if isinstance(source, str):
                raise MediaError(f"{source} is not a video that can be read")
            raise MediaError(f"there is no camera {source}")
        self.width, self.height = (
            int(self._capture.get(name)) for name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if self.width * self.height > MAX_PIXELS:
            raise MediaError(_too_large(self.source))
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 1 <= fps <= 1000 else 30.0
        length = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = length if isinstance(source, str) and length > 0 else None

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        begin, number = time.monotonic(), 0
        while True:
            read, image = self._capture.read()
            if not read:
                break
            seconds = number / self.fps if self.length else time.monotonic() - begin
            yield seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            number += 1
        if self.length and number < 0.95 * self.length:
            print(f"{self.source} ends after {number} of {self.length} pictures: it may be damaged", file=sys.stderr)


@contextlib.contextmanager
def writing_video(path: str, like: Video) -> Iterator[Callable[[np.ndarray], None]]:
    """Yields a function that adds a picture, uint8 [H, W, 3] RGB, to an MP4 file as large and as fast as another video.

    The file appears when it is complete.

    Raises:
        UserError: it cannot be written.
    """
    with files.replacing(path) as temporary:
        writer = cv2.VideoWriter(temporary, cv2.VideoWriter_fourcc(*"mp4v"), like.fps, (like.width, like.height))
        if not writer.isOpened():
            raise UserError(f"{path} cannot be written as a video")
        try:
            yield lambda image: writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        finally:
            writer.release()
