"""Tests that files and directories are complete or absent."""

import os
import pathlib

import numpy as np
import pytest

from pose_tf import files
from pose_tf.errors import UserError


def test_a_file_appears_when_it_is_complete_and_replaces_the_one_before(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with files.replacing(str(path)) as temporary:
        (tmp_path / "new" / os.path.basename(temporary)).write_text("whole")
        assert not path.exists()
    with files.replacing(str(path)) as temporary, open(temporary, "w") as file:
        file.write("newer")
        assert path.read_text() == "whole"
    assert path.read_text() == "newer"
    assert os.listdir(tmp_path / "new") == ["a.txt"]


def test_an_error_leaves_the_file_as_it_was(tmp_path):
    (tmp_path / "a.txt").write_text("before")
    with pytest.raises(ValueError), files.replacing(str(tmp_path / "a.txt")) as temporary:
        open(temporary, "w").close()
        raise ValueError
    assert os.listdir(tmp_path) == ["a.txt"]
    assert (tmp_path / "a.txt").read_text() == "before"


def test_of_two_who_write_the_same_file_at_a_time_the_last_one_wins(tmp_path):
    path = str(tmp_path / "a.mp4")
    with files.replacing(path) as first:
        with files.replacing(path) as second:
            assert first != second
            assert first.endswith(".mp4") and second.endswith(".mp4")
            for name, text in ((first, "first"), (second, "second")):
                with open(name, "w") as file:
                    file.write(text)
        assert pathlib.Path(path).read_text() == "second"
    assert pathlib.Path(path).read_text() == "first"
    assert os.listdir(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize("name", ["n" * 251 + ".txt", "ä" * 125 + ".txt", "x" * 255, "x." + "y" * 253])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path, name):
    files.write_json(str(tmp_path / name), [1])
    assert os.listdir(tmp_path) == [name]


def test_a_name_that_is_too_long_or_a_file_in_place_of_the_folder_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="x.json cannot be written: File name too long"):
        files.write_json(str(tmp_path / ("x" * 256 + "x.json")), [])
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/a.json cannot be written: (File exists|Not a directory)"):
        files.write_json(str(tmp_path / "file" / "a.json"), [])


def test_a_directory_appears_with_all_its_files(tmp_path):
    path = tmp_path / "run" / "1"
    with files.completing_directory(str(path)) as temporary:
        os.makedirs(os.path.join(temporary, "inner"))
        open(os.path.join(temporary, "inner", "a"), "w").close()
        assert not path.exists()
    assert os.listdir(path / "inner") == ["a"]
    with pytest.raises(OSError), files.completing_directory(str(path)):
        pass
    assert os.listdir(tmp_path / "run") == ["1"]


def test_what_is_renamed_has_been_flushed_and_the_folder_afterwards(tmp_path, monkeypatch):
    """After a power failure right after the rename, the file must have its content; it must not be empty."""
    events = []
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: events.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    rename, replace = os.rename, os.replace
    monkeypatch.setattr(files.os, "rename", lambda *names: (events.append("rename"), rename(*names)))
    monkeypatch.setattr(files.os, "replace", lambda *names: (events.append("rename"), replace(*names)))
    files.write_json(str(tmp_path / "a.json"), [])
    content, renamed, folder = events
    assert files.PARTIAL in content and renamed == "rename" and folder == str(tmp_path)
    events.clear()
    with files.completing_directory(str(tmp_path / "1")) as temporary:
        open(os.path.join(temporary, "a"), "w").close()
    assert events == [f"{temporary}/a", temporary, "rename", str(tmp_path)]


def test_a_file_system_that_flushes_no_directories_takes_files_all_the_same(tmp_path, monkeypatch):
    fsync = os.fsync

    def refuse(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(22, "Invalid argument")
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", refuse)
    files.write_json(str(tmp_path / "a.json"), [])
    with files.completing_directory(str(tmp_path / "1")) as temporary:
        os.makedirs(os.path.join(temporary, "inner"))
    assert sorted(os.listdir(tmp_path)) == ["1", "a.json"]


def test_arrays_come_back_and_a_full_disk_is_one_sentence(tmp_path, monkeypatch, capfd):
    values = np.arange(5)
    for compress in (False, True):
        files.write_npz(str(tmp_path / "a.npz"), compress, values=values)
        np.testing.assert_array_equal(np.load(tmp_path / "a.npz")["values"], values)
    with pytest.raises(UserError, match="full.npz cannot be written: No space left on device"):
        monkeypatch.setattr(files, "_temporary", lambda folder, ending: "/dev/full")
        monkeypatch.setattr(files.os, "remove", lambda path: None)
        files.write_npz(str(tmp_path / "full.npz"), values=np.zeros(100_000))
    assert capfd.readouterr().err == ""


def test_arrays_are_read_back_and_what_is_missing_is_named(tmp_path):
    path = f"{tmp_path}/a.npz"
    with pytest.raises(UserError, match=f"^{path} does not exist$"):
        files.read_npz(path, "a table", ("values",))
    files.write_npz(path, values=np.arange(3), others=np.array([None]))
    assert {key: value.tolist() for key, value in files.read_npz(path, "a table", ("values",), ("more",)).items()} == {
        "values": [0, 1, 2]
    }
    with pytest.raises(UserError, match=f"^{path} has no array 'more'$"):
        files.read_npz(path, "a table", ("values", "more"))
    with pytest.raises(UserError, match=f"^{path} cannot be read as a table: Object arrays cannot be loaded"):
        files.read_npz(path, "a table", ("others",))
    (tmp_path / "a.npz").write_text("text")
    with pytest.raises(UserError, match=f"^{path} cannot be read as a table: "):
        files.read_npz(path, "a table", ("values",))
