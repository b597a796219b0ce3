"""Tests of prediction from photos and videos to result files, with a model of exactly known results."""

import errno
import json
import shutil

import av
import cv2
import numpy as np
import pytest

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.predict.model import PoseModel
from pose_tf.predict.people import GivenBoxes
from pose_tf.predict.predictor import Options, predict
from pose_tf.predict.video_files import Video
from tests.predict import browser
from tests.predict.marks import MARKS, Files, find_mark, joints, marked, write_photo
from tests.predict.matroska import BURST, write_matroska


def test_a_thin_image_is_no_problem(tmp_path):
    for name, shape in (("wide", (3, 9000, 3)), ("high", (9000, 3, 3))):
        cv2.imwrite(f"{tmp_path}/{name}.png", np.zeros(shape, np.uint8))
        for given in (GivenBoxes("whole"), GivenBoxes()):
            predict(MARKS, f"{tmp_path}/{name}.png", Options(f"{tmp_path}/out", given))
        assert max(cv2.imread(f"{tmp_path}/out/{name}.views.png").shape) < 10_000


def test_a_full_disk_ends_at_the_first_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        write_photo(tmp_path / "in" / f"{name}.jpg", (50, 40))
    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(UserError, match=r"a.png cannot be written: No space left on device"):
        predict(MARKS, f"{tmp_path}/in", Options(f"{tmp_path}/out", GivenBoxes("whole")))


def test_names_that_only_the_table_or_the_folder_has_are_reported(tmp_path, caplog, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "e\u0301.png"):  # as a Mac writes é
        write_photo(tmp_path / "in" / name, (50, 40))
    rows = "a.png,1,2,30,40\nc.png,1,2,30,40\n\u00e9.png,30,20,40,40\nin/b.png,1,2,30,40\n"
    (tmp_path / "boxes.csv").write_text(f"file,x,y,width,height\n{rows}", encoding="utf-8")
    given = GivenBoxes(path=f"{tmp_path}/boxes.csv")
    predict(MARKS, f"{tmp_path}/in", Options(f"{tmp_path}/out", given, outputs=("json",)))
    said = capsys.readouterr()
    assert caplog.messages == [
        f"{tmp_path}/boxes.csv has a row for c.png, but no input has that name",
        f"{tmp_path}/boxes.csv has a row for in/b.png, but no input has that name",
        f"{tmp_path}/boxes.csv has no row for {tmp_path}/in/b.png",
    ]
    assert "b.png: no box, results" in said.out and "nobody found" not in said.out
    counts = {
        name: len(json.loads((tmp_path / "out" / f"{name}.json").read_text())["frames"][0]["people"])
        for name in ("a", "b", "e\u0301")
    }
    assert counts == {"a": 1, "b": 0, "e\u0301": 1}


def test_many_names_are_counted(tmp_path, caplog):
    write_photo(tmp_path / "a.png", (50, 40))
    rows = [f"{name},1,2,30,40" for name in ("a.png", *(f"{i}.png" for i in range(1000)))]
    (tmp_path / "boxes.csv").write_text("\n".join(["file,x,y,width,height", *rows]))
    GivenBoxes(path=f"{tmp_path}/boxes.csv").check([f"{tmp_path}/a.png"])
    lines = caplog.messages
    assert len(lines) == 21
    assert lines[-1] == "… and the same for 980 more"


def test_a_table_of_other_files_is_told(tmp_path):
    write_photo(tmp_path / "a.png", (50, 40))
    (tmp_path / "boxes.csv").write_text("file,x,y,width,height\nphotos/a.png,1,2,30,40\n")
    options = Options(f"{tmp_path}/out", GivenBoxes(path=f"{tmp_path}/boxes.csv"))
    with pytest.raises(UserError, match=r"boxes.csv names none of the inputs"):
        predict(MARKS, f"{tmp_path}/a.png", options)


def test_a_folder_with_a_broken_photo_has_the_results_of_the_others(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "c.png"):
        write_photo(tmp_path / "in" / name, (50, 40))
    (tmp_path / "in" / "b.png").write_text("Dear reader")
    options = Options(f"{tmp_path}/out", GivenBoxes("30,20,40,40"))
    with pytest.raises(UserError, match="1 of 3 files could not be used"):
        predict(MARKS, f"{tmp_path}/in", options)
    assert f"skipped: {tmp_path}/in/b.png is not an image" in capsys.readouterr().err
    kinds = ("png", "views.png", "html", "json", "csv", "npz")
    expected = {f"{name}.{kind}" for name in "ac" for kind in kinds}
    assert {path.name for path in (tmp_path / "out").iterdir()} == expected
    found = json.loads((tmp_path / "out" / "c.json").read_text())
    assert found["frames"][0]["people"][0]["pose2d_px"][0] == [49.5, 39.5]
    assert cv2.imread(f"{tmp_path}/out/a.png").shape == (80, 100, 3)
    assert cv2.imread(f"{tmp_path}/out/a.views.png").shape[1] > 3 * 384


