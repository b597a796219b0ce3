"""COCO's results format for keypoints (https://cocodataset.org/#format-results)."""

import functools
import json
from collections.abc import Iterable

import numpy as np

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.skeleton import COCO, H36M, LIMBS, Skeleton, limbs

PERSON = 1
"""COCO's category of people."""
MARK = b"[\t\n"
"""First bytes of the files that pose_tf writes. Other programs have no reason to write a tab there."""


@functools.cache
def shared_joints(skeleton: Skeleton = H36M) -> tuple[tuple[int, int], ...]:
    """(own index, COCO's index) of the twelve joints of arms and legs, which both skeletons label alike. Human3.6M's
    Neck/Nose is no nose in photographs.

    Raises:
        UserError: the skeleton lacks one of them.
    """
    if missing := skeleton.missing(*LIMBS):
        raise UserError(f"COCO's results need {', '.join(missing)}, which the skeleton {skeleton} lacks")
    of_limbs = limbs(skeleton)
    return tuple(pair for pair in skeleton.shared_with(COCO) if pair[0] in of_limbs)


def entry(image_id: int | str, pose2d, confidence, box, box_score: float = 1.0, skeleton: Skeleton = H36M) -> dict:
    """A person as COCO's results have it.

    Args:
        image_id: id of the image in COCO's annotations.
        pose2d: float [J, 2] px of the image.
        confidence: float [J] in 0…1.
        box: float [4] px: x, y, width, height.
        box_score: score of the box, by which the joints' is multiplied, as HRNet does.
        skeleton: of the pose; it must have the twelve joints of arms and legs.

    Returns:
        {"image_id", "category_id": 1, "keypoints": x, y, 1 for each of COCO's 17 keypoints, or 0, 0, 0 for those of
        the head, "score": the mean confidence of the twelve joints times that of the box, "bbox"}.
    """
    own, coco = map(list, zip(*shared_joints(skeleton)))
    pose2d = np.asarray(pose2d)[own]
    keypoints = np.zeros((len(COCO.joints), 3))
    known = np.isfinite(pose2d).all(axis=-1)
    keypoints[coco] = np.where(known[:, None], np.column_stack([pose2d, np.ones(len(own))]), 0)
    score = box_score * np.mean(np.nan_to_num(np.float64(confidence)[own]))
    return {
        "image_id": image_id,
        "category_id": PERSON,
        "keypoints": np.round(keypoints, 3).ravel().tolist(),
        "score": round(float(score), 6),
        "bbox": np.round(np.nan_to_num(np.float64(box)), 3).tolist(),
    }


def write(path: str, entries: Iterable[dict]) -> None:
    """Writes a results file, with one person per line."""
    with files.replacing(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as file:
        lines = ",\n".join(json.dumps(one, allow_nan=False) for one in entries)
        file.write(f"{MARK.decode()}{lines}\n]\n")
