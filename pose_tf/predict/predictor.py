"""From photos and videos to everyone's poses, as files and pictures.

An estimator, here, is a function of `image_bytes` (N files' bytes) and `box` (float32 [N, 4] px) that returns `pose2d`
[N, 17, 2] px, `pose3d` [N, 17, 3] mm and `confidence` [N, 17]: the signature `image_and_box` of an exported model, be
it loaded here (`load_model`) or behind a server (`pose_tf.serving.client`).
"""

import collections
import contextlib
import dataclasses
import errno
import hashlib
import itertools
import os
import re
import sys
from collections.abc import Callable

import cv2
import numpy as np
import tensorflow as tf
import tqdm

from pose_tf import files, images, viz
from pose_tf.errors import UserError, reason
from pose_tf.export.crops import MAX_BOX
from pose_tf.predict.graph_check import check_saved_model
from pose_tf.predict.media import (
    MediaError,
    Video,
    find_inputs,
    frame_rates,
    is_video,
    read_photo,
    writing_video,
)
from pose_tf.predict.page import write_page
from pose_tf.predict.people import MIN_SCORE, GivenBoxes, find_people, touches
from pose_tf.predict.results import PNG_MARK, Frame, Person, Poses, is_result, write_csv, write_json, write_npz
from pose_tf.predict.tracking import PeopleTracker, PoseSmoother

Estimator = Callable[..., dict[str, np.ndarray]]
ENDINGS = {
    "overlay": ".png",  # the photo with skeletons; a video has VIDEO_ENDING
    "views": ".views.png",  # 3D views beside it
    "page": ".html",  # for the browser
    "json": ".json",
    "csv": ".csv",
    "npz": ".npz",
}
"""Of the names of what is written."""
VIDEO_ENDING = ".mp4"
OUTPUTS = tuple(ENDINGS)
LONGEST_NAME = 255
"""Bytes that a file system takes."""
REFUSED_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR)
"""Errors of a file's name, after which other files may well be written."""
SEEN_PX = 512
"""Longest side of a person, at least, in what estimators see: twice as much as they make use of."""
REACH = 1.0
"""How far from its middle, in longest sides of a box, the picture is sent along. Crops reach half their margin."""
PAGE_PX, PAGE_PICTURES = 640, 300  # longest side of the pictures in a page, and how many there are at the most
VIEWS_PICTURES = 6  # of a video, in its sheet of views
VIEWS_PX = 256
JPEG_QUALITY = 80


def load_model(path: str) -> Estimator:
    """Loads the newest version of a model directory, or one version.

    Raises:
        UserError: there is none, it cannot be loaded, or its graph could do more than to compute.
    """
    if os.path.isdir(path) and not os.path.exists(os.path.join(path, "saved_model.pb")):
        versions = [name for name in os.listdir(path) if re.fullmatch("[0-9]+", name)]
        if versions:
            path = os.path.join(path, max(versions, key=int))
    if not os.path.exists(os.path.join(path, "saved_model.pb")):
        raise UserError(f"--model={path} is not a SavedModel, nor a directory of numbered ones")
    try:
        check_saved_model(path)
        with files.plain_name(path) as folder:
            model = tf.saved_model.load(folder)
    except UserError:
        raise
    except Exception as error:  # TensorFlow raises nearly anything at damaged bytes
        text = re.sub(r"/proc/self/fd/\d+", lambda _: path, str(error)) or type(error).__name__
        raise UserError(f"--model={path} cannot be loaded: {text}") from None
    signature = getattr(model, "signatures", {}).get("image_and_box")
    if not signature or set(signature.structured_input_signature[1]) != {"image_bytes", "box"}:
        raise UserError(f"--model={path} has no signature image_and_box: tools/export.py did not write it")

    def estimate(image_bytes, box):
        try:
            outputs = signature(image_bytes=tf.constant(image_bytes), box=tf.constant(box))
        except tf.errors.InvalidArgumentError as error:
            raise UserError(reason(error)) from None
        return {name: value.numpy() for name, value in outputs.items()}

    estimate.model = model  # a signature does not keep its model alive
    return estimate


