"""Reads image headers in TensorFlow's graph, before any pixel is decoded.

Files are untrusted. For any bytes, each function here takes a bounded time, and reads zeros past the end.
"""

import tensorflow as tf

MAX_SEGMENTS = 256
"""Maximum number of segments or chunks before the pixels of a JPEG or PNG. Cameras write about 20."""
MAX_EXIF = 1 << 20
"""Number of bytes of EXIF data that are read. JPEG allows at most 64 KiB."""
JPEG, PNG, BMP = b"\xff\xd8\xff", b"\x89PNG", b"BM"
PNG_TAIL = 1 << 16
"""Number of bytes at the end of a PNG that are searched for EXIF data after the pixels."""
ORIENTATION_TAG, SHORT, LONG = 0x0112, 3, 4
BMP_HEADER = 40
"""Size in bytes of the BMP header. Headers of the oldest files are shorter, some are longer."""
BMP_MASKS = b"\0\0\xff\0" + b"\0\xff\0\0" + b"\xff\0\0\0"
"""Masks of red, green and blue in the 32 bits of a pixel, as `tf.io.decode_bmp` expects them."""

FILE_SPEC = tf.TensorSpec([], tf.string)
"""Spec of the bytes of a file. A function with only this input is traced once for all its callers in the graph."""


def by_format(data, jpeg, png, bmp, other):
    """Calls one of four functions without arguments, chosen by the first bytes of an image file."""
    head = _bytes(data, 0, 4)
    cases = ((JPEG, jpeg), (PNG, png), (BMP, bmp))
    return tf.case([(_starts_with(head, magic), function) for magic, function in cases], default=other)


@tf.function(input_signature=[FILE_SPEC])
def encoded_size(data):
    """Height and width that the header of an image file claims, int64 [2]; 0 if the bytes are not an image."""
    head = _bytes(data, 0, 26)

    def bmp_side(place, old_place):  # the oldest header has 16 bits per side
        value = _number(head[place : place + 4])
        value = tf.abs(tf.where(value < 2**31, value, value - 2**32))
        return tf.where(_number(head[14:18]) < BMP_HEADER, _number(head[old_place : old_place + 2]), value)

    return by_format(
        data,
        jpeg=lambda: tf.image.extract_jpeg_shape(data, tf.int64)[:2],
        png=lambda: tf.stack([_number(head[20:24], True), _number(head[16:20], True)]),
        bmp=lambda: tf.stack([bmp_side(22, 20), bmp_side(18, 18)]),
        other=lambda: tf.zeros([2], tf.int64),
    )


def bmp_format(data):
    """Bits per pixel of a BMP, int64, and whether `tf.io.decode_bmp` supports its storage format."""
    head = _bytes(data, 0, 66)
    header, bits, compression = _number(head[14:18]), _number(head[28:30]), _number(head[30:34])
    known_bits = (bits == 8) | (bits == 24) | (bits == 32)
    masks = (bits == 32) & ((compression == 3) | (compression == 6)) & _starts_with(head[54:], BMP_MASKS)
    return bits, (header >= BMP_HEADER) & known_bits & ((compression == 0) | masks)


def png_bits(data):
    """Bits per sample of a PNG, int64."""
    return _bytes(data, 24, 1)[0]


def bmp_palette(data):
    """Colors of an 8-bit BMP, uint8 [256, 3] RGB; black for colors that it does not define."""
    head = _bytes(data, 0, 50)
    start, used = 14 + _number(head[14:18]), _number(head[46:50])
    used = tf.where((used == 0) | (used > 256), tf.constant(256, tf.int64), used)
    colors = tf.reshape(_bytes(data, start, 4 * 256), [256, 4])[:, 2::-1]
    return tf.cast(tf.where(tf.range(256, dtype=tf.int64)[:, None] < used, colors, 0), tf.uint8)


@tf.function(input_signature=[FILE_SPEC])
def orientation(data):
    """EXIF orientation of a JPEG or PNG, int64, 1 to 8. 1 means that the pixels are stored upright.

    It is also 1 if EXIF data is missing or cannot be read. Source: CIPA DC-008-2019 (Exif 2.32), tag 274 of the first
    directory; in PNG, the chunk eXIf.

    Raises:
        tf.errors.InvalidArgumentError: more than `MAX_SEGMENTS` segments precede the pixels.
    """
    return by_format(
        data,
        jpeg=lambda: _tiff_orientation(_find_exif(data, 2, _jpeg_segment)),
        png=lambda: _tiff_orientation(_png_exif(data)),
        bmp=lambda: tf.constant(1, tf.int64),
        other=lambda: tf.constant(1, tf.int64),
    )


