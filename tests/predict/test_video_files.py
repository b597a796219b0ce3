"""Tests of reading and writing videos: frames, times, sound, names and damage."""

import itertools
import os
import resource
import struct
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from pose_tf.errors import UserError
from pose_tf.predict import video_files
from pose_tf.predict.media import MediaError
from pose_tf.predict.video_files import Video, average_fps, writing_video
from tests.conftest import ROOT
from tests.predict.matroska import BURST, write_matroska

LIKE = (64, 48)  # width, height


def write_levels(path, levels):
    """A video with one frame per gray level, whose upper half is darker, 10 a second."""
    with writing_video(path, *LIKE) as write:
        for number, level in enumerate(levels):
            image = np.full((48, 64, 3), (level, 128, 128), np.uint8)
            image[:24] //= 2
            write(number / 10, image)


def test_a_video_has_the_frames_that_were_written(tmp_path):
    write_levels(f"{tmp_path}/a.mp4", [40, 120, 200])
    video = Video(f"{tmp_path}/a.mp4")
    assert (video.width, video.height, video.fps, video.length, video.live) == (64, 48, 10.0, 3, False)
    times, images = zip(*video)
    np.testing.assert_allclose(times, [0, 0.1, 0.2])
    np.testing.assert_allclose([image[30:, :, 0].mean() for image in images], [40, 120, 200], atol=6)
    assert images[0].shape == (48, 64, 3)


def test_frames_keep_their_times(tmp_path):
    times = [0.0, 0.31, 0.315, 0.52, 5.0]
    with writing_video(f"{tmp_path}/a.mp4", *LIKE) as write:
        for level, time in enumerate(times):
            write(time, np.full((48, 64, 3), 40 * level, np.uint8))
    found, images = zip(*Video(f"{tmp_path}/a.mp4"))
    np.testing.assert_allclose(found, times, atol=1e-4)
    np.testing.assert_allclose([image.mean() for image in images], [0, 40, 80, 120, 160], atol=6)
    with av.open(f"{tmp_path}/a.mp4") as file:
        assert float(file.duration / av.time_base) == pytest.approx(5.0 + 4.48, abs=0.01)  # the last as long as before


def test_a_file_is_what_browsers_play(tmp_path):
    """H.264 with 4:2:0 colors in MP4, whose index comes before the frames."""
    write_levels(f"{tmp_path}/a.mp4", [40, 120, 200])
    data = (tmp_path / "a.mp4").read_bytes()
    assert data[4:8] == b"ftyp" and data.index(b"moov") < data.index(b"mdat")
    with av.open(f"{tmp_path}/a.mp4") as file:
        (stream,) = file.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize("size", [(63, 47), (1, 1), (64, 47)])
def test_odd_sizes_get_another_row_and_column(tmp_path, size):
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[:, -1] = image[-1] = 200
    with writing_video(f"{tmp_path}/a.mp4", *size, quality=10) as write:
        write(0.0, image)
    video = Video(f"{tmp_path}/a.mp4")
    assert (video.width, video.height) == (width + width % 2, height + height % 2)
    ((_, found),) = video
    np.testing.assert_allclose(found[-1].mean(), 200, atol=15)
    np.testing.assert_allclose(found[:, -1].mean(), 200, atol=15)


QUARTERS = {"red": (0, 0), "green": (0, 1), "blue": (1, 0), "white": (1, 1)}  # row and column of a quarter


