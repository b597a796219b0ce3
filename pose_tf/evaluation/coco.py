"""COCO's evaluation of keypoints: AP and AR by object keypoint similarity (OKS), over the joints that we have.

Human3.6M's skeleton has no nose, eyes and ears. Therefore annotations and predictions are cut to the twelve joints of
arms and legs, with COCO's constants of these twelve, and people of whom none of the twelve is labeled do not count.
Figures are not comparable with published AP over 17 keypoints.
"""

import contextlib
import dataclasses
import io
import os

import numpy as np

from pose_tf import files
from pose_tf.coco_results import PERSON, entry, shared_joints
from pose_tf.data.converters.coco import keypoints_of, read_content
from pose_tf.data.converters.people import LeftOut, cut, read_image
from pose_tf.errors import UserError
from pose_tf.evaluation.evaluator import detect_joints
from pose_tf.evaluation.protocol_scores import check_joints, part
from pose_tf.evaluation.protocols import COCO_COLUMNS, PROTOCOLS
from pose_tf.geometry import DEFAULT_MARGIN, Crop
from pose_tf.skeleton import COCO, H36M, Skeleton

SHARED = shared_joints()
"""(Human3.6M's index, COCO's index) of the joints that count."""
LEAST_BOX_PX = 1.0
"""Shorter sides of boxes count as this long, because crops need an extent."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A person to detect joints of.

    Attributes:
        image_id: COCO's id of the image.
        path: of the image.
        size: (width, height) px that the annotations give for the image.
        box: float32 [4] px: x, y, width, height.
        score: of the box; 1 for labeled boxes.
    """

    image_id: int
    path: str
    size: tuple[int, int]
    box: np.ndarray
    score: float = 1.0


def evaluate(
    detect,
    annotations: str,
    images: str,
    boxes: str | None = None,
    batch_size: int = 16,
    skeleton: Skeleton = H36M,
) -> tuple[dict, list[dict]]:
    """Evaluates a detector on COCO's people.

    Args:
        detect: function like `PoseEstimator.detect`.
        annotations: path of a file such as `person_keypoints_val2017.json`.
        images: directory of its images.
        boxes: path of detection results in COCO's format, whose people are evaluated; None for the labeled boxes.
        batch_size: crops in a batch.
        skeleton: of the detector; it must have the twelve joints of arms and legs.

    Returns:
        A report with the number of "images", that of "samples", which are boxes, their file "boxes", the "joints" that
        count, and "protocol", see `protocol_scores.part`; and an entry of `coco_results` for each box.

    Raises:
        UserError: pycocotools is not installed, or a file is missing, damaged or of another format.
    """
    pycocotools()
    check_joints(PROTOCOLS["coco"], skeleton)
    labels, listed = read_labels(annotations, images)
    if boxes is None:
        targets = [
            Target(label["image_id"], *listed[label["image_id"]], _box(label["bbox"]))
            for label in labels
            if label["num_keypoints"] and not label["iscrowd"]
        ]
    else:
        targets = read_boxes(boxes, listed)
    if not targets:
        raise UserError(f"{boxes or annotations} has no person of whom joints are labeled")
    targets.sort(key=lambda target: target.path)
    crop = Crop.around(np.stack([target.box for target in targets]), np.float32(DEFAULT_MARGIN))
    found = detect_joints(detect, _crops(targets, crop, batch_size), len(targets))
    poses = crop.to_image(found["pose2d"])
    entries = [
        entry(target.image_id, pose2d, confidence, target.box, target.score, skeleton)
        for target, pose2d, confidence in zip(targets, poses, found["confidence"], strict=True)
    ]
    figures = measure(labels, list(listed), entries)
    title = "labeled boxes" if boxes is None else f"boxes of {os.path.basename(boxes)}"
    return {
        "images": len(listed),
        "samples": len(targets),
        "boxes": boxes,
        "joints": [H36M.joints[own] for own, _ in SHARED],
        "protocol": part(PROTOCOLS["coco"], {title: figures}),
    }, entries


def pycocotools():
    """The modules (coco, cocoeval) of pycocotools.

    Raises:
        UserError: it is not installed.
    """
    try:
        from pycocotools import coco, cocoeval
    except ImportError:
        raise UserError("COCO's evaluation needs pycocotools: pip install 'pose_tf[coco]'") from None
    return coco, cocoeval


