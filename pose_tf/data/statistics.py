"""Mean and standard deviation of training poses: what the lifters' outputs are measured in."""

import dataclasses

import numpy as np
import tensorflow as tf

CHUNK = 65536
MIN_STD_MM = 1.0


@dataclasses.dataclass(frozen=True)
class PoseStatistics:
    """Statistics of hip-relative training poses.

    Attributes:
        mean: float32 [J, 3] mm.
        std: float32 [J, 3] mm; at least 1, so that the hip, which never moves, can be divided by it.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, pose3d: np.ndarray) -> "PoseStatistics":
        """Streams over poses [N, J, 3] mm (absolute or relative) and accumulates in float64."""
        count, total, squares = 0, 0.0, 0.0
        for start in range(0, len(pose3d), CHUNK):
            chunk = np.asarray(pose3d[start : start + CHUNK], np.float64)
            chunk = chunk - chunk[:, :1]
            count += len(chunk)
            total += chunk.sum(axis=0)
            squares += (chunk**2).sum(axis=0)
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        return cls(mean.astype(np.float32), np.maximum(std, MIN_STD_MM).astype(np.float32))

    def standardize(self, pose3d):
        """mm, hip-relative [..., J, 3] -> (pose − mean) / std."""
        return (pose3d - self.mean) / self.std

    def restore(self, standardized):
        """Inverse of `standardize`."""
        return tf.cast(standardized, tf.float32) * self.std + self.mean

    def to_json(self) -> dict:
        """Plain lists, in mm."""
        return {"mean_mm": self.mean.tolist(), "std_mm": self.std.tolist()}

    @classmethod
    def from_json(cls, values: dict) -> "PoseStatistics":
        """Inverse of `to_json`."""
        return cls(np.float32(values["mean_mm"]), np.float32(values["std_mm"]))
