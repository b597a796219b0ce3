"""Photos and videos as people have them: found, checked, and read as upright RGB pictures."""

import contextlib
import itertools
import os
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
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".3gp", ".ogv", ".flv", ".ts", ".mts",
)  # fmt: skip


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
        try:
            names = os.listdir(path)
        except OSError as error:
            raise UserError(f"--input={path} cannot be read: {error.strerror}") from None
        found = sorted(name for name in names if name.lower().endswith(PHOTO_SUFFIXES + VIDEO_SUFFIXES))
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
    except PermissionError:
        raise MediaError(f"{path} may not be read") from None
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
        live: whether it is a camera.
        width, height: in pixels.
        fps: pictures a second, as the file or the camera claims.
        length: how many pictures the file claims to have; None where none is known.

    Raises:
        MediaError: it cannot be opened, or its pictures are too large.
    """

    def __init__(self, source: str | int):
        self.live = isinstance(source, int)
        self.source = f"camera {source}" if self.live else source
        self._capture = cv2.VideoCapture(source)
        if not self._capture.isOpened():
            raise MediaError(f"there is no {self.source}" if self.live else f"{source} is not a video that can be read")
        self._capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        self.width, self.height = (
            int(self._capture.get(name)) for name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
        )
        if self.width * self.height > MAX_PIXELS:
            raise MediaError(_too_large(self.source))
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= 1000 else 30.0
        length = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = length if length > 0 and not self.live else None

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        begin = time.monotonic()
        for number in itertools.count():
            read, image = self._capture.read()
            if not read:
                break
            seconds = time.monotonic() - begin if self.live else number / self.fps
            yield seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


@contextlib.contextmanager
def writing_video(path: str, like: Video) -> Iterator[Callable[[float, np.ndarray], None]]:
    """Yields a function that adds a picture to an MP4 file as large and as fast as another video.

    The function takes the picture's time in seconds and uint8 [H, W, 3] RGB; a picture is shown until the next one's
    time. The file appears when it is complete.

    Raises:
        UserError: it cannot be written.
    """
    fps = like.fps if like.fps < 65 else round(like.fps)  # MPEG-4 counts time in at most 65535 parts of a second
    with files.replacing(path) as temporary:
        writer = cv2.VideoWriter(temporary, cv2.VideoWriter_fourcc(*"mp4v"), fps, (like.width, like.height))
        if not writer.isOpened():
            raise UserError(f"{path} cannot be written as a video of {like.width}x{like.height} pixels")
        written = 0

        def write(time, image):
            nonlocal written
            while written <= round(time * fps):
                writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
                written += 1

        try:
            yield write
        finally:
            writer.release()
        if written and cv2.VideoCapture(temporary).get(cv2.CAP_PROP_FRAME_COUNT) != written:  # OpenCV tells no errors
            raise UserError(f"{path} cannot be written: is the disk full?")