def test_one_broken_photo_is_told_by_itself(tmp_path):
    (tmp_path / "b.png").write_text("Dear reader")
    with pytest.raises(UserError, match="b.png is not an image"):
        predict(MARKS, f"{tmp_path}/b.png", Options(f"{tmp_path}/out"))
    assert not (tmp_path / "out").exists()


def test_only_what_is_asked_for_is_written(tmp_path):
    write_photo(tmp_path / "a.png", (50, 40))
    predict(MARKS, f"{tmp_path}/a.png", Options(f"{tmp_path}/out", GivenBoxes("whole"), outputs=("csv",)))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.csv"]
    with pytest.raises(UserError, match="outputs is 'gif'; it can be overlay, views, page"):
        Options("out", outputs=("json", "gif"))
    with pytest.raises(UserError, match="outputs is ''; it can be"):
        Options("out", outputs=())


def test_photos_are_searched_for_people_of_the_score_that_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        write_photo(tmp_path / "in" / name, (50, 40))
    scores = []
    found = np.float32([[30, 20, 40, 40], [0, 0, 10, 10]]), np.float32([0.9, 0.5])
    monkeypatch.setattr("pose_tf.predict.predictor.find_people", lambda image, score: scores.append(score) or found)
    for score in (0.25, None):
        options = Options(f"{tmp_path}/out", min_score=score, outputs=("json",), batch_size=2)
        predict(MARKS, f"{tmp_path}/in", options)
    assert scores == [0.25] * 3 + [None] * 3  # None: the finder's own
    people = json.loads((tmp_path / "out" / "b.json").read_text())["frames"][0]["people"]
    assert [person["person"] for person in people] == [1, 2]
    assert people[0]["pose2d_px"][0] == [49.5, 39.5]


def test_a_video_has_a_pose_for_each_frame(video, tmp_path):
    options = Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60"), smooth=False)
    predict(MARKS, video, options)
    path = joints(f"{tmp_path}/out/walk.json")
    steps = np.arange(30)
    np.testing.assert_allclose(path, np.stack([59.5 + 2 * steps, 49.5 + (-1.0) ** steps], axis=1), atol=1e-3)
    assert len(list(Video(f"{tmp_path}/out/walk.mp4"))) == 30
    with np.load(f"{tmp_path}/out/walk.npz") as found:
        np.testing.assert_allclose(found["time_s"], steps / 10)
        np.testing.assert_allclose(found["box_px"][-1], [88, 20, 60, 60], atol=3)  # followed
    assert cv2.imread(f"{tmp_path}/out/walk.views.png").shape[0] % 256 == 0
    assert (tmp_path / "out" / "walk.html").exists()


def test_a_variable_rate_is_kept_everywhere(tmp_path):
    images = [marked(200, 100, (40, 50)) for _ in range(41)]
    for i, image in enumerate(images):
        image[60:90, 120:180] = 6 * i
    write_matroska(tmp_path / "a.mkv", BURST, images)
    predict(MARKS, f"{tmp_path}/a.mkv", Options(f"{tmp_path}/out", GivenBoxes("whole"), smooth=False))
    read = json.loads((tmp_path / "out" / "a.json").read_text())
    np.testing.assert_allclose([frame["time_s"] for frame in read["frames"]], BURST, atol=0.0011)
    assert read["fps"] == pytest.approx(40 / BURST[-1], rel=1e-3)  # on average
    with np.load(tmp_path / "out" / "a.npz") as found:
        np.testing.assert_allclose(found["time_s"], BURST, atol=0.0011)
    rows = (tmp_path / "out" / "a.csv").read_text().splitlines()
    assert float(rows[1 + 19 * 17].split(",")[1]) == pytest.approx(0.633, abs=0.0011)
    page = (tmp_path / "out" / "a.html").read_text()
    assert '"time_s":0.633' in page
    times, images = zip(*Video(f"{tmp_path}/out/a.mp4"))
    np.testing.assert_allclose(times, BURST, atol=0.0011)
    levels = [image[65:85, 130:170].mean() for image in images]
    np.testing.assert_allclose(levels, 6 * np.arange(41), atol=4)  # coded