def read_labels(annotations: str, images: str) -> tuple[list[dict], dict]:
    """Reads the people of COCO's annotations.

    Returns:
        A list of COCO annotations whose "keypoints" are cut to `SHARED`, and {id: (path, (width, height))} of the
        images. People of whom none of these joints is labeled, and crowds, have "num_keypoints" 0, so that COCO's
        evaluation ignores them and whoever is detected there.

    Raises:
        UserError: the file is missing, damaged or of another format.
    """
    people, listed = read_content(annotations, images)
    labels = []
    for number, person in enumerate(people):
        with _named(f"{annotations}: annotations[{number}]"):
            if person.get("category_id", PERSON) == PERSON and person["image_id"] in listed:
                labels.append(_label(person, len(labels) + 1))  # to COCO's evaluation, 0 is nobody
    return labels, listed


def _label(person, number):
    try:
        keypoints, box = keypoints_of(person)
    except LeftOut:  # crowds, and people without keypoints
        keypoints, box = np.zeros((len(COCO.joints), 3)), _box(person["bbox"])
    keypoints, area = keypoints[[coco for _, coco in SHARED]], float(person["area"])
    if not (np.isfinite(area) and area >= 0):
        raise ValueError(f"its area is {area}")
    return {
        "id": number,
        "image_id": person["image_id"],
        "category_id": PERSON,
        "iscrowd": int(person.get("iscrowd", 0)),
        "area": area,
        "bbox": box.tolist(),
        "keypoints": keypoints.ravel().tolist(),
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
    }


def read_boxes(path: str, listed: dict) -> list[Target]:
    """Reads people of COCO's detection results: a list of {"image_id", "category_id", "bbox", "score"}.

    Args:
        path: of the file.
        listed: images by id, see `read_labels`.

    Raises:
        UserError: the file is missing, damaged or of another format, or has boxes in other images.
    """
    content = files.read_json(path)
    if not isinstance(content, list):
        raise UserError(f"{path} is not a list of COCO's detection results")
    targets = []
    for number, result in enumerate(content):
        with _named(f"{path}: entry {number}"):
            if result["category_id"] == PERSON:
                image, box, score = result["image_id"], _box(result["bbox"]), float(result["score"])
                if not np.isfinite(score):
                    raise ValueError("'score' is not finite")
                if image not in listed:
                    raise ValueError(f"the annotations do not list image {image}")
                targets.append(Target(image, *listed[image], box, score))
    return targets


@contextlib.contextmanager
def _named(where):
    """Says where in a file a value is missing or wrong."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        missing = " is missing" if isinstance(error, KeyError) else ""
        raise UserError(f"{where} is not valid: {error}{missing}") from None


def _box(values):
    box = np.asarray(values, np.float32)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError("'bbox' is not four numbers")
    return np.concatenate([box[:2], np.maximum(box[2:], LEAST_BOX_PX)])


def _crops(targets, crop, batch_size):
    """Batches of crops, uint8 [B, 256, 256, 3]. Targets of one image follow each other; it is read once."""
    batch, path, image = [], None, None
    for i, target in enumerate(targets):
        if target.path != path:
            path, image = target.path, _image(target)
        batch.append(cut(image, Crop(crop.corner[i], crop.side[i])))
        if len(batch) == batch_size or i + 1 == len(targets):
            yield np.stack(batch)
            batch = []


def _image(target):
    try:
        image = read_image(target.path)
    except LeftOut as reason:
        raise UserError(f"{target.path}: {reason}") from None
    if image.shape[1::-1] != target.size:
        width, height = target.size
        raise UserError(f"{target.path} is {image.shape[1]}x{image.shape[0]}, but the annotations say {width}x{height}")
    return image


def measure(labels: list[dict], images: list[int], entries: list[dict]) -> dict[str, float | None]:
    """COCO's AP and AR of keypoints in %, by `COCO_COLUMNS`; None where no person has the size.

    Args:
        labels: people, see `read_labels`.
        images: ids of the images that count.
        entries: predictions, entries of `coco_results`.
    """
    coco, cocoeval = pycocotools()
    shared = [index for _, index in SHARED]
    predictions = []
    for one in entries:
        keypoints = np.reshape(one["keypoints"], (-1, 3))[shared].ravel().tolist()
        predictions.append({key: one[key] for key in ("image_id", "category_id", "score")} | {"keypoints": keypoints})
    with contextlib.redirect_stdout(io.StringIO()):  # it reports its progress there
        truth = coco.COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": image} for image in images],
            "annotations": labels,
            "categories": [{"id": PERSON, "name": "person"}],
        }
        truth.createIndex()
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(predictions), "keypoints")
        evaluation.params.kpt_oks_sigmas = evaluation.params.kpt_oks_sigmas[shared]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: 100 * float(value) if value >= 0 else None for name, value in zip(COCO_COLUMNS, evaluation.stats)}