def estimate_people(
    estimate: Estimator, pictures: list[tuple[np.ndarray, np.ndarray]], batch_size: int
) -> list[list[dict[str, np.ndarray]]]:
    """Estimates the poses of all people in some pictures, many at once.

    Args:
        estimate: the estimator.
        pictures: of each, uint8 [H, W, 3] RGB and boxes float32 [N, 4] px, which `check_boxes` has seen.
        batch_size: people for the estimator at once.

    Returns:
        For each picture its N poses: {"pose2d" [17, 2] px of the picture, "pose3d" [17, 3] mm, "confidence" [17]}.
    """
    cuts = [_cut(image, box) for image, boxes in pictures for box in boxes]
    poses = []
    for start in range(0, len(cuts), batch_size):
        data, boxes, corners, shrinks = zip(*cuts[start : start + batch_size], strict=True)
        found = estimate(image_bytes=list(data), box=np.float32(boxes))
        found["pose2d"] = (
            (found["pose2d"] + 0.5) * np.float32(shrinks)[:, None, None] + np.float32(corners)[:, None] - 0.5
        )
        poses += [{name: values[i] for name, values in found.items()} for i in range(len(data))]
    taken = iter(poses)
    return [list(itertools.islice(taken, len(boxes))) for _, boxes in pictures]


