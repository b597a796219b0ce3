"""Estimates poses in photos, videos and camera streams, and writes result files. The commands run this."""

import contextlib
import dataclasses
import errno
import functools
import os
import re
import sys

import tqdm

from pose_tf import coco_results
from pose_tf.errors import UserError, check_choice
from pose_tf.predict.camera import CameraOptions, check_height, read_focal_35mm
from pose_tf.predict.finders import find_people
from pose_tf.predict.media import MediaError, find_inputs, is_video, read_photo
from pose_tf.predict.model import PEOPLE_AT_ONCE, PoseModel
from pose_tf.predict.outputs import DEFAULT_OUTPUTS, OUTPUTS, check_results, name_results, readable, result_files
from pose_tf.predict.people import GivenBoxes, check_boxes
from pose_tf.predict.results import Frame, Poses
from pose_tf.predict.smoothing import PoseSmoother, smooth_without_delay
from pose_tf.predict.video import PeopleInVideo, estimate_frames
from pose_tf.predict.video_files import Video, average_fps
from pose_tf.predict.writers import NUMBERS, WRITERS, video_drawings, writing

REFUSED_NAME = (errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR)
"""Errors caused by the name of one file. Others may still be written."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of `predict`.

    Attributes:
        output_dir: directory of the results.
        given: boxes from the user; without any, images are searched for people.
        min_score: minimum score of a person, see `find_people`.
        outputs: results to write, from OUTPUTS.
        batch_size: number of photos, and of people, per batch.
        smooth: smooth the poses of a video over time.
        camera: what is known of the camera.
        max_frames: most frames of a video to process; 0 for all.
    """

    output_dir: str
    given: GivenBoxes = dataclasses.field(default_factory=GivenBoxes)
    _: dataclasses.KW_ONLY
    min_score: float | None = None
    outputs: tuple[str, ...] = DEFAULT_OUTPUTS
    batch_size: int = PEOPLE_AT_ONCE
    smooth: bool = True
    max_frames: int = 0
    camera: CameraOptions = dataclasses.field(default_factory=CameraOptions)

    def __post_init__(self):
        for name in self.outputs or ("",):
            check_choice("outputs", name, OUTPUTS)


def predict(model: PoseModel, source: str, options: Options) -> None:
    """Estimates the poses of all people in a photo, a video, a folder of both, or a camera stream. Writes the results.

    Skips files that cannot be used, and reports them at the end.

    Args:
        model: estimates the poses.
        source: path, or `-` for the first camera, `-1` for the second, …
        options: see `Options`.

    Raises:
        InputError: the source does not exist, or holds no photos or videos.
        UserError: the model's skeleton lacks joints for an output or for the height, a file could not be used, results
            cannot be written, or the model fails.
        KeyboardInterrupt: the user stopped a video; the results up to then have been written.
    """
    if "coco" in options.outputs:
        coco_results.shared_joints(model.skeleton)
    if options.camera.height is not None:
        check_height(model.skeleton)
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
        with _skipped(path, failures):
            check_results(path, result_files(base, is_video(path), options.outputs), inputs)
    photos = [path for path in paths if not is_video(path) and path not in failures]
    if photos:
        _predict_photos(model, photos, bases, options, failures)
    for path in paths:
        if is_video(path) and path not in failures:
            with _skipped(path, failures):
                _predict_video(model, path, bases[path], options)
    if failures and len(paths) == 1:
        (failure,) = failures.values()
        raise UserError(failure)
    for failure in failures.values():
        print(f"skipped: {failure}", file=sys.stderr)
    if failures:
        raise UserError(f"{len(failures)} of {len(paths)} files could not be used")


@contextlib.contextmanager
def _skipped(path, failures):
    """Records why one file failed. Errors that other files would also meet propagate."""
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
                with _skipped(path, failures):
                    batch[path] = _read(path, options)
            cameras = [
                options.camera.camera(*image.shape[1::-1], read_focal_35mm(path)) for path, (image, _) in batch.items()
            ]
            found = model.estimate(
                list(batch.values()), cameras, options.camera.height, options.batch_size, fit=options.given.searching
            )
            for (path, (image, _)), people, camera in zip(batch.items(), found, cameras, strict=True):
                poses = Poses(readable(path), *image.shape[1::-1], None, camera, skeleton=model.skeleton)
                files = result_files(bases[path], False, options.outputs)
                with _skipped(path, failures):
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
    """Ctrl-C ends a camera stream normally. It also ends the work on a video file: the results of the frames up to then
    are written; during the drawings, those without images."""
    video = Video(source)
    boxes = options.given(video.source, video.width, video.height)
    if boxes is not None:
        boxes = check_boxes(boxes, video.width, video.height, video.source)
    bar = functools.partial(tqdm.tqdm, unit=" frames")
    followed = PeopleInVideo(video, boxes, options.min_score, options.max_frames, bar)
    camera = options.camera.camera(video.width, video.height)
    size = video.width, video.height
    poses = Poses(readable(video.source), *size, video.fps, camera, skeleton=model.skeleton)
    files, drawings = result_files(base, True, options.outputs), video_drawings(video)
    estimated = estimate_frames(model, followed, camera, options.camera.height, options.batch_size)
    interrupted = False
    if video.live:
        smooth = PoseSmoother() if options.smooth else lambda frame: frame
        with writing(drawings | NUMBERS, files, poses) as add:
            with _until_ctrl_c(poses.frames):
                for frame, image in estimated:
                    add(image, smooth(frame))
            poses.fps = _fps(poses.frames, video)
    else:
        drawn = dataclasses.replace(poses, frames=[])
        with writing(drawings, files, drawn) as draw:
            frames = []
            with _until_ctrl_c(frames) as stopped:
                frames.extend(frame for frame, _ in estimated)
            frames = smooth_without_delay(frames) if options.smooth else frames
            poses.fps = drawn.fps = _fps(frames, video)
            with writing(NUMBERS, files, poses) as add:  # before the drawings, which may fail or be stopped
                for frame in frames:
                    add(None, frame)
            for frame, (_, image) in bar(zip(frames, video), total=len(frames), desc="drawings"):
                draw(image, frame)
            interrupted = bool(stopped)
    people = {person.number for frame in poses.frames for person in frame.people}
    _report(video.source, len(people), f" in {len(poses.frames)} frames", base, options)
    if interrupted:
        raise KeyboardInterrupt


@contextlib.contextmanager
def _until_ctrl_c(frames):
    """Ends the block at Ctrl-C if there are frames by then. Yields a list that is no longer empty after that."""
    stopped = []
    try:
        yield stopped
    except KeyboardInterrupt:
        if not frames:
            raise
        stopped.append(True)


def _fps(frames, video):
    if video.live and frames[-1].time:  # cameras rarely keep the rate that they claim
        return (len(frames) - 1) / frames[-1].time
    return average_fps([frame.time for frame in frames], video.fps)


def _report(source, people, where, base, options):
    nobody = "nobody found" if options.given.searching else "no box"
    count = {0: nobody, 1: "1 person"}.get(people, f"{people} people")
    tqdm.tqdm.write(f"{source}: {count}{where}, results {base}.*", file=sys.stdout)
