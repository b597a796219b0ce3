"""People of COCO's keypoint annotations."""

import collections
import os

import numpy as np

from pose_tf import files, skeleton
from pose_tf.data.converters.people import LeftOut, Photo, check_joints, check_size
from pose_tf.data.converters.reading import check_list
from pose_tf.errors import UserError
from pose_tf.skeleton import Skeleton

JOINTS = len(skeleton.COCO.joints)


def read(
    annotations: str, images: str, min_joints: int, min_side: float, joints: Skeleton = skeleton.MPII
) -> tuple[list[Photo], collections.Counter]:
    """Reads a JSON file such as `person_keypoints_train2017.json`.

    Args:
        annotations: path of the file.
        images: directory of the images.
        min_joints: people with fewer labeled joints are left out. Derived ones do not count.
        min_side: people whose box has a longest side of fewer pixels are left out.
        joints: of the people. Those that the file neither has nor lets derive are not labeled.

    Returns:
        The people, and the number of those left out by reason.

    Raises:
        UserError: the file is missing, damaged or of another format.
    """
    annotated, listed = read_content(annotations, images)
    people, left_out = [], collections.Counter()
    for number, person in enumerate(annotated):
        try:
            people.append(_person(person, listed, min_joints, min_side, joints))
        except LeftOut as reason:
            left_out[str(reason)] += 1
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"{annotations}: annotations[{number}] is not valid: {_explain(error)}") from None
    return people, left_out


def read_content(annotations: str, images: str) -> tuple[list[dict], dict]:
    """The annotations in a COCO file, unchecked, and {id: (path, (width, height))} of its images.

    Raises:
        UserError: the file is missing, damaged or of another format.
    """
    content = files.read_json(annotations)
    if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
        raise UserError(f"{annotations} is not a COCO file: it has no lists 'images' and 'annotations'")
    listed = {}
    for number, image in enumerate(check_list(annotations, content, "images")):
        try:
            name, size = image["file_name"], (int(image["width"]), int(image["height"]))
            listed[image["id"]] = os.path.join(images, name), size
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{annotations}: images[{number}] has no valid {error}") from None
    return check_list(annotations, content, "annotations"), listed


def _person(person, listed, min_joints, min_side, joints):
    keypoints, box = keypoints_of(person)
    pose = np.where(keypoints[:, 2:] > 0, keypoints[:, :2], np.nan)
    if person["image_id"] not in listed:
        raise LeftOut("of an image that the file does not list")
    check_joints(skeleton.COCO.convert(pose, joints, derive=()), min_joints)
    check_size(box[2:].max(), max(min_side, 1))
    path, size = listed[person["image_id"]]
    return Photo(path, box, np.float32(skeleton.COCO.convert(pose, joints)), size)


def keypoints_of(person: dict) -> tuple[np.ndarray, np.ndarray]:
    """The keypoints [17, 3] and the box [4] of an annotation, in px of the image.

    Raises:
        LeftOut: it is a crowd, or has no keypoints.
        KeyError, TypeError, ValueError: it is not valid.
    """
    if person.get("iscrowd"):
        raise LeftOut("crowd")
    keypoints = np.asarray(person.get("keypoints", []), np.float64)
    if not keypoints.size:
        raise LeftOut("without keypoints")
    if keypoints.size != 3 * JOINTS:
        raise ValueError(f"'keypoints' has {keypoints.size} numbers, expected {3 * JOINTS}")
    box = np.asarray(person["bbox"], np.float64)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError("'bbox' is not four numbers")
    return keypoints.reshape(JOINTS, 3), box


def _explain(error):
    return f"{error} is missing" if isinstance(error, KeyError) else error
