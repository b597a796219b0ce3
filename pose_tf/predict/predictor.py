"""What the command does: every photo and video of a folder, or a camera, becomes files of results."""

import contextlib
import dataclasses
import errno
import functools
import os
import re
import sys

import tqdm

from pose_tf.errors import UserError
from pose_tf.predict.media import MediaError, Video, find_inputs, frame_rates, is_video, read_photo
from pose_tf.predict.model import PEOPLE_AT_ONCE, PoseModel
from pose_tf.predict.outputs import OUTPUTS, check_results, name_results, readable, result_files
from pose_tf.predict.people import MIN_SCORE, GivenBoxes, check_boxes, find_people
from pose_tf.predict.results import Frame, Poses
from pose_tf.predict.video import PeopleInVideo, estimate_frames
from pose_tf.predict.writers import WRITERS, video_writers, writing

REFUSED_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR)
"""Errors of a file's name, after which other files may well be written."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What to do with photos and videos.

    Attributes:
        output_dir: where results go.
        given: boxes that the user has given; without any, people are searched for.
        min_score: of the people to find, see `find_people`.
        outputs: which results, of OUTPUTS.
        batch_size: photos, and people, to compute at once.
        smooth: smooth the poses of a video over time.
        max_frames: of a video; 0 for all.
    """

    output_dir: str
    given: GivenBoxes = dataclasses.field(default_factory=GivenBoxes)
    _: dataclasses.KW_ONLY
    min_score: float = MIN_SCORE
    outputs: tuple[str, ...] = OUTPUTS
    batch_size: int = PEOPLE_AT_ONCE
    smooth: bool = True
    max_frames: int = 0

    def __post_init__(self):
        unknown = [name for name in self.outputs if name not in OUTPUTS]
        if unknown or not self.outputs:
            raise UserError(f"--outputs: '{''.join(unknown[:1])}' is not known; it can be {', '.join(OUTPUTS)}")


def predict(model: PoseModel, source: str, options: Options) -> None:
    """Estimates everyone in a photo, a video, a folder of them, or what a camera sees, and writes the results.

    A file that cannot be used is reported and left out; the others have their results.

    Args:
        model: what computes.
        source: path, or `-` for the first camera, `-1` for the second, …
        options: what to do.

    Raises:
        UserError: a file could not be used, results cannot be written, or the model fails.
        KeyboardInterrupt: after what was seen of a file has been written.
    """
    camera = re.fullmatch(r"-(\d{0,4})", source)
    if camera:
        number = int(camera[1] or 0)
        options.given.check([])
        base = os.path.join(options.output_dir, f"camera{number}")
        check_results(f"camera {number}", result_files(base, True, options.outputs), set())
        _predict_video(model, number, base, options)
        return
    paths = find_inputs(source)
    options.given.check(paths)
    bases = name_results(paths, options.output_dir)
    failures = {}
    inputs = {os.path.realpath(path) for path in paths}
    for path, base in bases.items():
        with _left_out(path, failures):
            check_results(path, result_files(base, is_video(path), options.outputs), inputs)
    photos = [path for path in paths if not is_video(path) and path not in failures]
    if photos:
        _predict_photos(model, photos, bases, options, failures)
    for path in paths:
        if is_video(path) and path not in failures:
            with _left_out(path, failures):
                _predict_video(model, path, bases[path], options)
    if failures and len(paths) == 1:
        (failure,) = failures.values()
        raise UserError(failure)
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


def _predict_photos(model, paths, bases, options, failures):
    with tqdm.tqdm(total=len(paths), unit=" photos", desc="poses") as bar:
        for start in range(0, len(paths), options.batch_size):
            batch = {}
            for path in paths[start : start + options.batch_size]:
                with _left_out(path, failures):
                    batch[path] = _read(path, options)
            found = model.estimate(list(batch.values()), options.batch_size)
            for (path, (image, _)), people in zip(batch.items(), found, strict=True):
                poses = Poses(readable(path), *image.shape[1::-1], None)
                files = result_files(bases[path], False, options.outputs)
                with _left_out(path, failures):
                    with writing(WRITERS, files, poses) as add:
                        add(image, Frame(0.0, tuple(people)))
                    _report(path, len(people), "", bases[path], options)
            bar.update(min(options.batch_size, len(paths) - start))


def _read(path, options):
    """A photo, and the boxes of the people in it."""
    image = read_photo(path)
    height, width = image.shape[:2]
    boxes = options.given(path, width, height)
    if boxes is None:
        boxes, _ = find_people(image, options.min_score)
    return image, check_boxes(boxes, width, height, path)


def _predict_video(model, source, base, options):
    """Ctrl-C ends a camera as its end does; of a file, the results of what was seen are kept, too."""
    video = Video(source)
    boxes = options.given(video.source, video.width, video.height)
    if boxes is not None:
        boxes = check_boxes(boxes, video.width, video.height, video.source)
    bar = functools.partial(tqdm.tqdm, unit=" frames")
    followed = PeopleInVideo(video, boxes, options.min_score, options.max_frames, bar)
    poses = Poses(readable(video.source), video.width, video.height, video.fps)
    _, constant_fps = frame_rates(followed.times, video.fps)
    interrupted = False
    with writing(video_writers(constant_fps), result_files(base, True, options.outputs), poses) as add:
        try:
            for frame, image in estimate_frames(model, followed, options.smooth, options.batch_size):
                add(image, frame)
        except KeyboardInterrupt:
            if not poses.frames:
                raise
            interrupted = True
        poses.fps = _average_fps(poses.frames, video)
    people = {person.number for frame in poses.frames for person in frame.people}
    _report(video.source, len(people), f" in {len(poses.frames)} frames", base, options)
    if interrupted and not video.live:
        raise KeyboardInterrupt


def _average_fps(frames, video):
    if video.live and frames[-1].time:  # cameras seldom keep the rate that they claim
        return (len(frames) - 1) / frames[-1].time
    return frame_rates([frame.time for frame in frames], video.fps)[0]


def _report(source, people, where, base, options):
    nobody = "nobody found" if options.given.searching else "no box"
    count = {0: nobody, 1: "1 person"}.get(people, f"{people} people")
    tqdm.tqdm.write(f"{source}: {count}{where}, results {base}.*", file=sys.stdout)
