"""Statistics of training poses: mean and standard deviation, which normalize lifter targets, and the crop margin."""

import dataclasses

import numpy as np
import tensorflow as tf

from pose_tf.geometry import CROP_SIZE, hip_relative

CHUNK = 65536
MIN_STD_MM = 1.0
DEFAULT_MARGIN = 1.25  # the public HRNet's crops have this margin
BODY_OVER_JOINTS = 1.05  # side of a body's box over that of its joints' box, which excludes soles and hands


@dataclasses.dataclass(frozen=True)
class PoseStatistics:
    """Statistics of hip-relative training poses.

    Attributes:
        mean: float32 [J, 3] mm.
        std: float32 [J, 3] mm; at least 1, which avoids a division by 0 for the hip, which never moves.
        margin: side of the square crops over the longest side of the box around the person.
    """

    mean: np.ndarray
    std: np.ndarray
    margin: float = DEFAULT_MARGIN

    @classmethod
    def of(cls, pose3d: np.ndarray, pose2d: np.ndarray) -> "PoseStatistics":
        """Computes the statistics of poses in float64, chunk by chunk.

        Args:
            pose3d: float [N, J, 3] mm, absolute or relative to the hip.
            pose2d: float [N, J, 2] crop pixels; their median size determines the margin.
        """
        count, total, squares = 0, 0.0, 0.0
        for start in range(0, len(pose3d), CHUNK):
            chunk = hip_relative(np.asarray(pose3d[start : start + CHUNK], np.float64))
            count += len(chunk)
            total += chunk.sum(axis=0)
            squares += (chunk**2).sum(axis=0)
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        longest = np.median(np.ptp(pose2d, axis=1).max(axis=-1))
        margin = CROP_SIZE / (BODY_OVER_JOINTS * max(longest, 1.0))
        return cls(mean.astype(np.float32), np.maximum(std, MIN_STD_MM).astype(np.float32), float(margin))

    def standardize(self, pose3d):
        """mm, hip-relative [..., J, 3] -> (pose − mean) / std."""
        return (pose3d - self.mean) / self.std

    def restore(self, standardized):
        """Inverse of `standardize`."""
        return tf.cast(standardized, tf.float32) * self.std + self.mean

    def to_json(self) -> dict:
        """The statistics as plain lists in mm, and the crop margin."""
        return {"mean_mm": self.mean.tolist(), "std_mm": self.std.tolist(), "crop_margin": self.margin}

    @classmethod
    def from_json(cls, values: dict) -> "PoseStatistics":
        """Inverse of `to_json`. Files of earlier versions lack the margin.

        Raises:
            ValueError: a key is missing, or its value has the wrong type or shape or is not finite.
        """
        if not isinstance(values, dict):
            raise ValueError("it is not an object with mean_mm and std_mm")
        mean, std = (_joints(values, key) for key in ("mean_mm", "std_mm"))
        if mean.shape != std.shape:
            raise ValueError(f"mean_mm has {len(mean)} joints, std_mm {len(std)}")
        if not (std > 0).all():
            raise ValueError("std_mm must be above 0")
        margin = values.get("crop_margin", DEFAULT_MARGIN)
        if type(margin) not in (int, float) or not 0 < margin < float("inf"):
            raise ValueError(f"crop_margin is {margin}; it must be a number above 0")
        return cls(mean, std, margin)


def _joints(values, key):
    """The values under a key, float32 [J, 3]."""
    if key not in values:
        raise ValueError(f"it has no {key}")
    try:
        array = np.asarray(values[key], np.float32)
    except (TypeError, ValueError, OverflowError):
        array = np.zeros(0)
    if array.ndim != 2 or array.shape[1] != 3 or not len(array):
        raise ValueError(f"{key} is not a list of joints with 3 numbers each")
    if not np.isfinite(array).all():
        raise ValueError(f"{key} has numbers that are not finite")
    return array