@pytest.mark.parametrize(
    ("matrix", "corners"),
    [  # a, b, c, d: a pixel at x, y is shown at ax + cy, bx + dy; from the upper left corner, row by row
        ((1, 0, 0, 1), ["red", "green", "blue", "white"]),
        ((0, 1, -1, 0), ["blue", "red", "white", "green"]),  # by 90 degrees clockwise
        ((-1, 0, 0, -1), ["white", "blue", "green", "red"]),
        ((0, -1, 1, 0), ["green", "white", "red", "blue"]),
        ((-1, 0, 0, 1), ["green", "red", "white", "blue"]),  # mirrored, as some phones do
        ((1, 0, 0, -1), ["blue", "white", "red", "green"]),
        ((0, 1, 1, 0), ["red", "blue", "green", "white"]),
        ((0, -1, -1, 0), ["white", "green", "blue", "red"]),
    ],
)
def test_a_video_is_turned_and_mirrored_as_the_file_says(tmp_path, matrix, corners):
    colors = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200), "white": (200, 200, 200)}
    image = np.zeros((48, 64, 3), np.uint8)
    for name, (row, column) in QUARTERS.items():
        image[24 * row :, 32 * column :][:24, :32] = colors[name]
    with writing_video(f"{tmp_path}/a.mp4", *LIKE) as write:
        for number in range(2):
            write(number / 10, image)
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    place = data.index(b"tkhd") + 44  # of the matrix, 9 numbers of 32 bits
    a, b, c, d = (value << 16 for value in matrix)
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "a.mp4").write_bytes(data)
    video = Video(f"{tmp_path}/a.mp4")
    assert (video.width, video.height) == ((48, 64) if a == 0 else (64, 48))
    for _, found in video:
        height, width = found.shape[:2]
        seen = [found[height * y // 4, width * x // 4] for y in (1, 3) for x in (1, 3)]
        np.testing.assert_allclose(seen, [colors[name] for name in corners], atol=30)


@pytest.mark.parametrize("size", [(640, 480), (1280, 720)])
def test_colors_are_those_that_were_written_and_have_a_name(tmp_path, size):
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[:] = 200, 40, 60
    with writing_video(f"{tmp_path}/a.mp4", *size) as write:
        write(0.0, image)
    with av.open(f"{tmp_path}/a.mp4") as file:
        frame = next(file.decode(video=0))
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)  # BT.709
        luma, blue, red = (np.frombuffer(plane, np.uint8)[0] for plane in frame.planes)
    # BT.709: Y = 0.2126 R + 0.7152 G + 0.0722 B in 16 … 235, and the differences B − Y and R − Y in 16 … 240
    np.testing.assert_allclose([luma, blue, red], [80.8, 120.7, 197.5], atol=2)
    ((_, found),) = Video(f"{tmp_path}/a.mp4")
    np.testing.assert_allclose(found[5, 5], [200, 40, 60], atol=4)


def test_colors_of_large_videos_without_a_name_are_those_of_hd(tmp_path):
    """As players take them: small videos as BT.601, large ones as BT.709."""
    for name, size in (("small", (640, 480)), ("large", (1280, 720))):
        with av.open(f"{tmp_path}/{name}.mkv", "w") as file:
            stream = file.add_stream("ffv1", rate=10, width=size[0], height=size[1], pix_fmt="yuv420p")
            frame = av.VideoFrame(*size, "yuv420p")
            for plane, value in zip(frame.planes, (81, 121, 197), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            file.mux([*stream.encode(frame), *stream.encode(None)])
    (_, small), (_, large) = (next(iter(Video(f"{tmp_path}/{name}.mkv"))) for name in ("small", "large"))
    np.testing.assert_allclose(large[5, 5], [200, 40, 60], atol=4)
    assert np.abs(small[5, 5] - np.float32([200, 40, 60])).max() > 8


def test_the_shape_of_pixels_is_kept(tmp_path):
    with av.open(f"{tmp_path}/a.mp4", "w") as file:
        stream = file.add_stream("libx264", rate=10, width=64, height=48, pix_fmt="yuv420p")
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        file.mux([*stream.encode(av.VideoFrame(64, 48, "yuv420p")), *stream.encode(None)])
    original = Video(f"{tmp_path}/a.mp4")
    assert original.pixel_aspect == Fraction(4, 3)
    with writing_video(f"{tmp_path}/b.mp4", *LIKE, original=original) as write:
        write(0.0, np.zeros((48, 64, 3), np.uint8))
    assert Video(f"{tmp_path}/b.mp4").pixel_aspect == Fraction(4, 3)


@pytest.mark.parametrize("fps", [0.5, 29.97, 66.6667, 119.8765, 960.0123])
def test_videos_of_any_speed_can_be_written(tmp_path, fps):
    with writing_video(f"{tmp_path}/a.mp4", *LIKE) as write:
        for number in range(20):
            write(number / fps, np.zeros((48, 64, 3), np.uint8))
    video = Video(f"{tmp_path}/a.mp4")
    assert video.fps == pytest.approx(fps, rel=0.01)
    assert video.length in (19, 20, 21)


def test_a_video_that_is_not_finished_is_not_there(tmp_path):
    with pytest.raises(RuntimeError), writing_video(f"{tmp_path}/a.mp4", *LIKE) as write:
        write(0.0, np.zeros((48, 64, 3), np.uint8))
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path, rng):
    """A limit on the size of files stands for a full disk."""
    noise = rng.integers(0, 256, (480, 640, 3), np.uint8)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with (
            pytest.raises(UserError, match=r"a.mp4 cannot be written: File too large"),
            writing_video(f"{tmp_path}/a.mp4", 640, 480) as write,
        ):
            for number in range(30):
                write(number / 10, np.roll(noise, 7 * number, axis=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("start", [0.0, 5.0])
def test_times_are_those_of_the_file(tmp_path, start):
    images = [np.full((48, 64, 3), 5 * i, np.uint8) for i in range(41)]
    write_matroska(tmp_path / "a.mkv", [start + time for time in BURST], images)
    times, images = zip(*Video(f"{tmp_path}/a.mkv"))
    np.testing.assert_allclose(times, BURST, atol=0.0011)
    assert times[19] == pytest.approx(0.633, abs=0.0011)
    np.testing.assert_allclose([image.mean() for image in images], 5 * np.arange(41), atol=2)


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([0, 0.1, 0.1, 0.1, 0.5], [0, 0.1, 0.1 + 1 / 30, 0.1 + 2 / 30, 0.5]),
        ([0, 0.1, 0.2, 0, 0.1, 0.4], [0, 0.1, 0.2, 0.2 + 1 / 30, 0.2 + 2 / 30, 0.4]),
        ([0, 0.1, 86400, 86400.1], [0, 0.1, 0.1 + 1 / 30, 0.1 + 2 / 30]),
    ],
)
def test_damaged_times_always_rise(tmp_path, stamps, expected, monkeypatch):
    write_matroska(tmp_path / "a.mkv", stamps, [np.zeros((48, 64, 3), np.uint8)] * len(stamps))
    video = Video(f"{tmp_path}/a.mkv")
    video.fps = 30.0
    np.testing.assert_allclose([time for time, _ in video], expected, atol=1e-6)


def test_rates():
    steady = np.arange(300) / 29.97
    assert average_fps(steady, 29.97) == 29.97
    assert average_fps(np.round(steady, 3), 29.97) == 29.97  # as Matroska has them
    assert average_fps([0.0], 25.0) == average_fps([], 25.0) == 25.0
    assert average_fps(BURST, 41 / 4.5) == pytest.approx(40 / 4.497, rel=1e-3)
    assert average_fps(steady, 1000.0) == pytest.approx(29.97)


def tone(seconds, rate, channels):
    """Silence, and from 0.5 s on a tone. float32 [channels, samples]."""
    time = np.arange(round(seconds * rate)) / rate
    return np.tile(np.float32(0.5 * np.sin(2 * np.pi * 440 * time) * (time >= 0.5)), (channels, 1))


def write_with_sound(path, codec, rate, channels, video_start=0.0, seconds=2.0, gap=None, damage=0.0):
    """A video of 10 frames a second with the sound of `tone`, from time 0 on.

    `gap`: seconds of it that are missing. `damage` is added to a sample.
    """
    layout = "mono" if channels == 1 else "stereo"
    with av.open(str(path), "w") as file:
        pictures = file.add_stream("mjpeg", rate=10, width=64, height=48, pix_fmt="yuvj420p")
        sound = file.add_stream(codec, rate=rate, layout=layout)
        to_codec = av.AudioResampler(sound.format, layout, rate)
        for number in range(round(10 * (seconds - video_start))):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * number, np.uint8), "rgb24")
            frame.pts, frame.time_base = round(10 * video_start) + number, Fraction(1, 10)
            file.mux(pictures.encode(frame))
        samples = tone(seconds, rate, channels)
        samples[0, rate // 4] += damage
        for start in range(0, samples.shape[1], 1000):
            if gap and gap[0] <= start / rate < gap[1]:
                continue
            part = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[:, start : start + 1000]), "fltp", layout)
            part.sample_rate, part.pts, part.time_base = rate, start, Fraction(1, rate)
            for packet in (coded for piece in to_codec.resample(part) for coded in sound.encode(piece)):
                file.mux(packet)
        for stream in (pictures, sound):
            file.mux(stream.encode(None))


