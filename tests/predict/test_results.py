"""Tests of result files: they hold the poses that were found."""

import csv
import json

import numpy as np
import pytest

from pose_tf.predict.camera import Camera
from pose_tf.predict.results import Frame, Person, Poses, is_result, write_coco, write_csv, write_json, write_npz

CAMERA = Camera((600.0, 319.5, 610.0, 239.5), "exif")
ROOT = np.float32([100, -50, 4000])


@pytest.fixture
def poses(rng):
    def person(number):
        pose2d, pose3d = rng.normal(100, 50, (17, 2)), rng.normal(0, 300, (17, 3))
        return Person(np.float32([1, 2, 30.5, 40]), pose2d, pose3d, rng.uniform(0, 1, 17), number, ROOT)

    frames = Frame(0.0, (person(1), person(2))), Frame(0.04, ()), Frame(0.08, (person(2),))
    return Poses('videos/a "walk".mp4', 640, 480, 25.0, CAMERA, frames)


EVERYONE = [(0, 0.0, 1), (0, 0.0, 2), (2, 0.08, 2)]


def people_of(poses):
    return [person for frame in poses.frames for person in frame.people]


def test_json_has_everything(poses, tmp_path):
    write_json(f"{tmp_path}/a.json", poses)
    text = (tmp_path / "a.json").read_text()
    assert len(text.splitlines()) == 1 + 3 + 1  # each frame has its own
    found = json.loads(text)
    assert [found[key] for key in ("source", "width", "height", "fps")] == ['videos/a "walk".mp4', 640, 480, 25.0]
    assert found["camera"] == {"intrinsics_px": [600.0, 319.5, 610.0, 239.5], "from": "exif"}
    assert found["joints"][:2] == ["Hip", "RHip"] and found["bones"][0] == [1, 0]
    assert [frame["frame"] for frame in found["frames"]] == [0, 1, 2]
    rows = [(frame["frame"], frame["time_s"], person) for frame in found["frames"] for person in frame["people"]]
    assert [(number, time, person["person"]) for number, time, person in rows] == EVERYONE
    for (_, _, read), person in zip(rows, people_of(poses), strict=True):
        np.testing.assert_allclose(read["box_px"], [1, 2, 30.5, 40])
        np.testing.assert_allclose(read["pose2d_px"], person.pose2d, atol=1e-3)
        np.testing.assert_allclose(read["pose3d_mm"], person.pose3d, atol=1e-3)
        np.testing.assert_allclose(read["confidence"], person.confidence, atol=1e-4)
        assert read["root3d_mm"] == [100.0, -50.0, 4000.0]


def test_csv_has_a_line_for_each_joint(poses, tmp_path):
    write_csv(f"{tmp_path}/a.csv", poses)
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 17
    assert [(int(row["frame"]), float(row["time_s"]), int(row["person"])) for row in rows[::17]] == EVERYONE
    assert rows[16]["joint"] == "RWrist" and rows[16]["person"] == "1"
    numbers = [[float(row[key]) for key in ("x_px", "y_px", "x_mm", "y_mm", "z_mm")] for row in rows]
    expected = np.concatenate([np.hstack([person.pose2d, person.pose3d]) for person in people_of(poses)])
    np.testing.assert_allclose(numbers, expected, atol=0.006)
    places = [[float(row[f"camera_{axis}_mm"]) for axis in "xyz"] for row in rows]
    np.testing.assert_allclose(places, expected[:, 2:] + [100, -50, 4000], atol=0.006)


H36M_OF_COCO = [11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3]
"""COCO's keypoints 5 to 16: left and right shoulder, elbow, wrist, hip, knee, ankle."""


