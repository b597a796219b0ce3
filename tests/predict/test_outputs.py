"""Tests of the names of result files: they tell what they belong to, and replace nothing else."""

import json
import os

import pytest

from pose_tf.errors import UserError
from pose_tf.predict import outputs
from pose_tf.predict.camera import CameraOptions
from pose_tf.predict.media import MediaError
from pose_tf.predict.people import GivenBoxes
from pose_tf.predict.predictor import Options, predict
from pose_tf.predict.results import Poses, write_json
from tests.predict.marks import MARKS, marked, write_photo
from tests.predict.matroska import write_matroska

CAMERA = CameraOptions().camera(400, 240)


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


def test_each_output_has_its_ending():
    outputs_of_a_photo = outputs.result_files("out/a", False, outputs.OUTPUTS)
    assert outputs_of_a_photo == {
        "overlay": "out/a.png",
        "views": "out/a.views.png",
        "page": "out/a.html",
        "json": "out/a.json",
        "csv": "out/a.csv",
        "npz": "out/a.npz",
        "coco": "out/a.coco.json",
    }
    assert outputs.result_files("out/a", True, ("overlay", "csv")) == {"overlay": "out/a.mp4", "csv": "out/a.csv"}


def test_cocos_results_are_written_only_if_asked_for(tmp_path):
    write_photo(tmp_path / "000000000139.png", (50, 40))
    predict(MARKS, f"{tmp_path}/000000000139.png", Options(f"{tmp_path}/out", GivenBoxes("whole")))
    assert not list((tmp_path / "out").glob("*coco*"))
    for _ in range(2):  # the second time, the file is recognized as a result and replaced
        options = Options(f"{tmp_path}/out", GivenBoxes("whole"), outputs=("coco",))
        predict(MARKS, f"{tmp_path}/000000000139.png", options)
    (entry,) = json.loads((tmp_path / "out" / "000000000139.coco.json").read_text())
    assert entry["image_id"] == 139 and len(entry["keypoints"]) == 51
    (tmp_path / "out" / "000000000139.coco.json").write_text('[{"image_id": 139}]')  # somebody else's
    with pytest.raises(UserError, match="results would replace .*/000000000139.coco.json"):
        predict(MARKS, f"{tmp_path}/000000000139.png", options)


def test_names_that_clash_keep_their_suffix_and_others_do_not():
    assert outputs.name_results(["in/a.jpg", "in/b.mp4"], "out") == {"in/a.jpg": "out/a", "in/b.mp4": "out/b"}
    clash = ["in/a.jpg", "in/a.mp4"]
    assert outputs.name_results(clash, "out") == {name: name.replace("in", "out") for name in clash}


def test_a_path_that_is_not_utf_8_is_told_with_escapes():
    assert outputs.readable("caf\u00e9.jpg") == "caf\u00e9.jpg"
    assert outputs.readable(os.fsdecode(b"w\xfc.jpg")) == r"w\xfc.jpg"


def test_a_link_to_an_input_is_not_replaced(tmp_path):
    write_json(f"{tmp_path}/a.json", Poses("a.jpg", 64, 48, None, CAMERA, []))  # a result, which could be replaced
    (tmp_path / "b.json").symlink_to(tmp_path / "a.json")
    outputs.check_results("b.jpg", {"json": f"{tmp_path}/b.json"}, set())
    with pytest.raises(MediaError, match=f"^b.jpg: results would replace {tmp_path}/b.json; choose another output dir"):
        outputs.check_results("b.jpg", {"json": f"{tmp_path}/b.json"}, {f"{tmp_path}/a.json"})
