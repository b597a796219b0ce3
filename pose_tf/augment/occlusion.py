"""Pasting objects over images (Sárándi et al., "How robust is 3D human pose estimation to occlusion?", 2018).

All functions work on flat tables with one row per paste, or per piece of a paste, so that the work is proportional to
the number of pasted pixels. Row numbers are int64: TensorFlow places int32 computations on the host, even with a GPU.
"""

from typing import NamedTuple

import tensorflow as tf

from pose_tf.data.occluders import LEVELS, Atlas, OccluderBank

REFERENCE_SIZE = 256  # scales are relative to images of this size
BLOCK = 16  # pixels of a row that are pasted at once


def paste_occluders(images, bank: OccluderBank, indices, scales, centers):
    """Pastes objects of a bank over images, in order.

    Objects are resized much like OpenCV does (`INTER_AREA` to shrink, bilinear to enlarge) and blended by their alpha.
    Parts outside the image are cut off. Not differentiable.

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
    batch, height, width, _ = tf.unstack(tf.shape(images, tf.int64))
    pastes = _place(bank.atlas, height, width, indices, scales, centers)
    paste, rank = _enumerate(pastes.rows * pastes.blocks)
    own = pastes.take(paste)
    y = own.first[:, 0] + rank // own.blocks
    block = rank % own.blocks
    colors, alpha = _sample(bank.atlas, pastes, paste, y, block)

    # The canvas is a list of blocks, and each turn replaces some of them: in place, because copies would cost more than
    # everything else. It starts as a DeepCopy, which TensorFlow's optimizer never merges with other uses of the images.
    blocks_per_row = (width + BLOCK - 1) // BLOCK
    target = ((paste % batch) * height + y) * blocks_per_row + own.left + block
    canvas = tf.cast(tf.raw_ops.DeepCopy(x=images), tf.float32)
    canvas = tf.pad(canvas, [[0, 0], [0, 0], [0, blocks_per_row * BLOCK - width], [0, 0]])
    padded = tf.shape(canvas)
    canvas = tf.reshape(canvas, [-1, BLOCK, 3])
    turns = tf.range(tf.cast(indices.shape[1] + 1, tf.int64))
    ends = tf.searchsorted(paste, turns * batch)  # pieces before each turn
    for turn in range(indices.shape[1]):
        part = slice(ends[turn], ends[turn + 1])
        place = tf.cast(target[part], tf.int32)
        under = tf.gather(canvas, place)
        over = under + alpha[part] * (colors[part] - under)
        over = tf.round(over) if images.dtype.is_integer else over
        canvas = tf.raw_ops.InplaceUpdate(x=canvas, i=place, v=over)
    return tf.cast(tf.reshape(canvas, padded)[:, :, :width], images.dtype)


class _Pastes(NamedTuple):
    """R pastes: the first of every image, then the second of every image, …; one row in each table per paste.

    Attributes:
        begin: int64 [R, 2]: y, x of the resized object's first pixel, inside or outside the image.
        first, end: int64 [R, 2]: y, x of the first pixel inside the image, and of the first one past it.
        rows: int64 [R]: number of pixel rows inside the image.
        left: int64 [R]: index of the first block of columns with pixels of the object.
        blocks: int64 [R]: number of such blocks.
        start: int64 [R]: first cell of the pasted level in the atlas.
        cells: int64 [R, 2]: rows and columns of that level.
        ratio: float32 [R, 2]: cells of that level per pixel.
    """

    begin: tf.Tensor
    first: tf.Tensor
    end: tf.Tensor
    rows: tf.Tensor
    left: tf.Tensor
    blocks: tf.Tensor
    start: tf.Tensor
    cells: tf.Tensor
    ratio: tf.Tensor

    def take(self, rows) -> "_Pastes":
        return _Pastes(*(tf.gather(table, rows) for table in self))


def _place(atlas: Atlas, height, width, indices, scales, centers) -> _Pastes:
    """Positions of the objects, and the level each comes from: the smallest with at least one cell per pixel."""
    indices, scales, centers = (_by_turn(tensor) for tensor in (indices, scales, centers))
    objects = tf.cast(tf.maximum(indices, 0), tf.int64)
    sizes = tf.cast(tf.gather(atlas.sizes, objects), tf.float32)
    pasted = tf.round(sizes * tf.cast(scales, tf.float32)[:, None])
    pasted = tf.where((indices >= 0)[:, None], pasted, 0.0)
    ratio = sizes / tf.maximum(pasted, 1.0)
    level = tf.floor(tf.math.log(tf.maximum(tf.reduce_max(ratio, axis=1), 1.0)) / tf.math.log(2.0))
    level = tf.minimum(level, LEVELS - 1.0)
    shrinkage = tf.pow(2.0, level)[:, None]

    pasted = tf.cast(pasted, tf.int64)
    begin = tf.cast(tf.round(centers[:, ::-1]), tf.int64) - pasted // 2
    border = tf.stack([height, width])
    first, end = tf.clip_by_value(begin, 0, border), tf.clip_by_value(begin + pasted, 0, border)
    rows, columns = tf.unstack(end - first, axis=1)
    left = first[:, 1] // BLOCK
    return _Pastes(
        begin=begin,
        first=first,
        end=end,
        rows=rows,
        left=left,
        blocks=tf.where(columns > 0, (end[:, 1] + BLOCK - 1) // BLOCK - left, 0),
        start=tf.gather(tf.gather(atlas.starts, objects), tf.cast(level, tf.int64), batch_dims=1),
        cells=tf.cast(tf.math.ceil(sizes / shrinkage), tf.int64),
        ratio=ratio / shrinkage,
    )


def _by_turn(tensor):
    """[B, K, ...] -> [K * B, ...]."""
    tensor = tf.convert_to_tensor(tensor)
    order = [1, 0, *range(2, tensor.shape.rank)]
    return tf.reshape(tf.transpose(tensor, order), [-1, *tensor.shape[2:]])


def _enumerate(counts):
    """For each piece of R things: the index of its thing, and its index among the pieces of that thing.

    Args:
        counts: int64 [R]: number of pieces of each thing.

    Returns:
        int64 [P], int64 [P]; P is the sum of `counts`.
    """
    ends = tf.cumsum(counts)
    piece = tf.range(ends[-1])
    owner = tf.searchsorted(ends, piece, side="right", out_type=tf.int64)
    return owner, piece - tf.gather(ends - counts, owner)


def _sample(atlas: Atlas, pastes: _Pastes, paste, y, block):
    """Colors of pieces of resized objects; a piece is a block of columns in one row of pixels.

    Args:
        atlas: the bank's atlas.
        pastes: R pastes.
        paste: int64 [P]: the paste that a piece belongs to.
        y: int64 [P] px.
        block: int64 [P]: index of its block of columns within the paste.

    Returns:
        Colors float32 [P, BLOCK, 3], 0 to 255, and alpha float32 [P, BLOCK, 1], 0 to 1; 0 outside the object.
    """
    # Column-dependent values are computed once for all rows of a paste.
    column_paste, rank = _enumerate(pastes.blocks)
    own = pastes.take(column_paste[:, None])
    x = BLOCK * (own.left + rank[:, None]) + tf.range(BLOCK, dtype=tf.int64)
    columns = (*_cells(x - own.begin[..., 1], own.ratio[..., 1], own.cells[..., 1]),)
    opacity = tf.where((own.begin[..., 1] <= x) & (x < own.end[..., 1]), 1 / 255, 0.0)
    column = tf.gather(tf.cumsum(pastes.blocks, exclusive=True), paste) + block
    left, right, right_weight, opacity = (tf.gather(table, column) for table in (*columns, opacity))

    own = pastes.take(paste)
    top, bottom, bottom_weight = _cells(y - own.begin[:, 0], own.ratio[:, 0], own.cells[:, 0])
    top, bottom = ((own.start + row * own.cells[:, 1])[:, None] for row in (top, bottom))
    bottom_weight = bottom_weight[:, None]
    both = bottom_weight * right_weight
    colors = 0.0
    for cells, weight in (
        (top + left, 1 - bottom_weight - right_weight + both),
        (top + right, right_weight - both),
        (bottom + left, bottom_weight - both),
        (bottom + right, both),
    ):
        packed = tf.gather(atlas.cells, cells)
        colors += tf.cast(tf.bitcast(packed, tf.uint8), tf.float32) * weight[..., None]
    return colors[..., :3], colors[..., 3:] * opacity[..., None]


def _cells(place, ratio, count):
    """The two cells, along one axis, that a pixel of a resized object interpolates.

    A pixel covers max(`ratio`, 1) cells (1 makes enlarging bilinear). It interpolates the two cells whose centers lie
    on either side of its own, weighted by its parts on either side of the border between them. That is exact as long as
    the pixel does not reach beyond these two cells.

    Args:
        place: int64 [...]: index of the pixel in the resized object.
        ratio: float32 [...]: cells per pixel.
        count: int64 [...]: number of cells.

    Returns:
        Indices of the two cells, int64 [...] each, and the weight of the second, float32 [...].
    """
    center = (tf.cast(place, tf.float32) + 0.5) * ratio
    border = tf.round(center)
    second = tf.cast(border, tf.int64)
    weight = 0.5 + (center - border) / tf.maximum(ratio, 1.0)
    return tf.clip_by_value(second - 1, 0, count - 1), tf.clip_by_value(second, 0, count - 1), weight


@tf.keras.utils.register_keras_serializable("pose_tf")
class OcclusionAugmenter(tf.keras.layers.Layer):
    """Pastes random objects over some of the images.

    Args:
        bank: the objects, or the path of a saved bank.
        probability: probability that an image is occluded.
        min_count, max_count: number of objects on an occluded image, uniform.
        min_scale, max_scale: size relative to the size in the bank, uniform, for images whose shorter side is 256.

    Call arguments:
        images: uint8 or float [B, H, W, 3], values 0 to 255.
        training: False returns the images as they are.
        seed: int [2], for stateless randomness.

    Returns:
        Images of the same shape and type. The centers of objects are uniform over the image.
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
        super().__init__(autocast=False, **kwargs)  # keeps the type of the images
        self.bank = OccluderBank.load(bank) if isinstance(bank, str) else bank
        self.bank.atlas  # noqa: B018  # now, in the strategy's scope, and not in the first call, inside a replica
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