def test_coco_results_have_its_order_and_zeros_for_the_face(poses, tmp_path):
    write_coco(f"{tmp_path}/a.coco.json", poses)
    found = json.loads((tmp_path / "a.coco.json").read_text())
    assert [one["image_id"] for one in found] == [0, 0, 2]  # frames of a video
    for one, person in zip(found, people_of(poses), strict=True):
        assert one["category_id"] == 1 and one["bbox"] == [1, 2, 30.5, 40]
        keypoints = np.reshape(one["keypoints"], (17, 3))
        assert (keypoints[:5] == 0).all() and (keypoints[5:, 2] == 1).all()
        np.testing.assert_allclose(keypoints[5:, :2], person.pose2d[H36M_OF_COCO], atol=1e-3)
        assert one["score"] == pytest.approx(person.confidence[H36M_OF_COCO].mean(), abs=1e-6)


@pytest.mark.parametrize(("name", "image_id"), [("000000000139.jpg", 139), ("in/walk.2.png", "walk.2"), ("²", "²")])
def test_the_id_of_a_photo_is_the_number_in_its_name(poses, tmp_path, name, image_id):
    poses = Poses(name, 640, 480, None, CAMERA, poses.frames[:1])
    write_coco(f"{tmp_path}/a.coco.json", poses)
    assert {one["image_id"] for one in json.loads((tmp_path / "a.coco.json").read_text())} == {image_id}


def test_a_joint_without_a_place_is_no_keypoint(poses, tmp_path):
    poses.frames[0].people[0].pose2d[11] = np.nan
    write_coco(f"{tmp_path}/a.coco.json", poses)
    first = json.loads((tmp_path / "a.coco.json").read_text())[0]
    assert first["keypoints"][15:18] == [0, 0, 0] and first["keypoints"][20] == 1


def test_files_of_other_programs_in_cocos_format_are_not_results(poses, tmp_path):
    write_coco(f"{tmp_path}/a.coco.json", poses)
    assert is_result(f"{tmp_path}/a.coco.json")
    content = json.loads((tmp_path / "a.coco.json").read_text())
    for indent in (None, 1):
        (tmp_path / "b.json").write_text(json.dumps(content, indent=indent))
        assert not is_result(f"{tmp_path}/b.json")


def test_npz_holds_arrays_over_people(poses, tmp_path):
    write_npz(f"{tmp_path}/a.npz", poses)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as found:
        assert list(zip(found["frame"], found["time_s"], found["person"])) == EVERYONE
        np.testing.assert_allclose(found["pose2d_px"], [person.pose2d for person in people_of(poses)], rtol=1e-6)
        np.testing.assert_allclose(found["pose3d_mm"], [person.pose3d for person in people_of(poses)], rtol=1e-6)
        np.testing.assert_allclose(found["confidence"], [person.confidence for person in people_of(poses)], rtol=1e-6)
        np.testing.assert_allclose(found["root3d_mm"], [[100, -50, 4000]] * 3)
        np.testing.assert_allclose(found["intrinsics_px"], [600, 319.5, 610, 239.5])
        assert found["box_px"].shape == (3, 4) and found["joints"][0] == "Hip"


def test_nobody_is_no_error(tmp_path):
    nobody = Poses("a.jpg", 64, 48, None, CAMERA, (Frame(0.0, ()),))
    for write, name in ((write_json, "json"), (write_csv, "csv"), (write_npz, "npz"), (write_coco, "coco")):
        write(f"{tmp_path}/a.{name}", nobody)
    assert json.loads((tmp_path / "a.json").read_text())["frames"] == [{"frame": 0, "time_s": 0.0, "people": []}]
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1
    with np.load(tmp_path / "a.npz") as found:
        assert found["pose2d_px"].shape == (0, 17, 2) and found["pose3d_mm"].shape == (0, 17, 3)
        assert found["root3d_mm"].shape == (0, 3)


def test_tables_of_earlier_versions_are_results_too(tmp_path):
    (tmp_path / "a.csv").write_text("frame,time_s,person,joint,x_px,y_px,x_mm,y_mm,z_mm,confidence\r\n")
    assert is_result(str(tmp_path / "a.csv"))