def _cut(image, box):
    """A person's surroundings: a PNG's bytes, the box in it, its corner in the image, and how far it was shrunk."""
    longest = max(box[2:])
    middle = box[:2] + box[2:] / 2
    size = image.shape[1::-1]
    left, top = np.clip(np.floor(middle - REACH * longest), 0, size).astype(int)
    right, bottom = np.clip(np.ceil(middle + REACH * longest), 0, size).astype(int)
    part = image[top:bottom, left:right]
    shrink = max(int(min(longest / SEEN_PX, *box[2:], *part.shape[:2])), 1)
    if shrink > 1:
        missing = [-side % shrink for side in part.shape[:2]]  # to be divided into squares of that size
        part = cv2.copyMakeBorder(part, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
        part = cv2.resize(part, [side // shrink for side in part.shape[1::-1]], interpolation=cv2.INTER_AREA)
    data = images.encode(part, ".png", cv2.IMWRITE_PNG_COMPRESSION, 1)
    corner = np.float32([left, top])
    return data, np.concatenate([box[:2] - corner, box[2:]]) / shrink, corner, shrink


def check_boxes(boxes: np.ndarray, width: int, height: int, source: str) -> None:
    """Sees that boxes, float32 [N, 4] px, lie in a picture.

    Raises:
        MediaError: one does not, or is far too large for it.
    """
    for box in boxes:
        text = f"{source}: the box {','.join(f'{value:g}' for value in box)}"
        if not touches(box, width, height):
            raise MediaError(f"{text} is outside of its {width}x{height} pixels")
        if max(box[2:]) > MAX_BOX * max(width, height):
            raise MediaError(f"{text} is too large for its {width}x{height} pixels")


@dataclasses.dataclass(frozen=True)
class Options:
    """What is to be done with photos and videos.

    Attributes:
        output_dir: where results go.
        given: boxes that the user has told; it may have people searched for.
        min_score: of people to be found, see `find_people`.
        outputs: which results, of OUTPUTS.
        batch_size: photos, and people, at once.
        smooth: take the trembling out of a video's poses.
        max_frames: of a video; 0 for all.
    """

    output_dir: str
    given: GivenBoxes = dataclasses.field(default_factory=GivenBoxes)
    _: dataclasses.KW_ONLY
    min_score: float = MIN_SCORE
    outputs: tuple[str, ...] = OUTPUTS
    batch_size: int = 8
    smooth: bool = True
    max_frames: int = 0

    def __post_init__(self):
        unknown = [name for name in self.outputs if name not in OUTPUTS]
        if unknown or not self.outputs:
            raise UserError(f"--outputs: '{''.join(unknown[:1])}' is not known; it can be {', '.join(OUTPUTS)}")


def predict(estimate: Estimator, source: str, options: Options) -> None:
    """Estimates everyone in a photo, a video, a folder of them, or what a camera sees, and writes the results.

    A file that cannot be used is told and left out; the others have their results.

    Args:
        estimate: the estimator.
        source: path, or `-` for the first camera, `-1` for the second, …
        options: what to do.

    Raises:
        UserError: a file could not be used, results cannot be written, or the estimator fails.
        KeyboardInterrupt: after what was seen of a file has been written.
    """
    camera = re.fullmatch(r"-(\d{0,4})", source)
    if camera:
        number = int(camera[1] or 0)
        options.given.check([])
        base = os.path.join(options.output_dir, f"camera{number}")
        _check_results(f"camera {number}", _results(base, True, options.outputs), ())
        _predict_video(estimate, number, base, options)
        return
    paths = find_inputs(source)
    options.given.check(paths)
    bases = _bases(paths, options.output_dir)
    failures = {}
    inputs = {os.path.realpath(path) for path in paths}
    for path, base in bases.items():
        with _left_out(path, failures):
            _check_results(path, _results(base, is_video(path), options.outputs), inputs)
    photos = [path for path in paths if not is_video(path) and path not in failures]
    if photos:
        _predict_photos(estimate, photos, bases, options, failures)
    for path in paths:
        if is_video(path) and path not in failures:
            with _left_out(path, failures):
                _predict_video(estimate, path, bases[path], options)
    if failures and len(paths) == 1:
        raise UserError(*failures.values())
    for failure in failures.values():
        print(f"left out: {failure}", file=sys.stderr)
    if failures:
        raise UserError(f"{len(failures)} of {len(paths)} files could not be used")


@contextlib.contextmanager
def _left_out(path, failures):
    """Notes what is wrong with one file; errors that will be the same for others pass."""
    try:
        yield
    except UserError as error:
        if not isinstance(error, MediaError) and getattr(error.__context__, "errno", None) not in REFUSED_NAME:
            raise
        failures[path] = str(error)


def _bases(paths, output_dir):
    """What results of each file are called but for their endings: as the file without its own, if that can be."""
    for name_of in (lambda path: os.path.splitext(os.path.basename(path))[0], os.path.basename):
        names = {path: _short(name_of(path)) for path in paths}
        results = [result for path, name in names.items() for result in _results(name, is_video(path), OUTPUTS)]
        if len(set(results)) == len(results):
            break
    for path, name in names.items():
        if not os.path.basename(path).startswith(name):
            print(f"{path}: its name is too long for its results; they are called {name}.*", file=sys.stderr)
    return {path: os.path.join(output_dir, name) for path, name in names.items()}


def _short(name):
    """A name with room for the longest ending: as it is, or its beginning and a hash of the whole."""
    data = os.fsencode(name)
    room = LONGEST_NAME - max(map(len, ENDINGS.values()))
    if len(data) <= room:
        return name
    mark = hashlib.sha256(data).hexdigest()[:8]
    beginning = data[: room - len(mark) - 1].decode("utf-8", "ignore")  # no part of a character
    return os.fsdecode(f"{beginning}-{mark}".encode())


def _results(base, video, outputs):
    """The files that the results of a photo or a video are written to."""
    return [base + (VIDEO_ENDING if output == "overlay" and video else ENDINGS[output]) for output in outputs]


def _check_results(source, results, inputs):
    """Raises MediaError if results would replace one of the inputs, or anything that is no result of an earlier run."""
    for result in results:
        if os.path.lexists(result) and (os.path.realpath(result) in inputs or not is_result(result)):
            raise MediaError(f"{source}: results would replace {result}; choose another --output_dir")


def _predict_photos(estimate, paths, bases, options, failures):
    with tqdm.tqdm(total=len(paths), unit=" photos", desc="poses") as bar:
        for start in range(0, len(paths), options.batch_size):
            used = []
            for path in paths[start : start + options.batch_size]:
                with _left_out(path, failures):
                    image = read_photo(path)
                    height, width = image.shape[:2]
                    boxes = options.given(path, width, height)
                    if boxes is None:
                        boxes, _ = find_people(image, options.min_score)
                    check_boxes(boxes, width, height, path)
                    used.append((path, image, boxes))
            poses = estimate_people(estimate, [(image, boxes) for _, image, boxes in used], options.batch_size)
            for (path, image, boxes), own in zip(used, poses, strict=True):
                people = tuple(
                    Person(number, box, **pose) for number, (box, pose) in enumerate(zip(boxes, own, strict=True), 1)
                )
                with _left_out(path, failures):
                    _write_photo(path, image, people, bases[path], options)
            bar.update(len(paths[start : start + options.batch_size]))


def _write_photo(path, image, people, base, options):
    height, width = image.shape[:2]
    found = Poses(_readable(path), width, height, None, (Frame(0.0, people),))
    if "overlay" in options.outputs:
        images.write_png(base + ENDINGS["overlay"], viz.draw_people(image, people), PNG_MARK)
    if "views" in options.outputs:
        images.write_png(base + ENDINGS["views"], viz.side_by_side(image, people), PNG_MARK)
    pictures = {0: _small_jpeg(image)} if "page" in options.outputs else {}
    _write(base, found, pictures, options.outputs)
    tqdm.tqdm.write(f"{path}: {_count(len(people), options.given)}, results {base}.*", file=sys.stdout)


def _readable(path):
    """A path for files of results: UTF-8 whatever the locale, and what is not UTF-8 as numbers."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _candidates(video, tracker, max_frames, total):
    """Time and boxes of who may be a person, by key, in each picture of a file."""
    pictures = tqdm.tqdm(itertools.islice(video, max_frames or None), total=total, unit=" frames", desc="people")
    return [(time, tracker(image, time)) for time, image in pictures]


def _follow(video, tracker, candidates, max_frames):
    """Yields time, image and the people's boxes by their numbers, from 1, for each picture.

    A file is read again after `_candidates`, so that people are there from when they were followed to when they were
    found last, and not from when they were recognized to when they were given up.
    """
    numbers = collections.defaultdict(itertools.count(1).__next__)
    if video.live:
        for time, image in itertools.islice(video, max_frames or None):
            found = tracker(image, time)
            yield time, image, {numbers[key]: box for key, box in found.items() if key in tracker.people}
        return
    for (time, found), (_, image) in zip(candidates, Video(video.source)):
        yield time, image, {numbers[key]: box for key, box in found.items() if time <= tracker.people.get(key, -np.inf)}


def _predict_video(estimate, source, base, options):
    """Picture by picture. Ctrl-C ends a camera as its end does; of a file, what was seen is kept, too."""
    video = Video(source)
    given = options.given(video.source, video.width, video.height)
    check_boxes(given if given is not None else (), video.width, video.height, video.source)
    tracker = PeopleTracker(given, options.min_score)
    smoother = PoseSmoother() if options.smooth else None
    outputs = options.outputs
    frames, thumbnails, views = [], _Spread(PAGE_PICTURES), _Spread(VIEWS_PICTURES)
    inhabited = 0  # pictures with people
    interrupted = False
    total = min(filter(None, (video.length, options.max_frames)), default=None)
    candidates = [] if video.live else _candidates(video, tracker, options.max_frames, total)
    with contextlib.ExitStack() as stack:
        write_picture = None
        if "overlay" in outputs:
            _, fps = frame_rates([time for time, _ in candidates], video.fps)
            write_picture = stack.enter_context(writing_video(base + VIDEO_ENDING, video.width, video.height, fps))
        try:
            pictures = _follow(video, tracker, candidates, options.max_frames)
            for time, image, boxes in tqdm.tqdm(pictures, total=len(candidates) or None, unit=" frames", desc="poses"):
                (poses,) = estimate_people(estimate, [(image, list(boxes.values()))], options.batch_size)
                people = []
                for (number, box), pose in zip(boxes.items(), poses, strict=True):
                    if smoother:
                        pose["pose2d"], pose["pose3d"] = smoother(number, box, pose["pose2d"], pose["pose3d"], time)
                    people.append(Person(number, box, **pose))
                if write_picture:
                    write_picture(time, viz.draw_people(image, people))
                if "views" in outputs and people:
                    views.offer(inhabited, lambda: viz.side_by_side(image, people, VIEWS_PX, 1))  # noqa: B023
                    inhabited += 1
                if "page" in outputs:
                    thumbnails.offer(len(frames), lambda: _small_jpeg(image))  # noqa: B023
                frames.append(Frame(time, tuple(people)))
        except KeyboardInterrupt:
            interrupted = True
        if not frames:
            if interrupted:
                raise KeyboardInterrupt
            raise MediaError(f"{video.source} has no pictures that can be read")
    if views.kept:
        images.write_png(base + ENDINGS["views"], np.vstack(list(views.kept.values())), PNG_MARK)
    fps, _ = frame_rates([frame.time for frame in frames], video.fps)
    if video.live and frames[-1].time:  # what cameras claim, they seldom keep
        fps = (len(frames) - 1) / frames[-1].time
    found = Poses(_readable(video.source), video.width, video.height, fps, tuple(frames))
    _write(base, found, thumbnails.kept, outputs)
    people = {person.number for frame in frames for person in frame.people}
    print(f"{video.source}: {_count(len(people), options.given)} in {len(frames)} frames, results {base}.*")
    if interrupted and not video.live:
        raise KeyboardInterrupt
    # Where a file does not count its pictures, what it claims is its duration in pictures of equal length.
    if total and max(len(frames), frames[-1].time * video.fps) < 0.95 * total:
        print(f"{video.source} ends after {len(frames)} of {total} pictures: it may be damaged", file=sys.stderr)


def _write(base, poses, pictures, outputs):
    if "page" in outputs:
        write_page(base + ENDINGS["page"], poses, pictures)
    for name, write in (("json", write_json), ("csv", write_csv), ("npz", write_npz)):
        if name in outputs:
            write(base + ENDINGS[name], poses)


def _small_jpeg(image):
    small = images.resize(image, min(PAGE_PX / max(image.shape[:2]), 1.0))
    return images.encode(small, ".jpg", cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY)


def _count(people, given):
    return {0: "nobody found" if given.searching else "no box", 1: "1 person"}.get(people, f"{people} people")


class _Spread:
    """At most so many of a row of things, evenly spread, however long it gets: `kept` by their numbers."""

    def __init__(self, most):
        self.kept = {}
        self._most = most
        self._every = 1

    def offer(self, number, make):
        if number % self._every == 0:
            self.kept[number] = make()
        if len(self.kept) > self._most:
            self._every *= 2
            self.kept = {kept: thing for kept, thing in self.kept.items() if kept % self._every == 0}
