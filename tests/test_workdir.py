"""Tests of the workdir: one process at a time trains in it, on the data with which the run began."""

import errno
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
import zlib

import ml_collections
import numpy as np
import pytest

from pose_tf import files
from pose_tf.data.fingerprint import fingerprint
from pose_tf.errors import UserError
from pose_tf.models.statistics import PoseStatistics
from pose_tf.workdir import Workdir

ROOT = pathlib.Path(__file__).parents[1]
HOLD = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pose_tf.workdir import Workdir
with Workdir(sys.argv[1]).locked():
    print("locked", flush=True)
    time.sleep(1000)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that trains in a workdir."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path, ROOT], stdout=subprocess.PIPE, text=True)
    while process.stdout.readline() != "locked\n":  # libraries may print something first
        assert process.poll() is None
    yield process
    process.kill()
    process.wait()


def test_a_second_training_is_refused_with_process_and_machine_until_the_first_is_killed(holder, tmp_path):
    workdir = Workdir(str(tmp_path))
    for _ in range(2):
        with pytest.raises(UserError) as caught, workdir.locked():
            pass
        machine = subprocess.run(["uname", "-n"], capture_output=True, text=True, check=True).stdout.strip()
        assert f"{tmp_path} is in use by process {holder.pid} on {machine}, since 20" in str(caught.value)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with workdir.locked():
        assert (tmp_path / "lock").read_text().startswith("process ")
        with pytest.raises(UserError, match="is in use by process"), Workdir(str(tmp_path)).locked():
            pass
    with workdir.locked():
        pass


def test_what_a_killed_training_left_unfinished_is_removed(tmp_path):
    for name in ("best.keras", ".partial-0123.keras"):
        (tmp_path / name).write_text("")
    with Workdir(str(tmp_path)).locked():
        assert sorted(path.name for path in tmp_path.iterdir()) == ["best.keras", "lock"]


def make_config(poses="", bank="", probability=0.0):
    return ml_collections.ConfigDict(
        {"data": {"poses": poses}, "occlusion": {"bank": bank, "probability": probability}}
    )


def write_records(folder, **sizes):
    (folder / "h36").mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        (folder / "h36" / name).write_bytes(bytes(size))


def test_records_are_told_apart_by_names_and_sizes_wherever_they_lie(tmp_path):
    write_records(tmp_path / "data", a=3, b=5)
    write_records(tmp_path / "copy", a=3, b=5)
    found = fingerprint(make_config(), str(tmp_path / "data"))
    assert found == {"records": {"a": "3 bytes, checksum 000000", "b": "5 bytes, checksum 00000000"}}
    assert found == fingerprint(make_config(), str(tmp_path / "copy"))
    workdir = Workdir(str(tmp_path))
    workdir.check_same_data(found, 7)  # of a new run
    files.write_json(workdir.file("data.json"), found | {"samples": 7})
    workdir.check_same_data(found, 7)
    write_records(tmp_path / "data", b=6, c=1)
    with pytest.raises(UserError, match=r"b of the records was 5 bytes.*, now it is 6 bytes.* \(1 more changed\)"):
        workdir.check_same_data(fingerprint(make_config(), str(tmp_path / "data")))
    (tmp_path / "copy" / "h36" / "a").unlink()
    with pytest.raises(UserError, match="a of the records was 3 bytes, checksum 000000, now it is missing; resume"):
        workdir.check_same_data(fingerprint(make_config(), str(tmp_path / "copy")))
    with pytest.raises(UserError, match="it had 7 training samples, now 6; resume"):
        workdir.check_same_data(found, 6)


@pytest.mark.parametrize("compress", [False, True])
def test_arrays_are_told_apart_by_what_they_hold(tmp_path, compress):
    def write(name, value):
        path = str(tmp_path / name)
        files.write_npz(path, compress, a=np.full(1000, value), b=np.zeros(3))
        return fingerprint(make_config(poses=path), None)["poses"]

    first = write("a.npz", 1)
    assert first == write("elsewhere.npz", 1)
    other = write("a.npz", 2)
    assert first.keys() == other.keys() == {"a.npy", "b.npy"}
    assert [name for name in first if first[name] != other[name]] == ["a.npy"]


