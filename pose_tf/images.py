"""Resizing and cropping images, uint8 [H, W, 3] RGB, and encoding them as PNG or JPEG."""

import cv2
import numpy as np

from pose_tf import files
from pose_tf.geometry import CROP_SIZE, Crop

IMAGENET_MEAN = (0.485, 0.456, 0.406)
"""The mean color of photographs, in 0…1, by which detectors normalize images."""

MAX_PIXELS = 1 << 26
"""Maximum number of pixels of an image: 67 million, 192 MiB decoded."""
MAX_SIDE = 1 << 15
"""Maximum side of an image in pixels. Resampling in TensorFlow takes 3 KiB per column: 96 MiB."""
MAX_BOX = 16
"""Maximum longest side of a box over the longest side of its image."""
PNG_HEADER = 33
"""Length of the signature and the header chunk of a PNG file, in bytes."""
DEPTHS = (8, 10, 12, 14, 16, 24)
"""Bit depths that cameras and programs produce, whatever the file has room for."""


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    """Scales an image, uint8 [H, W] or [H, W, C], with smooth interpolation. Each side keeps at least one pixel."""
    size = [max(round(scale * side), 1) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def square_crop(image: np.ndarray, crop: Crop) -> np.ndarray:
    """`pose_tf.cropping.square_crop` in NumPy, with the same pixels up to rounding.

    Args:
        image: uint8 [H, W, 3].
        crop: the square, float32.

    Returns:
        uint8 [256, 256, 3].
    """

    def end(first, weights):
        return first + len(weights)

    def average(values, first, weights):  # of the first dimension
        return np.einsum("k,knc->nc", weights, np.float32(values[first : end(first, weights)]))

    rows, columns = (
        _averages(corner, crop.side, size) for corner, size in zip(crop.corner[::-1], image.shape[:2], strict=True)
    )
    pixels = np.full((CROP_SIZE, CROP_SIZE, 3), 255 * np.float32(IMAGENET_MEAN))
    if rows and columns:
        left, right = min(first for first, _ in columns.values()), max(end(*part) for part in columns.values())
        lines = np.stack([average(image[:, left:right], *part) for part in rows.values()], axis=1)
        found = np.stack([average(lines, first - left, weights) for first, weights in columns.values()], axis=1)
        pixels[np.ix_(list(rows), list(columns))] = found
    return np.uint8(np.rint(np.clip(pixels, 0, 255)))


def _averages(corner, side, size):
    """How the pixels of a crop average those of an image, in one dimension: a triangle around the pixel's center, which
    is at least as wide as a pixel of the image and of the crop (`ScaleAndTranslate` of TensorFlow).

    Args:
        corner, side: of the crop, in pixels of the image.
        size: of the image in pixels.

    Returns:
        {pixel of the crop: first pixel of the image, float32 weights of this and the next pixels}, without the pixels
        whose center is outside of the image.
    """
    step = np.float32(side) / np.float32(CROP_SIZE)
    centers = (np.arange(CROP_SIZE, dtype=np.float32) + np.float32(0.5)) * step + np.float32(corner)
    reach = max(step, np.float32(1))
    averages = {}
    for i in np.flatnonzero((centers >= 0) & (centers <= size)):
        first = int(np.clip(np.ceil(centers[i] - reach - 0.5), 0, size - 1))
        last = int(np.clip(np.floor(centers[i] + reach - 0.5), 0, size - 1))
        distances = np.abs(np.arange(first, last + 1) + 0.5 - centers[i]) / reach
        weights = np.float32(np.maximum(1 - distances, 0))
        averages[int(i)] = first, weights / weights.sum()
    return averages


def encode(image: np.ndarray, kind: str, *options: int) -> bytes:
    """The bytes of an image file.

    Args:
        image: uint8 [H, W, 3] RGB.
        kind: ".png" or ".jpg".
        options: options of OpenCV's encoder, such as `cv2.IMWRITE_JPEG_QUALITY, 80`.
    """
    return cv2.imencode(kind, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1].tobytes()


def write_png(path: str, image: np.ndarray, chunk: bytes = b"") -> None:
    """Writes a PNG file.

    Args:
        path: path of the file.
        image: uint8 [H, W, 3] RGB.
        chunk: an encoded PNG chunk to insert after the header.

    Raises:
        UserError: the file cannot be written.
    """
    data = encode(image, ".png")
    files.write_bytes(path, data[:PNG_HEADER] + chunk + data[PNG_HEADER:])
