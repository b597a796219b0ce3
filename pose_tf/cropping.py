"""Cuts crops out of images in TensorFlow's graph."""

import tensorflow as tf

from pose_tf.geometry import CROP_SIZE, Crop
from pose_tf.images import IMAGENET_MEAN


def square_crop(image, crop: Crop):
    """Cuts a square out of an image and resamples it to 256x256, with antialiasing and subpixel accuracy.

    Args:
        image: uint8 [H, W, 3].
        crop: the square, float32.

    Returns:
        uint8 [256, 256, 3]. Pixels outside of the image have the mean color, which normalization maps to 0.
    """
    corner, scale = crop.corner, CROP_SIZE / crop.side
    height, width = tf.unstack(tf.shape(image)[:2])

    def resample(values, size, scales, corners):  # zero outside
        return tf.raw_ops.ScaleAndTranslate(
            images=values[None],
            size=size,
            scale=scales,
            translation=-corners * scales,
            kernel_type="triangle",
            antialias=True,
        )[0]

    # Resampling takes bytes, so the large image is never converted to floats.
    pixels = resample(image, [CROP_SIZE, CROP_SIZE], tf.stack([scale, scale]), corner[::-1])
    rows = resample(tf.ones([height, 1, 1]), [CROP_SIZE, 1], tf.stack([scale, 1.0]), tf.stack([corner[1], 0.0]))
    columns = resample(tf.ones([1, width, 1]), [1, CROP_SIZE], tf.stack([1.0, scale]), tf.stack([0.0, corner[0]]))
    pixels = tf.where(rows * columns > 0, pixels, 255 * tf.constant(IMAGENET_MEAN))
    return tf.cast(tf.round(tf.clip_by_value(pixels, 0, 255)), tf.uint8)