def copied(path, frames=None):
    """Copies a video by `Video` and `writing_video`; returns when the tone starts and the sound ends, in seconds."""
    video = Video(str(path))
    with writing_video(f"{path}.mp4", video.width, video.height, original=video) as write:
        for time, image in itertools.islice(video, frames):
            write(time, image)
    with av.open(f"{path}.mp4") as file:
        (stream,) = file.streams.audio
        rate, parts = stream.rate, list(file.decode(stream))
        first = parts[0].time
        samples = np.concatenate([part.to_ndarray().mean(axis=0) for part in parts])
        assert (stream.codec_context.name, stream.channels) == ("aac", min(video.channels, 2))
    loud = np.abs(samples) > 0.1
    return first + loud.argmax() / rate, first + len(samples) / rate


@pytest.mark.parametrize(
    ("name", "codec", "rate", "channels"),
    [
        ("a.mp4", "aac", 44100, 2),
        ("a.mkv", "pcm_s16le", 8000, 1),
        ("a.mov", "pcm_s16le", 22050, 2),
        ("a.avi", "mp2", 48000, 2),
    ],
)
def test_sound_is_kept(tmp_path, name, codec, rate, channels):
    write_with_sound(tmp_path / name, codec, rate, channels)
    start, end = copied(tmp_path / name)
    assert start == pytest.approx(0.5, abs=0.05)
    assert end == pytest.approx(2.0, abs=0.1)


