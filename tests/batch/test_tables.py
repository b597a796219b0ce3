"""Tests of the tables of a batch: their columns, what counts as done, and settings."""

import json

import numpy as np
import pytest

pytest.importorskip("apache_beam", reason="Apache Beam is not installed")

import pyarrow.parquet as pq

from pose_tf.batch import tables
from pose_tf.errors import UserError
from pose_tf.predict.results import Person
from pose_tf.skeleton import Skeleton

LEG = Skeleton("leg", ("Hip", "Knee"), ((1, 0),))


def person(root3d):
    return Person(
        box=np.float32([1, 2, 30, 40]),
        pose2d=np.float32([[5, 6], [7, 8]]),
        pose3d=np.float32([[0, 0, 0], [10, 400, 20]]),
        confidence=np.float32([0.5, 0.75]),
        number=1,
        root3d=np.float32(root3d),
    )


@pytest.fixture
def rows():
    rows = tables.Rows("c", LEG)
    rows.add("a.jpg", None, (64, 48), [person([0, 0, 3000])], [0.5])
    rows.add("b.jpg", None, (64, 48), [])
    rows.add("r.tfrecord", 7, (256, 256), [person([np.nan] * 3)])
    rows.add_error("c.jpg", None, "\udcff.jpg is not an image")
    return rows


def table(folder, name):
    return pq.read_table(f"{folder}/{name}-c.parquet")


def test_a_row_for_each_person_each_error_and_each_input(rows, tmp_path):
    tables.commit(str(tmp_path), rows)
    box = {"x": 1.0, "y": 2.0, "width": 30.0, "height": 40.0}
    pose = {"pose2d_px": [5, 6, 7, 8], "pose3d_mm": [0, 0, 0, 10, 400, 20], "confidence": [0.5, 0.75]}
    people = table(tmp_path, "people").to_pylist()
    assert np.isnan(people[1].pop("root3d_mm")).all()
    assert people == [
        {"file": "a.jpg", "record": None, "person": 1, **box, "score": 0.5, **pose, "root3d_mm": [0, 0, 3000]},
        {"file": "r.tfrecord", "record": 7, "person": 1, **box, "score": None, **pose},
    ]
    assert table(tmp_path, "errors").to_pylist() == [
        {"file": "c.jpg", "record": None, "reason": "\\udcff.jpg is not an image"}
    ]
    inputs = [tuple(row.values()) for row in table(tmp_path, "inputs").to_pylist()]
    assert inputs == [
        ("a.jpg", None, 64, 48, 1),
        ("b.jpg", None, 64, 48, 0),
        ("r.tfrecord", 7, 256, 256, 1),
        ("c.jpg", None, None, None, None),
    ]


def test_people_are_arrays_of_joints_whose_names_the_file_has(rows, tmp_path):
    tables.commit(str(tmp_path), rows)
    people = table(tmp_path, "people")
    poses = people["pose2d_px"].combine_chunks().flatten().to_numpy().reshape(-1, 2, 2)
    np.testing.assert_array_equal(poses, [[[5, 6], [7, 8]]] * 2)
    assert json.loads(people.schema.metadata[b"joints"]) == ["Hip", "Knee"]


def test_a_chunk_is_done_when_its_inputs_are_written_and_remains_of_others_go(rows, tmp_path):
    tables.commit(str(tmp_path), rows)
    (tmp_path / "inputs-c.parquet").rename(tmp_path / "inputs-d.parquet")
    (tmp_path / "people-d.parquet").write_bytes((tmp_path / "people-c.parquet").read_bytes())
    assert not tables.is_done(str(tmp_path), "c") and tables.is_done(str(tmp_path), "d")
    tables.remove_remains(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"inputs-d.parquet", "people-d.parquet"}


def test_the_name_of_a_chunk_depends_on_its_inputs_alone():
    assert tables.chunk_name(["a", "b"]) == tables.chunk_name(["b", "a"]) != tables.chunk_name(["ab"])


def test_a_directory_keeps_its_settings(tmp_path):
    folder = str(tmp_path / "out")
    for _ in range(2):
        tables.check_settings(folder, {"model": None, "fov": 55})
    with pytest.raises(UserError, match="out holds results of other settings: model null; choose another directory"):
        tables.check_settings(folder, {"model": "/m", "fov": 55})
    (tmp_path / "out" / "settings.json").write_text("[]")
    with pytest.raises(UserError, match="settings.json is damaged"):
        tables.check_settings(folder, {"model": None})
