"""Tests of EfficientNetLite: published parameter counts, shapes, layer names, precision and both training modes."""

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.models import EfficientNetLite, load_keras
from tests.export.models import set_random_weights

PYRAMID = (8, 8, 12, 16)


@pytest.fixture(scope="module")
def lite0():
    return EfficientNetLite(pyramid=PYRAMID, scale=0.5)


@pytest.mark.parametrize(
    ("variant", "published"), [(0, 4_652_008), (1, 5_416_680), (2, 6_092_072), (3, 8_197_096), (4, 13_006_568)]
)
def test_variants_have_the_published_number_of_parameters(variant, published):
    model = EfficientNetLite(variant, pyramid=PYRAMID)
    assert model.name == f"efficientnet_lite{variant}"
    weights = [weight for weight in model.trainable_weights if not weight.name.startswith(("pyramid", "final_layer"))]
    channels = model.get_layer("pyramid3.lateral").kernel.shape[2]
    classifier = channels * 1280 + 2 * 1280 + 1281 * 1000
    assert sum(int(np.prod(weight.shape)) for weight in weights) + classifier == published


@pytest.mark.parametrize("scale, cells", [(0.5, 32), (0.625, 40), (0.75, 48), (0.875, 56), (1.0, 64)])
def test_heatmaps_have_a_quarter_of_the_scaled_resolution(scale, cells):
    model = EfficientNetLite(pyramid=PYRAMID, scale=scale, num_joints=5)
    heatmaps = model(np.zeros((2, 256, 256, 3), np.float32))
    assert (heatmaps.shape, heatmaps.dtype) == ((2, cells, cells, 5), tf.float32)
    assert model.output_shape == (None, None, None, 5)


def test_images_need_not_be_square(lite0):
    assert lite0(np.zeros((1, 64, 128, 3), np.float32)).shape == (1, 8, 16, 17)


def test_the_pyramid_sees_every_stride(lite0):
    model = tf.keras.Model(lite0.input, [lite0.get_layer(f"pyramid{level}.lateral").input for level in range(4)])
    features = model(np.zeros((1, 256, 256, 3), np.float32))
    assert [feature.shape[1:] for feature in features] == [(32, 32, 24), (16, 16, 40), (8, 8, 112), (4, 4, 320)]


def test_a_level_of_other_channels_is_projected_first(lite0):
    names = {layer.name for layer in lite0.layers}
    assert {"pyramid2.above", "pyramid1.above.bn"} < names
    assert not names & {"pyramid0.above", "pyramid3.above", "pyramid3.conv"}
    assert lite0.get_layer("pyramid2.above").kernel.shape == (1, 1, 16, 12)


def test_only_the_head_has_a_bias(lite0):
    convolutions = [
        layer for layer in lite0.layers if isinstance(layer, tf.keras.layers.Conv2D | tf.keras.layers.DepthwiseConv2D)
    ]
    assert len(convolutions) == 1 + 3 * 16 - 1 + 4 + 3 + 2 + 1
    assert [layer.name for layer in convolutions if layer.use_bias] == ["final_layer"]


def test_all_weights_matter_in_training_and_statistics_move(rng):
    model = EfficientNetLite(pyramid=PYRAMID, scale=0.5)
    set_random_weights(model, rng)
    images = tf.constant(rng.normal(size=(2, 128, 128, 3)), tf.float32)
    statistics = model.get_layer("blocks.3.bn1").moving_mean.numpy()
    model(images, training=False)
    np.testing.assert_array_equal(model.get_layer("blocks.3.bn1").moving_mean, statistics)
    with tf.GradientTape() as tape:
        heatmaps = model(images, training=True)
        loss = tf.reduce_sum(heatmaps * rng.normal(size=heatmaps.shape))
    gradients = tape.gradient(loss, model.trainable_weights)
    assert all(np.isfinite(gradient).all() and np.any(gradient) for gradient in gradients)
    assert np.any(model.get_layer("blocks.3.bn1").moving_mean.numpy() != statistics)


def test_a_model_from_its_file_computes_the_same(lite0, tmp_path, rng):
    set_random_weights(lite0, rng)
    lite0.save(tmp_path / "model.keras")
    image = rng.normal(size=(1, 64, 64, 3)).astype(np.float32)
    for load in (load_keras, tf.keras.models.load_model):
        model = load(str(tmp_path / "model.keras"))
        np.testing.assert_array_equal(model(image), lite0(image))
        assert model.get_config() == lite0.get_config()
    assert lite0.get_config() == {
        "name": "efficientnet_lite0",
        "variant": 0,
        "num_joints": 17,
        "scale": 0.5,
        "pyramid": PYRAMID,
    }


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_every_precision_trains_with_xla_and_without(policy, rng):
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        model = EfficientNetLite(pyramid=PYRAMID, scale=0.75)
    finally:
        tf.keras.mixed_precision.set_global_policy(before)
    set_random_weights(model, rng)
    assert model.get_layer("blocks.1.depthwise_conv").compute_dtype == policy.removeprefix("mixed_")
    assert {weight.dtype for weight in model.weights} == {tf.float32}
    image = rng.normal(size=(2, 128, 128, 3)).astype(np.float32)
    heatmaps = model(image)
    assert (heatmaps.shape, heatmaps.dtype) == ((2, 24, 24, 17), tf.float32)
    # The first units have every kind of layer; XLA takes a minute for all.
    units = tf.keras.Model(model.input, model.get_layer("blocks.2.add").output)

    def gradients(image):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.cast(units(image, training=True), tf.float32) ** 2)
        return tape.gradient(loss, units.trainable_weights)

    for jit_compile in (False, True):
        found = tf.function(gradients, jit_compile=jit_compile)(image)
        assert all(np.isfinite(gradient).all() and np.any(gradient) for gradient in found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": 5}, "variant is 5; it can be 0, 1, 2, 3, 4"),
        ({"variant": "0"}, "variant is 0; it can be"),
        ({"pyramid": (8, 8, 8)}, r"pyramid is \(8, 8, 8\); it must have 4 levels"),
        ({"scale": 2.0}, "the factor of downsampling is 2.0"),
    ],
)
def test_other_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        EfficientNetLite(**options)
