"""From heatmaps to coordinates: the differentiable expectation that joins the two stages."""

import tensorflow as tf


def half_pixel_offset(stride):
    """The crop pixel at the center of the first heatmap cell, which covers pixels 0 to stride − 1.

    Cell i then lies at stride·i + (stride − 1)/2, 4·i + 1.5 for the usual heatmaps: a mirrored heatmap gives the
    mirrored position.
    """
    return (stride - 1) / 2


@tf.keras.utils.register_keras_serializable("pose_tf")
class SoftArgmax2D(tf.keras.layers.Layer):
    """Expected position of each joint under the softmax of its heatmap.

    For the logits h of one joint over the cells q, with p(q) = exp(β h(q)) / Σ exp(β h), the coordinate is Σ p(q)·q
    (integral regression, Sun et al., ECCV 2018; equations 1 and 2 of the paper). Cell i lies at crop pixel
    `stride · i + offset`, by default 4·i + 1.5; networks trained elsewhere may need `offset=0`.

    Everything is computed in float32 whatever the mixed-precision policy.

    Args:
        beta: factor on the logits; large values approach the argmax.
        stride: crop pixels for each heatmap cell.
        offset: crop pixel of the first cell; by default the center of what it covers, see `half_pixel_offset`.

    Call arguments:
        heatmaps: float [B, H, W, J] logits.

    Returns:
        float32 [B, J, 2]: x, y in crop pixels.
    """

    def __init__(self, beta: float = 1.0, stride: float = 4.0, offset: float | None = None, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.beta = beta
        self.stride = stride
        self.offset = half_pixel_offset(stride) if offset is None else offset

    def call(self, heatmaps):
        logits = self.beta * tf.cast(heatmaps, tf.float32)
        weights = tf.exp(logits - tf.stop_gradient(tf.reduce_max(logits, axis=[1, 2], keepdims=True)))
        columns = tf.reduce_sum(weights, axis=1)  # [B, W, J]
        rows = tf.reduce_sum(weights, axis=2)  # [B, H, J]
        total = tf.reduce_sum(columns, axis=1)  # [B, J]
        x = tf.einsum("bwj,w->bj", columns, tf.range(tf.shape(columns)[1], dtype=tf.float32)) / total
        y = tf.einsum("bhj,h->bj", rows, tf.range(tf.shape(rows)[1], dtype=tf.float32)) / total
        return tf.stack([x, y], axis=-1) * self.stride + self.offset

    def get_config(self):
        return {**super().get_config(), "beta": self.beta, "stride": self.stride, "offset": self.offset}
