"""People of Leeds Sports Pose and its extended training set."""

import collections
import os

import numpy as np

from pose_tf import skeleton
from pose_tf.data.converters.people import LeftOut, Photo, check_joints, check_size, joints_box
from pose_tf.data.converters.reading import read_mat
from pose_tf.errors import UserError
from pose_tf.skeleton import Skeleton

JOINTS = len(skeleton.LSP.joints)


def read(
    annotations: str, images: str, min_joints: int, min_side: float, joints: Skeleton = skeleton.MPII
) -> tuple[list[Photo], collections.Counter]:
    """Reads `joints.mat`: `joints` is [3, 14, N] in Leeds Sports Pose, and [14, 3, N] in its extended training set.

    The third number is 1 for occluded joints in the first, which are labeled nevertheless, and 0 for joints without a
    label in the second. MATLAB counts pixels from 1. Other arguments and the result are as for COCO.

    Raises:
        UserError: the file is missing, damaged or of another format.
    """
    labels = np.asarray(read_mat(annotations).get("joints", ()))
    if labels.ndim == 2:  # of one person
        labels = labels[..., None]
    extended = labels.shape[:2] == (JOINTS, 3)
    if labels.ndim != 3 or not (extended or labels.shape[:2] == (3, JOINTS)):
        raise UserError(f"{annotations} is not LSP's file: its 'joints' are {list(labels.shape)}, not [3, 14, N]")
    if labels.dtype.kind not in "iuf":
        raise UserError(f"{annotations} is not LSP's file: its 'joints' are not numbers")
    labels = labels.transpose(2, 0, 1) if extended else labels.transpose(2, 1, 0)
    digits = 5 if extended else 4
    people, left_out = [], collections.Counter()
    for number, person in enumerate(np.float64(labels), 1):
        pose = person[:, :2] - 1
        if extended:
            pose[person[:, 2] == 0] = np.nan
        pose[~np.isfinite(pose).all(axis=-1)] = np.nan
        try:
            path = os.path.join(images, f"im{number:0{digits}d}.jpg")
            people.append(_person(path, pose, min_joints, min_side, joints))
        except LeftOut as reason:
            left_out[str(reason)] += 1
    return people, left_out


def _person(path, pose, min_joints, min_side, joints):
    check_joints(skeleton.LSP.convert(pose, joints, derive=()), max(min_joints, 1))
    box = joints_box(pose)
    check_size(box[2:].max(), min_side)
    return Photo(path, box, np.float32(skeleton.LSP.convert(pose, joints)))
