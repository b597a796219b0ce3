"""Result writers. Each turns the frames of one photo or video into one file.

A writer is a context manager with the arguments (path, poses). It yields a function that takes the image of each frame,
uint8 [H, W, 3] RGB, and its `Frame`. At the end of the block, when `poses` has all frames, it writes the file. If the
block fails, it writes nothing.
"""

import contextlib
from collections.abc import Callable

import cv2
import numpy as np

from pose_tf import files, images, viz
from pose_tf.predict.page import make_page, write_page
from pose_tf.predict.results import PNG_MARK, Poses, write_coco, write_csv, write_json, write_npz
from pose_tf.predict.video_files import Video, encoding_video, writing_video

PAGE_PX = 640
"""Longest side of the photo or the video in a page."""
PAGE_QUALITY = 28
"""Quality of the video in a page, see `writing_video`."""
VIEWS_FRAMES = 6  # number of frames of a video in its sheet of views
VIEWS_PX = 256
JPEG_QUALITY = 80


def numbers(write: Callable[[str, Poses], None]):
    """Makes a writer of a file that needs no images."""

    @contextlib.contextmanager
    def writer(path, poses):
        yield lambda image, frame: None
        write(path, poses)

    return writer


@contextlib.contextmanager
def photo_page(path, poses):
    """Writes an interactive HTML page with a small copy of the photo."""
    small = []
    yield lambda image, frame: small.append(_small_jpeg(image))
    write_page(path, poses, *small)


def video_page(video: Video):
    """Makes a writer of an interactive HTML page with a small copy of the video."""

    @contextlib.contextmanager
    def writer(path, poses):
        scale = _page_scale(video.width, video.height)
        size = [max(round(scale * side), 1) for side in (video.width, video.height)]
        with files.replacing(path) as temporary:
            with encoding_video(temporary, *size, quality=PAGE_QUALITY, original=video) as write:
                yield lambda image, frame: write(frame.time, cv2.resize(image, size, interpolation=cv2.INTER_AREA))
            with open(temporary, "rb") as file:
                small = file.read()
            with open(temporary, "w", encoding="utf-8") as file:
                file.write(make_page(poses, video=small))

    return writer


@contextlib.contextmanager
def photo_overlay(path, poses):
    """Writes a photo with skeletons."""
    drawn = []
    yield lambda image, frame: drawn.append(viz.draw_people(image, frame.people, poses.skeleton))
    images.write_png(path, *drawn, PNG_MARK)


@contextlib.contextmanager
def photo_views(path, poses):
    """Writes a photo with skeletons, and beside it the 3D poses from three sides."""
    drawn = []
    yield lambda image, frame: drawn.append(viz.side_by_side(image, frame.people, skeleton=poses.skeleton))
    images.write_png(path, *drawn, PNG_MARK)


def video_overlay(video: Video):
    """Makes a writer of a video with skeletons, with the sound and the time stamps of the original."""

    @contextlib.contextmanager
    def writer(path, poses):
        with writing_video(path, video.width, video.height, original=video) as write:
            yield lambda image, frame: write(frame.time, viz.draw_people(image, frame.people, poses.skeleton))

    return writer


@contextlib.contextmanager
def video_views(path, poses):
    """Writes a few frames of a video like `photo_views`, one below the other. Without people, it writes no file."""
    rows, with_people = Spread(VIEWS_FRAMES), 0

    def add(image, frame):
        nonlocal with_people
        if frame.people:
            rows.offer(with_people, lambda: viz.side_by_side(image, frame.people, VIEWS_PX, 1, poses.skeleton))
            with_people += 1

    yield add
    if rows.kept:
        images.write_png(path, np.vstack(list(rows.kept.values())), PNG_MARK)


NUMBERS = {
    "json": numbers(write_json),
    "csv": numbers(write_csv),
    "npz": numbers(write_npz),
    "coco": numbers(write_coco),
}
"""Writers for the results without images, by output."""
WRITERS = {"overlay": photo_overlay, "views": photo_views, "page": photo_page} | NUMBERS
"""Writers for the results of a photo, by output."""


def video_drawings(video: Video) -> dict:
    """Writers for the results of a video or a camera that have images, by output."""
    return {"overlay": video_overlay(video), "views": video_views, "page": video_page(video)}


@contextlib.contextmanager
def writing(writers: dict, files: dict[str, str], poses: Poses):
    """Writes several results at once: yields a function that adds a frame's image and `Frame` to all of them.

    It writes the files for which there is a writer.
    """
    with contextlib.ExitStack() as stack:
        # The writer that is entered last writes first.
        used = [output for output in reversed(writers) if output in files]
        adds = [stack.enter_context(writers[output](files[output], poses)) for output in used]

        def add(image, frame):
            for one in adds:
                one(image, frame)
            poses.frames.append(frame)

        yield add


def _page_scale(*sides):
    """Factor on the size of a photo or a video in a page."""
    return min(PAGE_PX / max(sides), 1.0)


def _small_jpeg(image):
    small = images.resize(image, _page_scale(*image.shape[:2]))
    return images.encode(small, ".jpg", cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)


class Spread:
    """Keeps a limited number of items, evenly spaced, out of a sequence of unknown length.

    Attributes:
        kept: the items by number.
    """

    def __init__(self, most: int):
        self.kept = {}
        self._most = most
        self._every = 1

    def offer(self, number: int, make: Callable):
        """Calls `make` and keeps its result if this number is one of the spaced ones."""
        if number % self._every == 0:
            self.kept[number] = make()
        if len(self.kept) > self._most:
            self._every *= 2
            self.kept = {kept: item for kept, item in self.kept.items() if kept % self._every == 0}
