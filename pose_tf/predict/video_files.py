"""Videos and cameras: reads their frames with true time stamps, and writes videos that browsers play."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import av
import cv2
import numpy as np

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.export.crops import MAX_PIXELS
from pose_tf.predict.media import MediaError, too_large
from pose_tf.predict.results import VIDEO_MARK

logger = logging.getLogger(__name__)
LONGEST_STEP_S = 3600.0
"""Longest time from one frame of a video to the next. A larger step means damaged time stamps."""
DEFAULT_FPS = 30.0
"""Frame rate of a video that claims none."""
CLOCK = Fraction(1, 90_000)
"""Unit of time stamps in the videos that are written, in seconds."""
KEYFRAME_EVERY = 30
"""Most frames from one that can be decoded without others to the next, so that players seek quickly."""
SOUND_RATE = 48_000
"""Samples per second of the sound that is written."""
SOUND_PART = 1024
"""Samples that AAC codes together."""


class Video:
    """The frames of a video or a camera.

    Iterating yields (seconds since the first frame, uint8 [H, W, 3] RGB), turned upright as the file says. A file can
    be iterated any number of times.

    Args:
        source: path of a file, or the number of a camera.

    Attributes:
        source: path of the file, or `camera N`.
        live: whether the source is a camera.
        width, height: size of the frames in pixels.
        fps: frames per second, as the file or the camera claims.
        length: number of frames that the file claims to have; None if it claims none.
        start: time stamp of the first frame of a file, in seconds.
        channels: number of channels of its sound; 0 without any.

    Raises:
        MediaError: the source cannot be opened, or its frames are too large.
    """

    def __init__(self, source: str | os.PathLike | int):
        self.live = isinstance(source, int)
        self.source = f"camera {source}" if self.live else os.fspath(source)
        self.start, self.channels = 0.0, 0
        if self.live:
            self._capture = cv2.VideoCapture(source)
            if not self._capture.isOpened():
                raise MediaError(f"{self.source} cannot be opened")
            names = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT
            self.width, self.height = (int(self._capture.get(name)) for name in names)
            fps, self.length = self._capture.get(cv2.CAP_PROP_FPS), None
        else:
            with _opened(self.source) as file:
                stream = _best_stream(file, self.source)
                if stream.width * stream.height > MAX_PIXELS:
                    raise MediaError(too_large(self.source))
                frame = next(_frames(file, stream), None)
                if frame is None:
                    raise MediaError(f"{self.source} is not a video that can be read: it has no frame")
                self.start = frame.time or 0.0
                sound = file.streams.best("audio")
                self.channels = sound.channels if sound else 0
                self._size = frame.width, frame.height
                self.height, self.width = _upright(frame, *self._size).shape[:2]
                fps = float(stream.average_rate or stream.guessed_rate or 0)
                self.length = stream.frames or _length(file, stream, fps) or None
        self.fps = fps if 0 < fps <= 1000 else DEFAULT_FPS
        if self.width * self.height > MAX_PIXELS:
            raise MediaError(too_large(self.source))

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        first, seconds = None, 0.0
        for stamp, image in self._seen() if self.live else self._stored():
            if first is None:
                first = stamp or 0.0
            elif stamp is not None and 0 < stamp - first - seconds <= LONGEST_STEP_S:
                seconds = stamp - first
            else:  # the stamp is missing or damaged
                seconds += 1 / self.fps
            yield seconds, image

    def _seen(self):
        while (read := self._capture.read())[0]:
            yield time.monotonic(), cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)

    def _stored(self):
        with _opened(self.source) as file:
            for frame in _frames(file, _best_stream(file, self.source)):
                yield frame.time, _upright(frame, *self._size)


@contextlib.contextmanager
def _opened(path):
    """A file that FFmpeg has opened."""
    try:
        with files.plain_name(path) as name, av.open(name, metadata_errors="ignore") as file:
            yield file
    except av.error.FFmpegError:
        raise MediaError(f"{path} is not a video that can be read") from None
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror}") from None


def _best_stream(file, path):
    stream = file.streams.best("video")
    if stream is None:
        raise MediaError(f"{path} is not a video that can be read: it has no frames")
    stream.thread_type = "AUTO"
    return stream


def _frames(file, stream):
    """The frames of a stream that can be decoded, up to its end or to where the file cannot be read on."""
    with contextlib.suppress(av.error.InvalidDataError):
        for packet in file.demux(stream):
            with contextlib.suppress(av.error.InvalidDataError):  # a damaged frame; the next may be good
                yield from packet.decode()


def _length(file, stream, fps):
    """Number of frames by the duration that a file claims."""
    if stream.duration:
        return round(stream.duration * stream.time_base * Fraction(fps))
    return round(file.duration / av.time_base * fps) if file.duration else 0


def _upright(frame, width, height):
    """A frame as uint8 RGB; `width` and `height` are those before it is turned."""
    image = frame.to_ndarray(format="rgb24", width=width, height=height)
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def average_fps(times: Sequence[float], claimed: float) -> float:
    """Average frame rate of a video.

    Args:
        times: time stamps of its frames, in seconds from the first.
        claimed: frames per second as the file claims; returned if the time stamps agree with it.
    """
    if len(times) < 2 or np.abs(np.arange(len(times)) / claimed - times).max() < 1 / claimed:
        return claimed
    return 1 / np.diff(times).mean()


@contextlib.contextmanager
def writing_video(
    path: str, width: int, height: int, *, quality: int = 20, sound_of: Video | None = None
) -> Iterator[Callable[[float, np.ndarray], None]]:
    """Yields a function that adds a frame to an MP4 file, H.264 with sound, that browsers play while it loads.

    The function takes the frame's time in seconds from the first, which must rise, and uint8 [H, W, 3] RGB. H.264 codes
    pairs of rows and columns: the last of an odd number is repeated. The file appears when it is complete.

    Args:
        path: file to write.
        width: width of the frames in pixels.
        height: height of the frames in pixels.
        quality: constant rate factor of x264: 18 is hardly distinguishable from the frames, 28 small.
        sound_of: video whose sound the file gets, if it has one that can be read.

    Raises:
        UserError: the file cannot be written.
    """
    with files.replacing(path) as temporary:
        open(temporary, "wb").close()  # unlike FFmpeg, the system gives a reason if this fails
        folder, name = os.path.split(temporary)
        try:
            with (
                files.plain_name(folder) as folder,
                av.open(os.path.join(folder, name), "w", format="mp4", options={"movflags": "+faststart"}) as file,
            ):
                writer = _Writer(file, width, height, quality, sound_of)
                yield writer
                writer.complete()
        except av.error.FFmpegError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from None
        with open(temporary, "ab") as file:
            file.write(VIDEO_MARK)


class _Writer:
    """Writes the frames of `writing_video` to a file that FFmpeg has opened."""

    def __init__(self, file, width, height, quality, sound_of):
        self._file = file
        self._odd = height % 2, width % 2
        self._pictures = file.add_stream("libx264", options={"preset": "veryfast", "crf": str(quality), "bf": "0"})
        self._pictures.width, self._pictures.height = width + width % 2, height + height % 2
        self._pictures.pix_fmt, self._pictures.gop_size = "yuv420p", KEYFRAME_EVERY
        self._pictures.time_base = self._pictures.codec_context.time_base = CLOCK
        self._last, self._ticks, self._step = None, 0, round(1 / DEFAULT_FPS / CLOCK)
        self._sound, self._sound_parts, self._sound_end = None, iter(()), 0
        if sound_of and sound_of.channels:
            layout = "mono" if sound_of.channels == 1 else "stereo"
            self._sound = file.add_stream("aac", rate=SOUND_RATE, layout=layout)
            self._sound_parts = _sound(sound_of, layout)

    def __call__(self, seconds, image):
        ticks = round(seconds / CLOCK)
        if self._last is not None:
            self._step = max(ticks - self._ticks, 1)
            self._show()
        rows, columns = self._odd
        self._last = cv2.copyMakeBorder(image, 0, rows, 0, columns, cv2.BORDER_REPLICATE)

    def _show(self):
        """Writes the last frame, now that its duration is known, and the sound until its end."""
        frame = av.VideoFrame.from_ndarray(self._last, format="rgb24")
        frame.time_base, frame.pts = CLOCK, self._ticks
        self._file.mux(self._pictures.encode(frame))
        self._ticks += self._step
        while self._sound_end < self._ticks * CLOCK and (part := next(self._sound_parts, None)):
            self._file.mux(self._sound.encode(part))
            self._sound_end = (part.pts + part.samples) * part.time_base

    def complete(self):
        """Writes the last frame, for as long as the one before it."""
        if self._last is not None:
            self._show()
        pictures = self._pictures.encode(None)
        for packet in pictures[-1:]:
            packet.duration = self._step  # x264 keeps none, and a file has to know the last one's
        self._file.mux(pictures)
        if self._sound:
            self._file.mux(self._sound.encode(None))


def _sound(video, layout):
    """The sound of a video in parts as AAC codes them, at time 0 with its first frame.

    Silence fills what is missing, so that the rest stays in time with the frames.
    """
    options = {"async": "1", "first_pts": "0"}
    resampler = av.AudioResampler("fltp", layout, SOUND_RATE, SOUND_PART, options)
    try:
        with _opened(video.source) as file:
            for frame in _frames(file, file.streams.best("audio")):
                if frame.pts is not None:
                    frame.pts -= round(video.start / frame.time_base)
                yield from resampler.resample(frame)
            yield from resampler.resample(None)
    except (MediaError, ValueError) as error:
        logger.warning("%s: the rest of its sound cannot be read: %s", video.source, error)
