"""Writes videos with any time stamps, as JPEGs in a Matroska file."""

import struct

import cv2

BURST = [i / 30 for i in range(20)] + [0.633 + 0.184 * i for i in range(1, 22)]
"""Time stamps in seconds of a video whose rate changes: 41 frames in 4.5 s."""


def write_matroska(path, times, images) -> None:
    """Writes RGB frames, uint8 [H, W, 3], with time stamps in seconds, rounded to milliseconds."""
    height, width = images[0].shape[:2]
    header = {"4286": 1, "42F7": 1, "42F2": 4, "42F3": 8, "4282": b"matroska", "4287": 4, "4285": 2}
    video = element("E0", {"B0": width, "BA": height})
    track = element("AE", {"D7": 1, "73C5": 1, "83": 1, "86": b"V_MJPEG"}, video)
    clusters = b""
    for time, image in zip(times, images, strict=True):
        jpeg = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
        clusters += element("1F43B675", {"E7": round(1000 * time), "A3": b"\x81\0\0\x80" + jpeg})
    info = element("1549A966", {"2AD7B1": 1_000_000})  # ns per unit of the time stamps
    segment = element("18538067", {}, info + element("1654AE6B", {}, track) + clusters)
    with open(path, "wb") as file:
        file.write(element("1A45DFA3", header) + segment)


def element(number, values, more=b""):
    """An EBML element that contains others: {hexadecimal ID: integer or bytes}, then elements already encoded."""
    content = b"".join(
        bytes.fromhex(key) + sized(value if isinstance(value, bytes) else struct.pack(">Q", value))
        for key, value in values.items()
    )
    return bytes.fromhex(number) + sized(content + more)


def sized(content):
    return struct.pack(">Q", 1 << 56 | len(content)) + content