def test_sound_starts_with_the_first_frame_and_ends_with_the_last(tmp_path):
    """The frames begin 0.3 s after the sound, and only 10 of them are written."""
    write_with_sound(tmp_path / "a.mkv", "aac", 44100, 2, video_start=0.3)
    start, end = copied(tmp_path / "a.mkv", frames=10)
    assert start == pytest.approx(0.2, abs=0.05)
    assert end == pytest.approx(1.0, abs=0.1)


def test_sound_after_a_gap_stays_in_time(tmp_path):
    """The beginning, of 0.3 s, is missing, as in recordings whose microphone starts late."""
    write_with_sound(tmp_path / "a.mkv", "pcm_s16le", 48000, 1, gap=(0.0, 0.3))
    assert copied(tmp_path / "a.mkv")[0] == pytest.approx(0.5, abs=0.05)


def test_damaged_sound_does_not_stop_the_frames(tmp_path):
    write_with_sound(tmp_path / "a.mkv", "aac", 44100, 2)
    data = bytearray((tmp_path / "a.mkv").read_bytes())
    with av.open(f"{tmp_path}/a.mkv") as file:
        packets = [packet for packet in file.demux(audio=0) if packet.size > 100]
    for packet in packets[::2]:
        place = data.index(bytes(packet))
        data[place : place + packet.size] = bytes(packet.size)
    (tmp_path / "a.mkv").write_bytes(data)
    video = Video(f"{tmp_path}/a.mkv")
    with writing_video(f"{tmp_path}/b.mp4", 64, 48, original=video) as write:
        for time, image in video:
            write(time, image)
    assert len(list(Video(f"{tmp_path}/b.mp4"))) == 20


@pytest.fixture
def stamps(monkeypatch):
    """Changes the time stamps of sound that is read: a function of the number and the stamp in seconds, or None."""
    change, read = [], video_files._frames

    def frames(file, stream):
        for number, frame in enumerate(read(file, stream)):
            if stream.type == "audio":
                stamp = change[0](number, frame.time)
                frame.pts = None if stamp is None else round(stamp / frame.time_base)
            yield frame

    monkeypatch.setattr(video_files, "_frames", frames)
    return change.append


