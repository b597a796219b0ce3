"""Videos and cameras: reads their frames with true time stamps, and writes videos that browsers play."""

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import av
import av.sidedata.sidedata
import cv2
import numpy as np

from pose_tf import files
from pose_tf.images import MAX_PIXELS
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
BT709 = 1
"""Number of the colors of HD video in H.264. Without it, players guess by the size of the video."""
UNNAMED_COLORS, HD_HEIGHT = 2, 720
SOUND_RATE = 48_000
"""Samples per second of the sound that is written."""
SOUND_PART = 1024
"""Samples of silence at once."""
SOUND_TOLERANCE_S = 0.1
"""Sound that is out of time by more than this is moved to its time."""
PLAYLISTS = ("concat", "dash", "hls", "imf", "sdp")
"""Formats of FFmpeg that name other files."""


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
        channels: number of channels of its sound; 0 without any that can be decoded.
        pixel_aspect: width of a pixel over its height, as a file says. Frames are not corrected for it.

    Raises:
        MediaError: the source cannot be opened, or its frames are too large.
    """

    def __init__(self, source: str | os.PathLike | int):
        self.live = isinstance(source, int)
        self.source = f"camera {source}" if self.live else os.fspath(source)
        self.start, self.channels, self.pixel_aspect = 0.0, 0, Fraction(1)
        if self.live:
            self._capture = cv2.VideoCapture(source)
            if not self._capture.isOpened():
                raise MediaError(f"{self.source} cannot be opened")
            names = cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT
            self.width, self.height = (int(self._capture.get(name)) for name in names)
            fps, self.length = self._capture.get(cv2.CAP_PROP_FPS), None
        else:
            with _opened(self.source) as file:
                stream = _pictures(file, self.source)
                if stream.width * stream.height > MAX_PIXELS:
                    raise MediaError(too_large(self.source))
                frame = next(_frames(file, stream), None)
                if frame is None:
                    raise MediaError(_unreadable(self.source, "it has no frames"))
                self.start = frame.time or 0.0
                self._size = frame.width, frame.height
                self.height, self.width = _upright(frame, *self._size).shape[:2]
                fps = float(stream.average_rate or stream.guessed_rate or 0)
                self.length = _length(file, stream, self.start, fps)
                self.pixel_aspect = stream.sample_aspect_ratio or Fraction(1)
                if (self.width, self.height) != self._size:
                    self.pixel_aspect = 1 / self.pixel_aspect
                sound = _sound_track(file)
                self.channels = sound.channels if sound else 0
                if file.streams.audio and not sound:
                    logger.warning("%s: its sound cannot be decoded", self.source)
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
            for frame in _frames(file, _pictures(file, self.source)):
                yield frame.time, _upright(frame, *self._size)


@contextlib.contextmanager
def _opened(path):
    """A file that FFmpeg has opened."""
    try:
        with files.plain_name(path) as name, av.open(name, metadata_errors="ignore") as file:
            if set(file.format.name.split(",")) & set(PLAYLISTS):
                raise MediaError(_unreadable(path, "it names other files"))
            yield file
    except av.error.FFmpegError:
        raise MediaError(_unreadable(path)) from None
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror}") from None


def _unreadable(path, reason=""):
    return f"{path} is not a video that can be read" + (f": {reason}" if reason else "")


def _pictures(file, path):
    """The stream of a file's frames."""
    stream = file.streams.best("video")
    if stream is None:
        raise MediaError(_unreadable(path, "it has no frames"))
    if stream.codec_context is None:
        raise MediaError(_unreadable(path, "its format has no decoder; convert it to H.264"))
    stream.thread_type = "AUTO"
    return stream


def _sound_track(file):
    """The best stream of sound that can be decoded, or None."""
    decodable = [stream for stream in file.streams.audio if stream.codec_context]
    best = file.streams.best("audio")
    return best if best in decodable else next(iter(decodable), None)


def _frames(file, stream):
    """The frames of a stream that can be decoded, up to its end or to where the file cannot be read on."""
    # PyAV fails with an IndexError at a stream that begins in the middle of the file.
    with contextlib.suppress(av.error.InvalidDataError, IndexError):
        for packet in file.demux(stream):
            with contextlib.suppress(av.error.InvalidDataError):  # a damaged frame; the next may be good
                yield from packet.decode()


def _length(file, stream, start, fps):
    """Number of frames that a file claims; None if it claims none."""
    by_time = round(file.duration / av.time_base * fps) if file.duration else 0
    if not stream.frames:  # such files measure their duration from time 0
        return max(by_time - round(start * fps), 0) or None
    # MP4 files also count frames that their edit list skips. For others, FFmpeg may measure how much is there.
    return min(stream.frames, by_time) if by_time and "mp4" in file.format.name else stream.frames


