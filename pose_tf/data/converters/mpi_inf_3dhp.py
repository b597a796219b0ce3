"""The training set of MPI-INF-3DHP."""

import collections
import glob
import os

import numpy as np

from pose_tf import skeleton
from pose_tf.data.converters.actions import subject_number
from pose_tf.data.converters.cameras import TOLERANCE_PX, check_projection, fit_intrinsics
from pose_tf.data.converters.people import Clip
from pose_tf.data.converters.reading import read_mat
from pose_tf.errors import UserError
from pose_tf.skeleton import Skeleton

JOINTS = len(skeleton.MPI_INF_3DHP.joints)


def read(annotations: str, every: int, joints: Skeleton = skeleton.H36M) -> tuple[list[Clip], collections.Counter]:
    """Reads `S1/Seq1/annot.mat` of all subjects and sequences. The images come from `imageSequence/video_0.avi` beside
    it, or from `imageFrames/video_0/frame_000001.jpg` where the frames have been extracted.

    The intrinsics are those that explain the 2D joints.

    Args:
        annotations: the directory with S1, S2, ….
        every: take one frame out of this many.
        joints: of the clips.

    Returns:
        A clip of each camera and sequence, and what is left out by reason.

    Raises:
        UserError: the directory has no such files, one of them is damaged, or the data set lacks joints.
    """
    skeleton.MPI_INF_3DHP.check_converts_to(joints, annotations)
    paths = sorted(glob.glob(os.path.join(glob.escape(annotations), "S*", "Seq*", "annot.mat")))
    if not paths:
        raise UserError(f"{annotations} has no S*/Seq*/annot.mat")
    clips, left_out = [], collections.Counter()
    for path in paths:
        content = read_mat(path)
        try:
            cameras = np.atleast_1d(content["cameras"])
            if not np.isfinite(cameras).all():
                raise ValueError("its cameras are not finite")
            cameras = cameras.astype(int)
            poses = {key: _by_camera(content[key], len(cameras)) for key in ("annot2", "annot3", "univ_annot3")}
            for number, camera in enumerate(cameras):
                arrays = {key: _joints(values[number])[::every] for key, values in poses.items()}
                clips.append(_clip(path, int(camera), every, joints, **arrays))
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise UserError(f"{path} is not an annotation of MPI-INF-3DHP: {error}") from None
    return clips, left_out


def _by_camera(cells, count):
    """The arrays of a cell array [count, 1]: SciPy's array of objects, of numbers, or a single array."""
    cells = list(cells) if count > 1 or np.asarray(cells).dtype == object else [cells]
    cells = [cell.item() if getattr(cell, "shape", None) == () else cell for cell in cells]
    if len(cells) != count:
        raise ValueError(f"it has {count} cameras, but poses of {len(cells)}")
    return cells


def _joints(values):
    values = np.atleast_2d(np.asarray(values, np.float64))
    poses = values.reshape(len(values), JOINTS, -1)
    if not np.isfinite(poses).all():
        raise ValueError("its poses are not finite")
    return poses


def _clip(path, camera, every, joints, **poses):
    """`poses` are annot2, annot3 and univ_annot3: float64 [T, 28, 2 or 3]."""
    annot2, annot3, univ_annot3 = (skeleton.MPI_INF_3DHP.convert(pose, joints) for pose in poses.values())
    body2, body3, univ_body3 = (skeleton.MPI_INF_3DHP.convert(pose, skeleton.H36M) for pose in poses.values())
    folder = os.path.dirname(path)
    frames = np.arange(len(annot2)) * every
    extracted = os.path.join(folder, "imageFrames", f"video_{camera}")
    images = [os.path.join(extracted, f"frame_{i + 1:06d}.jpg") for i in frames]
    intrinsics = fit_intrinsics(body3, body2)
    check_projection(body3, body2, intrinsics, f"{path} camera {camera}", TOLERANCE_PX)
    return Clip(
        paths=images if os.path.isdir(extracted) else os.path.join(folder, "imageSequence", f"video_{camera}.avi"),
        frame=frames,
        pose2d=np.float32(annot2),
        pose3d=np.float32(annot3),
        body2d=np.float32(body2),
        intrinsics=intrinsics,
        subject=subject_number(os.path.basename(os.path.dirname(folder))),
        camera=camera,
        subaction=subject_number(os.path.basename(folder)),
        pose3d_univ=np.float32(univ_annot3),
        intrinsics_univ=fit_intrinsics(univ_body3, body2),
    )
