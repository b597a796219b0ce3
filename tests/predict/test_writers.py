"""Tests of the result writers: right pictures, a limited number of them, and nothing after a failure."""

import base64
import json
import os
import re

import cv2
import numpy as np
import pytest

from pose_tf.predict import writers
from pose_tf.predict.camera import CameraOptions
from pose_tf.predict.results import Frame, Person, Poses, is_result
from pose_tf.predict.video_files import Video, writing_video

CAMERA = CameraOptions().camera(400, 240)

LEVELS = (40, 120, 200)
TIMES = (0.0, 0.1, 0.35)


def person(number=1):
    """Someone whose joints lie between (20, 20) and (60, 60)."""
    rng = np.random.default_rng(number)
    pose2d, pose3d = rng.uniform(20, 60, (17, 2)), rng.normal(0, 300, (17, 3))
    return Person(
        np.float32([20, 20, 40, 40]),
        np.float32(pose2d),
        np.float32(pose3d),
        np.ones(17, np.float32),
        number,
        np.float32([0, 0, 4000]),
    )


def image(level):
    return np.full((80, 100, 3), level, np.uint8)


SOMEBODY = (person(),)


def write(folder, made, count, people=SOMEBODY):
    """Writes frames of rising gray levels 10 times a second; returns the files by output."""
    paths = {output: f"{folder}/a.{output}" for output in made}
    poses = Poses("a.jpg", 100, 80, 10.0, CAMERA, [])
    with writers.writing(made, paths, poses) as add:
        for number in range(count):
            add(image(LEVELS[number % 3]), Frame(number / 10, people))
    assert len(poses.frames) == count
    return paths


def test_a_photo_has_all_its_results(tmp_path):
    paths = write(tmp_path, writers.WRITERS, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("a.coco", "a.csv", "a.json", "a.npz", "a.overlay", "a.page", "a.views")
    ]
    assert all(is_result(path) for path in paths.values())
    drawn = cv2.imread(paths["overlay"])
    changed = (drawn != LEVELS[0]).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert drawn.shape == (80, 100, 3) and 15 <= rows.min() < rows.max() <= 65 and columns.min() >= 15
    assert changed.mean() > 0.02
    views = cv2.imread(paths["views"])
    assert views.shape[1] > 3 * 384
    with open(paths["json"]) as file:
        assert len(json.load(file)["frames"]) == 1


def test_without_people_the_overlay_is_the_photo(tmp_path):
    paths = write(tmp_path, writers.WRITERS, 1, ())
    np.testing.assert_array_equal(cv2.imread(paths["overlay"]), image(LEVELS[0]))


def test_only_the_files_that_are_asked_for_are_written(tmp_path):
    with writers.writing(writers.WRITERS, {"csv": f"{tmp_path}/a.csv"}, Poses("a", 100, 80, None, CAMERA, [])) as add:
        add(image(0), Frame(0.0, SOMEBODY))
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.fixture
def video(tmp_path):
    """A video of three gray levels with odd time stamps."""
    (tmp_path / "in").mkdir()
    with writing_video(f"{tmp_path}/in/a.mp4", 100, 80) as write:
        for time, level in zip(TIMES, LEVELS, strict=True):
            write(time, image(level))
    return Video(f"{tmp_path}/in/a.mp4")


def test_an_overlay_of_a_video_has_every_frame_with_a_skeleton(tmp_path, video):
    path = f"{tmp_path}/a.mp4"
    with writers.video_overlay(video)(path, Poses("a.avi", 100, 80, 10.0, CAMERA, [])) as add:
        for number, (time, level) in enumerate(zip(TIMES, LEVELS, strict=True)):
            add(image(level), Frame(time, SOMEBODY if number else ()))
    times, images = zip(*Video(path))
    np.testing.assert_allclose(times, TIMES, atol=1e-4)
    for found, level in zip(images, LEVELS, strict=True):
        assert abs(int(found[75, 95, 0]) - level) < 8  # beside the person
    contrast = [found[20:60, 20:60].std() for found in images]
    assert contrast[0] < 5 < 10 < min(contrast[1:])


def test_views_of_a_video_are_those_of_at_most_six_frames_with_people(tmp_path):
    with writers.video_views(f"{tmp_path}/a.png", Poses("a", 100, 80, 10.0, CAMERA, [])) as add:
        for number in range(20):
            add(image(60), Frame(number / 10, SOMEBODY if number % 2 else ()))
    sheet = cv2.imread(f"{tmp_path}/a.png")
    assert sheet.shape[0] == 5 * writers.VIEWS_PX  # numbers 0, 2, 4, 6 and 8 of the ten frames with people


def test_views_of_a_video_without_people_are_no_file(tmp_path):
    with writers.video_views(f"{tmp_path}/a.png", Poses("a", 100, 80, 10.0, CAMERA, [])) as add:
        add(image(60), Frame(0.0, ()))
    assert not list(tmp_path.iterdir())


def test_a_page_has_a_small_copy_of_the_photo(tmp_path, monkeypatch):
    monkeypatch.setattr(writers, "PAGE_PX", 50)
    paths = write(tmp_path, {"page": writers.photo_page}, 1)
    with open(paths["page"]) as file:
        data = re.search(r'"photo":"(.*?)"', file.read())[1]
    small = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert small.shape == (40, 50, 3) and abs(small.mean() - LEVELS[0]) < 2


def test_a_page_has_a_small_copy_of_the_video_with_its_times(tmp_path, video, monkeypatch):
    monkeypatch.setattr(writers, "PAGE_PX", 50)
    with writers.video_page(video)(f"{tmp_path}/a.html", Poses("a", 100, 80, 10.0, CAMERA, [])) as add:
        for time, level in zip(TIMES, LEVELS, strict=True):
            add(image(level), Frame(time, SOMEBODY))
    data = re.search(r'"video":"(.*?)"', (tmp_path / "a.html").read_text())[1]
    (tmp_path / "small.mp4").write_bytes(base64.b64decode(data))
    times, images = zip(*Video(f"{tmp_path}/small.mp4"))
    np.testing.assert_allclose(times, TIMES, atol=1e-4)
    assert images[0].shape == (40, 50, 3)
    np.testing.assert_allclose([small.mean() for small in images], LEVELS, atol=6)


@pytest.mark.parametrize("kind", ["photo", "video"])
def test_a_failure_leaves_nothing(tmp_path, video, kind):
    made = writers.WRITERS if kind == "photo" else writers.video_drawings(video) | writers.NUMBERS
    with pytest.raises(RuntimeError):
        paths = {output: f"{tmp_path}/a.{output}" for output in made} | {"overlay": f"{tmp_path}/a.mp4"}
        with writers.writing(made, paths, Poses("a", 100, 80, 10.0, CAMERA, [])) as add:
            add(image(60), Frame(0.0, SOMEBODY))
            raise RuntimeError
    assert os.listdir(tmp_path) == ["in"]


def test_samples_of_a_row_stay_few_and_even():
    spread = writers.Spread(4)
    for i in range(100):
        spread.offer(i, lambda: i)  # noqa: B023
    assert spread.kept == {0: 0, 32: 32, 64: 64, 96: 96}
