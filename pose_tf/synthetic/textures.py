"""Random colors, noise, cloth and walls."""

import cv2
import numpy as np

from pose_tf.geometry import CROP_SIZE

FABRIC_SIZE = 64  # side of a square tile of cloth in cells
CELL_MM = 4.0


def noise(rng, scales, size):
    """Smooth noise float32 [size, size] with a standard deviation near 1, summed over growing grid sizes."""
    total = np.zeros((1, 1), np.float32)
    for scale in scales:
        total = cv2.resize(total, (scale, scale), interpolation=cv2.INTER_CUBIC)
        total += rng.standard_normal((scale, scale), np.float32)
    total *= np.float32(1 / np.sqrt(len(scales)))
    return cv2.resize(total, (size, size), interpolation=cv2.INTER_CUBIC)


def random_color(rng, saturation=(0.0, 0.85), value=(0.1, 0.95)):
    """A random color float32 [3]."""
    hue = rng.uniform(0, 1)
    chroma, bright = rng.uniform(*saturation) ** 1.6, rng.uniform(*value)
    wheel = np.abs(np.mod(hue * 6 + np.array([0, 4, 2]), 6) - 3) - 1
    return (bright * (1 + chroma * (np.clip(wheel, 0, 1) - 1))).astype(np.float32)


def fabric(rng, plain):
    """A tile float32 [64, 64, 3] of cloth: plain, stripes along or across, checks, or a print."""
    tile = np.empty((FABRIC_SIZE, FABRIC_SIZE, 3), np.float32)
    tile[:] = random_color(rng)
    kind = 0 if plain else rng.integers(6)
    if kind:
        period = FABRIC_SIZE // rng.choice([2, 3, 4])
        wave = np.arange(FABRIC_SIZE) % period < period * rng.uniform(0.25, 0.6)
        across, along = wave[:, None], wave[None, :]
        chosen = {
            1: across,
            2: along,
            3: across ^ along,
            4: across & along,
            5: noise(rng, (8, 16), FABRIC_SIZE) > 0.4,
        }[int(kind)]
        tile[np.broadcast_to(chosen, (FABRIC_SIZE, FABRIC_SIZE))] = random_color(rng)
    return tile * (1 + 0.05 * noise(rng, (7, 31), FABRIC_SIZE))[..., None]


def wall_texture(rng, pictures):
    """A wall with `pictures` pictures, uint8 [256, 256, 3]: paint, tiles, planks or squares with noise."""
    base = 255 * random_color(rng, saturation=(0.0, 0.5), value=(0.25, 0.95))
    colors = np.empty((CROP_SIZE, CROP_SIZE, 3), np.uint8)
    colors[:] = base
    for _ in range(pictures):
        x, y, w, h = rng.integers((0, 0, 6, 6), (CROP_SIZE, CROP_SIZE, 80, 80)).tolist()
        color = (255 * random_color(rng)).tolist()
        if rng.random() < 0.75:
            cv2.rectangle(colors, (x, y), (x + w, y + h), color, -1)
            cv2.rectangle(colors, (x, y), (x + w, y + h), (0.5 * base).tolist(), 1)
        else:
            cv2.ellipse(colors, (x, y), (w // 2, h // 2), 0, 0, 360, color, -1)

    relief = 1 + rng.uniform(0.02, 0.14) * noise(rng, (5, 37, 96), CROP_SIZE)
    kind = rng.choice(["plain", "plain", "tiles", "planks", "squares"])
    period = int(rng.integers(8, 40))
    step = np.arange(CROP_SIZE) // period
    if kind == "tiles":
        relief[::period] *= 0.75
        relief[:, ::period] *= 0.75
    elif kind == "planks":
        relief *= np.float32(rng.normal(1, 0.1, step[-1] + 1))[step, None]
    elif kind == "squares":
        dark = np.float32(rng.uniform(0.6, 0.95))
        relief *= np.where((step[:, None] ^ step) & 1, dark, np.float32(1))
    return cv2.multiply(colors, cv2.merge([relief] * 3), dtype=cv2.CV_8U)
