"""Random changes of brightness, contrast, saturation and hue, on the device."""

import tensorflow as tf

GRAY = (0.2989, 0.587, 0.114)


@tf.keras.utils.register_keras_serializable("pose_tf")
class ColorJitter(tf.keras.layers.Layer):
    """Changes colors like torchvision's `ColorJitter`, with other factors and another order for each image.

    Strengths are defined as in torchvision: brightness, contrast and saturation multiply by a factor uniform in
    [max(0, 1 − strength), 1 + strength] (of the distance from black, from the image's mean gray, from the pixel's
    gray); hue is rotated by an angle uniform in ±strength of a full turn. Values are clipped after each change.

    Args:
        brightness, contrast, saturation: strengths, 0 for no change.
        hue: strength, at most 0.5.

    Call arguments:
        images: uint8 or float [B, H, W, 3], values 0 to 255.
        training: False returns the images as they are.
        seed: int [2], for stateless randomness.

    Returns:
        Images of the same shape and type.
    """

    def __init__(
        self,
        brightness: float = 0.2,
        contrast: float = 0.2,
        saturation: float = 0.2,
        hue: float = 0.0,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)  # keeps the type of the images
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue

    def call(self, images, training, seed):
        if not training or not (self.brightness or self.contrast or self.saturation or self.hue):
            return images
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 5))
        batch = tf.shape(images)[0]
        factors = [
            tf.random.stateless_uniform([batch], seeds[i], max(0.0, 1 - strength), 1 + strength)
            for i, strength in enumerate((self.brightness, self.contrast, self.saturation))
        ]
        turn = tf.random.stateless_uniform([batch], seeds[3], -self.hue, self.hue)
        changes = 4 if self.hue else 3
        order = tf.argsort(tf.random.stateless_uniform([batch, changes], seeds[4]))
        return jitter(images, *factors, turn if self.hue else None, order)

    def get_config(self):
        return {
            **super().get_config(),
            "brightness": self.brightness,
            "contrast": self.contrast,
            "saturation": self.saturation,
            "hue": self.hue,
        }


def jitter(images, brightness, contrast, saturation, hue, order):
    """Changes colors by given factors, in a given order.

    Args:
        images: uint8 or float [B, H, W, 3], values 0 to 255.
        brightness, contrast, saturation: float32 [B], factors.
        hue: float32 [B], turns; None leaves the hue and its place in the order out.
        order: int [B, 3 or 4]: the changes (0 brightness, 1 contrast, 2 saturation, 3 hue), first to last.

    Returns:
        Images of the same shape and type.
    """
    images = tf.convert_to_tensor(images)
    shape = tf.shape(images)
    x = tf.reshape(tf.cast(images, tf.float32), [shape[0], -1, 3])
    zeros = tf.zeros_like(brightness)
    # Each change except hue is  own · color + gray · its gray + mean · the image's mean gray.
    own = tf.stack([brightness, contrast, saturation, zeros + 1], axis=1)
    gray = tf.stack([zeros, zeros, 1 - saturation, zeros], axis=1)
    mean = tf.stack([zeros, 1 - contrast, zeros, zeros], axis=1)
    for step in range(order.shape[1]):
        change = order[:, step]
        own_now, gray_now, mean_now = (
            tf.gather(table, change, batch_dims=1)[:, None, None] for table in (own, gray, mean)
        )
        matrix = own_now * tf.eye(3) + gray_now * tf.constant(GRAY)[:, None]
        mean_gray = tf.tensordot(tf.reduce_mean(x, axis=1, keepdims=True), tf.constant(GRAY), 1)[..., None]
        changed = tf.raw_ops.ClipByValue(
            t=tf.matmul(x, matrix) + mean_now * mean_gray, clip_value_min=0.0, clip_value_max=255.0
        )
        if hue is not None:
            changed = tf.where((change == 3)[:, None, None], _turn_hue(x, hue), changed)
        x = changed
    x = tf.reshape(x, shape)
    return tf.cast(tf.round(x) if images.dtype.is_integer else x, images.dtype)


def _turn_hue(x, turns):
    hsv = tf.image.rgb_to_hsv(x / 255)
    hues = tf.math.floormod(hsv[..., :1] + turns[:, None, None], 1.0)
    return tf.image.hsv_to_rgb(tf.concat([hues, hsv[..., 1:]], axis=-1)) * 255
