"""Tests of the choice of clothes, hair and skin: colors of real people, lengths that exist, and variety."""

import numpy as np
import pytest

from pose_tf.synthetic import clothes
from pose_tf.synthetic.clothes import make_look


@pytest.fixture(scope="module")
def looks():
    return [make_look(np.random.default_rng(seed)) for seed in range(200)]


def test_each_material_has_a_tile_of_colors_a_roughness_and_a_shine(looks):
    for look in looks:
        assert look.tiles.shape == (10, 64, 64, 3) and look.tiles.dtype == np.float32
        assert np.isfinite(look.tiles).all()
    assert len(clothes.ROUGH) == len(clothes.SHINE) == 11
    assert clothes.ROUGH[clothes.TRUNK] == clothes.ROUGH[clothes.SHIRT] == clothes.ROUGH[clothes.TROUSERS]


def test_skin_goes_from_pale_to_dark_and_is_never_green_or_blue(looks):
    skin = np.array([look.tiles[clothes.SKIN, 0, 0] for look in looks])
    red, green, blue = skin.T
    assert (red > green).all() and (green > 0.95 * blue).all()
    assert red.min() < 0.6 and red.max() > 0.88
    lips = np.array([look.tiles[clothes.LIP, 0, 0] for look in looks])
    assert (lips < skin).all()


def test_sleeves_and_trousers_have_usual_lengths(looks):
    sleeves, trousers = (np.array([getattr(look, name) for look in looks]) for name in ("sleeve", "trouser"))
    assert 0 <= sleeves.min() < 0.1 and 1.95 <= sleeves.max() <= 2
    assert trousers.min() >= 0.45 and 1.97 <= trousers.max() <= 2
    assert np.mean(trousers > 1.9) > np.mean(trousers < 1)  # most are long


def test_every_hair_style_occurs_and_short_is_the_most_frequent(looks):
    counts = {name: [look.hair for look in looks].count(name) for name in ("short", "long", "bun", "bald", "cap")}
    assert sum(counts.values()) == len(looks)
    assert min(counts.values()) > 10 and max(counts, key=counts.get) == "short"
    assert 0 < sum(look.skirt for look in looks) < 60 and 0 < sum(look.bare_feet for look in looks) < 50


def test_a_seed_decides_the_look():
    first, again, other = (make_look(np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.tiles, again.tiles)
    assert first[1:] == again[1:]
    assert not np.array_equal(first.tiles, other.tiles)
