"""Tests of the semantic graph convolution: an independent NumPy implementation, the mask, and weight counts."""

import json

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.layers import SemGraphConv
from pose_tf.skeleton import H36M

EDGES_16 = [
    (0, 1), (1, 2), (2, 3), (0, 4), (4, 5), (5, 6), (0, 7), (7, 8), (8, 9), (8, 10), (10, 11), (11, 12),
    (8, 13), (13, 14), (14, 15),
]  # fmt: skip


def randomise(layer, rng):
    layer.set_weights([rng.normal(size=weight.shape).astype(np.float32) for weight in layer.get_weights()])


def graph_conv(x, edges, kernel, edge_logits, bias):
    """Equations 2 and 3 of the paper, one node and one neighbour at a time."""
    nodes = x.shape[1]
    linked = {(i, i) for i in range(nodes)} | {tuple(edge) for edge in edges} | {tuple(edge)[::-1] for edge in edges}
    e = dict(zip(sorted(linked), edge_logits))
    out = np.zeros((len(x), nodes, kernel.shape[-1])) + bias
    for i in range(nodes):
        total = sum(np.exp(e[i, j]) for j in range(nodes) if (i, j) in e)
        for j in range(nodes):
            if (i, j) in e:
                out[:, i] += np.exp(e[i, j]) / total * x[:, j] @ kernel[0 if i == j else 1]
    return out


@pytest.mark.parametrize(
    "edges, nodes", [(H36M.bones, 17), (EDGES_16, 16), ([(0, 1)], 3), ([], 4)], ids=["17", "16", "3", "no edges"]
)
def test_equals_the_sum_over_neighbours(rng, edges, nodes):
    x = rng.normal(size=(3, nodes, 5)).astype(np.float32)
    layer = SemGraphConv(7, edges)
    layer.build(x.shape)
    randomise(layer, rng)
    expected = graph_conv(x, edges, layer.kernel.numpy(), layer.edge_logits.numpy(), layer.bias.numpy())
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-4)


def test_a_single_node_is_a_dense_layer(rng):
    x = rng.normal(size=(6, 1, 4)).astype(np.float32)
    layer = SemGraphConv(3, [])
    layer.build(x.shape)
    randomise(layer, rng)
    dense = tf.keras.layers.Dense(3, weights=[layer.kernel[0].numpy(), layer.bias.numpy()])
    np.testing.assert_allclose(layer(x), dense(x), atol=1e-5)


@pytest.mark.parametrize("edges, nodes, entries", [(H36M.bones, 17, 49), (EDGES_16, 16, 46)])
def test_weights(edges, nodes, entries):
    layer = SemGraphConv(128, edges)
    layer.build((None, nodes, 2))
    assert [tuple(weight.shape) for weight in layer.trainable_weights] == [(2, 2, 128), (entries,), (128,)]
    np.testing.assert_array_equal(layer.edge_logits, np.ones(entries))
    limit = 1.414 * (6 / (2 * 128 + 2 * 128)) ** 0.5
    assert 0.9 * limit < np.abs(layer.kernel).max() <= limit
    assert 0.9 * 128**-0.5 < np.abs(layer.bias).max() <= 128**-0.5


def test_adjacency_starts_as_the_mean_over_neighbours():
    layer = SemGraphConv(4, [(0, 1), (1, 2)])
    layer.build((None, 4, 2))
    third = 1 / 3
    expected = [[0.5, 0.5, 0, 0], [third, third, third, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(layer.adjacency(), expected, atol=1e-6)


def test_adjacency_stays_a_mean_over_neighbours(rng):
    layer = SemGraphConv(4, H36M.bones)
    layer.build((None, 17, 2))
    randomise(layer, rng)
    adjacency = layer.adjacency().numpy()
    np.testing.assert_allclose(adjacency.sum(1), np.ones(17), rtol=1e-6)
    linked = np.eye(17, dtype=bool)
    for i, j in H36M.bones:
        linked[i, j] = linked[j, i] = True
    np.testing.assert_array_equal(adjacency > 0, linked)


def test_numbering_of_the_nodes_does_not_matter(rng):
    x = rng.normal(size=(2, 17, 3)).astype(np.float32)
    order = rng.permutation(17)
    place = np.argsort(order)
    first = SemGraphConv(5, H36M.bones)
    second = SemGraphConv(5, [(place[i], place[j]) for i, j in H36M.bones])
    first.build(x.shape), second.build(x.shape)
    second.set_weights(first.get_weights())
    np.testing.assert_allclose(second(x[:, order]), first(x).numpy()[:, order], atol=1e-5)


def test_direction_order_and_repetition_of_edges_do_not_matter(rng):
    x = rng.normal(size=(2, 4, 3)).astype(np.float32)
    first, second = SemGraphConv(5, [(0, 1), (1, 2)]), SemGraphConv(5, [(2, 1), (0, 1), (1, 0), (3, 3)])
    first.build(x.shape), second.build(x.shape)
    randomise(first, rng)
    second.set_weights(first.get_weights())
    np.testing.assert_array_equal(first(x), second(x))


@pytest.mark.parametrize("edge", [(0, 4), (-1, 0)])
def test_an_edge_to_nowhere_is_refused(edge):
    with pytest.raises(ValueError, match=rf"\({edge[0]}, {edge[1]}\)"):
        SemGraphConv(3, [edge]).build((None, 4, 2))


def test_every_weight_learns(rng):
    x = tf.constant(rng.normal(size=(4, 17, 3)), tf.float32)
    layer = SemGraphConv(5, H36M.bones)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x) ** 2)
    for gradient in tape.gradient(loss, layer.trainable_weights):
        assert np.isfinite(gradient).all() and np.count_nonzero(gradient) > 0.9 * gradient.shape.num_elements()


def test_mixed_precision_keeps_float32_weights(rng, mixed_bfloat16):
    x = rng.normal(size=(2, 17, 8)).astype(np.float32)
    layer, exact = SemGraphConv(4, H36M.bones), SemGraphConv(4, H36M.bones, dtype="float32")
    layer.build(x.shape), exact.build(x.shape)
    exact.set_weights(layer.get_weights())
    assert layer(x).dtype == tf.bfloat16
    assert {weight.dtype for weight in layer.weights} == {tf.float32}
    np.testing.assert_allclose(tf.cast(layer(x), tf.float32), exact(x), atol=0.1)


def test_round_trip_keeps_the_graph(rng):
    x = rng.normal(size=(2, 17, 3)).astype(np.float32)
    layer = SemGraphConv(5, H36M.bones, name="gconv")
    expected = layer(x)
    config = json.loads(json.dumps(layer.get_config()))
    again = SemGraphConv.from_config(config)
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    assert again.name == "gconv"
    np.testing.assert_array_equal(again(x), expected)
