"""Files with EXIF orientation in all places and forms."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps

ORIENTATIONS = range(1, 9)
ORIENTATION, SHORT, LONG = 0x0112, 3, 4


def photo(size=(256, 160)):
    """An image in which each of the eight orientations looks different."""
    x, y = np.meshgrid(np.linspace(0, 255, size[0]), np.linspace(0, 255, size[1]))
    return PIL.Image.fromarray(np.uint8(np.dstack([x, y, 128 + 60 * np.sin(x / 9) * np.cos(y / 30)])))


def save(format, **options):
    buffer = io.BytesIO()
    photo().save(buffer, format, **options)
    return buffer.getvalue()


def tiff(value, order="<", kind=SHORT, count=1, before=(), after=b"", tag=ORIENTATION):
    """TIFF data whose first directory holds the orientation after some other entries (tag, type, count, value)."""
    packed = struct.pack(order + ("HH" if kind == SHORT else "I"), *((value, 0) if kind == SHORT else (value,)))
    entries = [struct.pack(order + "HHII", *entry) for entry in before]
    entries.append(struct.pack(order + "HHI", tag, kind, count) + packed)
    magic = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
    return magic + struct.pack(order + "I", 8) + directory + after


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg(*segments):
    """A JPEG with these segments at its beginning."""
    return b"\xff\xd8" + b"".join(segments) + save("JPEG")[2:]


def exif(data):
    return segment(0xE1, b"Exif\0\0" + data)


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(*chunks, at_end=False):
    """A PNG with these chunks before or after its pixels."""
    data = save("PNG")
    place = data.index(b"IEND") - 4 if at_end else 33  # after IHDR
    return data[:place] + b"".join(chunks) + data[place:]


def upright(data):
    return PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))).convert("RGB")


def as_png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


XMP = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>Exif\0\0</x:xmpmeta>"
THUMBNAIL = struct.pack("<HHHII", 1, ORIENTATION, SHORT, 1, 3) + bytes(4)
"""The second directory, which describes another image."""

KINDS = {
    "JPEG by Pillow": lambda value: save("JPEG", exif=pillow_exif(value)),
    "progressive JPEG": lambda value: save("JPEG", exif=pillow_exif(value), progressive=True),
    "PNG by Pillow": lambda value: save("PNG", exif=pillow_exif(value)),
    "little-endian": lambda value: jpeg(exif(tiff(value, "<"))),
    "big-endian": lambda value: jpeg(exif(tiff(value, ">"))),
    "long": lambda value: jpeg(exif(tiff(value, ">", LONG))),
    "big-endian PNG": lambda value: png(chunk(b"eXIf", tiff(value, ">"))),
    "PNG with JPEG's header": lambda value: png(chunk(b"eXIf", b"Exif\0\0" + tiff(value))),
    "PNG after text": lambda value: png(chunk(b"tEXt", b"Comment\0" + bytes(70_000)), chunk(b"eXIf", tiff(value))),
    "PNG after its pixels": lambda value: png(chunk(b"eXIf", tiff(value)), at_end=True),
    "after other segments": lambda value: jpeg(
        segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
        segment(0xE2, b"ICC_PROFILE\0" + bytes(65_000)),
        segment(0xFE, b"Exif\0\0" + tiff(3)),  # a comment
        segment(0xE1, XMP),
        b"\xff\xff\xff" + exif(tiff(value)),  # fill bytes
    ),
    "among other entries": lambda value: jpeg(
        exif(tiff(value, before=[(0x010F, 2, 4, 0x41414141), (0x0110, SHORT, 1, 7), (0x011A, 5, 1, 8)]))
    ),
    "with a thumbnail": lambda value: jpeg(exif(tiff(value)[:-4] + struct.pack("<I", 26) + THUMBNAIL)),
    "far directory": lambda value: jpeg(exif(b"II*\0" + struct.pack("<I", 60_000) + bytes(59_992) + tiff(value)[8:])),
    "two": lambda value: jpeg(exif(tiff(value)), exif(tiff(3))),
}


def pillow_exif(value):
    data = PIL.Image.Exif()
    data[0x010F], data[ORIENTATION], data[0x0132] = "Some Camera", value, "2024:01:02 03:04:05"
    return data