PLAY = """<video muted src="/walk.mp4"></video><script>
const video = document.querySelector("video"), context = new OffscreenCanvas(20, 10).getContext("2d");
const post = (seen) => fetch("/seen", {method: "POST", body: JSON.stringify(seen)});
const look = async () => {
  await new Promise((resolve) => setTimeout(resolve, 250));
  context.drawImage(video, 0, 0, 20, 10);
  return [video.currentTime, [...context.getImageData(0, 0, 20, 10).data].join()];
};
const looks = async () => [await look(), await look(), await look(), video.duration];
video.play().then(looks).then(post, (error) => post(`${error}`));
</script>"""


def test_a_browser_plays_the_overlay(video, tmp_path):
    predict(MARKS, video, Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60"), outputs=("overlay",)))
    files = {"/walk.mp4": (tmp_path / "out" / "walk.mp4").read_bytes()}
    *looks, duration = browser.visit(PLAY, f"{tmp_path}/profile", files)
    times, pictures = zip(*looks)
    assert 0 < times[0] < times[1] < times[2]
    assert len(set(pictures)) == 3
    assert duration == pytest.approx(3.0, abs=0.01)


def interrupted(after):
    calls = iter(range(after))

    def estimate(image_bytes, box):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return find_mark(image_bytes, box)

    return PoseModel(Files(estimate))


def test_ctrl_c_ends_everything_and_keeps_what_was_seen(video, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        predict(interrupted(5), video, Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60")))
    assert len(joints(f"{tmp_path}/out/walk.json")) == 5
    assert len(list(Video(f"{tmp_path}/out/walk.mp4"))) == 5


def test_ctrl_c_while_drawing_keeps_the_numbers(video, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("pose_tf.viz.draw_people", interrupt)
    with pytest.raises(KeyboardInterrupt):
        predict(MARKS, video, Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60")))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["walk.csv", "walk.json", "walk.npz"]
    assert len(joints(f"{tmp_path}/out/walk.json")) == 30


def test_numbers_are_there_if_a_drawing_cannot_be_written(video, tmp_path, monkeypatch):
    """The disk is full as soon as the overlay needs it."""

    def full(self):
        raise av.error.OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pose_tf.predict.video_files._Writer._show", full)
    with pytest.raises(UserError, match=r"walk.(mp4|html) cannot be written: No space left on device"):
        predict(MARKS, video, Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60")))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["walk.csv", "walk.json", "walk.npz"]


def test_ctrl_c_before_anything_was_seen_leaves_nothing(video, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        predict(interrupted(0), video, Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60")))
    assert not list((tmp_path / "out").iterdir())


def test_each_video_of_a_folder_begins_with_the_box(video, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.avi", "b.avi"):
        shutil.copy(video, tmp_path / "in" / name)
    predict(MARKS, f"{tmp_path}/in", Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60"), outputs=("npz",)))
    for name in ("a", "b"):
        with np.load(f"{tmp_path}/out/{name}.npz") as found:
            np.testing.assert_array_equal(found["box_px"][0], [30, 20, 60, 60])


def test_a_failing_estimator_leaves_nothing_half_written(video, tmp_path):
    def estimate(image_bytes, box):
        raise UserError("--server=localhost:1 does not answer")

    with pytest.raises(UserError, match="does not answer"):
        predict(PoseModel(Files(estimate)), video, Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60")))
    assert not list((tmp_path / "out").iterdir())


@pytest.fixture
def camera(video, monkeypatch):
    """Shows the video as any camera; the numbers of the cameras that are opened."""
    opened = []
    capture = cv2.VideoCapture

    def open_camera(source, *backend):
        opened.append(source)
        return capture(video)

    monkeypatch.setattr(cv2, "VideoCapture", open_camera)
    return opened


def test_a_camera_stops_after_the_frames_that_are_asked_for(camera, tmp_path):
    predict(MARKS, "-", Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60"), max_frames=4, outputs=("json",)))
    assert len(joints(f"{tmp_path}/out/camera0.json")) == 4
    assert camera == [0]  # read once


@pytest.mark.parametrize(("source", "number"), [("-", 0), ("-1", 1)])
def test_a_camera_is_read_until_ctrl_c(camera, tmp_path, source, number):
    predict(interrupted(6), source, Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60")))
    assert camera == [number]
    with open(f"{tmp_path}/out/camera{number}.json") as file:
        found = json.load(file)
    assert len(found["frames"]) == 6
    times = [frame["time_s"] for frame in found["frames"]]
    assert times == sorted(set(times))  # of the clock
    assert found["fps"] == pytest.approx(5 / times[-1], rel=0.01)
    np.testing.assert_allclose([time for time, _ in Video(f"{tmp_path}/out/camera{number}.mp4")], times, atol=1e-3)
