"""Images and boxes as users send them, good and bad."""

import io
import struct
import zlib

import numpy as np
import tensorflow as tf
from PIL import Image


def encode(format, mode="RGB", size=(70, 50), colors=None, **options):
    """Bytes of an image of coarse noise."""
    rng = np.random.default_rng(0)
    channels = {"RGBA": 4, "CMYK": 4, "L": 1, "P": 1}.get(mode, 3)
    pixels = rng.integers(0, 256, (size[1], size[0], channels), np.uint8)
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels, {1: "L", 3: "RGB"}.get(channels, mode))
    picture = picture.quantize(colors) if colors else picture.convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


GOOD = {
    "JPEG": encode("JPEG"),
    "gray JPEG": encode("JPEG", "L"),
    "CMYK JPEG": encode("JPEG", "CMYK"),
    "progressive JPEG": encode("JPEG", progressive=True),
    "PNG": encode("PNG"),
    "gray PNG": encode("PNG", "L"),
    "palette PNG": encode("PNG", "P"),
    "RGBA PNG": encode("PNG", "RGBA"),
    "16-bit PNG": tf.io.encode_png(np.arange(70 * 50 * 3, dtype=np.uint16).reshape(50, 70, 3) * 6).numpy(),
    "BMP": encode("BMP"),
}


def bmp(bits, rows, width=10, height=8, palette=b"", compression=0, more=b""):
    """A BMP file with the given rows in stored order, each a multiple of 4 bytes long."""
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(rows), 0, 0, len(palette) // 4, 0)
    start = 14 + len(header) + len(more) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + more + palette + rows


def png_header(width, height):
    """A PNG that claims to be large but has almost no data."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


BAD_BOXES = {
    "not finite": [(np.nan, 0, 10, 10), (0, np.inf, 10, 10), (0, 0, np.inf, 10)],
    "smaller than a pixel": [(5, 5, 0, 10), (5, 5, 10, -3), (5, 5, 0.5, 10)],
    "outside of": [(70, 0, 10, 10), (0, 50, 10, 10), (-10, 0, 10, 10), (0, -30, 10, 30)],
    "too large": [(0, 0, 1e30, 10), (-5000, 0, 10000, 10)],
}


BOXES = np.float32(
    [[20, 6, 120, 300], [-30, -20, 200, 520], [400.5, 100.25, 90.5, 210], [600, 440, 60, 90], [7, 8, 1, 1]]
)
