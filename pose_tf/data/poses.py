"""Labeled poses without images, in memory, and files of them."""

import dataclasses

import numpy as np

from pose_tf import files, geometry
from pose_tf.data.detections import LABELS, LEAST_EXTENT_PX, change_detections, check_detections, skeleton_of
from pose_tf.errors import UserError
from pose_tf.geometry import CROP_SIZE
from pose_tf.skeleton import H36M, Skeleton

OPTIONAL = ("action", "detected", "confidence", "joints")
"""Arrays that a pose file may lack."""
REACH_MM = (200.0, 3000.0)
"""Plausible range of the distance from the hip to the farthest joint (median over the poses): from a baby's to more
than any body's."""
TYPICAL_REACH_MM = 800.0
UNITS_MM = {"meters": 1000.0, "feet": 304.8, "decimeters": 100.0, "inches": 25.4, "centimeters": 10.0}
LEAST_INSIDE = 0.5
"""The smallest plausible share of joints inside the crop (median over the poses)."""


class MissingSubjects(UserError):
    """Data have no sample of some subjects. The message names these, and those that are there."""


@dataclasses.dataclass(frozen=True)
class PoseSet:
    """N labeled poses.

    Attributes:
        pose2d_crop: float32 [N, J, 2] px of the crop.
        pose3d: float32 [N, J, 3] mm in the camera frame, absolute; NaN if they are not labeled.
        subject: int64 [N].
        action: int64 [N]; −1 where unknown.
        source: name of the data in messages.
        detected: float32 [N, J, 2] px of the crop: what a detector finds; None where unknown.
        confidence: float32 [N, J]: the detector's confidences, or None.
        skeleton: of the poses.
    """

    pose2d_crop: np.ndarray
    pose3d: np.ndarray
    subject: np.ndarray
    action: np.ndarray
    source: str
    detected: np.ndarray | None = None
    confidence: np.ndarray | None = None
    skeleton: Skeleton = H36M

    def __len__(self) -> int:
        return len(self.subject)

    def select(self, subjects) -> "PoseSet":
        """The poses of some subjects.

        Raises:
            MissingSubjects: a subject has no pose.
        """
        present = np.unique(self.subject).tolist()
        missing = sorted(set(subjects) - set(present))
        if missing:
            raise MissingSubjects(f"{self.source} has no sample of subject {_join(missing)}; it has {_join(present)}")
        keep = np.isin(self.subject, list(subjects))
        arrays = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return PoseSet(**{k: array[keep] if isinstance(array, np.ndarray) else array for k, array in arrays.items()})

    def in_joints(self, skeleton: Skeleton, may_lack: bool = False) -> "PoseSet":
        """The poses in the joints of another skeleton.

        Args:
            skeleton: the other skeleton.
            may_lack: joints that the poses lack are not labeled, instead of refused.

        Raises:
            UserError: the poses lack a joint that cannot be derived.
        """
        if skeleton.joints == self.skeleton.joints:
            return dataclasses.replace(self, skeleton=skeleton)
        if not may_lack:
            self.skeleton.check_converts_to(skeleton, self.source)
        labels = {key: getattr(self, key) for key in LABELS if getattr(self, key) is not None}
        changed = geometry.change_labels(labels, self.skeleton.weights(skeleton))
        return dataclasses.replace(self, skeleton=skeleton, **{key: label.numpy() for key, label in changed.items()})

    def split(self, held_out) -> tuple["PoseSet", "PoseSet"]:
        """(training, validation): the poses of the other subjects, and of those held out. If `held_out` is empty, both
        are all poses.

        Raises:
            UserError: a subject held out has no pose, or no subject is left to train on.
        """
        if not held_out:
            return self, self
        training = set(np.unique(self.subject).tolist()) - set(held_out)
        if not training:
            raise UserError(f"{self.source} has only subject {_join(held_out)}, which is held out for validation")
        return self.select(training), self.select(held_out)


def _join(numbers):
    return ", ".join(str(number) for number in sorted(numbers))


