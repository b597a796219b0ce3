"""Resizing images, uint8 [H, W, 3] RGB, and encoding them as PNG or JPEG."""

import cv2
import numpy as np

from pose_tf import files

PNG_HEADER = 33
"""Length of the signature and the header chunk of a PNG file, in bytes."""
DEPTHS = (8, 10, 12, 14, 16, 24)
"""Bit depths that cameras and programs produce, whatever the file has room for."""


def resize(image: np.ndarray, scale: float) -> np.ndarray:
    """Scales an image, uint8 [H, W] or [H, W, C], with smooth interpolation. Each side keeps at least one pixel."""
    size = [max(round(scale * side), 1) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


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
    with files.replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(data[:PNG_HEADER] + chunk + data[PNG_HEADER:])
