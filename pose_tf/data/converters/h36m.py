"""Human3.6M's original files: joints in CDF files, and videos."""

import collections
import glob
import os

import numpy as np

from pose_tf import skeleton
from pose_tf.data.converters.actions import action_numbers, subject_number
from pose_tf.data.converters.cameras import TOLERANCE_PX, check_projection, fit_intrinsics
from pose_tf.data.converters.people import Clip
from pose_tf.errors import UserError
from pose_tf.skeleton import Skeleton

KINDS = {"pose2d": "D2_Positions", "pose3d": "D3_Positions_mono", "univ": "D3_Positions_mono_universal"}


def read(
    annotations: str, images: str | None, every: int, joints: Skeleton = skeleton.H36M
) -> tuple[list[Clip], collections.Counter]:
    """Reads `S1/MyPoseFeatures/D3_Positions_mono/Directions 1.54138969.cdf`, the same in `D2_Positions` and, if it is
    there, in `D3_Positions_mono_universal`, of all subjects.

    The intrinsics are those that explain the 2D joints best.

    Args:
        annotations: the directory with S1, S5, …; `MyPoseFeatures/` may be missing in the paths, and the folders may be
            called `Poses_D2_Positions` and so on, as the archives of the data set are.
        images: the directory with `S1/Videos/Directions 1.54138969.mp4`; None for poses without images.
        every: take one frame out of this many.
        joints: of the clips.

    Returns:
        A clip of each camera and action, and what is left out by reason.

    Raises:
        UserError: cdflib is not installed, the directory has no such files, one of them is damaged, or the data set
            lacks joints.
    """
    skeleton.H36M_32.check_converts_to(joints, annotations)
    try:
        import cdflib
    except ImportError:
        raise UserError("CDF files need cdflib: pip install 'pose_tf[convert]'") from None
    folders = sorted(glob.glob(os.path.join(glob.escape(annotations), "S*")))
    found = {folder: {kind: _files(folder, kind) for kind in KINDS} for folder in folders}
    if not any(kinds["pose3d"] for kinds in found.values()):
        raise UserError(f"{annotations} has no S*/MyPoseFeatures/D3_Positions_mono/*.cdf")
    clips, left_out = [], collections.Counter()
    for folder, path in [(folder, path) for folder, kinds in found.items() for path in kinds["pose3d"]]:
        poses = {}
        for kind, others in found[folder].items():
            same = next((other for other in others if os.path.basename(other) == os.path.basename(path)), None)
            if same:
                poses[kind] = _read_cdf(cdflib, same, 2 if kind == "pose2d" else 3)[::every]
        if "pose2d" not in poses:
            left_out["frames without 2D joints"] += len(poses["pose3d"])
            continue
        count = min(map(len, poses.values()))
        poses = {kind: values[:count] for kind, values in poses.items()}
        name, _, camera = os.path.splitext(os.path.basename(path))[0].rpartition(".")
        if not camera.isdecimal():
            raise UserError(f"{path} has no camera in its name, such as 'Directions 1.54138969.cdf'")
        others = (os.path.basename(other).split(".")[0] for other in found[folder]["pose3d"])
        action, subaction = action_numbers(name, others)
        if action < 0:  # such as _ALL, the calibration's recordings
            left_out["frames of other actions"] += count
            continue
        body = {kind: skeleton.H36M_32.convert(pose, skeleton.H36M) for kind, pose in poses.items()}
        poses = {kind: np.float32(skeleton.H36M_32.convert(pose, joints)) for kind, pose in poses.items()}
        intrinsics = fit_intrinsics(body["pose3d"], body["pose2d"])
        check_projection(body["pose3d"], body["pose2d"], intrinsics, path, TOLERANCE_PX)
        clips.append(
            Clip(
                paths=os.path.join(images or "", os.path.basename(folder), "Videos", f"{name}.{camera}.mp4"),
                frame=np.arange(count) * every,
                pose2d=poses["pose2d"],
                pose3d=poses["pose3d"],
                body2d=np.float32(body["pose2d"]),
                intrinsics=intrinsics,
                subject=subject_number(os.path.basename(folder)),
                camera=int(camera),
                action=action,
                subaction=subaction,
                pose3d_univ=poses.get("univ"),
                intrinsics_univ=fit_intrinsics(body["univ"], body["pose2d"]) if "univ" in body else None,
            )
        )
    return clips, left_out


def _files(folder, kind):
    found = []
    for parts in (("MyPoseFeatures", KINDS[kind]), (KINDS[kind],), (f"Poses_{KINDS[kind]}",)):
        found += sorted(glob.glob(os.path.join(glob.escape(os.path.join(folder, *parts)), "*.cdf")))
    return found


def _read_cdf(cdflib, path, dimensions):
    """Human3.6M's 32 joints: float64 [T, 32, dimensions]."""
    try:
        poses = np.asarray(cdflib.CDF(path).varget("Pose"), np.float64)
        poses = poses.reshape(poses.shape[-2], len(skeleton.H36M_32.joints), dimensions)
        if not np.isfinite(poses).all():
            raise ValueError("its poses are not finite")
    except Exception as error:  # cdflib raises almost anything on damaged bytes
        raise UserError(f"{path} cannot be read as a CDF file of poses: {error}") from None
    return poses
