"""Tests of prediction from photos and videos to result files, with a model of exactly known results."""

import errno
import json
import shutil

import cv2
import numpy as np
import pytest

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.predict import outputs, writers
from pose_tf.predict.model import PoseModel
from pose_tf.predict.people import GivenBoxes
from pose_tf.predict.predictor import Options, predict
from pose_tf.synthetic.sample import render_sample
from tests.predict.marks import MARKS, Files, find_mark, marked, write_photo
from tests.predict.matroska import write_matroska
from tests.predict.test_media import BURST


def test_a_thin_image_is_no_problem(tmp_path):
    for name, shape in (("wide", (3, 9000, 3)), ("high", (9000, 3, 3))):
        cv2.imwrite(f"{tmp_path}/{name}.png", np.zeros(shape, np.uint8))
        for given in (GivenBoxes("whole"), GivenBoxes()):
            predict(MARKS, f"{tmp_path}/{name}.png", Options(f"{tmp_path}/out", given))
        assert max(cv2.imread(f"{tmp_path}/out/{name}.views.png").shape) < 10_000


def results_of(names, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in names:
        write_photo(folder / name, (50, 40))
    predict(MARKS, str(folder), Options(f"{tmp_path}/out", GivenBoxes("whole"), outputs=("overlay", "views")))
    return sorted(path.name for path in (tmp_path / "out").iterdir())


def test_results_are_named_as_the_files_are(tmp_path):
    assert results_of(["a.jpg", "b.png"], tmp_path) == ["a.png", "a.views.png", "b.png", "b.views.png"]


@pytest.mark.parametrize("names", [("a.jpg", "a.png", "a.jpg.png"), ("a.jpg", "a.views.png")])
def test_no_results_replace_others(tmp_path, names):
    expected = sorted(f"{name}{ending}" for name in names for ending in (".png", ".views.png"))
    assert results_of(names, tmp_path) == expected


def test_no_results_replace_an_input(tmp_path):
    write_photo(tmp_path / "a.png", (50, 40))
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(UserError, match=r"results would replace .*a.png"):
        predict(MARKS, f"{tmp_path}/a.png", Options(str(tmp_path), GivenBoxes("whole")))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == before


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_results_beside_the_photos_are_the_same_after_a_second_run(tmp_path):
    write_photo(tmp_path / "a.jpg", (50, 40))
    write_matroska(tmp_path / "b.mkv", [0, 0.1], [marked(100, 80, (50, 40))] * 2)
    before = contents(tmp_path)
    for _ in range(3):
        predict(MARKS, str(tmp_path), Options(str(tmp_path), GivenBoxes("whole")))
        found = contents(tmp_path)
        assert {name: found.pop(name) for name in before} == before
        endings = ("png", "views.png", "html", "json", "csv", "npz", "mp4")
        assert set(found) == {f"a.{ending}" for ending in endings[:-1]} | {f"b.{ending}" for ending in endings[1:]}
    read = json.loads(found["a.json"])
    assert read["frames"][0]["people"][0]["pose2d_px"][0] == [49.5, 39.5]


def test_a_users_own_photo_stays_one(tmp_path):
    """A PNG beside a JPEG is not always a result."""
    for name in ("a.jpg", "a.png"):
        write_photo(tmp_path / name, (50, 40))
    before = contents(tmp_path)
    options = Options(str(tmp_path), GivenBoxes("whole"), outputs=("overlay", "json"))
    for _ in range(2):
        predict(MARKS, str(tmp_path), options)
        found = contents(tmp_path)
        assert {name: found.pop(name) for name in before} == before
        assert set(found) == {f"{name}.{ending}" for name in before for ending in ("png", "json")}


@pytest.mark.parametrize("ending", ["png", "views.png", "html", "json", "csv", "npz"])
def test_nothing_that_is_no_result_is_replaced(tmp_path, ending, capsys):
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg"):
        write_photo(tmp_path / "in" / name, (50, 40))
    out = tmp_path / "out"
    out.mkdir()
    (out / f"a.{ending}").write_text('{"labels": []}')
    for _ in range(2):  # the second time, results exist
        with pytest.raises(UserError, match="1 of 2 files could not be used"):
            predict(MARKS, f"{tmp_path}/in", Options(str(out), GivenBoxes("whole")))
        words = f"skipped: {tmp_path}/in/a.jpg: results would replace {out}/a.{ending}; choose another output directory"
        assert words in capsys.readouterr().err
        assert (out / f"a.{ending}").read_text() == '{"labels": []}'
        assert len(list(out.iterdir())) == 1 + 6


def test_only_what_is_written_can_replace_anything(tmp_path):
    write_photo(tmp_path / "a.png", (50, 40))
    (tmp_path / "a.csv").write_text("mine")
    predict(MARKS, f"{tmp_path}/a.png", Options(str(tmp_path), GivenBoxes("whole"), outputs=("json",)))
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a.csv", "a.json"}


@pytest.mark.parametrize("length", [230, 237, 245, 246, 251, 255])
def test_long_names_have_results_too(tmp_path, length, caplog):
    (tmp_path / "in").mkdir()
    stems = [letter * (length - 4) for letter in ("a", "b")] + ["é" * ((length - 4) // 2)]
    stems.append("a" * (length - 5) + "c")  # begins as the first
    for name in (*stems, "short"):
        write_photo(tmp_path / "in" / f"{name}.jpg", (50, 40))
    for _ in range(2):
        predict(MARKS, f"{tmp_path}/in", Options(f"{tmp_path}/out", GivenBoxes("whole")))
        names = [path.name for path in (tmp_path / "out").iterdir()]
        assert len(names) == 5 * 6
        assert "short.views.png" in names
    assert ("is too long for result files" in caplog.text) == (length > 249)
    for name in stems:
        fits = len(name.encode()) <= 245
        assert (f"{name}.views.png" in names) == fits
        assert any(other.startswith(name[:100]) and other.endswith(".views.png") for other in names)


def test_a_name_that_the_file_system_refuses_ends_nothing_else(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(outputs, "LONGEST_NAME", 400)
    (tmp_path / "in").mkdir()
    for name in ("a" * 250, "b", "c"):
        write_photo(tmp_path / "in" / f"{name}.jpg", (50, 40))
    with pytest.raises(UserError, match="1 of 3 files could not be used"):
        predict(MARKS, f"{tmp_path}/in", Options(f"{tmp_path}/out", GivenBoxes("whole")))
    assert "File name too long" in capsys.readouterr().err
    assert {"b.npz", "c.npz"} <= {path.name for path in (tmp_path / "out").iterdir()}


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


@pytest.fixture
def video(tmp_path):
    """A mark on a coarse texture that moves right by 2 px per frame and jitters up and down by 1 px; 30 frames."""
    path = f"{tmp_path}/walk.avi"
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"FFV1"), 10, (200, 100))  # lossless
    coarse = np.random.default_rng(0).integers(20, 120, (60, 60, 3), np.uint8)
    for i in range(30):
        x, y = 60 + 2 * i, 50 + (-1) ** i
        image = marked(200, 100)
        image[y - 30 : y + 30, x - 30 : x + 30] = coarse
        image[y - 2 : y + 2, x - 2 : x + 2] = 255
        writer.write(image)
    writer.release()
    return path


def joints(path):
    with open(path) as file:
        frames = json.load(file)["frames"]
    return np.array([frame["people"][0]["pose2d_px"][0] for frame in frames])


def test_a_video_has_a_pose_for_each_frame(video, tmp_path):
    options = Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60"), smooth=False)
    predict(MARKS, video, options)
    path = joints(f"{tmp_path}/out/walk.json")
    steps = np.arange(30)
    np.testing.assert_allclose(path, np.stack([59.5 + 2 * steps, 49.5 + (-1.0) ** steps], axis=1), atol=1e-3)
    assert int(cv2.VideoCapture(f"{tmp_path}/out/walk.mp4").get(cv2.CAP_PROP_FRAME_COUNT)) == 30
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
    shown = cv2.VideoCapture(f"{tmp_path}/out/a.mp4")
    fps, levels = shown.get(cv2.CAP_PROP_FPS), []
    while (frame := shown.read())[0]:
        levels.append(frame[1][65:85, 130:170].mean())
    assert len(levels) / fps == pytest.approx(BURST[-1], abs=0.1)
    for time, later, level in zip(BURST, BURST[1:], range(0, 240, 6)):
        seen = levels[round((time + 0.001) * fps) : round((later - 0.001) * fps)]
        assert seen and np.abs(np.array(seen) - level).max() < 3.8  # coded


def test_people_are_searched_for_by_the_clock_of_the_video(tmp_path, monkeypatch):
    searches = []
    monkeypatch.setattr(
        "pose_tf.predict.tracking.find_people",
        lambda image, score: searches.append(1) or (np.zeros((0, 4), np.float32), np.zeros(0, np.float32)),
    )
    write_matroska(tmp_path / "a.mkv", BURST, [marked(200, 100)] * 41)
    predict(MARKS, f"{tmp_path}/a.mkv", Options(f"{tmp_path}/out", outputs=("json",)))
    assert len(searches) == 4 + 21  # at 0, 0.2, 0.367 and 0.567 s, and at every frame that is 0.184 s after another


def test_a_recording_without_a_duration_is_not_called_damaged(tmp_path, caplog):
    write_matroska(tmp_path / "a.mkv", BURST, [marked(200, 100)] * 41)
    predict(MARKS, f"{tmp_path}/a.mkv", Options(f"{tmp_path}/out", GivenBoxes("whole"), outputs=("json",)))
    assert "damaged" not in caplog.text


def test_a_person_is_there_from_the_first_frame_to_the_last_that_was_found(tmp_path):
    """This holds although confirmation and time-out of a track take a while."""
    person = render_sample(0, 54, 9)["image"]
    writer = cv2.VideoWriter(f"{tmp_path}/a.avi", cv2.VideoWriter_fourcc(*"FFV1"), 15, (700, 300))
    for i in range(40):
        image = np.full((300, 700, 3), 128, np.uint8)
        if 5 <= i < 25:
            image[20:276, 40 + 5 * i : 296 + 5 * i] = person[..., ::-1]
        writer.write(image)
    writer.release()
    predict(MARKS, f"{tmp_path}/a.avi", Options(f"{tmp_path}/out", outputs=("npz",)))
    with np.load(f"{tmp_path}/out/a.npz") as found:
        assert set(found["person"]) == {1}
        first, last = found["frame"][0], found["frame"][-1]
        assert 5 <= first <= 8 and 21 <= last <= 25  # a search every third frame
        np.testing.assert_array_equal(found["frame"], np.arange(first, last + 1))


def test_smoothing_takes_the_trembling_out(video, tmp_path):
    for name, smooth in (("raw", False), ("smooth", True)):
        options = Options(f"{tmp_path}/{name}", GivenBoxes("30,20,60,60"), outputs=("json",), smooth=smooth)
        predict(MARKS, video, options)
    raw, smooth = (joints(f"{tmp_path}/{name}/walk.json") for name in ("raw", "smooth"))
    assert smooth[5:, 1].std() < 0.8 * raw[5:, 1].std()
    assert np.abs(smooth - raw)[:, 0].max() < 8


def test_no_more_than_the_frames_that_are_asked_for(video, tmp_path):
    predict(MARKS, video, Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60"), max_frames=7))
    assert len(joints(f"{tmp_path}/out/walk.json")) == 7


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
    assert int(cv2.VideoCapture(f"{tmp_path}/out/walk.mp4").get(cv2.CAP_PROP_FRAME_COUNT)) == 5


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


def test_a_cut_video_is_reported(video, tmp_path, caplog):
    with open(video, "rb") as file:
        data = file.read()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    predict(MARKS, f"{tmp_path}/cut.avi", Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60")))
    count = len(joints(f"{tmp_path}/out/cut.json"))
    assert 0 < count < 25
    assert f"cut.avi ends after {count} of 30 frames: it may be damaged" in caplog.text


def test_a_failing_estimator_leaves_nothing_half_written(video, tmp_path):
    def estimate(image_bytes, box):
        raise UserError("--server=localhost:1 does not answer")

    with pytest.raises(UserError, match="does not answer"):
        predict(PoseModel(Files(estimate)), video, Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60")))
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(("source", "number"), [("-", 0), ("-1", 1)])
def test_a_camera_is_read_until_ctrl_c(video, tmp_path, monkeypatch, source, number):
    opened = []
    capture = cv2.VideoCapture

    def camera(source, *backend):
        if isinstance(source, str):  # checks the written files
            return capture(source, *backend)
        opened.append(source)
        return capture(video)

    monkeypatch.setattr(cv2, "VideoCapture", camera)
    predict(interrupted(6), source, Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60")))
    assert opened == [number]
    with open(f"{tmp_path}/out/camera{number}.json") as file:
        found = json.load(file)
    assert len(found["frames"]) == 6
    times = [frame["time_s"] for frame in found["frames"]]
    assert times == sorted(set(times))  # of the clock
    assert found["fps"] == pytest.approx(5 / times[-1], rel=0.01)
    length = cv2.VideoCapture(f"{tmp_path}/out/camera{number}.mp4").get(cv2.CAP_PROP_FRAME_COUNT) / 10
    assert length == pytest.approx(times[-1], abs=0.16)


def test_samples_of_a_row_stay_few_and_even():
    spread = writers.Spread(4)
    for i in range(100):
        spread.offer(i, lambda: i)  # noqa: B023
    assert spread.kept == {0: 0, 32: 32, 64: 64, 96: 96}
