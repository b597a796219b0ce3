"""Human3.6M as h36m-fetch leaves it: images, and an HDF5 file for each action."""

import collections
import glob
import os

import h5py
import numpy as np

from pose_tf import skeleton
from pose_tf.data.converters.actions import action_numbers, subject_number
from pose_tf.data.converters.cameras import TOLERANCE_PX, check_projection
from pose_tf.data.converters.people import Clip
from pose_tf.errors import UserError
from pose_tf.skeleton import Skeleton


def read(annotations: str, every: int, joints: Skeleton = skeleton.H36M) -> tuple[list[Clip], collections.Counter]:
    """Reads `processed/S1/Directions-1/annot.h5` and the other actions; the images are in `imageSequence` beside it.

    Args:
        annotations: the directory `processed`.
        every: take one of so many of the frames, of which h36m-fetch has left one in five.
        joints: of the clips.

    Returns:
        A clip of each camera and action, and what is left out by reason.

    Raises:
        UserError: the directory has no such files, one of them is damaged, or the data set lacks joints.
    """
    skeleton.H36M_32.check_converts_to(joints, annotations)
    paths = sorted(glob.glob(os.path.join(glob.escape(annotations), "S*", "*", "annot.h5")))
    if not paths:
        raise UserError(f"{annotations} has no S*/*/annot.h5; give the directory that h36m-fetch calls processed")
    clips = []
    for path in paths:
        try:
            clips += _read_action(path, every, joints)
        except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
            raise UserError(f"{path} cannot be read as a file of h36m-fetch: {error}") from None
    return clips, collections.Counter()


def _read_action(path, every, joints):
    folder = os.path.dirname(path)
    of_subject, name = os.path.split(folder)
    action, subaction = action_numbers(name, os.listdir(of_subject))  # the file's own numbers begin with 1 or 2
    subject = subject_number(os.path.basename(of_subject))
    with h5py.File(path, "r") as file:
        pose2d, univ = _joints(file, "pose/2d", 2), _joints(file, "pose/3d-univ", 3)
        own = _joints(file, "pose/3d", 3) if "pose/3d" in file else univ  # earlier versions lack it
        frame, cameras = file["frame"][()], file["camera"][()]
        if not len(pose2d) == len(univ) == len(own) == len(frame) == len(cameras):
            raise ValueError("its arrays differ in length")
        body2d, body3d = (skeleton.H36M_32.convert(pose, skeleton.H36M) for pose in (pose2d, own))
        pose2d, own, univ = (np.float32(skeleton.H36M_32.convert(pose, joints)) for pose in (pose2d, own, univ))
        for camera in np.unique(cameras):
            chosen = np.flatnonzero(cameras == camera)[::every]
            intrinsics = _intrinsics(file, f"intrinsics/{camera}")
            check_projection(body3d[chosen], body2d[chosen], intrinsics, f"{path} camera {camera}", TOLERANCE_PX)
            univ_key = f"intrinsics-univ/{camera}"
            yield Clip(
                paths=[os.path.join(folder, "imageSequence", str(camera), f"img_{i:06d}.jpg") for i in frame[chosen]],
                frame=frame[chosen],
                pose2d=pose2d[chosen],
                pose3d=own[chosen],
                body2d=np.float32(body2d[chosen]),
                intrinsics=intrinsics,
                subject=subject,
                camera=int(camera),
                action=action,
                subaction=subaction,
                pose3d_univ=univ[chosen],
                intrinsics_univ=_intrinsics(file, univ_key) if univ_key in file else intrinsics,
            )


def _joints(file, key, dimensions):
    return _array(file, key, (len(skeleton.H36M_32.joints), dimensions))


def _intrinsics(file, key):
    return np.float32(_array(file, key, (4,)).reshape(4))


def _array(file, key, shape):
    array = np.asarray(file[key][()], np.float64)
    if array.shape[-len(shape) :] != shape or not np.isfinite(array).all():
        raise ValueError(f"'{key}' is not finite or not {list(shape)}")
    return array
