"""Semantic graph convolution, the layer of SemGCN."""

import numpy as np
import tensorflow as tf


@tf.keras.utils.register_keras_serializable("pose_tf")
class SemGraphConv(tf.keras.layers.Layer):
    """Graph convolution with learned weights of neighbors (Zhao et al., CVPR 2019, equations 2 and 3).

    Â is the row-wise softmax of one learned scalar per directed edge and per node:
    out = (Â ⊙ I)·X·W₀ + (Â ⊙ (1 − I))·X·W₁ + b.

    Args:
        units: output channels.
        edges: undirected edges as pairs of node indices; every node also has an edge to itself.

    Call arguments:
        x: float [B, nodes, channels].

    Returns:
        float [B, nodes, units].
    """

    def __init__(self, units: int, edges, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.edges = [[int(i), int(j)] for i, j in edges]

    def build(self, input_shape):
        nodes, channels = input_shape[-2:]
        neighbors = np.eye(nodes, dtype=bool)
        for i, j in self.edges:
            if not (0 <= i < nodes and 0 <= j < nodes):
                raise ValueError(f"edge ({i}, {j}) names a node outside 0 … {nodes - 1}")
            neighbors[i, j] = neighbors[j, i] = True
        self._entries = np.argwhere(neighbors)  # row-major, like `e` in the public code
        self._shape = (nodes, nodes)
        limit = 1.414 * (6 / (channels * self.units + 2 * self.units)) ** 0.5
        self.kernel = self.add_weight(
            "kernel", (2, channels, self.units), initializer=tf.keras.initializers.RandomUniform(-limit, limit)
        )
        self.edge_logits = self.add_weight("edge_logits", (len(self._entries),), initializer="ones")
        limit = self.units**-0.5
        self.bias = self.add_weight(
            "bias", (self.units,), initializer=tf.keras.initializers.RandomUniform(-limit, limit)
        )
        super().build(input_shape)

    def adjacency(self):
        """Â: float32 [nodes, nodes], each row sums to 1."""
        logits = tf.fill(self._shape, -9e15)
        logits = tf.tensor_scatter_nd_update(logits, self._entries, tf.cast(self.edge_logits, tf.float32))
        return tf.nn.softmax(logits, axis=-1)

    def call(self, x):
        adjacency = tf.cast(self.adjacency(), x.dtype)
        # Rows 2i and 2i + 1 collect node i's own channels and its neighbors', side by side, so that a single product
        # with both kernels, stacked, remains.
        own = np.eye(self._shape[0], dtype=np.float32)
        parts = tf.stack([adjacency * own, adjacency * (1 - own)], axis=1)
        gathered = tf.matmul(tf.reshape(parts, (-1, self._shape[0])), x)  # [B, 2 · nodes, channels]
        kernel = tf.reshape(self.kernel, (-1, self.units))
        return tf.nn.bias_add(
            tf.tensordot(tf.reshape(gathered, (-1, self._shape[0], kernel.shape[0])), kernel, 1), self.bias
        )

    def get_config(self):
        return {**super().get_config(), "units": self.units, "edges": self.edges}