def _upright(frame, width, height):
    """A frame as uint8 RGB, turned and mirrored as the file says. `width` and `height` are those in the file."""
    # Like players, take HD video that does not name its colors for BT.709.
    colors = "ITU709" if frame.colorspace == UNNAMED_COLORS and frame.height >= HD_HEIGHT else None
    image = frame.reformat(width, height, "rgb24", src_colorspace=colors).to_ndarray()
    matrix = frame.side_data.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
    if matrix is None:
        return image
    # A pixel at x, y is shown at ax + cy, bx + dy.
    a, b, _, c, d = np.frombuffer(matrix, np.int32)[:5]
    if abs(b) > abs(a):
        image, a, d = image.swapaxes(0, 1), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


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
    path: str, width: int, height: int, *, quality: int = 20, original: Video | None = None
) -> Iterator[Callable[[float, np.ndarray], None]]:
    """Yields a function that adds a frame to an MP4 file, H.264 with sound, that browsers play while it loads.

    The function takes the frame's time in seconds from the first, which must rise, and uint8 [H, W, 3] RGB. H.264 codes
    pairs of rows and columns: the last of an odd number is repeated. The file appears when it is complete.

    Args:
        path: file to write.
        width: width of the frames in pixels.
        height: height of the frames in pixels.
        quality: constant rate factor of x264: 18 is hardly distinguishable from the frames, 28 small.
        original: video whose sound and shape of pixels the file gets.

    Raises:
        UserError: the file cannot be written.
    """
    with files.replacing(path) as temporary:
        with encoding_video(temporary, width, height, quality=quality, original=original) as write:
            yield write
        with open(temporary, "ab") as file:
            file.write(VIDEO_MARK)


@contextlib.contextmanager
def encoding_video(path: str, width: int, height: int, *, quality: int, original: Video | None):
    """Like `writing_video`, but writes the file in place, without a mark.

    Raises:
        OSError: the file cannot be written.
    """
    open(path, "wb").close()  # unlike FFmpeg, the system gives a reason if this fails
    folder, name = os.path.split(path)
    try:
        with (
            files.plain_name(folder) as folder,
            av.open(os.path.join(folder, name), "w", format="mp4", options={"movflags": "+faststart"}) as file,
        ):
            writer = _Writer(file, width, height, quality, original)
            yield writer
            writer.complete()
    except av.error.FFmpegError as error:
        raise OSError(error.errno, error.strerror) from None


class _Writer:
    """Writes the frames of `writing_video` to a file that FFmpeg has opened."""

    def __init__(self, file, width, height, quality, original):
        self._file = file
        self._odd = height % 2, width % 2
        self._pictures = file.add_stream("libx264", options={"preset": "veryfast", "crf": str(quality), "bf": "0"})
        self._pictures.width, self._pictures.height = width + width % 2, height + height % 2
        self._pictures.pix_fmt, self._pictures.gop_size = "yuv420p", KEYFRAME_EVERY
        self._pictures.time_base = self._pictures.codec_context.time_base = CLOCK
        codec = self._pictures.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        self._last, self._ticks, self._step = None, 0, round(1 / DEFAULT_FPS / CLOCK)
        self._sound, self._sound_parts, self._sound_end = None, iter(()), 0
        if original:
            codec.sample_aspect_ratio = original.pixel_aspect
        if original and original.channels:
            layout = "mono" if original.channels == 1 else "stereo"
            self._sound = file.add_stream("aac", rate=SOUND_RATE, layout=layout)
            self._sound_parts = _sound(original, layout)

    def __call__(self, seconds, image):
        ticks = round(seconds / CLOCK)
        if self._last is not None:
            self._step = max(ticks - self._ticks, 1)
            self._show()
        rows, columns = self._odd
        self._last = cv2.copyMakeBorder(image, 0, rows, 0, columns, cv2.BORDER_REPLICATE)

    def _show(self):
        """Writes the last frame, now that its duration is known, and the sound until its end."""
        # First remember that it is written: Ctrl-C may come at any line, and `complete` must not write it twice.
        image, start, self._last, self._ticks = self._last, self._ticks, None, self._ticks + self._step
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
        frame.time_base, frame.pts = CLOCK, start
        self._file.mux(self._pictures.encode(frame))
        while self._sound_end < self._ticks * CLOCK * SOUND_RATE and (part := next(self._sound_parts, None)):
            part.pts, part.time_base = self._sound_end, Fraction(1, SOUND_RATE)
            self._sound_end += part.samples
            self._file.mux(self._sound.encode(part))

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
    """The sound of a video in parts that follow each other from the time of its first frame on.

    Silence fills gaps, and what overlaps is left out, so that the sound stays in time with the frames. As for frames,
    time stamps that go back or jump too far are damaged: the sound goes on from there.
    """
    resampler, position = av.AudioResampler("fltp", layout, SOUND_RATE), 0
    before, moved = 0.0, 0.0  # last time stamp, and how far the sound was moved, in seconds
    try:
        with _opened(video.source) as file:
            for frame in _frames(file, _sound_track(file)):
                late = 0
                if frame.time is not None:
                    stamp = frame.time - video.start
                    if (position and stamp < before) or stamp - before > LONGEST_STEP_S:
                        moved = position / SOUND_RATE - stamp
                    before, late = stamp, round((stamp + moved) * SOUND_RATE) - position
                if abs(late) <= SOUND_TOLERANCE_S * SOUND_RATE and position:
                    late = 0
                for start in range(0, late, SOUND_PART):
                    yield _sound_part(np.zeros((1 + (layout == "stereo"), min(SOUND_PART, late - start))), layout)
                position += max(late, 0)
                for part in resampler.resample(frame):
                    samples = part.to_ndarray()[:, max(-late, 0) :]
                    late = min(late + part.samples, 0)
                    if samples.size:
                        yield _sound_part(samples, layout)
                    position += samples.shape[1]
    except (MediaError, ValueError) as error:
        logger.warning("%s: the rest of its sound cannot be read: %s", video.source, error)


def _sound_part(samples, layout):
    """Samples [channels, N] as a frame of sound; what is not a number becomes silence."""
    part = av.AudioFrame.from_ndarray(np.ascontiguousarray(np.nan_to_num(samples), np.float32), "fltp", layout)
    part.sample_rate = SOUND_RATE
    return part
