"""Non-local layer: every joint attends to every other."""

import tensorflow as tf

from pose_tf.layers.batch_normalization import BatchNormalization


@tf.keras.utils.register_keras_serializable("pose_tf")
class NonLocal(tf.keras.layers.Layer):
    """Non-local block with concatenation affinity (Wang et al., CVPR 2018, equations 1, 4 and 6) over graph nodes.

    θ, φ and g project to half the channels; f(i, j) = ReLU(w·[θ(xᵢ); φ(xⱼ)]) / N; z = x + BN(W·Σⱼ f(i, j)·g(xⱼ)).
    The scale γ of the batch normalization is initialized to 0, so the layer starts as the identity.

    With `groups`, nodes are reordered, and φ and g are max-pooled over each group, as in the public SemGCN.

    Args:
        groups: lists of node indices, all of the same length, that contain every node once; or None.

    Call arguments:
        x: float [B, nodes, channels].

    Returns:
        float [B, nodes, channels].
    """

    def __init__(self, groups=None, **kwargs):
        super().__init__(**kwargs)
        self.groups = None if groups is None else [[int(i) for i in group] for group in groups]

    def build(self, input_shape):
        nodes, channels = input_shape[-2:]
        groups = self.groups or [list(range(nodes))]
        if len({len(group) for group in groups}) != 1 or sorted(sum(groups, [])) != list(range(nodes)):
            raise ValueError(f"groups must name each of the {nodes} nodes once, in lists of equal length")
        half = max(channels // 2, 1)
        self.theta = tf.keras.layers.Dense(half, name="theta", dtype=self.dtype_policy)
        self.phi = tf.keras.layers.Dense(half, name="phi", dtype=self.dtype_policy)
        self.g = tf.keras.layers.Dense(half, name="g", dtype=self.dtype_policy)
        self.out = tf.keras.layers.Dense(channels, name="out", dtype=self.dtype_policy)
        self.bn = BatchNormalization(
            momentum=0.9, epsilon=1e-5, gamma_initializer="zeros", name="bn", dtype=self.dtype_policy
        )
        for layer in (self.theta, self.phi, self.g):
            layer.build(input_shape)
        self.out.build((None, nodes, half))
        self.bn.build(input_shape)
        self.affinity = self.add_weight(
            "affinity", (2 * half,), initializer=tf.keras.initializers.RandomNormal(stddev=(2 / (2 * half + 1)) ** 0.5)
        )
        super().build(input_shape)

    def call(self, x, training=None):
        nodes = x
        if self.groups is not None:
            order = sum(self.groups, [])
            nodes = tf.gather(x, order, axis=1)
        # w·[θ; φ] is a sum of two parts, so the pairs are never materialized.
        w_theta, w_phi = tf.split(self.affinity, 2)
        if self.groups is None:
            own, other = tf.unstack(_project([self.theta, self.phi], [w_theta, w_phi], nodes), axis=-1)
        else:
            (own,) = tf.unstack(_project([self.theta], [w_theta], nodes), axis=-1)
            other = tf.linalg.matvec(self._pool(self.phi(nodes)), w_phi)
        g = self._pool(self.g(nodes))
        scores = own[:, :, None] + other[:, None, :]
        affinity = tf.nn.relu(scores) / g.shape[1]
        y = self.bn(self.out(tf.matmul(affinity, g)), training=training)
        if self.groups is not None:
            y = tf.gather(y, [order.index(i) for i in range(len(order))], axis=1)
        return x + y

    def _pool(self, x):
        if self.groups is None:
            return x
        return tf.nn.max_pool1d(x, len(self.groups[0]), len(self.groups[0]), "VALID")

    def get_config(self):
        return {**super().get_config(), "groups": self.groups}


def _project(layers, vectors, x):
    """v·(W·x + b) for each dense layer, computed as (v·W)·x + v·b. x [B, nodes, channels] -> [B, nodes, layers]."""
    kernel = tf.stack([tf.linalg.matvec(layer.kernel, v) for layer, v in zip(layers, vectors)], axis=1)
    bias = tf.stack([tf.tensordot(layer.bias, v, 1) for layer, v in zip(layers, vectors)])
    return tf.tensordot(x, kernel, 1) + bias
