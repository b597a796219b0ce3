"""Human3.6M as VideoPose3D's users have it: world coordinates in one file, 2D joints of every camera in another."""

import collections

import numpy as np

from pose_tf import skeleton
from pose_tf.data.converters.actions import action_numbers, subject_number
from pose_tf.data.converters.cameras import DETECTED_POINTS, fit_camera, reprojection_error
from pose_tf.data.converters.people import Clip
from pose_tf.data.converters.reading import read_objects
from pose_tf.errors import UserError
from pose_tf.skeleton import Skeleton

SKELETONS = {32: skeleton.H36M_32, 17: skeleton.H36M}
EXACT_PX = 1.0
"""The 2D joints of a file are true ones if they are nearer than this to the projections of the 3D joints (median)."""
LARGEST_ERROR_PX = 50.0
MM = 1000.0  # the file has meters


def read(
    annotations: str, poses2d: str, every: int, joints: Skeleton = skeleton.H36M
) -> tuple[list[Clip], list[np.ndarray] | None, collections.Counter]:
    """Reads `data_3d_h36m.npz` and `data_2d_h36m_gt.npz`, or a file of detected joints such as
    `data_2d_h36m_cpn_ft_h36m_dbb.npz` in its place.

    The cameras are not in these files. They follow from the joints: each camera of a subject is the one that explains
    all of its 2D joints. True 2D joints are kept, with the distortion of the lens; in place of detected ones, which
    become `detected`, and of those that the file lacks, the 3D joints are projected.

    Args:
        annotations: path of the file with 3D joints: `positions_3d`, {subject: {action: [T, 32 or 17, 3] m}}.
        poses2d: path of the file with 2D joints: `positions_2d`, {subject: {action: [a camera: [T, 17, 2] px]}}.
        every: take one frame out of this many.
        joints: of the clips.

    Returns:
        A clip of each camera and action, the detected joints of each, or None if the file has true ones, and what is
        left out by reason.

    Raises:
        UserError: a file is missing, damaged or of another format, lacks joints, or no camera explains the 2D joints.
    """
    world, pixels = read_objects(annotations, "positions_3d"), read_objects(poses2d, "positions_2d")
    for path, content in ((annotations, world), (poses2d, pixels)):
        if not isinstance(content, dict) or not all(isinstance(actions, dict) for actions in content.values()):
            raise UserError(f"{path} is not a file of VideoPose3D: its poses are not {{subject: {{action: …}}}}")
    subjects = [name for name in world if name in pixels]
    if not subjects:
        raise UserError(f"{annotations} and {poses2d} have no subject in common")
    clips, detected, left_out = [], [], collections.Counter()
    are_true = []
    for subject in subjects:
        of_cameras = collections.defaultdict(list)
        for action, positions in world[subject].items():
            views = pixels[subject].get(action, [])
            if not isinstance(views, list | np.ndarray):
                raise UserError(f"{poses2d}: {subject} {action} is not a list of cameras")
            pose3d, body3d = _pose3d(annotations, f"{subject} {action}", positions, joints)
            left_out["frames of actions without 2D joints"] += 0 if len(views) else len(pose3d[::every])
            for camera, view in enumerate(views):
                pose2d = _pose2d(poses2d, f"{subject} {action} camera {camera}", view)
                count = min(len(pose2d), len(pose3d))  # some videos go on after the end of the motion capture
                of_cameras[camera].append((action, body3d[:count], pose2d[:count], pose3d[:count]))
        for number, parts in sorted(of_cameras.items()):
            what = f"{poses2d}: {subject} camera {number}"
            joints3d, joints2d = (np.concatenate([part[i].reshape(-1, 3 - i // 2) for part in parts]) for i in (1, 2))
            camera = fit_camera(joints3d, joints2d, what)
            error = reprojection_error(camera, joints3d, joints2d)
            if error > LARGEST_ERROR_PX:
                raise UserError(f"{what}: no camera brings its 3D joints nearer than {error:.0f} px to its 2D joints")
            is_true = error < EXACT_PX
            if not is_true:
                skeleton.H36M.check_converts_to(joints, poses2d)
                camera = fit_camera(joints3d, joints2d, what, DETECTED_POINTS)
            are_true.append(is_true)
            for action, *arrays in parts:
                frames = np.arange(0, len(arrays[0]), every)
                body3d, given2d, pose3d = (array[frames] for array in arrays)
                true2d = given2d if is_true else None
                clip = Clip(
                    paths="",
                    frame=frames,
                    pose2d=_in_image(camera, pose3d, joints, true2d),
                    pose3d=np.float32(camera.to_camera(pose3d)),
                    body2d=_in_image(camera, body3d, skeleton.H36M, true2d),
                    intrinsics=np.float32(camera.intrinsics),
                    subject=_subject(annotations, subject),
                    camera=number,
                    **dict(zip(("action", "subaction"), action_numbers(action, world[subject]))),
                )
                clips.append(clip)
                detected.append(np.float32(skeleton.H36M.convert(given2d, joints)))
    if len(set(are_true)) > 1:
        raise UserError(f"{poses2d} has true 2D joints for some cameras, and detected ones for others")
    return clips, None if are_true[0] else detected, +left_out


def _in_image(camera, pose3d, joints, true2d):
    """2D joints, float32 [T, J, 2] px: those of the file if they are true, else the projections of the 3D joints."""
    pose2d = camera.project(pose3d)
    if true2d is not None:
        own, given = map(list, zip(*joints.shared_with(skeleton.H36M)))
        pose2d[:, own] = true2d[:, given]
    return np.float32(pose2d)


def _subject(path, name):
    try:
        return subject_number(name)
    except ValueError as error:
        raise UserError(f"{path}: subject {error}") from None


def _pose3d(path, where, positions, joints):
    """World coordinates in mm: float64 [T, J, 3] of some joints, and [T, 17, 3] of Human3.6M's."""
    positions = _numbers(path, where, positions)
    if positions.ndim != 3 or positions.shape[1] not in SKELETONS or positions.shape[2] != 3:
        raise UserError(f"{path}: {where} is {list(positions.shape)}, expected [T, 32, 3] or [T, 17, 3]")
    if not np.isfinite(positions).all():
        raise UserError(f"{path}: {where} holds NaN or infinity")
    own = SKELETONS[positions.shape[1]]
    own.check_converts_to(joints, path)
    return MM * own.convert(positions, joints), MM * own.convert(positions, skeleton.H36M)


def _pose2d(path, where, view):
    view = _numbers(path, where, view)
    if view.ndim != 3 or view.shape[1:] not in ((17, 2), (17, 3)):
        raise UserError(f"{path}: {where} is {list(view.shape)}, expected [T, 17, 2]")
    if not np.isfinite(view[..., :2]).all():
        raise UserError(f"{path}: {where} holds NaN or infinity")
    return view[..., :2]


def _numbers(path, where, values):
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{path}: {where} is not an array of numbers") from None
