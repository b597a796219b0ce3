"""What a lifter's poses are: mean and standard deviation, which normalize its targets, their frame, and the margin of
the crops."""

import dataclasses

import numpy as np
import tensorflow as tf

from pose_tf.geometry import DEFAULT_MARGIN, FRAMES, hip_relative, looking_at, turn

CHUNK = 65536
MIN_STD_MM = 1.0


@dataclasses.dataclass(frozen=True)
class PoseStatistics:
    """Statistics of hip-relative training poses.

    Attributes:
        mean: float32 [J, 3] mm.
        std: float32 [J, 3] mm; at least 1, which avoids a division by 0 for the hip, which never moves.
        margin: side of the square crops over the longest side of the box around the person.
        frame: one of `FRAMES`.
    """

    mean: np.ndarray
    std: np.ndarray
    margin: float = DEFAULT_MARGIN
    frame: str = "camera"

    @classmethod
    def of(cls, pose3d: np.ndarray, margin: float = DEFAULT_MARGIN, frame: str = "camera") -> "PoseStatistics":
        """Computes the statistics of poses in float64, chunk by chunk.

        Args:
            pose3d: float [N, J, 3] mm in the camera's frame, absolute; or, for this frame, relative to the hip.
            margin: of the crops in which they are seen, see `PoseSet.crop_margin`.
            frame: one of `FRAMES`.
        """
        count, total, squares = 0, 0.0, 0.0
        for start in range(0, len(pose3d), CHUNK):
            chunk = np.asarray(pose3d[start : start + CHUNK], np.float64)
            chunk = hip_relative(np.asarray(in_frame(chunk, frame)))
            count += len(chunk)
            total += chunk.sum(axis=0)
            squares += (chunk**2).sum(axis=0)
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        return cls(mean.astype(np.float32), np.maximum(std, MIN_STD_MM).astype(np.float32), margin, frame)

    def standardize(self, pose3d):
        """mm, hip-relative [..., J, 3] -> (pose − mean) / std."""
        return (pose3d - self.mean) / self.std

    def restore(self, standardized):
        """Inverse of `standardize`."""
        return tf.cast(standardized, tf.float32) * self.std + self.mean

    def to_json(self) -> dict:
        """The statistics as plain lists in mm, the crop margin and the frame."""
        return {
            "mean_mm": self.mean.tolist(),
            "std_mm": self.std.tolist(),
            "crop_margin": self.margin,
            "frame": self.frame,
        }

    @classmethod
    def from_json(cls, values: dict) -> "PoseStatistics":
        """Inverse of `to_json`. Files of earlier versions lack the margin or the frame.

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
        frame = values.get("frame", "camera")
        if frame not in FRAMES:
            raise ValueError(f"frame is {frame!r}; it can be {', '.join(FRAMES)}")
        return cls(mean, std, margin, frame)


def in_frame(pose3d, frame: str):
    """Brings absolute poses from the camera's frame to one of `FRAMES`: float [..., J, 3] mm in and out."""
    return turn(pose3d, looking_at(pose3d[..., 0, :])) if frame == "sight" else pose3d


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