def _find_exif(data, first, read_segment):
    """EXIF data among the segments of a file, the first of which begins at `first`; an empty string if it has none.

    `read_segment` returns for the segment at a place: whether it is EXIF data, whether it is the last before the
    pixels, and where its content and the next segment begin.
    """
    end = tf.cast(tf.strings.length(data), tf.int64)

    def step(place, *_):
        is_exif, is_last, content, following = read_segment(data, place)
        size = tf.where(is_exif, following - content, 0)
        return following, content, size, is_exif | is_last | (following >= end)

    zero = tf.constant(0, tf.int64)
    _, content, size, complete = tf.while_loop(
        lambda *state: ~state[-1],
        step,
        (tf.constant(first, tf.int64), zero, zero, tf.constant(False)),
        maximum_iterations=MAX_SEGMENTS,
    )
    with tf.control_dependencies(
        [tf.debugging.Assert(complete, [f"image has more than {MAX_SEGMENTS} segments before its pixels"])]
    ):
        exif = _part(data, content, tf.clip_by_value(size, 0, MAX_EXIF))
    return tf.strings.regex_replace(exif, r"^(Exif\x00\x00){1,2}", "", replace_global=False)


def _png_exif(data):
    before_pixels = _find_exif(data, 8, _png_chunk)
    size = tf.strings.length(data)
    tail = tf.strings.substr(data, tf.maximum(size - PNG_TAIL, 0), PNG_TAIL)
    after_pixels = tf.strings.split([tail], "eXIf").values[-1]
    return tf.where(tf.strings.length(before_pixels) > 0, before_pixels, after_pixels)


def _jpeg_segment(data, place):
    head = _bytes(data, place, 10)
    is_marker = (head[0] == 0xFF) & (head[1] != 0) & (head[1] != 0xFF)  # else fill bytes, or damage
    is_exif = is_marker & (head[1] == 0xE1) & _starts_with(head[4:], b"Exif\0\0")
    is_last = is_marker & ((head[1] == 0xDA) | (head[1] == 0xD9))
    return is_exif, is_last, place + 4, place + tf.where(is_marker, 2 + _number(head[2:4], True), 1)


def _png_chunk(data, place):
    head = _bytes(data, place, 8)
    name = head[4:]
    is_last = _starts_with(name, b"IDAT") | _starts_with(name, b"IEND")
    return _starts_with(name, b"eXIf"), is_last, place + 8, place + 12 + _number(head[:4], True)


def _tiff_orientation(tiff):
    head = _bytes(tiff, 0, 8)
    big_endian = _starts_with(head, b"MM\0*")
    directory = _number(head[4:8], big_endian)
    count = _number(_bytes(tiff, directory, 2), big_endian)
    entries = tf.io.decode_raw(_part(tiff, directory + 2, 12 * count), tf.uint8)
    entries = tf.cast(tf.reshape(entries[: tf.size(entries) // 12 * 12], [-1, 12]), tf.int64)
    tag, kind, length, short, long = (
        _number(entries[:, first:last], big_endian) for first, last in ((0, 2), (2, 4), (4, 8), (8, 10), (8, 12))
    )
    value = tf.where(kind == SHORT, short, long)
    usable = (tag == ORIENTATION_TAG) & ((kind == SHORT) | (kind == LONG)) & (length == 1) & (value >= 1) & (value <= 8)
    usable &= big_endian | _starts_with(head, b"II*\0")
    return tf.concat([[1], tf.boolean_mask(value, usable)], axis=0)[-1]


def _part(data, place, size):
    """Up to `size` bytes of a string, fewer if it ends earlier."""
    return tf.strings.substr(data, tf.minimum(place, tf.cast(tf.strings.length(data), tf.int64)), size)


def _bytes(data, place, count):
    """`count` bytes of a string that begin at `place`, int64 [count]; zeros past its end."""
    part = _part(data, tf.cast(place, tf.int64), tf.constant(count, tf.int64))
    return tf.cast(tf.io.decode_raw(part, tf.uint8, fixed_length=count), tf.int64)


def _number(values, big_endian=False):
    """The unsigned integer that bytes encode: int64 [..., N] -> [...]."""
    weights = tf.constant([256**i for i in range(values.shape[-1])], tf.int64)
    return tf.reduce_sum(values * tf.where(big_endian, weights[::-1], weights), axis=-1)


def _starts_with(values, magic):
    return tf.reduce_all(values[: len(magic)] == tf.constant(list(magic), tf.int64))
