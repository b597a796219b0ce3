"""Labeled poses without images, in memory, and files of them."""

import dataclasses

import numpy as np

from pose_tf import files, geometry
from pose_tf.data.detections import LABELS, check_detections, least_extent, skeleton_of
from pose_tf.errors import UserError
from pose_tf.geometry import BODY_OVER_JOINTS, CROP_SIZE, DEFAULT_MARGIN
from pose_tf.skeleton import ENDS, H36M, ROOT, Skeleton

OPTIONAL = ("action", "detected", "confidence", "joints")
"""Arrays that a pose file may lack."""
REACH_MM = (200.0, 3000.0)
"""Plausible range of the distance from the hip to the farthest joint (median over the poses): from a baby's to more
than any body's."""
LEAST_REACH_INSIDE_MM = 20.0
"""The lowest plausible distance if neither head nor feet are among the joints: that of a baby's hip joints."""
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
        extent: float32 [N] px: the longest side of the box around all joints that the data have, before the poses came
            to the joints of another skeleton; None if these do not cover the body, or if the poses are as they were.
    """

    pose2d_crop: np.ndarray
    pose3d: np.ndarray
    subject: np.ndarray
    action: np.ndarray
    source: str
    detected: np.ndarray | None = None
    confidence: np.ndarray | None = None
    skeleton: Skeleton = H36M
    extent: np.ndarray | None = None

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
        self.skeleton.check_converts_to(skeleton, self.source, may_lack)
        labels = {key: getattr(self, key) for key in LABELS if getattr(self, key) is not None}
        changed = geometry.change_labels(labels, self.skeleton.weights(skeleton))
        arrays = {key: label.numpy() for key, label in changed.items()}
        return dataclasses.replace(self, skeleton=skeleton, extent=self._extent(), **arrays)

    def crop_margin(self) -> float:
        """Side of the square crops over the longest side of the box around the person (the median), from all joints
        that the data have. If these do not cover the body, that of the crops that `pose-tf convert` makes."""
        extent = self._extent()
        if extent is None:
            return DEFAULT_MARGIN
        return float(CROP_SIZE / (BODY_OVER_JOINTS * max(np.median(extent), 1.0)))

    def _extent(self):
        """See the attribute `extent`."""
        if self.extent is not None or self.skeleton.missing(*ENDS):
            return self.extent
        return _longest_side(self.pose2d_crop)

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


def _longest_side(pose2d):
    """Of the boxes around the labeled joints of poses: float [N, J, 2] px -> [N]."""
    is_labeled = geometry.labeled(pose2d).numpy()[..., None] > 0
    high, low = (np.where(is_labeled, pose2d, sign * np.inf) for sign in (-1, 1))
    return (high.max(axis=1) - low.min(axis=1)).max(axis=-1)


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
    own.check_converts_to(skeleton, path)
    check_units(arrays["pose2d_crop"], arrays["pose3d"], path, skeleton=own)
    return PoseSet(
        arrays["pose2d_crop"].astype(np.float32),
        arrays["pose3d"].astype(np.float32),
        arrays["subject"].astype(np.int64),
        arrays.get("action", np.full(count, -1)).astype(np.int64),
        path,
        *(arrays[key].astype(np.float32) if has_detections else None for key in ("detected", "confidence")),
        own,
    ).in_joints(skeleton)


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


def check_units(
    pose2d: np.ndarray, pose3d: np.ndarray, source: str, key: str = "pose2d_crop", skeleton: Skeleton = H36M
) -> None:
    """Checks that 3D poses have the size of people in millimeters, and 2D poses that of people in pixels of a crop.

    Args:
        pose2d: float [N, J, 2] crop px; joints without a label do not count.
        pose3d: float [N, J, 3]; NaN if they are not labeled.
        source: name of the data in messages.
        key: name of the 2D poses in messages.
        skeleton: of the poses, with a hip or the joints that it can be derived from. With the head or a foot, more is
            known of their size.

    Raises:
        UserError: the poses have another size; the message names their probable unit.
    """
    has_end = len(skeleton.missing(*ENDS)) < len(ENDS)
    hip = skeleton.convert(pose3d, Skeleton("hip", (ROOT,), ()))
    reach = np.median(np.linalg.norm(pose3d - hip, axis=-1).max(axis=-1))
    least = REACH_MM[0] if has_end else LEAST_REACH_INSIDE_MM
    if not np.isnan(reach) and not least <= reach <= REACH_MM[1]:
        likely = [unit for unit, size in UNITS_MM.items() if REACH_MM[0] <= reach * size <= REACH_MM[1]]
        guess = has_end and min(
            likely, key=lambda unit: abs(np.log(reach * UNITS_MM[unit] / TYPICAL_REACH_MM)), default=None
        )
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
    extent = np.median(_longest_side(pose2d))
    if extent < least_extent(skeleton):
        raise UserError(f"{must} its poses are {extent:.3g} wide or high; are these normalized coordinates?")
    inside = np.median(np.sum(geometry.inside_crop(pose2d), axis=-1) / np.sum(is_labeled, axis=-1))
    if inside < LEAST_INSIDE:
        raise UserError(f"{must} only {inside:.0%} of their joints are inside; are these pixels of the whole image?")
