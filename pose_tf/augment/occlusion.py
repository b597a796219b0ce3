"""Pasting objects over images (Sárándi et al., "How robust is 3D human pose estimation to occlusion?", 2018)."""

import tensorflow as tf

from pose_tf.data.occluders import LEVELS, OccluderBank

REFERENCE_SIZE = 256  # scales refer to images of this size
TAPS = 3  # cells, along each axis, that a shrunken pixel can touch at the level it is taken from


def paste_occluders(images, bank: OccluderBank, indices, scales, centers):
    """Pastes objects of a bank over images, in order.

    Objects are resized as OpenCV does (`INTER_AREA` to shrink, bilinearly to enlarge) and blended by their alpha. What
    lies outside of the image is cut off. The work grows with the number of pixels pasted, not with that of the images.

    Args:
        images: uint8 or float [B, H, W, 3], values 0 to 255.
        bank: the objects.
        indices: int [B, K]: numbers of objects, −1 for none; K is static.
        scales: float [B, K]: size in the image relative to the size in the bank.
        centers: float [B, K, 2]: x, y px; rounded.

    Returns:
        Images of the same shape and type.
    """
    images, indices = tf.convert_to_tensor(images), tf.convert_to_tensor(indices)
    shape = tf.shape(images)
    turns = indices.shape[1]

    # One row for each paste: the first paste of every image, then the second of every image, …
    indices, scales, centers = (_by_turn(tensor) for tensor in (indices, scales, centers))
    known = tf.cast(tf.maximum(indices, 0), tf.int64)
    sizes = tf.gather(bank.atlas.sizes, known)  # [R, 2] height, width
    pasted = tf.round(tf.cast(sizes, tf.float32) * tf.cast(scales, tf.float32)[:, None])
    pasted = tf.where((indices >= 0)[:, None], tf.cast(pasted, tf.int32), 0)
    begin = tf.cast(tf.round(centers[:, ::-1]), tf.int32) - pasted // 2
    first = tf.clip_by_value(begin, 0, shape[1:3])
    visible = tf.clip_by_value(begin + pasted, 0, shape[1:3]) - first

    # One row for each pixel that is pasted.
    areas = visible[:, 0] * visible[:, 1]
    ends = tf.cumsum(areas)
    pixel = tf.cast(tf.range(tf.cast(ends[-1], tf.int64)), tf.int32)
    row = tf.searchsorted(ends, pixel, side="right")
    rank = pixel - tf.gather(ends - areas, row)
    columns = tf.gather(visible[:, 1], row)
    place = tf.gather(first, row) + tf.stack([rank // columns, rank % columns], axis=-1)  # [P, 2] y, x
    image_number = row % shape[0]
    target = (image_number * shape[1] + place[:, 0]) * shape[2] + place[:, 1]
    inside = tf.cast(place - tf.gather(begin, row), tf.float32)  # [P, 2]: cell of the resized object
    colors = _sample(bank.atlas, known, sizes, pasted, row, inside)
    alpha = colors[:, 3:] / 255

    canvas = tf.reshape(tf.cast(images, tf.float32), [-1, 3])
    turn_ends = tf.concat([[0], tf.gather(ends, tf.range(1, turns + 1) * shape[0] - 1)], axis=0)
    for turn in range(turns):
        part = slice(turn_ends[turn], turn_ends[turn + 1])
        under = tf.gather(canvas, target[part])
        canvas = tf.tensor_scatter_nd_update(
            canvas, target[part, None], under + alpha[part] * (colors[part, :3] - under)
        )
    canvas = tf.reshape(canvas, shape)
    return tf.cast(tf.round(canvas) if images.dtype.is_integer else canvas, images.dtype)


def _by_turn(tensor):
    """[B, K, ...] -> [K * B, ...]."""
    tensor = tf.convert_to_tensor(tensor)
    order = [1, 0, *range(2, tensor.shape.rank)]
    return tf.reshape(tf.transpose(tensor, order), [-1, *tensor.shape[2:]])


def _sample(atlas, objects, sizes, pasted, row, inside):
    """Colours of pixels of resized objects: each the mean of the object over the area that the pixel covers.

    The area is a box in the object's full-size coordinates. It is taken from the level whose cells are at most as
    wide as the box, so that it touches TAPS cells along each axis. When enlarging, a box as wide as one cell gives
    bilinear interpolation.

    Args:
        atlas: of the bank.
        objects: int64 [R]; sizes: int64 [R, 2] height, width; pasted: int32 [R, 2] height, width after resizing.
        row: int32 [P]: which of the R a pixel belongs to.
        inside: float32 [P, 2]: its y, x in the resized object.

    Returns:
        float32 [P, 4] RGBA, 0 to 255.
    """
    sizes = tf.cast(sizes, tf.float32)
    ratio = sizes / tf.cast(tf.maximum(pasted, 1), tf.float32)
    box = tf.maximum(ratio, 1.0)
    level = tf.floor(tf.math.log(tf.reduce_max(box, axis=1)) / tf.math.log(2.0))
    level = tf.clip_by_value(tf.cast(level, tf.int64), 0, LEVELS - 1)
    cell = tf.pow(2.0, tf.cast(level, tf.float32))[:, None]
    last = tf.math.ceil(sizes / cell) - 1
    start = tf.cast(tf.gather(tf.gather(atlas.starts, objects), level, batch_dims=1), tf.int32)

    ratio, box, sizes, last, cell = (tf.gather(table, row) for table in (ratio, box, sizes, last, cell))
    start = tf.gather(start, row)
    centre = (inside + 0.5) * ratio
    low = tf.maximum(centre - box / 2, 0.0)
    high = tf.minimum(centre + box / 2, sizes)
    first = tf.floor(low / cell)
    weights, positions = [], []
    for tap in range(TAPS):
        edge = first + tap
        overlap = tf.minimum(high, (edge + 1) * cell) - tf.maximum(low, edge * cell)
        weights.append(tf.maximum(overlap, 0.0) / (high - low))
        positions.append(tf.cast(tf.minimum(edge, last), tf.int32))
    columns = tf.cast(last[:, 1], tf.int32) + 1
    colors = 0.0
    for i in range(TAPS):
        begin = start + positions[i][:, 0] * columns
        for j in range(TAPS):
            packed = tf.gather(atlas.cells, begin + positions[j][:, 1])
            weight = weights[i][:, 0] * weights[j][:, 1]
            colors += tf.cast(tf.bitcast(packed, tf.uint8), tf.float32) * weight[:, None]
    return colors


@tf.keras.utils.register_keras_serializable("pose_tf")
class OcclusionAugmenter(tf.keras.layers.Layer):
    """Pastes random objects over some of the images, other ones at every call.

    Args:
        bank: the objects, or the path of a saved bank.
        probability: that an image is occluded at all.
        min_count, max_count: objects for an occluded image, uniform.
        min_scale, max_scale: size relative to the size in the bank, uniform, for images whose shorter side is 256.

    Call arguments:
        images: uint8 or float [B, H, W, 3], values 0 to 255.
        training: False returns the images as they are.
        seed: int [2], for stateless randomness.

    Returns:
        Images of the same shape and type. Centres are uniform over the image.
    """

    def __init__(
        self,
        bank: OccluderBank | str,
        probability: float = 0.5,
        min_count: int = 1,
        max_count: int = 8,
        min_scale: float = 0.2,
        max_scale: float = 1.0,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)  # images stay of their type
        self.bank = OccluderBank.load(bank) if isinstance(bank, str) else bank
        self.probability = probability
        self.min_count, self.max_count = min_count, max_count
        self.min_scale, self.max_scale = min_scale, max_scale

    def call(self, images, training, seed):
        if not training:
            return images
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 5))
        shape = tf.shape(images)
        batch, size = shape[0], tf.cast(shape[1:3], tf.float32)
        many = [batch, self.max_count]
        occluded = tf.random.stateless_uniform([batch], seeds[0]) < self.probability
        count = tf.random.stateless_uniform([batch], seeds[1], self.min_count, self.max_count + 1, tf.int32)
        chosen = tf.random.stateless_uniform(many, seeds[2], 0, len(self.bank), tf.int32)
        pasted = occluded[:, None] & (tf.range(self.max_count) < count[:, None])
        scales = tf.random.stateless_uniform(many, seeds[3], self.min_scale, self.max_scale)
        scales *= tf.reduce_min(size) / REFERENCE_SIZE
        centers = tf.random.stateless_uniform([*many, 2], seeds[4]) * size[::-1]
        return paste_occluders(images, self.bank, tf.where(pasted, chosen, -1), scales, centers)

    def get_config(self):
        return {
            **super().get_config(),
            "bank": self.bank.path,
            "probability": self.probability,
            "min_count": self.min_count,
            "max_count": self.max_count,
            "min_scale": self.min_scale,
            "max_scale": self.max_scale,
        }