@pytest.mark.parametrize(
    "change",
    [
        lambda number, time: time + 1e5 * (time > 1),
        lambda number, time: time - 1e5 * (time > 1),
        lambda number, time: time + 1e5,
        lambda number, time: None if number % 3 == 1 else time,
    ],
    ids=["forward", "back", "from the start", "missing"],
)
def test_sound_with_damaged_time_stamps_goes_on(tmp_path, stamps, change):
    write_with_sound(tmp_path / "a.mkv", "pcm_s16le", 8000, 1)
    stamps(change)
    start, end = copied(tmp_path / "a.mkv")
    assert start == pytest.approx(0.5, abs=0.05)
    assert end == pytest.approx(2.0, abs=0.1)


def test_sound_that_starts_much_later_takes_no_memory(tmp_path, monkeypatch, stamps):
    """After 3000 s: no more silence is made than the frames last."""
    made, make = [], video_files._sound_part
    monkeypatch.setattr(video_files, "_sound_part", lambda samples, layout: made.append(1) or make(samples, layout))
    write_with_sound(tmp_path / "a.mkv", "pcm_s16le", 8000, 1)
    stamps(lambda number, time: time + 3000)
    video = Video(f"{tmp_path}/a.mkv")
    with writing_video(f"{tmp_path}/b.mp4", *LIKE, original=video) as write:
        for time, image in video:
            write(time, image)
    assert 90 < len(made) < 100  # 2 s in parts of 1024 samples


def test_sound_that_is_not_a_number_is_silence(tmp_path):
    write_with_sound(tmp_path / "a.mkv", "pcm_f32le", 8000, 1, damage=np.nan)
    assert copied(tmp_path / "a.mkv")[1] == pytest.approx(2.0, abs=0.1)


def rename_codec(path, before, after):
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after))


def test_a_codec_that_nobody_knows_is_one_sentence(tmp_path):
    write_with_sound(tmp_path / "a.avi", "mp2", 48000, 2)
    rename_codec(tmp_path / "a.avi", b"MJPG", b"QQZZ")
    with pytest.raises(MediaError, match=r"a.avi is not a video that can be read: its format has no decoder"):
        Video(f"{tmp_path}/a.avi")


def test_sound_that_nobody_can_decode_is_left_out(tmp_path, caplog):
    write_with_sound(tmp_path / "a.mkv", "pcm_s16le", 8000, 1)
    rename_codec(tmp_path / "a.mkv", b"A_PCM/INT/LIT", b"A_QQZ/INT/LIT")
    video = Video(f"{tmp_path}/a.mkv")
    assert video.channels == 0 and "a.mkv: its sound cannot be decoded" in caplog.text
    assert len(list(video)) == 20


def test_a_stream_that_begins_in_the_middle_ends_the_file_there(tmp_path):
    """Recordings of transport streams may be cut together."""
    for name, streams in (("a", ("video",)), ("b", ("video", "audio"))):
        with av.open(f"{tmp_path}/{name}.ts", "w") as file:
            pictures = file.add_stream("mpeg2video", rate=10, width=64, height=48, pix_fmt="yuv420p")
            sound = file.add_stream("mp2", rate=48000, layout="mono") if "audio" in streams else None
            noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
            for number in range(100):
                frame = av.VideoFrame.from_ndarray(np.roll(noise, number, axis=1), "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                file.mux(pictures.encode(frame))
                if sound:
                    part = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.int16), "s16", "mono")
                    part.sample_rate, part.pts, part.time_base = 48000, 4800 * number, Fraction(1, 48000)
                    file.mux(sound.encode(part))
            file.mux(pictures.encode(None))
    parts = [(tmp_path / f"{name}.ts").read_bytes() for name in "aba"]
    (tmp_path / "c.ts").write_bytes(5 * parts[0] + parts[1] + parts[2])
    assert len(list(Video(f"{tmp_path}/c.ts"))) >= 490


