"""Turns the bytes of an image file into the crop for the detector, in TensorFlow's graph.

Bytes and boxes are untrusted. Invalid ones raise `tf.errors.InvalidArgumentError`, which a server reports as
INVALID_ARGUMENT. The graph reads the size of an image from its header before it decodes any pixels. For any batch, the
images decoded at the same time are together no larger than one image of maximum size.
"""

import tensorflow as tf

from pose_tf.cropping import square_crop
from pose_tf.export.headers import (
    FILE_SPEC,
    bmp_format,
    bmp_palette,
    by_format,
    encoded_size,
    orientation,
    png_bits,
)
from pose_tf.geometry import CROP_SIZE, Crop
from pose_tf.images import DEPTHS, MAX_BOX, MAX_PIXELS, MAX_SIDE

AT_ONCE = 4
"""Number of images decoded in parallel, if each stays below this fraction of the limits."""
CROP_SPEC = (
    tf.TensorSpec([CROP_SIZE, CROP_SIZE, 3], tf.uint8),
    tf.TensorSpec([2], tf.float32),
    tf.TensorSpec([], tf.float32),
)
"""The crop's pixels, and the corner and side of its `geometry.Crop`."""


def refuse_unless(condition, sentence: str, *values):
    """An operation that raises `tf.errors.InvalidArgumentError` unless the condition holds.

    Args:
        condition: bool scalar.
        sentence: the error message, with {} for each value.
        values: tensors.
    """
    return tf.debugging.Assert(condition, [tf.strings.format(sentence, values)])


def not_empty(batch):
    """Returns the batch after a check that it is not empty. Convolutions do not support empty batches."""
    with tf.control_dependencies([refuse_unless(tf.shape(batch)[0] > 0, "the batch is empty")]):
        return tf.identity(batch)


def crop_all(crop, image_bytes, *others):
    """Applies `crop` to each file and the corresponding elements of `others`; returns the stacked crops."""

    def crops(at_once):
        return tf.map_fn(
            lambda elements: crop(*elements),
            (image_bytes, *others),
            fn_output_signature=CROP_SPEC,
            parallel_iterations=at_once,
        )

    sizes = tf.map_fn(encoded_size, image_bytes, fn_output_signature=tf.TensorSpec([2], tf.int64))
    return tf.cond(tf.reduce_all(_fits(sizes, AT_ONCE)), lambda: crops(AT_ONCE), lambda: crops(1))


def crop_whole(data):
    """The whole image of a file, with borders if it is not square: crop, corner, side."""
    image, turn = decode(data), orientation(data)
    size = _upright_size(image, turn)
    crop = Crop.around(tf.concat([tf.zeros(2), size], axis=0), 1.0)
    return upright_crop(image, turn, crop), *crop


def crop_box(data, box, margin: float):
    """The square around one person in the image of a file: crop, corner, side.

    Args:
        data: string scalar, the bytes of the file.
        box: float32 [4]: x, y, width, height in pixels of the upright image, turned as its EXIF data says.
        margin: side of the square over the longest side of the box.
    """
    image, turn = decode(data), orientation(data)
    crop = _crop_around(box, _upright_size(image, turn), margin)
    return upright_crop(image, turn, crop), *crop


def crop_people(image, boxes, margin: float):
    """The squares around N people in one image: crops [N, 256, 256, 3], corners [N, 2], sides [N].

    Uses the same map as `crop_box`. The image is in memory once for any number of people.

    Args:
        image: uint8 [H, W, 3], upright.
        boxes: float32 [N, 4]: x, y, width, height in pixels.
        margin: side of the squares over the longest side of the boxes.
    """
    size = tf.cast(tf.shape(image)[1::-1], tf.float32)

    def cut_out(box):
        crop = _crop_around(box, size, margin)
        return square_crop(image, crop), *crop

    return tf.map_fn(cut_out, boxes, fn_output_signature=CROP_SPEC, parallel_iterations=AT_ONCE)


