"""Errors of poses, computed independently of the package."""

import numpy as np


def scores(predicted, truth):
    """MPJPE and PA-MPJPE in mm, computed in NumPy pose by pose."""
    mpjpe, pa_mpjpe = [], []
    for p, t in zip(np.float64(predicted), np.float64(truth)):
        p, t = p - p[0], t - t[0]
        mpjpe.append(np.linalg.norm(p - t, axis=-1).mean())
        p, t = p - p.mean(0), t - t.mean(0)
        u, s, vt = np.linalg.svd(p.T @ t)
        flip = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
        aligned = np.trace(np.diag(s) @ flip) / (p**2).sum() * p @ u @ flip @ vt
        pa_mpjpe.append(np.linalg.norm(aligned - t, axis=-1).mean())
    return np.mean(mpjpe), np.mean(pa_mpjpe)
