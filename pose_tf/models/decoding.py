"""Decoding: heatmaps to coordinates in crop pixels."""

import dataclasses

import tensorflow as tf

from pose_tf.choices import ALIGNMENTS, METHODS
from pose_tf.errors import UserError, check_choice
from pose_tf.geometry import CROP_SIZE
from pose_tf.layers import SoftArgmax2D
from pose_tf.layers.soft_argmax import half_pixel_offset


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How heatmaps become coordinates.

    Attributes:
        method: one of
            `soft_argmax`: expectation under the softmax (equations 1 and 2 of the paper).
            `debiased`: the same without the bias toward the center that a background of logit 0 causes (Gu et al., ICCV
            2021).
            `argmax`: highest cell, moved a quarter of a cell toward its higher neighbors. HRNet is evaluated this way
            (Sun et al., CVPR 2019).
            `unshifted_argmax`: highest cell, as in the paper's released code.
        beta: factor on the logits before the softmax. The paper's released code uses 1e7.
        alignment: position of cell i in crop pixels. `half_pixel`: the center of the pixels that the cell covers,
            4·i + 1.5 for the usual heatmaps. `corner`: the first of these pixels, 4·i, as in the public HRNet.
        confidence_beta: factor on the logits before the softmax that confidences come from; 0 for `beta`.

    Raises:
        UserError: unknown method or alignment, `beta` is not above 0, or `confidence_beta` is below 0.
    """

    method: str = "soft_argmax"
    beta: float = 1.0
    alignment: str = "half_pixel"
    confidence_beta: float = 0.0

    def __post_init__(self):
        check_choice("decoding.method", self.method, METHODS)
        check_choice("decoding.alignment", self.alignment, ALIGNMENTS)
        if not self.beta > 0:
            raise UserError(f"decoding.beta is {self.beta}; it must be above 0")
        if not self.confidence_beta >= 0:
            raise UserError(f"decoding.confidence_beta is {self.confidence_beta}; it must be at least 0")

    @property
    def takes_argmax(self) -> bool:
        """Whether the method takes the highest cell, so that the coordinates have no gradient."""
        return self.method in ("argmax", "unshifted_argmax")

    def to_pixels(self, cells, heatmaps):
        """Positions in cells [..., 2] of heatmaps [B, H, W, J] -> crop px."""
        stride = _stride(heatmaps)
        return cells * stride + self._offset(stride)

    def to_cells(self, pose2d, heatmaps):
        """Crop px [..., 2] -> positions in cells of heatmaps [B, H, W, J]."""
        stride = _stride(heatmaps)
        return (pose2d - self._offset(stride)) / stride

    def _offset(self, stride):
        return half_pixel_offset(stride) if self.alignment == "half_pixel" else 0.0

    def __call__(self, heatmaps):
        """Decodes heatmaps of any size: float32 [B, H, W, J] logits -> float32 [B, J, 2] crop px."""
        if self.takes_argmax:
            cells = _argmax(heatmaps, shifted=self.method == "argmax")
        else:
            cells = SoftArgmax2D(self.beta, stride=1.0)(heatmaps)
            if self.method == "debiased":
                cells = _without_background(self.beta * heatmaps, cells)
        return self.to_pixels(cells, heatmaps)


def _stride(heatmaps):
    """Crop pixels per cell: float32 scalar; 4 for an HRNet at full size."""
    return CROP_SIZE / tf.cast(tf.shape(heatmaps)[1], tf.float32)


def _argmax(heatmaps, shifted):
    """Highest cell, float32 [B, J, 2] x, y. `shifted` moves it as `get_final_preds` of the public HRNet does."""
    shape = tf.shape(heatmaps)
    height, width = shape[1], shape[2]
    flat = tf.reshape(tf.transpose(heatmaps, [0, 3, 1, 2]), [shape[0], shape[3], -1])
    best = tf.argmax(flat, axis=-1, output_type=tf.int32)
    x, y = best % width, best // width
    inside = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)

    def slope(step):
        neighbors = [tf.where(inside, best + sign * step, best)[..., None] for sign in (1, -1)]
        higher, lower = (tf.gather(flat, index, batch_dims=2)[..., 0] for index in neighbors)
        return tf.sign(higher - lower)

    cells = tf.cast(tf.stack([x, y], axis=-1), tf.float32)
    if not shifted:
        return cells
    return cells + 0.25 * tf.stack([slope(1), slope(width)], axis=-1)


def _without_background(logits, cells):
    """Removes the background from an expectation.

    Let C be the mean of exp(logit). A background of logits 0 has the share 1/C of the mass, and its mean is the center
    c. The mean of the rest is c + (x − c)·C/(C − 1). A map may lack such a background; where C is not above 1, x stays.
    """
    shape = tf.shape(logits)
    size = tf.cast(tf.stack([shape[2], shape[1]]), tf.float32)
    log_mean = tf.reduce_logsumexp(logits, axis=[1, 2]) - tf.math.log(tf.reduce_prod(size))
    rest = -tf.math.expm1(-tf.maximum(log_mean, 0.0))[..., None]
    center = (size - 1) / 2
    moved = tf.clip_by_value(center + tf.math.divide_no_nan(cells - center, rest), 0.0, size - 1)
    return tf.where(rest > 0, moved, cells)
