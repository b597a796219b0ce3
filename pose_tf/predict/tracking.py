"""Tracks people through a video."""

import dataclasses
import itertools

import cv2
import numpy as np

from pose_tf import images
from pose_tf.predict import finders
from pose_tf.predict.people import overlap, touches

FLOW_SIZE = 1024
"""The optical flow sees images of this size: the longest side in pixels."""
FIND_EVERY_S = 0.17
"""Time between two searches for people. In between, boxes move with the image."""
PATIENCE_S = 1.5
"""A track ends when no search has found its person for this time."""
CONFIRMED = 2  # number of searches that have to find a person
SAME_PERSON_IOU = 0.3  # intersection over union of the tracked and the found box
SAME_PERSON_SHARE = 0.7  # share of the smaller box that lies in the other: a search may find only part of a person
START_SCORE, KEEP_SCORE = 0.6, 0.4  # scores that start and that continue a track, in units of min_score
FOUND_WEIGHT = 0.8  # weight of the found box against the tracked one, if they coincide and the score is high
MIN_POINTS, MAX_POINTS = 5, 60  # number of points that the optical flow follows on a person
TRUNK = np.float32([(0.3, 0.05), (0.7, 0.55)])  # corners of their region in units of the box: little background


@dataclasses.dataclass
class _Track:
    key: int
    box: np.ndarray
    found: int = 1
    score: float = 0.0  # highest so far
    step: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(2, np.float32))  # px per frame
    last_seen: float = 0.0


class PeopleTracker:
    """Finds candidates for people in a video and tracks them.

    It searches the image a few times a second. Between searches, boxes move with the image (median of the optical flow
    of Lucas and Kanade). A low score is enough to be tracked. A track counts as a person once `CONFIRMED` searches have
    found it and its highest score has reached `min_score`.

    Args:
        boxes: float [N, 4]: boxes of the people to track, in the first frame; None to search for people.
        min_score: see `find_people`.

    Attributes:
        people: the tracks that count as people: time when each was found last, by key.
    """

    def __init__(self, boxes: np.ndarray | None = None, min_score: float | None = None):
        self._searching = boxes is None
        self._min_score = finders.people_finder().min_score if self._searching and min_score is None else min_score
        given = () if boxes is None else boxes
        self._tracks = [_Track(key, np.array(box, np.float32)) for key, box in enumerate(given)]
        self._keys = itertools.count(len(self._tracks))
        self.people = {track.key: np.inf for track in self._tracks}
        self._before = None
        self._next_search = -np.inf

    def __call__(self, image: np.ndarray, time: float) -> dict[int, np.ndarray]:
        """Tracks the candidates to the next frame.

        Args:
            image: uint8 [H, W, 3] RGB.
            time: time of the frame in seconds.

        Returns:
            Boxes, float32 [4], by key. A candidate keeps its key; the keys in `people` count as people so far.
        """
        scale = min(FLOW_SIZE / max(image.shape[:2]), 1.0)
        gray = images.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), scale)
        if self._before is not None and self._before.shape == gray.shape:
            for track in self._tracks:
                motion = _motion(self._before, gray, track.box * scale)
                track.step = track.step / 2 if motion is None else motion / scale
                track.box[:2] += track.step
        self._before = gray
        if self._searching and time >= self._next_search:
            self._next_search = time + FIND_EVERY_S
            self._search(image, time)
        height, width = image.shape[:2]
        inside = [track for track in self._tracks if touches(track.box, width, height)]
        if self._searching:
            self._tracks = [track for track in inside if time - track.last_seen <= PATIENCE_S]
        return {track.key: track.box.copy() for track in inside}

    def _search(self, image, time):
        boxes, scores = finders.find_people(image, KEEP_SCORE * self._min_score)
        pairs = [(*overlap(track.box, box), track, j) for track in self._tracks for j, box in enumerate(boxes)]
        seen, taken = set(), set()
        for iou, share, track, j in sorted(pairs, key=lambda pair: -pair[0]):
            if max(iou / SAME_PERSON_IOU, share / SAME_PERSON_SHARE) < 1 or j in taken or track.key in seen:
                continue
            seen.add(track.key)
            taken.add(j)
            certainty = iou * min(scores[j] / self._min_score, 1.0)
            track.box += FOUND_WEIGHT * certainty * (boxes[j] - track.box)
            track.found += 1
            track.score = max(track.score, scores[j])
            track.last_seen = time
            if track.found >= CONFIRMED and track.score >= self._min_score:
                self.people[track.key] = time
        for j, box in enumerate(boxes):
            if j not in taken and scores[j] >= START_SCORE * self._min_score:
                self._tracks.append(_Track(next(self._keys), box.copy(), score=scores[j], last_seen=time))


def _motion(before, now, box):
    """Motion of a person from one gray image to the next, float32 [2] px; None if too few points can be followed."""
    mask = np.zeros_like(before)
    left, top = np.maximum(box[:2] + TRUNK[0] * box[2:], 0).astype(int)
    right, bottom = np.maximum(box[:2] + TRUNK[1] * box[2:], 0).astype(int)
    mask[top:bottom, left:right] = 255
    points = cv2.goodFeaturesToTrack(before, MAX_POINTS, 0.01, 3, mask=mask)
    if points is None:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, now, points, None)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(now, before, moved, None)
    sure = (found & found_back).ravel().astype(bool) & (np.abs(back - points).max(axis=(1, 2)) < 1)
    return np.median((moved - points)[sure, 0], axis=0) if sure.sum() >= MIN_POINTS else None