def read_pose_file(path: str, skeleton: Skeleton = H36M) -> PoseSet:
    """Reads an .npz with `pose2d_crop` [N,J,2] px, `pose3d` [N,J,3] mm, `subject` [N] and, if known, `action` [N],
    `detected` [N,J,2] px, `confidence` [N,J] and `joints` [J], their names; without it they are Human3.6M's 17.

    Args:
        path: the file.
        skeleton: the joints to return, which the file must have or derive.

    Raises:
        UserError: the file is missing or damaged, or an array is missing, of another shape or not finite, or it lacks
            joints.
    """
    arrays = files.read_npz(path, "an .npz file of poses", ("subject", "pose2d_crop", "pose3d"), OPTIONAL)
    own, count = skeleton_of(path, arrays), arrays["subject"].size
    joints = len(own.joints)
    if not count:
        raise UserError(f"{path} contains no poses")
    shapes = {"subject": (count,), "pose2d_crop": (count, joints, 2), "pose3d": (count, joints, 3), "action": (count,)}
    for key, shape in shapes.items():
        array = arrays.get(key, np.zeros(shape))
        if array.shape != shape:
            raise UserError(f"{path}: '{key}' has shape {array.shape}, expected {shape}")
        if array.dtype.kind not in "iuf":
            raise UserError(f"{path}: '{key}' holds {array.dtype}, expected numbers")
        bad = np.flatnonzero(~np.isfinite(array).reshape(count, -1).all(axis=1))
        if len(bad):
            raise UserError(f"{path} pose {bad[0]}: '{key}' holds NaN or infinity")
    arrays |= {key: arrays[key].astype(np.float32) for key in ("pose2d_crop", "pose3d")}
    has_detections = "detected" in arrays
    if has_detections != ("confidence" in arrays):
        have, lack = ("detected", "confidence") if has_detections else ("confidence", "detected")
        raise UserError(f"{path} has an array '{have}', but no array '{lack}'")
    if has_detections:
        check_detections(path, arrays, count, own)
    change_detections(arrays, own, skeleton, path)
    check_units(arrays["pose2d_crop"], arrays["pose3d"], path)
    return PoseSet(
        arrays["pose2d_crop"].astype(np.float32),
        arrays["pose3d"].astype(np.float32),
        arrays["subject"].astype(np.int64),
        arrays.get("action", np.full(count, -1)).astype(np.int64),
        path,
        *(arrays[key].astype(np.float32) if has_detections else None for key in ("detected", "confidence")),
        skeleton,
    )


def check_in_front(poses: PoseSet) -> None:
    """Checks that all people are in front of the camera, which poses relative to the hip are not.

    Raises:
        UserError: names the pose.
    """
    behind = np.flatnonzero(~(poses.pose3d[:, 0, 2] > 0))
    if len(behind):
        raise UserError(
            f"{poses.source} pose {behind[0]}: its hip is not in front of the camera, but the frame 'sight' needs "
            "absolute positions; set config.frame = camera for poses relative to the hip"
        )


def check_units(pose2d: np.ndarray, pose3d: np.ndarray, source: str, key: str = "pose2d_crop") -> None:
    """Checks that 3D poses have the size of people in millimeters, and 2D poses that of people in pixels of a crop.

    Args:
        pose2d: float [N, J, 2] crop px; joints without a label do not count.
        pose3d: float [N, J, 3]; NaN if they are not labeled.
        source: name of the data in messages.
        key: name of the 2D poses in messages.

    Raises:
        UserError: the poses have another size; the message names their probable unit.
    """
    reach = np.median(np.linalg.norm(geometry.hip_relative(pose3d), axis=-1).max(axis=-1))
    if not np.isnan(reach) and not REACH_MM[0] <= reach <= REACH_MM[1]:
        likely = [unit for unit, size in UNITS_MM.items() if REACH_MM[0] <= reach * size <= REACH_MM[1]]
        guess = min(likely, key=lambda unit: abs(np.log(reach * UNITS_MM[unit] / TYPICAL_REACH_MM)), default=None)
        raise UserError(
            f"{source}: 'pose3d' must be in millimeters, but its joints reach {reach:.3g} from the hip in the median"
            + (f"; are these {guess}?" if guess else "")
        )
    is_labeled = geometry.labeled(pose2d).numpy() > 0
    pose2d, is_labeled = (array[is_labeled.any(axis=1)] for array in (pose2d, is_labeled))
    if not len(pose2d):
        raise UserError(f"{source}: no joint is labeled")
    image = f"{CROP_SIZE}x{CROP_SIZE} crop" if key == "pose2d_crop" else "image"
    must = f"{source}: '{key}' must be in pixels of the {image}, but in the median"
    known = np.where(is_labeled[..., None], pose2d, np.nan)
    extent = np.median((np.nanmax(known, axis=1) - np.nanmin(known, axis=1)).max(axis=-1))
    if extent < LEAST_EXTENT_PX:
        raise UserError(f"{must} its poses are {extent:.3g} wide or high; are these normalized coordinates?")
    inside = np.median(np.sum(geometry.inside_crop(pose2d), axis=-1) / np.sum(is_labeled, axis=-1))
    if inside < LEAST_INSIDE:
        raise UserError(f"{must} only {inside:.0%} of their joints are inside; are these pixels of the whole image?")
