"""Tests of whole batches with Beam's direct runner, and a model whose results are known."""

import gzip
import os
import shutil

import numpy as np
import pytest

pytest.importorskip("apache_beam", reason="Apache Beam is not installed")

import pyarrow as pa
import pyarrow.dataset

from pose_tf.batch import handler, pipeline, tables
from pose_tf.batch.pipeline import Counts, Options, predict_batch
from pose_tf.data import records
from pose_tf.errors import UserError
from pose_tf.predict.model import PoseModel
from tests.predict.marks import MARKS, marked, write_photo

PLACES = [(50, 40), (30, 20), (70, 60), (20, 60)]


class Marks(PoseModel):
    """The model that puts all joints at the center of the white pixels, also in crops."""

    def __init__(self):
        super().__init__(MARKS._backend)

    def crops(self, images):
        places = [np.argwhere(image.min(axis=-1) > 128).mean(axis=0)[::-1] for image in images]
        pose2d = np.repeat(np.float32(places)[:, None], 17, axis=1)
        return {
            "pose2d": pose2d,
            "pose3d": np.zeros((len(images), 17, 3), np.float32),
            "confidence": np.ones((len(images), 17), np.float32),
        }


@pytest.fixture(autouse=True)
def marks(monkeypatch):
    """Replaces the starter and the finder, which finds the left half of the image."""
    monkeypatch.setattr(handler, "load", Marks)
    monkeypatch.setattr(handler, "find_people", lambda image, _: (np.float32([[0, 0, 75, 80]]), np.float32([0.75])))


