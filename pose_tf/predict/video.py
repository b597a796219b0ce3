"""Tracks the people in a video and estimates their poses."""

import collections
import dataclasses
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from pose_tf.predict.camera import Camera
from pose_tf.predict.media import MediaError
from pose_tf.predict.people import fitted, is_around
from pose_tf.predict.results import Frame
from pose_tf.predict.tracking import PeopleTracker
from pose_tf.predict.video_files import Video

logger = logging.getLogger(__name__)


def _no_bar(frames: Iterable, total: int | None, desc: str) -> Iterable:
    del total, desc
    return frames


class PeopleInVideo:
    """The frames of a video, each with the boxes of the people who are tracked through it.

    A camera is read once. A file is read here and again during iteration. This way, each person is reported from the
    first tracked frame to the last detection, not from confirmation to time-out.

    Iterating yields (seconds, image uint8 [H, W, 3] RGB, boxes float32 [4] px by person number, from 1).

    Args:
        video: the video to read.
        boxes: float32 [N, 4]: boxes of the people in the first frame; None to search for people.
        min_score: see `find_people`.
        max_frames: most frames to read; 0 for all.
        progress: wraps an iterable in a progress bar, as `tqdm.tqdm` does with its `total` and `desc`.

    Attributes:
        video: the video.
        times: time stamps of the frames in seconds; empty for a camera.
        expected: number of frames that the file claims to have, up to `max_frames`; None if it claims none.
    """

    def __init__(
        self,
        video: Video,
        boxes: np.ndarray | None = None,
        min_score: float | None = None,
        max_frames: int = 0,
        progress: Callable[..., Iterable] = _no_bar,
    ):
        self.video = video
        self.expected = min(filter(None, (video.length, max_frames)), default=None)
        self._most = max_frames or None
        self._tracker = PeopleTracker(boxes, min_score)
        self._progress = progress
        self._found = []
        if not video.live:
            frames = progress(itertools.islice(video, self._most), total=self.expected, desc="people")
            self._found = [(time, self._tracker(image, time)) for time, image in frames]
        self.times = [time for time, _ in self._found]

    def __iter__(self) -> Iterator[tuple[float, np.ndarray, dict[int, np.ndarray]]]:
        frames = self._progress(self._followed(), total=len(self._found) or None, desc="poses")
        numbers = collections.defaultdict(itertools.count(1).__next__)
        for time, image, people in frames:
            yield time, image, {numbers[key]: box for key, box in people}

    def _followed(self):
        """Time, image, and the key and the box of each person, for each frame."""
        known = self._tracker.people
        if self.video.live:
            for time, image in itertools.islice(self.video, self._most):
                found = self._tracker(image, time)
                yield time, image, [(key, box) for key, box in found.items() if key in known]
            return
        for (time, found), (_, image) in zip(self._found, self.video):
            yield time, image, [(key, box) for key, box in found.items() if time <= known.get(key, -np.inf)]


def estimate_frames(
    model, followed: PeopleInVideo, camera: Camera, height: float | None, batch_size: int
) -> Iterator[tuple[Frame, np.ndarray]]:
    """Estimates the poses of all people in each frame.

    Args:
        model: a `PoseModel`.
        followed: the frames and their people.
        camera: the camera of the video.
        height: height of the people in meters, if it is known.
        batch_size: number of people per call of the model.

    Returns:
        An iterator over frames and their images, uint8 [H, W, 3] RGB.

    Raises:
        MediaError: the video has no frames; raised at the end of the iteration.
        UserError: the model fails.
    """
    video, count, before = followed.video, 0, {}
    for time, image, boxes in followed:
        boxes = {key: _nearer(before.get(key), box) for key, box in boxes.items()}
        (people,) = model.estimate([(image, list(boxes.values()))], [camera], height, batch_size)
        people = [dataclasses.replace(person, number=key) for key, person in zip(boxes, people, strict=True)]
        before = {one.number: fitted(one.box, one.pose2d, one.confidence, model.skeleton) for one in people}
        count += 1
        yield Frame(time, tuple(people)), image
    if not count:
        raise MediaError(f"{video.source} has no frames that can be read")
    # A file that does not count its frames claims its duration in frames of equal length.
    if followed.expected and max(count, time * video.fps) < 0.95 * followed.expected:
        logger.warning("%s ends after %d of %d frames: it may be damaged", video.source, count, followed.expected)


def _nearer(joints, tracked):
    """The box of a person's joints in the frame before, if the tracked box agrees; otherwise the tracked box."""
    return joints if joints is not None and is_around(tracked, joints) else tracked
