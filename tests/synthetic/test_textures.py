"""Tests of colors, noise, cloth and walls: their ranges, their structure, and that a seed decides them."""

import numpy as np
import pytest

from pose_tf.synthetic.textures import fabric, noise, random_color, wall_texture


def draws(function, count, *args, **options):
    return np.array([function(np.random.default_rng(seed), *args, **options) for seed in range(count)])


def test_noise_has_the_deviation_1_and_no_mean():
    drawn = draws(noise, 200, (5, 37, 96), 256)
    assert drawn.shape == (200, 256, 256) and drawn.dtype == np.float32
    assert abs(drawn.mean()) < 0.05
    assert 0.6 < drawn.std() < 1.1


def test_coarse_noise_is_smooth():
    def steps(scales):
        drawn = draws(noise, 20, scales, 64)
        return np.abs(np.diff(drawn, axis=2)).mean() / drawn.std()

    assert steps((4,)) < 0.15 < 0.5 < steps((64,))


def test_colors_keep_their_ranges():
    colors = draws(random_color, 2000, saturation=(0.0, 0.5), value=(0.25, 0.95))
    brightest, darkest = colors.max(axis=1), colors.min(axis=1)
    assert brightest.min() >= 0.25 and brightest.max() <= 0.95  # the value of HSV
    chroma = 1 - darkest / brightest  # the saturation
    assert chroma.min() >= 0 and 0.25 < chroma.max() <= 0.5**1.6 + 1e-6
    assert set(colors.argmax(axis=1)) == {0, 1, 2}
    gray = random_color(np.random.default_rng(0), saturation=(0.0, 0.0), value=(0.5, 0.5))
    np.testing.assert_allclose(gray, 0.5)


def colors_of(tile):
    """The number of distinct hues in a tile of cloth, whose brightness varies a little."""
    hues = tile / tile.sum(axis=-1, keepdims=True)
    return len(np.unique(hues.reshape(-1, 3).round(4), axis=0))


def test_plain_cloth_has_one_color_and_patterns_have_two():
    assert {colors_of(fabric(np.random.default_rng(seed), plain=True)) for seed in range(40)} == {1}
    patterned = [colors_of(fabric(np.random.default_rng(seed), plain=False)) for seed in range(40)]
    assert set(patterned) == {1, 2} and patterned.count(2) > 25


@pytest.mark.parametrize("axis", [0, 1])
def test_some_cloth_has_stripes(axis):
    """Constant along one axis, with several periods along the other."""
    for seed in range(100):
        tile = fabric(np.random.default_rng(seed), plain=False)
        hues = (tile / tile.sum(axis=-1, keepdims=True))[..., 0].round(4)
        line = np.take(hues, 0, axis=axis)
        if colors_of(tile) == 2 and (hues == np.expand_dims(line, axis)).all():
            assert 3 <= np.count_nonzero(np.diff(line)) <= 9
            return
    pytest.fail("no cloth has stripes")


def test_a_wall_without_pictures_has_one_hue_and_pictures_add_others():
    def saturation_spread(pictures):
        walls = draws(wall_texture, 10, pictures).astype(float)
        assert walls.shape == (10, 256, 256, 3)
        hues = walls / np.maximum(walls.sum(axis=-1, keepdims=True), 1)
        return hues.std(axis=(1, 2)).max(axis=-1)

    assert saturation_spread(0).max() < 0.02
    assert saturation_spread(30).min() > 0.02


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: noise(rng, (4, 8), 32),
        random_color,
        lambda rng: fabric(rng, plain=False),
        lambda rng: wall_texture(rng, 8),
    ],
    ids=["noise", "color", "fabric", "wall"],
)
def test_a_seed_decides_everything(make):
    first, again, other = (make(np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