@pytest.fixture
def photos(tmp_path):
    """A folder of four photos with a mark at each of PLACES."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, place in enumerate(PLACES):
        write_photo(folder / f"{number}.png", place)
    return folder


@pytest.fixture
def batch(tmp_path):
    """A function that runs a batch into one directory."""
    return lambda kind, *patterns, beam=(), **more: predict_batch(
        Options(kind, tuple(map(str, patterns)), f"{tmp_path}/out", **{"chunk_size": 2} | more), list(beam)
    )


@pytest.fixture
def rows(tmp_path):
    """A function that reads all rows of a table, sorted by file."""

    def read(table):
        files = sorted(map(str, (tmp_path / "out").glob(f"{table}-*.parquet")))
        found = pa.dataset.dataset(files).to_table().to_pylist() if files else []
        return sorted(found, key=lambda row: (row["file"], row["record"] or 0))

    return read


def first_joints(people):
    return [(os.path.basename(row["file"]), *np.round(row["pose2d_px"][:2])) for row in people]


def test_people_in_images_and_damaged_files(photos, batch, rows):
    (photos / "cut.png").write_bytes((photos / "0.png").read_bytes()[:60])
    (photos / "empty.png").touch()
    assert batch("input", f"{photos}/*.png") == Counts(6, 4, 2)
    expected = [(f"{number}.png", x - 0.5, y - 0.5) for number, (x, y) in enumerate(PLACES)]
    np.testing.assert_allclose([row[1:] for row in first_joints(rows("people"))], [row[1:] for row in expected], atol=1)
    assert [(row["file"], row["reason"]) for row in rows("errors")] == [
        (f"{photos}/{name}.png", f"{photos}/{name}.png is not an image that can be read") for name in ("cut", "empty")
    ]
    assert {row["score"] for row in rows("people")} == {0.75}
    assert [(row["file"], row["people"]) for row in rows("inputs")] == [
        *((f"{photos}/{number}.png", 1) for number in range(4)),
        *((f"{photos}/{name}.png", None) for name in ("cut", "empty")),
    ]


def test_another_run_does_only_what_is_new(photos, batch, rows):
    assert batch("input", f"{photos}/*.png", f"{photos}/0*") == Counts(4, 4, 0)
    assert batch("input", f"{photos}/*.png") == Counts(0, 0, 0)
    write_photo(photos / "new.png", (50, 40))
    assert batch("input", f"{photos}/*.png") == Counts(1, 1, 0)
    assert [os.path.basename(row["file"]) for row in rows("people")] == [*(f"{i}.png" for i in range(4)), "new.png"]


def test_after_a_crash_nothing_is_missing_and_nothing_twice(photos, batch, rows, monkeypatch, tmp_path):
    commit, written = tables.storage.write, []

    def crash(path, data):
        if len(written) == 4:  # settings, people and inputs of the first chunk, people of the second
            raise UserError(f"{path} cannot be written: No space left on device")
        written.append(path)
        commit(path, data)

    monkeypatch.setattr(tables.storage, "write", crash)
    with pytest.raises(
        UserError, match=r"inputs-\w+.parquet cannot be written: No space left on device; the same command contin"
    ):
        batch("input", f"{photos}/*.png")
    monkeypatch.undo()
    monkeypatch.setattr(handler, "load", Marks)
    monkeypatch.setattr(handler, "find_people", lambda image, _: (np.float32([[0, 0, 75, 80]]), np.float32([0.75])))
    assert len(rows("people")) == 4 and len(rows("inputs")) == 2
    write_photo(photos / "new.png", (50, 40))  # the remaining inputs are now chunked otherwise
    assert batch("input", f"{photos}/*.png") == Counts(3, 3, 0)
    names = [os.path.basename(row["file"]) for row in rows("people")]
    assert (
        names
        == [os.path.basename(row["file"]) for row in rows("inputs")]
        == [*(f"{i}.png" for i in range(4)), "new.png"]
    )


def test_boxes_in_csv_beside_the_photos(photos, batch, rows):
    lines = ["file,x,y,width,height,label", "0.png,0,0,100,80,a", f"{photos}/1.png,0,0,60,80,b", "1.png,10,10,60,60,c"]
    lines += ["2.png,a,0,9,9,d", "3.png,500,0,9,9,e", "none.png,0,0,9,9,f", ",0,0,9,9,g"]
    (photos / "boxes.csv").write_text("\n".join(lines))
    assert batch("boxes", f"{photos}/*.csv") == Counts(6, 3, 4)
    boxes = [(row["file"][-5:], row["person"], row["width"], row["score"]) for row in rows("people")]
    assert boxes == [("0.png", 1, 100, None), ("1.png", 1, 60, None), ("1.png", 2, 60, None)]
    assert [row["reason"].replace(f"{photos}/", "") for row in rows("errors")] == [
        "boxes.csv line 5: a,0,9,9 is not a box",
        "3.png: the box 500,0,9,9 is outside of its 100x80 pixels",
        "boxes.csv line 8: no file is named",
        "none.png does not exist",
    ]


def test_the_table_of_people_is_a_table_of_boxes(photos, batch, rows, tmp_path):
    batch("input", f"{photos}/*.png")
    before = rows("people")
    (tmp_path / "out").rename(tmp_path / "found")
    assert batch("boxes", f"{tmp_path}/found/people-*.parquet") == Counts(4, 4, 0)
    assert [row["x"] for row in rows("people")] == [row["x"] for row in before]


def write_h36m(path, *places):
    sample = {
        "offset": np.float32([100, 50]),
        "scale": np.float32(0.5),
        "intrinsics": np.float32([[1000, 400, 1000, 300]]),
        **dict.fromkeys(("camera", "subject", "action", "subaction"), 1),
    }
    sample["intrinsics_univ"] = sample["intrinsics"]
    samples = (sample | {"image": marked(256, 256, place)} for place in places)
    records.write(str(path), samples, records.H36M_TEST)


def test_records_of_human36m(tmp_path, batch, rows, monkeypatch):
    monkeypatch.setattr(handler, "CROPS_AT_ONCE", 2)
    cameras = []
    put_in_space = handler.put_in_space
    monkeypatch.setattr(handler, "put_in_space", lambda *values: cameras.append(values[3]) or put_in_space(*values))
    write_h36m(tmp_path / "a.tfrecord", (50, 40), (30, 20), (70, 60))
    whole = (tmp_path / "a.tfrecord").read_bytes()
    (tmp_path / "b.tfrecord").write_bytes(whole[:-3])
    (tmp_path / "c.tfrecord").touch()
    assert batch("records", f"{tmp_path}/*.tfrecord") == Counts(8, 6, 2)
    people = rows("people")
    assert [(row["file"][-10:], row["record"]) for row in people] == [
        (f"{name}.tfrecord", number) for name in "ab" for number in range(3)
    ]
    np.testing.assert_allclose([row["pose2d_px"][:2] for row in people[:3]], [(49.5, 39.5), (29.5, 19.5), (69.5, 59.5)])
    assert cameras[0].intrinsics == (500, 150, 500, 125)  # in pixels of the crop
    assert [(row["record"], row["reason"].replace(f"{tmp_path}/", "")) for row in rows("errors")] == [
        (3, "b.tfrecord is cut: the end of its ZLIB stream is missing"),
        (0, "c.tfrecord is empty"),
    ]


def test_records_of_mpii_keep_their_own_pixels(tmp_path, batch, rows):
    import cv2

    def sample(image):
        data = cv2.imencode(".jpg", image)[1].tobytes()
        return {"image": data, "pose2d": np.zeros((16, 2)), "visibility": np.zeros((1, 16))}

    path = str(tmp_path / "a.tfrecord")
    records.write(path, [sample(marked(512, 256, (100, 80), radius=8)), sample(marked(64, 64, (32, 16)))], records.MPII)
    assert batch("records", path) == Counts(2, 2, 0)
    np.testing.assert_allclose([row["pose2d_px"][:2] for row in rows("people")], [(99.5, 79.5), (31.5, 15.5)], atol=0.6)
    assert [(row["image_width"], row["image_height"]) for row in rows("inputs")] == [(512, 256), (64, 64)]


def test_a_damaged_record_among_others(tmp_path, batch, rows):
    import tensorflow as tf

    write_h36m(tmp_path / "a.tfrecord", (50, 40))
    (good,) = records.read_serialized(str(tmp_path / "a.tfrecord"), records.H36M_TEST)
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord"), "ZLIB") as writer:
        for data in (good, b"noise", good):
            writer.write(data)
    assert batch("records", tmp_path / "a.tfrecord") == Counts(3, 2, 1)
    assert [row["reason"] for row in rows("errors")] == [f"{tmp_path}/a.tfrecord record 1: not a tf.train.Example"]


def test_files_of_any_name_and_kind(photos, batch, rows, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    shutil.copy(photos / "0.png", os.fsencode(folder) + b"/\xff.png")
    shutil.copy(photos / "0.png", folder / "a\nb.png")
    (folder / "c.png.gz").write_bytes(gzip.compress((photos / "0.png").read_bytes()))
    os.mkfifo(folder / "pipe.png")
    assert batch("input", f"{folder}/*") == Counts(4, 2, 2)
    assert [row["file"].removeprefix(f"{folder}/") for row in rows("people")] == ["\\xff.png", "a\nb.png"]
    reasons = [row["reason"].removeprefix(f"{folder}/") for row in rows("errors")]
    assert reasons == ["c.png.gz is not an image that can be read", "pipe.png is not a file"]
    assert batch("input", f"{folder}/*") == Counts(0, 0, 0)


@pytest.mark.parametrize(
    ("beam", "message"),
    [
        (["--runer=DirectRunner"], "Beam has no option --runer"),
        (["--direct_num_workers=two"], "Beam: argument --direct_num_workers: invalid int value: 'two'"),
        (["--runner=Nobody"], "Unexpected pipeline runner: Nobody"),
    ],
)
def test_wrong_options_of_beam(photos, batch, beam, message):
    with pytest.raises(UserError, match=message):
        batch("input", f"{photos}/*.png", beam=beam)


@pytest.mark.parametrize(
    ("kind", "pattern", "message"),
    [
        ("input", "{}/none/*", r"/none/\* matches no file"),
        ("input", "gs://bucket/*", "gs://bucket/. cannot be read: .*apache-beam.gcp."),
        ("boxes", "{}/0.csv", "0.csv has no column x, y, width, height"),
    ],
)
def test_wrong_inputs(photos, batch, kind, pattern, message):
    (photos / "0.csv").write_text("file\n0.png\n")
    with pytest.raises(UserError, match=message):
        batch(kind, pattern.format(photos))
    assert not os.path.exists(photos.parent / "out")


def test_a_model_that_is_none(photos, batch, monkeypatch, tmp_path):
    monkeypatch.undo()
    with pytest.raises(UserError, match="is neither a SavedModel nor a directory of numbered SavedModels"):
        batch("input", f"{photos}/*.png", model=str(tmp_path))


def test_the_options_of_other_runners_pass():
    pipeline.parse(["--runner=FlinkRunner", "--flink_something=1"])
