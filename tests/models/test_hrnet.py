"""Tests of HRNet: published parameter counts, shapes, padding, layer names, precision and both training modes."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.models import HRNet


@pytest.fixture(scope="module")
def hrnet():
    return HRNet(width=8)


@pytest.fixture(scope="module")
def shapes_w32():
    """Shapes of the trainable weights of HRNet-W32 by name."""
    model = HRNet(width=32)
    shapes = {weight.name: tuple(weight.shape) for weight in model.trainable_weights}
    assert len(shapes) == len(model.trainable_weights)
    return shapes


def count(shapes):
    return sum(int(np.prod(shape)) for shape in shapes.values())


def resized(shapes, width):
    """The same network with another width. Outside of the stem and stage 1, channels are multiples of 32."""
    result = dict(shapes)
    for name, shape in shapes.items():
        if not name.startswith(("conv1", "bn1", "conv2", "bn2", "layer1")):
            keep = 3 if name.startswith("transition1") else 2  # transition 1 takes the 256 channels of stage 1
            first = shape[:keep] if len(shape) == 4 else ()
            result[name] = (*first, *(size if size % 32 else size * width // 32 for size in shape[len(first) :]))
    return result


def test_w32_has_the_published_number_of_parameters(shapes_w32):
    assert count(shapes_w32) == 28_536_113


def test_width_scales_the_branches_and_nothing_else(shapes_w32, hrnet):
    assert resized(shapes_w32, 8) == {weight.name: tuple(weight.shape) for weight in hrnet.trainable_weights}


def test_w48_has_the_published_number_of_parameters(shapes_w32):
    assert count(resized(shapes_w32, 48)) == 63_595_745


def test_reference_weights_of_width_8_would_fit(shared_data, hrnet):
    expected = int(np.load(shared_data / "parity" / "pose_hrnet_w8_io.npz")["num_parameters"])
    assert sum(int(np.prod(weight.shape)) for weight in hrnet.trainable_weights) == expected


@pytest.mark.parametrize("size, expected", [((2, 256, 256), (2, 64, 64)), ((1, 64, 96), (1, 16, 24))])
def test_heatmaps_have_a_quarter_of_the_resolution(hrnet, size, expected):
    heatmaps = hrnet(np.zeros((*size, 3), np.float32))
    assert (heatmaps.shape, heatmaps.dtype) == ((*expected, 17), tf.float32)
    assert hrnet.output_shape == (None, None, None, 17)


def test_only_the_head_has_a_bias_and_is_a_1x1_convolution(hrnet):
    convolutions = [layer for layer in hrnet.layers if isinstance(layer, tf.keras.layers.Conv2D)]
    assert len(convolutions) > 200
    assert [layer.name for layer in convolutions if layer.use_bias] == ["final_layer"]
    assert hrnet.get_layer("final_layer").kernel.shape == (1, 1, 8, 17)


def test_layers_bear_the_names_of_the_public_code(hrnet):
    names = {layer.name for layer in hrnet.layers}
    assert names >= {
        "conv1", "bn2", "layer1.0.downsample.1", "layer1.3.bn3", "transition1.0.0", "transition1.1.0.1",
        "transition2.2.0.0", "transition3.3.0.1", "stage2.0.branches.1.3.conv2", "stage3.3.branches.2.0.bn1",
        "stage4.2.branches.3.3.bn2", "stage4.0.fuse_layers.0.3.1", "stage4.1.fuse_layers.3.0.2.0",
        "stage4.2.fuse_layers.0.1.0", "final_layer",
    }  # fmt: skip
    assert not any(name.startswith(("stage4.2.fuse_layers.1", "stage2.1", "stage3.4", "stage4.3")) for name in names)
    assert not any(name.startswith(("transition2.0", "transition2.1", "transition3.2")) for name in names)


def test_batch_normalisation_is_that_of_the_public_code(hrnet):
    layers = [layer for layer in hrnet.layers if isinstance(layer, tf.keras.layers.BatchNormalization)]
    assert {(layer.momentum, layer.epsilon) for layer in layers} == {(0.9, 1e-5)}


def test_convolutions_start_small(hrnet):
    kernel = hrnet.get_layer("stage3.0.branches.2.0.conv1").kernel.numpy()
    assert kernel.std() == pytest.approx(0.001, rel=0.1)
    assert abs(kernel.mean()) < 1e-4


def test_strided_convolutions_are_padded_on_every_side(hrnet, rng):
    image = rng.normal(size=(1, 32, 32, 3)).astype(np.float32)
    layer = hrnet.get_layer("conv1")
    result = tf.keras.Model(hrnet.input, layer.output)(image)
    padded, kernel = np.pad(image[0], ((1, 1), (1, 1), (0, 0))), layer.kernel.numpy()
    expected = [
        [np.einsum("yxc,yxcf->f", padded[2 * i : 2 * i + 3, 2 * j : 2 * j + 3], kernel) for j in range(16)]
        for i in range(16)
    ]
    np.testing.assert_allclose(result[0], expected, atol=1e-6)


def test_all_weights_matter_in_training_and_statistics_move(hrnet, rng):
    images = tf.constant(rng.normal(size=(2, 64, 64, 3)), tf.float32)
    before = hrnet.get_weights()
    statistics = hrnet.get_layer("bn1").moving_mean.numpy()
    hrnet(images, training=False)
    np.testing.assert_array_equal(hrnet.get_layer("bn1").moving_mean, statistics)
    with tf.GradientTape() as tape:
        heatmaps = hrnet(images, training=True)
        loss = tf.reduce_sum(heatmaps * rng.normal(size=heatmaps.shape))
    gradients = tape.gradient(loss, hrnet.trainable_weights)
    assert all(np.isfinite(gradient).all() and np.any(gradient) for gradient in gradients)
    assert np.any(hrnet.get_layer("bn1").moving_mean.numpy() != statistics)
    hrnet.set_weights(before)


def test_samples_do_not_see_each_other_in_inference(hrnet, rng):
    images = rng.normal(size=(3, 64, 64, 3)).astype(np.float32)
    np.testing.assert_allclose(hrnet(images)[1:2], hrnet(images[1:2]), rtol=1e-3, atol=1e-6)


def test_config_holds_the_arguments(hrnet):
    assert hrnet.get_config() == {
        "name": "hrnet_w8",
        "width": 8,
        "num_joints": 17,
        "downsample": 1,
        "stem": 64,
        "modules": (1, 4, 3),
        "blocks": 4,
    }


def test_a_smaller_network_has_fewer_of_the_same_layers(hrnet):
    small = HRNet(width=8, stem=32, modules=(1, 2, 1), blocks=2)
    names = {layer.name for layer in small.layers}
    assert names < {layer.name for layer in hrnet.layers}
    assert names > {"layer1.1.conv3", "stage2.0.branches.1.1.conv2", "stage3.1.fuse_layers.2.0.1.0"}
    assert not any(name.startswith(("layer1.2", "stage3.2", "stage4.1", "stage4.0.fuse_layers.1")) for name in names)
    assert not any(".branches.0.2." in name for name in names)
    assert small.get_layer("conv2").kernel.shape == (3, 3, 32, 32)
    assert small.get_layer("layer1.1.conv3").kernel.shape == (1, 1, 32, 128)
    assert small.get_layer("transition1.0.0").kernel.shape == (3, 3, 128, 8)


def test_mixed_precision_and_downsampling_of_a_model_rebuilt_from_its_config(mixed_bfloat16, rng):
    config = {
        "name": "small",
        "width": 4,
        "num_joints": 5,
        "downsample": 2,
        "stem": 16,
        "modules": (1, 1, 1),
        "blocks": 1,
    }
    model = HRNet.from_config(config)
    heatmaps = model(rng.normal(size=(1, 64, 64, 3)).astype(np.float32))
    assert (heatmaps.shape, heatmaps.dtype) == ((1, 8, 8, 5), tf.float32)
    assert model.get_layer("conv1").compute_dtype == "bfloat16"
    assert {weight.dtype for weight in model.weights} == {tf.float32}
    assert model.get_config() == config
