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


def randomize(layer, rng):
    layer.set_weights([rng.normal(size=weight.shape).astype(np.float32) for weight in layer.get_weights()])


def graph_conv(x, edges, kernel, edge_logits, bias):
    """Equations 2 and 3 of the paper, one node and one neighbor at a time."""
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
def test_equals_the_sum_over_neighbors(rng, edges, nodes):
    x = rng.normal(size=(3, nodes, 5)).astype(np.float32)
    layer = SemGraphConv(7, edges)
    layer.build(x.shape)
    randomize(layer, rng)
    expected = graph_conv(x, edges, layer.kernel.numpy(), layer.edge_logits.numpy(), layer.bias.numpy())
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-4)


def test_a_single_node_is_a_dense_layer(rng):
    x = rng.normal(size=(6, 1, 4)).astype(np.float32)
    layer = SemGraphConv(3, [])
    layer.build(x.shape)
    randomize(layer, rng)
    dense = tf.keras.layers.Dense(3, weights=[layer.kernel[0].numpy(), layer.bias.numpy()])
    np.testing.assert_allclose(layer(x), dense(x), atol=1e-5)


def gradients(layer, x, upstream):
    """Gradients of the sum of output times `upstream` with respect to x, kernel, edge logits and bias."""
    x = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x) * upstream)
    return [gradient.numpy() for gradient in tape.gradient(loss, [x, layer.kernel, layer.edge_logits, layer.bias])]


def test_gradients_of_a_single_node_are_those_of_a_dense_layer(rng):
    x, upstream = rng.normal(size=(6, 1, 4)).astype(np.float32), rng.normal(size=(6, 1, 3)).astype(np.float32)
    layer = SemGraphConv(3, [])
    layer.build(x.shape)
    randomize(layer, rng)
    by_x, by_kernel, by_edge, by_bias = gradients(layer, x, upstream)
    np.testing.assert_allclose(by_x, upstream @ layer.kernel[0].numpy().T, atol=1e-5)
    np.testing.assert_allclose(by_kernel[0], x[:, 0].T @ upstream[:, 0], atol=1e-5)
    np.testing.assert_array_equal(by_kernel[1], np.zeros((4, 3)))
    np.testing.assert_array_equal(by_edge, [0])
    np.testing.assert_allclose(by_bias, upstream.sum((0, 1)), atol=1e-5)


def test_a_node_without_edges_sees_and_teaches_only_its_own_term(rng):
    x, upstream = rng.normal(size=(2, 4, 3)).astype(np.float32), np.zeros((2, 4, 5), np.float32)
    upstream[:, 2] = rng.normal(size=(2, 5))
    layer = SemGraphConv(5, [(0, 1), (1, 3)])
    layer.build(x.shape)
    randomize(layer, rng)
    own, bias = layer.kernel[0].numpy(), layer.bias.numpy()
    np.testing.assert_allclose(layer(x)[:, 2], x[:, 2] @ own + bias, atol=1e-5)
    by_x, by_kernel, by_edges, by_bias = gradients(layer, x, upstream)
    np.testing.assert_allclose(by_x, upstream @ own.T, atol=1e-5)
    np.testing.assert_allclose(by_kernel, [x[:, 2].T @ upstream[:, 2], np.zeros((3, 5))], atol=1e-5)
    np.testing.assert_array_equal(by_edges, np.zeros(8))
    np.testing.assert_allclose(by_bias, upstream.sum((0, 1)), atol=1e-5)


@pytest.mark.parametrize("edges, nodes", [(H36M.bones, 17), ([(0, 1), (1, 2), (0, 2)], 4)], ids=["17", "4"])
def test_gradients_agree_with_finite_differences(rng, edges, nodes):
    x, upstream = rng.normal(size=(2, nodes, 3)).astype(np.float32), rng.normal(size=(2, nodes, 4))
    layer = SemGraphConv(4, edges)
    layer.build(x.shape)
    randomize(layer, rng)
    values = [value.astype(np.float64) for value in (x, *(weight.numpy() for weight in layer.weights))]

    def slope(which, index, step=1e-5):
        """Central difference of the NumPy implementation in float64."""
        losses = []
        for sign in (1, -1):
            moved = [value.copy() for value in values]
            moved[which][index] += sign * step
            losses.append((graph_conv(moved[0], edges, *moved[1:]) * upstream).sum())
        return (losses[0] - losses[1]) / (2 * step)

    for which, gradient in enumerate(gradients(layer, x, upstream.astype(np.float32))):
        places = list(np.ndindex(gradient.shape))
        if len(places) > 50:
            places = [places[i] for i in rng.choice(len(places), 20, replace=False)]
        numeric = [slope(which, place) for place in places]
        np.testing.assert_allclose([gradient[place] for place in places], numeric, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("edges, nodes, entries", [(H36M.bones, 17, 49), (EDGES_16, 16, 46)])
def test_weights(edges, nodes, entries):
    layer = SemGraphConv(128, edges)
    layer.build((None, nodes, 2))
    assert [tuple(weight.shape) for weight in layer.trainable_weights] == [(2, 2, 128), (entries,), (128,)]
    np.testing.assert_array_equal(layer.edge_logits, np.ones(entries))
    limit = 1.414 * (6 / (2 * 128 + 2 * 128)) ** 0.5
    assert 0.9 * limit < np.abs(layer.kernel).max() <= limit
    assert 0.9 * 128**-0.5 < np.abs(layer.bias).max() <= 128**-0.5


def test_adjacency_starts_as_the_mean_over_neighbors():
    layer = SemGraphConv(4, [(0, 1), (1, 2)])
    layer.build((None, 4, 2))
    third = 1 / 3
    expected = [[0.5, 0.5, 0, 0], [third, third, third, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(layer.adjacency(), expected, atol=1e-6)


def test_adjacency_stays_a_mean_over_neighbors(rng):
    layer = SemGraphConv(4, H36M.bones)
    layer.build((None, 17, 2))
    randomize(layer, rng)
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
    randomize(first, rng)
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