def _crop_around(box, size, margin) -> Crop:
    """The crop around a box, which must overlap the image. `size` is float32 [2]: width and height of the image."""
    start, extent = box[:2], box[2:]
    longest = tf.reduce_max(extent)
    with tf.control_dependencies(
        [
            refuse_unless(tf.reduce_all(tf.math.is_finite(box)), "box is not finite: {}", box),
            refuse_unless(tf.reduce_all(extent >= 1), "box is smaller than a pixel: {}", box),
            refuse_unless(
                longest <= MAX_BOX * tf.reduce_max(size), "box is too large for an image of {} pixels: {}", size, box
            ),
            refuse_unless(
                tf.reduce_all((start < size) & (start + extent > 0)),
                "box is outside of an image of {} pixels: {}",
                size,
                box,
            ),
        ]
    ):
        return Crop.around(box, margin)


@tf.function(input_signature=[FILE_SPEC])
def decode(data):
    """Bytes of a JPEG, PNG or BMP -> uint8 [H, W, 3] in stored orientation, not yet turned upright."""
    size = encoded_size(data)
    with tf.control_dependencies(
        [
            refuse_unless(
                tf.reduce_all(size > 0), "image is not a JPEG, PNG or BMP: {} bytes", tf.strings.length(data)
            ),
            refuse_unless(
                _fits(size),
                f"image has too many pixels: more than {MAX_PIXELS}, or more than {MAX_SIDE} in a row or column; "
                "height and width: {}",
                size,
            ),
        ]
    ):
        image = by_format(
            data,
            jpeg=lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),  # like Pillow, OpenCV
            png=lambda: _decode_png(data),
            bmp=lambda: _decode_bmp(data),
            other=lambda: tf.zeros([0, 0, 3], tf.uint8),
        )
    return tf.ensure_shape(image, [None, None, 3])


def _decode_png(data):
    return tf.cond(png_bits(data) == 16, lambda: _decode_16_bit_png(data), lambda: tf.io.decode_png(data, channels=3))


def _decode_16_bit_png(data):
    """The upper 8 bits of samples whose bit depth is the smallest of `DEPTHS` that holds the largest sample."""
    samples = tf.io.decode_png(data, channels=3, dtype=tf.uint16)
    depths = [depth for depth in DEPTHS if depth <= 16]
    holds_all = tf.cast(tf.reduce_max(samples), tf.int32) < [1 << depth for depth in depths]
    bits = tf.boolean_mask(tf.constant(depths, tf.uint16), holds_all)[0]
    return tf.cast(tf.bitwise.right_shift(samples, bits - 8), tf.uint8)


def _decode_bmp(data):
    bits, known = bmp_format(data)
    sentence = "image is a BMP with compression or without 8, 24 or 32 bits per pixel; send 24 bits, or a PNG or JPEG"
    with tf.control_dependencies([refuse_unless(known, sentence)]):
        return tf.cond(
            bits == 8,
            lambda: tf.gather(bmp_palette(data), tf.cast(tf.squeeze(tf.io.decode_bmp(data), -1), tf.int32)),
            lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
        )


def _fits(size, images=1):
    """Whether `images` images of a size, int64 [..., 2], together stay within the limits of one."""
    size = tf.minimum(size, MAX_SIDE + 1)  # the product of larger sides may overflow
    return (images * tf.reduce_prod(size, axis=-1) <= MAX_PIXELS) & tf.reduce_all(images * size <= MAX_SIDE, axis=-1)


def _upright_size(image, orientation):
    """Width and height of the upright image, float32 [2]."""
    size = tf.cast(tf.shape(image)[:2], tf.float32)
    return tf.where(orientation >= 5, size, size[::-1])


def upright_crop(image, orientation, crop: Crop):
    """`square_crop` of the upright image, computed from the pixels in stored orientation.

    Turns the crop instead of the image, which may be a thousand times as large.

    Args:
        image: uint8 [H, W, 3] in stored orientation.
        orientation: int64, EXIF orientation, 1 to 8.
        crop: square in the upright image.
    """
    transposed = orientation >= 5
    mirrored = tf.reduce_any(orientation == tf.constant([[2, 3, 6, 7], [3, 4, 7, 8]], tf.int64), axis=-1)  # x, y
    corner = tf.where(mirrored, _upright_size(image, orientation) - crop.corner - crop.side, crop.corner)
    pixels = square_crop(image, Crop(tf.where(transposed, corner[::-1], corner), crop.side))
    pixels = tf.transpose(pixels, tf.where(transposed, [1, 0, 2], [0, 1, 2]))
    return tf.ensure_shape(tf.reverse(pixels, tf.boolean_mask([1, 0], mirrored)), CROP_SPEC[0].shape)
