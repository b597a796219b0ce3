"""The cameras of the synthetic people, and their crops, which are cameras, too."""

from typing import NamedTuple

import numpy as np

from pose_tf.geometry import CROP_SIZE, project
from pose_tf.synthetic.anatomy import HIP, Figure
from pose_tf.synthetic.vectors import cross, rotation_matrix, unit

# fx, cx, fy, cy of the four cameras, for images of 1000 x 1000 pixels.
INTRINSICS = np.array(
    [
        [1145.0, 512.5, 1143.8, 515.5],
        [1149.7, 508.8, 1147.6, 508.1],
        [1149.1, 519.8, 1148.8, 501.4],
        [1145.5, 515.0, 1144.8, 501.9],
    ],
    np.float32,
)


def make_camera(rng: np.random.Generator, figure: Figure, intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A random camera with the whole figure in its image: (rotation [3, 3], translation [3]) from world to camera."""
    distance, height = rng.uniform(3000, 6500), rng.uniform(1200, 2000)
    position = np.array([0.0, -distance, height])
    aim = np.array([rng.normal(0, 400), 0.0, rng.uniform(650, 1150)])
    roll = rng.normal(0, 1.5)
    middle = figure.joints[HIP]
    for _ in range(8):
        forward = unit(aim - position)
        right = unit(cross(forward, (0, 0, 1)))
        rotation = rotation_matrix(z=roll) @ np.stack([right, cross(forward, right), forward])
        pixels = project((figure.joints - position) @ rotation.T, intrinsics)
        if pixels.min() > 30 and pixels.max() < 970:
            break
        aim = (aim + middle) / 2
    return rotation, -rotation @ position


class View(NamedTuple):
    """The crop as a camera: intrinsics (fx, cx, fy, cy) in px, world up [3], a floor point [3]."""

    intrinsics: tuple[float, float, float, float]
    up: np.ndarray
    floor: np.ndarray

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """x/z of each column [256] and y/z of each row [256], float32."""
        fx, cx, fy, cy = self.intrinsics
        pixels = np.arange(CROP_SIZE)
        return ((pixels - cx) / fx).astype(np.float32), ((pixels - cy) / fy).astype(np.float32)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points [..., N, 3] in mm -> pixels [..., N, 2]. Points behind the camera are moved just in front of it."""
        in_front = np.concatenate([points[..., :2], np.maximum(points[..., 2:], 50.0)], axis=-1)
        return project(in_front, np.array(self.intrinsics))
