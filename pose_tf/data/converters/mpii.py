"""People of MPII Human Pose: its official MATLAB file, and the JSON files that HRNet's users have."""

import collections
import os

import numpy as np

from pose_tf import files, skeleton
from pose_tf.data.converters.people import LeftOut, Photo, check_joints, check_size
from pose_tf.data.converters.reading import read_mat
from pose_tf.errors import UserError
from pose_tf.skeleton import Skeleton

JOINTS = len(skeleton.MPII.joints)
HEIGHT_PX = 200.0
"""The height of a person in px is this times the `scale` of MPII's annotations."""
LOWER = 15.0  # people's centers are on their chest, so HRNet moves boxes down by this many px times `scale`


def read(
    annotations: str, images: str, min_joints: int, min_side: float, joints: Skeleton = skeleton.MPII
) -> tuple[list[Photo], collections.Counter]:
    """Reads `mpii_human_pose_v1_u12_1.mat`, or a JSON file such as `train.json`. Arguments and result as for COCO.

    MATLAB counts pixels from 1, and so do both files.

    Raises:
        UserError: the file is missing, damaged or of another format.
    """
    people, left_out = [], collections.Counter()
    entries = _from_json(annotations) if annotations.lower().endswith(".json") else _from_mat(annotations)
    for where, entry in entries:
        try:
            people.append(_person(entry(), images, min_joints, min_side, joints))
        except LeftOut as reason:
            left_out[str(reason)] += 1
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise UserError(f"{annotations}: {where} is not valid: {error}") from None
    return people, left_out


def _person(entry, images, min_joints, min_side, joints):
    """`entry` is the image's name, center [2] px, scale, and joints [16, 2] px, NaN without a label; from 1."""
    name, center, scale, pose2d = entry
    check_joints(skeleton.MPII.convert(pose2d, joints, derive=()), min_joints)
    if not (np.isfinite(center).all() and np.isfinite(scale) and scale > 0):
        raise LeftOut("without a place and a scale")
    side = HEIGHT_PX * scale
    check_size(side, min_side)
    middle = center - 0.5 + np.array([0, LOWER * scale])  # pixel 1's center is 0.5 px from the image's outer edge
    box, pose2d = np.append(middle - side / 2, [side, side]), skeleton.MPII.convert(pose2d - 1, joints)
    return Photo(os.path.join(images, name), box, np.float32(pose2d))


def _from_json(path):
    content = files.read_json(path)
    if not isinstance(content, list):
        raise UserError(f"{path} is not one of HRNet's files: it is not a list of people")

    def entry(person):
        joints = np.asarray(person["joints"], np.float64).reshape(JOINTS, 2)
        labeled = np.asarray(person["joints_vis"]).reshape(JOINTS) > 0
        center = np.asarray(person["center"], np.float64).reshape(2)
        return person["image"], center, float(person["scale"]), np.where(labeled[:, None], joints, np.nan)

    for number, person in enumerate(content):
        yield f"person {number}", lambda person=person: entry(person)


def _from_mat(path):
    release = read_mat(path).get("RELEASE")
    if not hasattr(release, "annolist") or not hasattr(release, "img_train"):
        raise UserError(f"{path} is not MPII's file: it has no RELEASE.annolist and RELEASE.img_train")

    def entry(name, person):
        points = getattr(getattr(person, "annopoints", None), "point", [])
        pose2d = np.full((JOINTS, 2), np.nan)
        for point in np.atleast_1d(points):
            if int(point.id) < 0:
                raise IndexError(f"joint {point.id} is unknown")
            pose2d[int(point.id)] = point.x, point.y
        place, scale = getattr(person, "objpos", None), getattr(person, "scale", np.nan)
        center = [getattr(place, "x", np.nan), getattr(place, "y", np.nan)]
        return name, np.float64(center), float(scale) if np.size(scale) == 1 else np.nan, pose2d

    def of_test_set():
        raise LeftOut("of the test set, whose joints are not public")

    for image, in_training in zip(np.atleast_1d(release.annolist), np.atleast_1d(release.img_train)):
        try:
            name, people = str(image.image.name), np.atleast_1d(image.annorect)
        except AttributeError as error:
            raise UserError(f"{path} is not MPII's file: RELEASE.annolist: {error}") from None
        for number, person in enumerate(people):
            chosen = (lambda name=name, person=person: entry(name, person)) if in_training else of_test_set
            yield f"{name} person {number}", chosen
