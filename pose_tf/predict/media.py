"""Photos and videos of users: finds them, checks them, and reads photos as upright RGB images."""

import io
import logging
import os
import warnings

import cv2
import numpy as np
import PIL.Image
import PIL.ImageOps

from pose_tf.errors import UserError
from pose_tf.images import DEPTHS, MAX_PIXELS
from pose_tf.predict.results import is_result

logger = logging.getLogger(__name__)
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".3gp", ".ogv", ".flv", ".ts", ".mts",
)  # fmt: skip


class MediaError(UserError):
    """One photo or video cannot be used. Others still can."""


class InputError(UserError):
    """A path given as input cannot be used. The message begins with the path."""


def is_video(path: str) -> bool:
    """Whether the suffix of a path is that of a video."""
    return path.lower().endswith(VIDEO_SUFFIXES)


def find_inputs(path: str) -> list[str]:
    """The file itself, or the photos and videos of a folder, sorted, without hidden files and results of earlier runs.

    Raises:
        InputError: the path does not exist, cannot be read, or is a folder without photos and videos.
    """
    if os.path.isdir(path):
        try:
            names = os.listdir(path)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {error.strerror}") from None
        suffixes = PHOTO_SUFFIXES + VIDEO_SUFFIXES
        names = sorted(name for name in names if name.lower().endswith(suffixes) and not name.startswith("."))
        there = [os.path.join(path, name) for name in names]
        there = [file for file in there if os.path.isfile(file) or not os.path.exists(file)]  # broken links count, too
        found = [file for file in there if not is_result(file)]
        results = len(there) - len(found)
        if not found:
            but = f" but {results} results of earlier runs" if results else f" ({', '.join(suffixes)})"
            raise InputError(f"{path} holds no photos or videos{but}")
        if results:
            logger.warning("%s: skipped %d results of earlier runs", path, results)
        return found
    if not os.path.exists(path):
        raise InputError(f"{path} does not exist")
    return [path]


def read_photo(source: str | os.PathLike | bytes, name: str | None = None) -> np.ndarray:
    """Reads a photo as uint8 [H, W, 3] RGB, turned upright as its EXIF data says. Ignores transparency.

    Samples of more than 8 bits become 8 bits, see `to_8_bits`. If their range has to be guessed, a warning says so.

    Args:
        source: path of a file, or the bytes of one.
        name: what error messages call it; default: the path, or "the image".

    Raises:
        MediaError: it is not an image, damaged, animated, too large, or its samples cannot be read in full.
    """
    name = name or ("the image" if isinstance(source, bytes) else os.fspath(source))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large and odd files
            file = io.BytesIO(source) if isinstance(source, bytes) else source
            with PIL.Image.open(file) as photo:  # reads the header
                if photo.width * photo.height > MAX_PIXELS:
                    raise MediaError(too_large(name))
                if photo.format in ("GIF", "PNG", "WEBP") and getattr(photo, "is_animated", False):
                    raise MediaError(
                        f"{name} is an animation of {photo.n_frames} frames; convert it to a video or a photo"
                    )
                return _read_pixels(source, name, photo)
    except PIL.Image.DecompressionBombError:
        raise MediaError(too_large(name)) from None
    except (MediaError, MemoryError):
        raise
    except FileNotFoundError:
        raise MediaError(f"{name} does not exist") from None
    except PermissionError:
        raise MediaError(f"{name} cannot be read: Permission denied") from None
    except Exception:  # each of Pillow's readers raises its own exceptions
        raise MediaError(f"{name} is not an image that can be read") from None


def too_large(name: str) -> str:
    """The message about an image with more than MAX_PIXELS."""
    return f"{name} has too many pixels: more than {MAX_PIXELS:,}"


def _read_pixels(source, name, photo):
    """uint8 [H, W, 3] RGB of an open Pillow image."""
    in_file = str(photo.tile[0].args) if photo.tile else ""  # how the file stores samples
    is_tiff = photo.format == "TIFF"
    if is_tiff and photo.info.get("compression") != "raw" and any(kind in in_file for kind in ("BS'", "BF'")):
        raise MediaError(
            f"{name} is a compressed big-endian TIFF, which Pillow decodes incorrectly; save it in another format"
        )
    upright = PIL.ImageOps.exif_transpose(photo)
    if upright.mode[0] in "IF":  # one sample of more than 8 bits per pixel
        samples = np.asarray(upright)
        if upright.mode == "I" and not is_tiff:
            samples = np.uint16(np.clip(samples, 0, 65535))
        for kind, mode in ((np.uint32, "'I;32N'"), (np.int16, "'I;16S'"), (np.int16, "'I;16BS'")):
            if mode in in_file:  # Pillow converts all of these to int32
                samples = samples.astype(kind)
        declared = 12 if "I;12" in in_file else None
    else:
        image = np.asarray(upright.convert("RGB"))
        if ";16" not in in_file or not (is_tiff or photo.format == "PNG") or image.max() >= 64:
            return image
        # Pillow keeps the upper 8 of 16 bits, which lose too much of this image.
        data = np.frombuffer(source, np.uint8) if isinstance(source, bytes) else np.fromfile(source, np.uint8)
        samples = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
        if samples is None or not np.array_equal(samples[..., ::-1] >> 8, image):
            raise MediaError(f"{name} has 16-bit samples that cannot be read in full; save it with 8 bits")
        samples, declared = samples[..., ::-1], None
    image, guess = to_8_bits(samples, declared)
    if guess:
        logger.warning("%s: %s", name, guess)
    return np.repeat(image[..., None], 3, axis=-1) if image.ndim == 2 else image


def to_8_bits(samples: np.ndarray, declared: int | None = None) -> tuple[np.ndarray, str]:
    """Converts samples of any type to 8 bits so that no image turns black because of its type.

    The bit depth of integers is the declared one, or the smallest of `images.DEPTHS` that holds the largest sample, or
    else that of the type; the lower bits are dropped. Floats in 0…1 are treated as 16-bit integers. All other samples
    are scaled: the largest becomes white, 0 or the smallest becomes black.

    Args:
        samples: integers or floats of any shape.
        declared: bit depth of the integers, if the file declares it.

    Returns:
        uint8 of the same shape; and a sentence that says what was guessed, empty if nothing was.
    """
    if samples.dtype.kind == "f":
        samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        if samples.min() >= 0 and samples.max() <= 1:
            samples = np.uint16(np.round(65535 * np.float64(samples)))
    low, high = samples.min(), samples.max()
    if samples.dtype.kind == "f" or low < 0:
        black, white = min(float(low), 0.0), max(float(high), 0.0)
        image = np.uint8(np.round((np.float64(samples) - black) * (255 / (white - black))))
        return image, f"its values are {low:g} to {high:g}; {white:g} becomes white"
    room = declared or int(np.iinfo(samples.dtype).max).bit_length()
    bits = declared or next((depth for depth in DEPTHS if depth < room and high < 1 << depth), room)
    guess = f"its values reach {high} of {(1 << room) - 1}; {(1 << bits) - 1} becomes white"
    return np.uint8(samples >> (bits - 8)), "" if bits == room else guess
