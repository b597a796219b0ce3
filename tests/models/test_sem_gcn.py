"""Tests of SemGCN: parameter counts of the public code, an independent NumPy forward pass, and round trips."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.models import SemGCN
from pose_tf.skeleton import H36M

EDGES_16 = [
    (0, 1), (1, 2), (2, 3), (0, 4), (4, 5), (5, 6), (0, 7), (7, 8), (8, 9), (8, 10), (10, 11), (11, 12),
    (8, 13), (13, 14), (14, 15),
]  # fmt: skip
GROUPS_16 = [[2, 3], [5, 6], [1, 4], [0, 7], [8, 9], [14, 15], [11, 12], [10, 13]]


def trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def randomize(model, rng):
    for weight in model.weights:
        if "variance" in weight.name:
            weight.assign(rng.uniform(0.5, 2, weight.shape))
        else:
            weight.assign(rng.normal(size=weight.shape) * 0.3)


def forward(model, x, num_blocks):
    """Plain SemGCN with dense matrices instead of sparse ones."""
    linked = np.eye(x.shape[1], dtype=bool)
    for i, j in H36M.bones:
        linked[i, j] = linked[j, i] = True

    def graph_conv(x, name):
        layer = model.get_layer(f"{name}.gconv")
        affinity = np.zeros(linked.shape)
        affinity[linked] = np.exp(layer.edge_logits.numpy())
        affinity /= affinity.sum(1, keepdims=True)
        own = np.diag(np.diag(affinity))
        kernel = layer.kernel.numpy()
        return own @ x @ kernel[0] + (affinity - own) @ x @ kernel[1] + layer.bias.numpy()

    def activated(x, name):
        bn = model.get_layer(f"{name}.bn")
        x = (graph_conv(x, name) - bn.moving_mean.numpy()) / np.sqrt(bn.moving_variance.numpy() + 1e-5)
        return np.maximum(x * bn.gamma.numpy() + bn.beta.numpy(), 0)

    x = activated(x, "input")
    for block in range(num_blocks):
        x = x + activated(activated(x, f"block{block}.1"), f"block{block}.2")
    return graph_conv(x, "output")


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"non_local": False}, 267_373),
        ({"num_joints": 16, "edges": EDGES_16, "groups": GROUPS_16}, 434_703),
        # A non-local layer of 8 channels: 3·(8 + 1)·4 + (4 + 1)·8 + 8 + 16 = 172; there are two.
        ({"channels": 8, "num_blocks": 1}, 2 * 172),
    ],
    ids=["17 plain", "16 non-local", "8 channels"],
)
def test_number_of_parameters(options, expected):
    extra = 0
    if "channels" in options:
        extra = trainable(SemGCN(**options, non_local=False))
    assert trainable(SemGCN(**options)) - extra == expected


def test_reference_weights_would_fit(shared_data):
    plain = np.load(shared_data / "parity" / "semgcn_17_io.npz")
    pooled = np.load(shared_data / "parity" / "semgcn_nonlocal_16_io.npz")
    assert {frozenset(edge) for edge in plain["edges"].tolist()} == {frozenset(bone) for bone in H36M.bones}
    assert trainable(SemGCN(non_local=False)) == plain["num_parameters"]
    model = SemGCN(16, edges=pooled["edges"], groups=pooled["nodes_group"])
    assert trainable(model) == pooled["num_parameters"]
    assert model(pooled["input"]).shape == pooled["output"].shape


@pytest.mark.parametrize("num_blocks", [0, 2])
def test_equals_a_forward_pass_by_hand(rng, num_blocks):
    model = SemGCN(channels=6, num_blocks=num_blocks, non_local=False)
    randomize(model, rng)
    pose2d = rng.normal(size=(4, 17, 2)).astype(np.float32)
    pose3d = model(pose2d)
    assert (pose3d.shape, pose3d.dtype) == ((4, 17, 3), tf.float32)
    np.testing.assert_allclose(pose3d, forward(model, pose2d, num_blocks), rtol=1e-3, atol=1e-3)


def test_non_local_layers_change_nothing_at_start(rng):
    with_them, without = SemGCN(channels=8), SemGCN(channels=8, non_local=False)
    for layer in without.layers:
        layer.set_weights(with_them.get_layer(layer.name).get_weights())
    pose2d = rng.normal(size=(3, 17, 2)).astype(np.float32)
    np.testing.assert_allclose(with_them(pose2d), without(pose2d), atol=1e-6)
    names = [layer.name for layer in with_them.layers if layer.name.endswith(".non_local")]
    assert names == ["input.non_local", *(f"block{block}.non_local" for block in range(4))]


def test_other_skeletons_need_edges():
    with pytest.raises(ValueError, match="16 joints"):
        SemGCN(num_joints=16)


def test_all_weights_learn_and_statistics_move(rng):
    pose2d = tf.constant(rng.normal(size=(8, 17, 2)), tf.float32)
    model = SemGCN(channels=8, num_blocks=1)
    model(pose2d, training=False)
    assert not np.any(model.get_layer("block0.1.bn").moving_mean)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(pose2d, training=True) ** 2)
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(loss, model.trainable_weights))
    assert np.any(model.get_layer("block0.1.bn").moving_mean)


def test_mixed_precision_returns_float32(rng, mixed_bfloat16):
    model = SemGCN(channels=8, num_blocks=1)
    pose3d = model(rng.normal(size=(2, 17, 2)).astype(np.float32))
    assert (pose3d.shape, pose3d.dtype) == ((2, 17, 3), tf.float32)
    assert model.get_layer("input.non_local").compute_dtype == "bfloat16"
    assert {weight.dtype for weight in model.weights} == {tf.float32}


@pytest.mark.parametrize(
    "options",
    [{}, {"non_local": False}, {"num_joints": 16, "edges": EDGES_16, "groups": GROUPS_16}],
    ids=["default", "plain", "16 joints"],
)
def test_saved_model_file_gives_the_same_poses(tmp_path, rng, options):
    model = SemGCN(channels=8, num_blocks=1, **options)
    randomize(model, rng)
    model.save(tmp_path / "model.keras")
    again = tf.keras.models.load_model(tmp_path / "model.keras")
    assert type(again) is SemGCN
    assert again.get_config() == model.get_config()
    pose2d = rng.normal(size=(2, options.get("num_joints", 17), 2)).astype(np.float32)
    np.testing.assert_array_equal(again(pose2d), model(pose2d))
