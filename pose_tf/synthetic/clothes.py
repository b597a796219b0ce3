"""Materials, and a random choice of clothes, hair and skin for the synthetic people."""

from typing import NamedTuple

import numpy as np

from pose_tf.synthetic.textures import FABRIC_SIZE, fabric, noise, random_color

# Materials; TRUNK is shirt above the hem and trousers below it, and has no color.
SKIN, HAIR, EYE, LIP, SHIRT, TROUSERS, SHOE, SOLE, SEAT, HAT, TRUNK = range(11)
ROUGH = np.array([0.03, 0.2, 0, 0, 0.16, 0.16, 0.05, 0, 0.1, 0.1, 0.16], np.float32)
SHINE = np.array([0.07, 0.12, 0.3, 0.1, 0.02, 0.02, 0.12, 0, 0.06, 0, 0.02], np.float32)


class Look(NamedTuple):
    """The clothes, hair and skin of a person. Sleeves and trousers have lengths 0 to 2; 1 ends at the elbow or knee."""

    tiles: np.ndarray  # Color of each material but TRUNK, float32 [10, 64, 64, 3] in 0 to 1.
    sleeve: float
    trouser: float
    skirt: bool
    loose: float
    hem: float
    hair: str
    bare_feet: bool


def make_look(rng: np.random.Generator) -> Look:
    """Random skin, hair and clothes."""
    pale, dark = np.array([0.94, 0.76, 0.66]), np.array([0.40, 0.26, 0.18])
    tone = rng.beta(1.2, 2.0)
    skin = (pale + tone * (dark - pale)) * rng.normal(1, 0.03, 3)
    blond, black = np.array([0.72, 0.56, 0.33]), np.array([0.07, 0.06, 0.06])
    hair = blond + rng.beta(3, 1.2) ** 0.5 * (black - blond)
    if rng.random() < 0.12:
        hair = np.full(3, rng.uniform(0.5, 0.8))

    tiles = np.empty((TRUNK, FABRIC_SIZE, FABRIC_SIZE, 3), np.float32)
    tiles[SKIN] = skin
    tiles[HAIR] = hair * (1 + 0.18 * noise(rng, (6, 40), FABRIC_SIZE))[..., None]
    tiles[EYE] = 0.08
    tiles[LIP] = skin * (0.85, 0.66, 0.66)
    tiles[SHIRT] = fabric(rng, plain=rng.random() < 0.4)
    tiles[TROUSERS] = fabric(rng, plain=rng.random() < 0.75)
    tiles[SHOE] = random_color(rng, saturation=(0, 0.6))
    tiles[SOLE] = rng.choice([0.08, 0.85])
    tiles[SEAT] = random_color(rng)
    tiles[HAT] = random_color(rng)
    return Look(
        tiles=tiles,
        sleeve=rng.choice([0.0, 0.45, 0.62, 1.2, 1.95, 1.95]) + rng.uniform(0, 0.05),
        trouser=rng.choice([0.45, 0.85, 1.3, 1.97, 1.97, 1.97, 1.97]) + rng.uniform(0, 0.03),
        skirt=bool(rng.random() < 0.12),
        loose=rng.uniform(1.03, 1.22),
        hem=rng.uniform(-15, 80),
        hair=str(rng.choice(["short", "short", "long", "bun", "bald", "cap"])),
        bare_feet=bool(rng.random() < 0.1),
    )
