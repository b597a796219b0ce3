"""Tests of the records' files: determinism, what is missing, and resuming."""

import ast
import json
import os
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from pose_tf.data import converters, inspection, records
from pose_tf.data.converters import convert, writing
from pose_tf.errors import UserError
from tests.data.converters.layouts import (
    MPII_NAMES,
    PERSON,
    coco_crowd,
    coco_person,
    people_in_world,
    see,
    write_coco,
    write_photo,
    write_videopose3d,
)
from tests.data.converters.test_videopose3d import options as options_of_videopose3d

PEOPLE = 12


@pytest.fixture
def data(tmp_path):
    """Twelve people in four photos, one of which is missing, and a crowd; the options to convert them in 4 files."""
    people = [coco_person(image_id=1 + i % 4, box=(100 + i, 30, 100, 150 + i)) for i in range(PEOPLE)] + [coco_crowd()]
    write_coco(tmp_path / "people.json", people, images=4)
    for number in (1, 2, 4):
        write_photo(tmp_path / "images" / f"{number:012d}.jpg", (100, 100))
    paths = {"annotations": str(tmp_path / "people.json"), "images": str(tmp_path / "images")}
    return paths | {"min_joints": 6, "min_side": 48.0, "people_per_file": 3}


def content(folder):
    """{name: bytes} of all files, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_input_gives_the_same_bytes_whatever_the_number_of_threads(tmp_path, data, monkeypatch):
    results = []
    for number, threads in enumerate((1, 2, 7)):
        monkeypatch.setattr(os, "cpu_count", lambda threads=threads: threads)
        folder = tmp_path / f"output{number}"
        _, count, left_out = convert("coco", str(folder), **data)
        assert count == 9 and left_out == {"crowd": 1, "image missing": 3}
        results.append(content(folder))
    assert results[0] == results[1] == results[2]
    assert {name for name in results[0] if name.startswith("mpii")} <= {
        f"mpii/coco_{i:05d}-of-00004.tfrecord" for i in range(4)
    }
    assert not inspection.inspect(str(tmp_path / "output0")).faults


def test_photos_are_shuffled_and_all_there(output, data):
    convert("coco", str(output), **data)
    paths = records.list_shards(str(output), "mpii")
    order = [
        sample["pose2d"][MPII_NAMES.index("right_knee")]
        for path in paths
        for sample in records.read(path, records.MPII)
    ]
    # The box of person i is i px to the right and i px higher, so the scale tells who it is.
    x, y = PERSON["right_knee"]
    expected = []
    for i in range(PEOPLE):
        if i % 4 != 2:
            side = 1.25 * (150 + i)
            scale = 256 / side
            left, top = 100 + i + 50 - side / 2, 30 + (150 + i) / 2 - side / 2
            expected.append([(x + 0.5 - left) * scale - 0.5, (y + 0.5 - top) * scale - 0.5])
    places = [int(np.argmin(np.linalg.norm(np.array(expected) - joint, axis=1))) for joint in order]
    assert sorted(places) == list(range(9)) and places != list(range(9))


def test_several_data_sets_share_a_directory(output, data):
    convert("coco", str(output), **data)
    before = content(output)
    convert("coco", str(output), name="other", **data)
    after = content(output)
    assert {name: after[name] for name in before} == before
    renamed = {name.replace("coco", "other") for name in before}
    assert after.keys() == before.keys() | renamed
    assert inspection.inspect(str(output)).samples == {"mpii": 18}


@pytest.mark.parametrize("after", range(5))
def test_an_interrupted_conversion_resumes(tmp_path, output, data, monkeypatch, after):
    convert("coco", str(tmp_path / "whole"), **data)
    written, write, lock = [], records.write, threading.Lock()

    def interrupted(path, samples, schema):
        with lock:
            written.append(path)
            if len(written) > after:
                raise KeyboardInterrupt
        return write(path, samples, schema)

    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(writing.records, "write", interrupted)
    if after < 4:
        with pytest.raises(KeyboardInterrupt):
            convert("coco", str(output), **data)
        assert len(written) > after
    monkeypatch.setattr(writing.records, "write", write)
    (output / ".partial-coco").mkdir(parents=True, exist_ok=True)
    (output / ".partial-coco" / "coco_00001-of-00004.tfrecord").write_bytes(b"left by a killed process")
    _, count, left_out = convert("coco", str(output), **data)
    assert count == 9 and left_out == {"crowd": 1, "image missing": 3}
    assert content(output) == content(tmp_path / "whole")


def test_what_is_complete_is_not_read_again(output, data, tmp_path):
    first = convert("coco", str(output), **data)
    before = content(output)
    shutil.rmtree(tmp_path / "images")
    assert convert("coco", str(output), **data) == first
    assert content(output) == before


def test_a_file_that_was_removed_is_written_again(output, data):
    convert("coco", str(output), **data)
    before = content(output)
    (output / "mpii" / "coco_00001-of-00004.tfrecord").unlink()
    convert("coco", str(output), **data)
    assert content(output) == before


CHANGES = {
    "other annotations": lambda data, path: data.update(annotations=str(path)),
    "other people": lambda data, path: write_coco(path.parent / "people.json", [coco_person()] * 9, images=4),
    "other images": lambda data, path: data.update(images=shutil.copytree(data["images"], f"{path.parent}/copies")),
    "other files": lambda data, path: data.update(people_per_file=4),
    "other joints": lambda data, path: data.update(min_joints=5),
    "other sides": lambda data, path: data.update(min_side=20.0),
}
DIFFERENCES = {
    "other annotations": "annotations {0}/people.json, now {0}/copy.json",
    "other people": "the number of people 12, now 9",
    "other images": "images {0}/images, now {0}/copies",
    "other files": "people_per_file 3, now 4",
    "other joints": "min_joints 6, now 5",
    "other sides": "min_side 48.0, now 20.0",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_conversion_does_not_resume_with_other_input(tmp_path, output, data, change):
    convert("coco", str(output), **data)
    before = content(output)
    shutil.copy(data["annotations"], tmp_path / "copy.json")
    CHANGES[change](data, tmp_path / "copy.json")
    with pytest.raises(UserError) as caught:
        convert("coco", str(output), **data)
    assert str(caught.value) == (
        f"{output}/coco.json describes a conversion with {DIFFERENCES[change].format(tmp_path)}; give another "
        "--output_dir or --name, or remove the files of that conversion"
    )
    assert content(output) == before
    assert convert("coco", str(output), name="other", **data)[1]


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"input": {}}', b"\xff\xfe"])
def test_a_damaged_list_of_what_is_complete_is_refused(output, data, text):
    convert("coco", str(output), **data)
    path = output / "coco.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match="coco.json (is damaged; remove it|describes a conversion)"):
        convert("coco", str(output), **data)
    values = {"input": 0, "people_per_file": 3, "left_out": {}, "files": 5}
    path.write_text(json.dumps(values))
    with pytest.raises(UserError):
        convert("coco", str(output), **data)


def test_if_all_images_are_missing_another_attempt_starts_anew(tmp_path, output, data):
    images = tmp_path / "images"
    images.rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="^no person could be used: 12 image missing, 1 crowd$"):
        convert("coco", str(output), **data)
    assert not content(output)
    (tmp_path / "elsewhere").rename(images)
    assert convert("coco", str(output), **data)[1] == 9


@pytest.mark.parametrize("place", ["output", "output/mpii", "output/coco.json/any"])
def test_an_output_that_cannot_be_written_is_refused(tmp_path, data, place):
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")
    with pytest.raises(UserError, match=str(tmp_path / "output")):
        convert("coco", str(tmp_path / "output"), **data)


def test_a_pose_file_is_the_same_twice_and_leaves_nothing_else(tmp_path, output, rng):
    world = {"S1": {"Walking": people_in_world(rng, 12)}}
    write_videopose3d(tmp_path, world, see(world))
    results = []
    for folder in (output, tmp_path / "again"):
        convert("videopose3d", str(folder), **options_of_videopose3d(tmp_path))
        results.append(content(folder))
    assert results[0] == results[1] and set(results[0]) == {"videopose3d.npz"}
    output.joinpath("file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        convert("videopose3d", str(output / "file"), **options_of_videopose3d(tmp_path))


# ------------------------------------------------------------------------------------------------------------ options


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("coco", {"poses2d": "a"}, "--poses2d is not an option of --from=coco; its options are --annotations, "),
        ("coco", {"every": 2}, "--every is not an option of --from=coco"),
        ("h36m", {"min_side": 48.0}, "--min_side is not an option of --from=h36m"),
        ("h36m_fetch", {"images": "a"}, "--images is not an option of --from=h36m_fetch"),
        ("mpi_inf_3dhp", {"min_joints": 1}, "--min_joints is not an option of --from=mpi_inf_3dhp"),
        ("videopose3d", {"images": "a"}, "--images is not an option of --from=videopose3d"),
        ("coco", {"images": None, "min_joints": 6, "min_side": 48.0}, "--from=coco needs --images"),
        ("mpii", {"min_joints": 6, "min_side": 48.0}, "--from=mpii needs --images"),
        ("lsp", {"images": "a", "min_joints": 6}, "--from=lsp needs --min_side"),
        ("videopose3d", {"every": 1}, "--from=videopose3d needs --poses2d"),
        ("h36m", {"images": None}, "--from=h36m needs --every"),
    ],
)
def test_options_must_be_those_of_the_format(refusal, source, options, message):
    assert refusal(source, annotations="none", **options).startswith(message)


def test_options_of_other_formats_may_be_none(output, data):
    assert convert("coco", str(output), poses2d=None, every=None, **data)[1] == 9


def test_the_command_knows_all_formats():
    """As a process: two modules that define flags cannot be imported into one."""
    code = "from pose_tf.cli import convert; print(convert.FORMATS, convert.VIDEO_FORMATS, sep='\\n')"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    formats, of_videos = (set(ast.literal_eval(line)) for line in printed.splitlines()[-2:])
    assert formats == set(converters.READERS) and of_videos < formats


def test_two_conversions_into_one_directory_do_not_disturb_each_other(output, data, tmp_path):
    """One that is under way keeps its unfinished files; one of the same name is refused."""
    with writing._unfinished(str(output), "other") as unfinished:
        partial = os.path.join(unfinished, "other_00000-of-00001.tfrecord")
        open(partial, "wb").close()
        convert("coco", str(output), **data)
        assert os.path.exists(partial)
        with pytest.raises(UserError, match="another process is writing other to .*; give another --name"):
            convert("coco", str(output), name="other", **data)
    assert not os.path.exists(unfinished)


@pytest.mark.parametrize("name", ["a/b", ".a", "../a"])
def test_a_name_with_a_folder_is_refused(output, data, name):
    with pytest.raises(UserError, match=f"--name={name} must be the beginning of a file's name, without a folder"):
        convert("coco", str(output), name=name, **data)