@pytest.mark.parametrize(
    "text",
    ["ffconcat version 1.0\nfile b.mp4\n", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nb.mp4\n#EXT-X-ENDLIST\n"],
    ids=["concat", "hls"],
)
def test_a_list_of_other_files_is_no_video(tmp_path, text):
    write_levels(f"{tmp_path}/b.mp4", [40, 120])
    (tmp_path / "a.mp4").write_text(text)
    with pytest.raises(MediaError, match=r"a.mp4 is not a video that can be read"):
        Video(f"{tmp_path}/a.mp4")


def test_the_length_leaves_out_what_comes_before_the_first_frame(tmp_path):
    with av.open(f"{tmp_path}/a.mkv", "w") as file:
        stream = file.add_stream("mjpeg", rate=10, width=64, height=48, pix_fmt="yuvj420p")
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), "rgb24")
            frame.pts, frame.time_base = 50 + number, Fraction(1, 10)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    assert Video(f"{tmp_path}/a.mkv").length == pytest.approx(20, abs=1)


def test_the_length_leaves_out_what_an_edit_list_skips(tmp_path):
    write_levels(f"{tmp_path}/a.mp4", range(60))
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    place = data.index(b"elst") + 12  # duration in units of the movie, and start in units of the track
    (units,) = struct.unpack_from(">I", data, data.index(b"mvhd") + 16)
    struct.pack_into(">II", data, place, 3 * units, 3 * 90_000)
    struct.pack_into(">I", data, data.index(b"mvhd") + 20, 3 * units)
    (tmp_path / "a.mp4").write_bytes(data)
    video = Video(f"{tmp_path}/a.mp4")
    assert (len(list(video)), video.length) == (30, 30)


def test_a_damaged_frame_is_skipped(tmp_path):
    write_levels(f"{tmp_path}/a.mp4", [40] * 90)
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    with av.open(f"{tmp_path}/a.mp4") as file:
        key = [packet for packet in file.demux(video=0) if packet.is_keyframe][1]
    place = data.index(bytes(key))
    data[place : place + key.size] = bytes([255]) * key.size
    (tmp_path / "a.mp4").write_bytes(data)
    assert 40 < len(list(Video(f"{tmp_path}/a.mp4"))) <= 90


def test_sound_alone_is_no_video(tmp_path):
    with av.open(f"{tmp_path}/a.mp4", "w") as file:
        sound = file.add_stream("aac", rate=48000, layout="mono")
        part = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        part.sample_rate = 48000
        file.mux([*sound.encode(part), *sound.encode(None)])
    with pytest.raises(MediaError, match=r"a.mp4 is not a video that can be read: it has no frames"):
        Video(f"{tmp_path}/a.mp4")


NAMES = [
    b"w\xfc.mkv",
    "wä😀.mkv".encode(),
    b"12:30:05.mkv",
    b"file:a.mkv",
    b"%03d.mkv",
    b"a\nb.mkv",
    b"x" * 251 + b".mkv",
]
NAMES += [b"-a.mkv", b"[x]\\?*.mkv", b"pipe:0.mkv", b"concat:a|b.mkv"]
READ_AND_WRITE = """
import sys, numpy as np
from pose_tf.predict.video_files import Video, writing_video
for path in sys.argv[1:]:
    with writing_video("out-" + path[:100] + "/a.mp4", 64, 48) as write:
        for time, image in Video(path):
            write(time, image)
    assert len(list(Video("out-" + path[:100] + "/a.mp4"))) == 5
print("done")
"""


@pytest.mark.parametrize("environment", [{"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_videos_may_have_any_name(tmp_path, environment):
    for name in NAMES:
        path = os.path.join(os.fsencode(tmp_path), name)
        write_matroska(path, [0, 0.1, 0.2, 0.3, 0.4], [np.zeros((48, 64, 3), np.uint8)] * 5)
    command = [sys.executable, "-c", READ_AND_WRITE, *NAMES]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONCOERCECLOCALE": "0"} | environment
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=600, check=False)
    assert (done.returncode, done.stdout) == (0, b"done\n"), done.stderr


def test_what_is_no_video_is_named(tmp_path):
    (tmp_path / "a.mp4").write_text("Dear reader")
    with pytest.raises(MediaError, match=r"a.mp4 is not a video"):
        Video(f"{tmp_path}/a.mp4")
    with pytest.raises(MediaError, match="camera 99 cannot be opened"):
        Video(99)