def test_the_occluders_count_if_they_are_used(tmp_path):
    write_records(tmp_path, a=1)
    files.write_npz(str(tmp_path / "bank.npz"), pixels=np.zeros(3))
    bank = str(tmp_path / "bank.npz")
    assert "occluders" not in fingerprint(make_config(bank=bank), str(tmp_path))
    assert "pixels.npy" in fingerprint(make_config(bank=bank, probability=0.5), str(tmp_path))["occluders"]
    workdir = Workdir(str(tmp_path))
    found = fingerprint(make_config(bank=bank, probability=0.5), str(tmp_path))
    files.write_json(workdir.file("data.json"), found | {"samples": 1})
    files.write_npz(bank, pixels=np.ones(3))
    with pytest.raises(UserError, match="pixels.npy of the occluders was "):
        workdir.check_same_data(fingerprint(make_config(bank=bank, probability=0.5), str(tmp_path)))


def test_records_in_place_of_a_pose_file_are_other_data(tmp_path):
    write_records(tmp_path, a=1)
    workdir = Workdir(str(tmp_path))
    files.write_json(workdir.file("data.json"), {"poses": {"a.npy": "0"}, "samples": 7})
    with pytest.raises(UserError, match="it was started on poses, not records"):
        workdir.check_same_data(fingerprint(make_config(), str(tmp_path)), 7)


def test_records_of_the_same_size_are_told_apart_by_the_checksum_at_their_end(tmp_path):
    for name, text in (("one", b"hello"), ("other", b"jello")):
        (tmp_path / name / "h36").mkdir(parents=True)
        (tmp_path / name / "h36" / "a").write_bytes(zlib.compress(text))
    one, other = (fingerprint(make_config(), str(tmp_path / name))["records"]["a"] for name in ("one", "other"))
    assert one.split(",")[0] == other.split(",")[0] and one != other
    assert one.endswith(f"checksum {zlib.adler32(b'hello'):08x}")


@pytest.mark.parametrize("content", ["[]", "3", "{}", "null", '{"samples": "7"}', '{"samples": 7, "records": 1}', "{"])
def test_damaged_data_is_named(tmp_path, content):
    (tmp_path / "data.json").write_text(content)
    with pytest.raises(UserError, match="data.json is damaged: "):
        Workdir(str(tmp_path)).data()


def test_a_run_without_fingerprints_is_known_by_its_statistics(tmp_path, rng):
    """Runs of earlier versions lack it."""
    pose2d, pose3d = rng.uniform(0, 256, (9, 17, 2)), rng.normal(0, 300, (9, 17, 3))
    workdir = Workdir(str(tmp_path))
    workdir.check_same_statistics(PoseStatistics.of(pose3d, pose2d))
    files.write_json(workdir.file("statistics.json"), PoseStatistics.of(pose3d, pose2d).to_json())
    workdir.check_same_statistics(PoseStatistics.of(pose3d, pose2d))
    workdir.check_same_statistics(None)  # of a detector
    with pytest.raises(UserError, match="the poses had another mean and standard deviation"):
        workdir.check_same_statistics(PoseStatistics.of(pose3d[:5], pose2d[:5]))


def test_a_file_system_without_locks_is_a_warning_and_a_lock_that_may_not_be_opened_is_not(
    tmp_path, monkeypatch, capsys
):
    def refuse(number):
        def flock(*_):
            raise OSError(number, os.strerror(number))

        return flock

    (tmp_path / ".partial-1").write_text("")
    monkeypatch.setattr(fcntl, "flock", refuse(errno.ENOLCK))
    with Workdir(str(tmp_path)).locked():
        assert (tmp_path / ".partial-1").exists()  # may be another process's
    assert f"{tmp_path} does not support locks: do not start another run there" in capsys.readouterr().err
    monkeypatch.setattr(fcntl, "flock", refuse(errno.EIO))
    with pytest.raises(UserError, match="lock cannot be locked: Input/output error"), Workdir(str(tmp_path)).locked():
        pass
    (tmp_path / "folder" / "lock").mkdir(parents=True)
    with pytest.raises(UserError, match="lock cannot be opened: "), Workdir(str(tmp_path / "folder")).locked():
        pass


def test_imported_weights_are_not_taken_for_a_run(tmp_path):
    workdir = Workdir(str(tmp_path))
    assert workdir.config_of_run() is None
    config = {"stage": "detector", "flip_test": False, "model": {"name": "hrnet"}, "imported": "a.pth"}
    files.write_json(workdir.file("config.json"), config)
    with pytest.raises(UserError, match=f"contains imported weights: .* set config.init_from = {tmp_path}"):
        workdir.config_of_run()
