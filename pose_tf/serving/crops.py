"""From the bytes of an image file to the square that the detector sees, in TensorFlow's graph.

Bytes and boxes come from anyone. What cannot be used raises `tf.errors.InvalidArgumentError`, which a server answers
with INVALID_ARGUMENT; and how large an image is, is read from its header before its pixels are unpacked.
"""

import tensorflow as tf

from pose_tf.models.estimator import CROP_SIZE, IMAGENET_MEAN

MAX_PIXELS = 1 << 26
"""Of an image: 67 million, 192 MiB unpacked."""
MAX_BOX = 16
"""Longest side of a box over that of its image."""
CROP_SPEC = (
    tf.TensorSpec([CROP_SIZE, CROP_SIZE, 3], tf.uint8),
    tf.TensorSpec([2], tf.float32),
    tf.TensorSpec([], tf.float32),
)
"""Of the crop, its corner and its side, see `square_crop`."""


def not_empty(batch):
    """The batch itself, which has to hold something: convolutions cannot compute nothing."""
    with tf.control_dependencies([tf.debugging.Assert(tf.shape(batch)[0] > 0, ["the batch is empty"])]):
        return tf.identity(batch)


def crop_whole(data):
    """The whole image of one file, with borders if it is not square: crop, corner, side."""
    image = decode(data)
    height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
    side = tf.maximum(height, width)
    corner = tf.stack([(width - side) / 2, (height - side) / 2])
    return square_crop(image, corner, side), corner, side


def crop_box(data, box, margin: float):
    """The square around one person in the image of a file: crop, corner, side.

    Args:
        data: string scalar, the file's bytes.
        box: float32 [4]: x, y, width, height in pixels.
        margin: side of the square over the longest side of the box.
    """
    image = decode(data)
    size = tf.cast(tf.shape(image)[1::-1], tf.float32)
    start, extent = box[:2], box[2:]
    longest = tf.reduce_max(extent)
    with tf.control_dependencies(
        [
            tf.debugging.Assert(tf.reduce_all(tf.math.is_finite(box)), ["box is not finite:", box]),
            tf.debugging.Assert(tf.reduce_all(extent >= 1), ["box is smaller than a pixel:", box]),
            tf.debugging.Assert(
                longest <= MAX_BOX * tf.reduce_max(size), ["box is too large for an image of", size, "pixels:", box]
            ),
            tf.debugging.Assert(
                tf.reduce_all((start < size) & (start + extent > 0)), ["box is outside of an image of", size, ":", box]
            ),
        ]
    ):
        side = margin * longest
    corner = start + (extent - side) / 2
    return square_crop(image, corner, side), corner, side


def decode(data):
    """Bytes of a JPEG, PNG or BMP -> uint8 [H, W, 3]."""
    size = encoded_size(data)
    with tf.control_dependencies(
        [
            tf.debugging.Assert(
                tf.reduce_all(size > 0), ["image is no JPEG, PNG or BMP:", tf.strings.length(data), "bytes"]
            ),
            tf.debugging.Assert(
                (size[0] <= MAX_PIXELS) & (size[1] <= MAX_PIXELS) & (tf.reduce_prod(size) <= MAX_PIXELS),
                ["image has too many pixels, more than", MAX_PIXELS, "; height and width:", size],
            ),
        ]
    ):
        return tf.ensure_shape(tf.io.decode_image(data, channels=3, expand_animations=False), [None, None, 3])


def encoded_size(data):
    """Height and width that the header of an image file claims, int64 [2]; 0 for what is no image."""
    head = tf.strings.join([tf.strings.substr(data, 0, 32), tf.constant(bytes(32))])
    head = tf.cast(tf.io.decode_raw(tf.strings.substr(head, 0, 32), tf.uint8), tf.int64)

    def number(first, count, big_endian=False):
        weights = [256**i for i in range(count)]
        return tf.reduce_sum(head[first : first + count] * tf.constant(weights[:: -1 if big_endian else 1], tf.int64))

    def starts_with(magic):
        return tf.reduce_all(head[: len(magic)] == tf.constant(list(magic), tf.int64))

    def signed(value):
        return tf.abs(tf.where(value < 2**31, value, value - 2**32))

    return tf.case(
        [
            (starts_with(b"\xff\xd8\xff"), lambda: tf.image.extract_jpeg_shape(data, tf.int64)[:2]),
            (starts_with(b"\x89PNG"), lambda: tf.stack([number(20, 4, True), number(16, 4, True)])),
            (starts_with(b"BM"), lambda: tf.stack([signed(number(22, 4)), signed(number(18, 4))])),
        ],
        default=lambda: tf.zeros([2], tf.int64),
    )


def square_crop(image, corner, side):
    """Cuts a square out of an image and brings it to 256x256, smoothly and to a fraction of a pixel.

    Args:
        image: uint8 [H, W, 3].
        corner: float32 [2]: x, y of the square's upper left corner; pixel i of the image spans i … i + 1.
        side: float32, of the square in pixels.

    Returns:
        uint8 [256, 256, 3]; what lies outside of the image has the mean colour, which networks see as 0.
    """
    scale, (height, width) = CROP_SIZE / side, tf.unstack(tf.shape(image)[:2])

    def resample(values, size, scales, corners):  # zero outside
        return tf.raw_ops.ScaleAndTranslate(
            images=values[None],
            size=size,
            scale=scales,
            translation=-corners * scales,
            kernel_type="triangle",
            antialias=True,
        )[0]

    # As bytes: the large image is never there as floats.
    crop = resample(image, [CROP_SIZE, CROP_SIZE], tf.stack([scale, scale]), corner[::-1])
    rows = resample(tf.ones([height, 1, 1]), [CROP_SIZE, 1], tf.stack([scale, 1.0]), tf.stack([corner[1], 0.0]))
    columns = resample(tf.ones([1, width, 1]), [1, CROP_SIZE], tf.stack([1.0, scale]), tf.stack([0.0, corner[0]]))
    crop = tf.where(rows * columns > 0, crop, 255 * tf.constant(IMAGENET_MEAN))
    return tf.cast(tf.round(tf.clip_by_value(crop, 0, 255)), tf.uint8)


def crop_to_sent_image(pose2d, corner, side):
    """Crop pixels -> pixels of the image that `square_crop` cut. [N, J, 2], [N, 2], [N] -> [N, J, 2]."""
    return (pose2d + 0.5) * (side / CROP_SIZE)[:, None, None] + corner[:, None] - 0.5
