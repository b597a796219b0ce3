"""How well boxes agree."""

import numpy as np


def overlap(a, b):
    """Intersection over union of two boxes."""
    sides = np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])
    shared = np.prod(np.maximum(sides, 0))
    return shared / (np.prod(a[2:]) + np.prod(b[2:]) - shared)
