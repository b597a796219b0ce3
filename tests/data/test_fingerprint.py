"""Tests of fingerprints: they change if the data changes, and only then."""

import io
import os
import zlib

import numpy as np
import pytest

from pose_tf import files
from pose_tf.data import records
from pose_tf.data.fingerprint import fingerprint, of_records
from pose_tf.errors import UserError
from pose_tf.workdir import Workdir
from tests.data.fingerprinted import make_config, write_records
from tests.data.photos import make_photo


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


def test_a_detectors_errors_count_if_they_are_used(tmp_path):
    config = make_config(poses=str(tmp_path / "poses.npz"))
    for name in ("poses", "errors"):
        files.write_npz(str(tmp_path / f"{name}.npz"), a=np.zeros(3))
    assert "errors" not in fingerprint(config, None)
    config.augment = {"errors": str(tmp_path / "errors.npz")}
    assert fingerprint(config, None)["errors"].keys() == {"a.npy"}


def test_records_of_the_same_size_are_told_apart_by_the_checksum_at_their_end(tmp_path):
    for name, text in (("one", b"hello"), ("other", b"jello")):
        (tmp_path / name / "h36").mkdir(parents=True)
        (tmp_path / name / "h36" / "a").write_bytes(zlib.compress(text))
    one, other = (fingerprint(make_config(), str(tmp_path / name))["records"]["a"] for name in ("one", "other"))
    assert one.split(",")[0] == other.split(",")[0] and one != other
    assert one.endswith(f"checksum {zlib.adler32(b'hello'):08x}")


@pytest.mark.parametrize("changed", range(4))
def test_photographs_are_told_apart_by_every_record(tmp_path, changed):
    """Corrected labels change neither the size of a file nor, except in the last record, its end."""
    photos = [make_photo(number) for number in range(4)]
    path = f"{tmp_path}/mpii/a"
    records.write(path, photos, records.MPII)
    size, before = os.path.getsize(path), of_records(str(tmp_path), "mpii")
    records.write(path, photos, records.MPII)
    assert of_records(str(tmp_path), "mpii") == before
    photos[changed]["visibility"][0, 3] = 0
    records.write(path, photos, records.MPII)
    assert os.path.getsize(path) == size and of_records(str(tmp_path), "mpii") != before
    for damaged in (b"", b"\xff", b"\xff" * 50):  # claims a record of any length
        (tmp_path / "mpii" / "a").write_bytes(damaged)
        assert of_records(str(tmp_path), "mpii")["a"].startswith(f"{len(damaged)} bytes, checksum ")


def test_a_pose_file_is_read_in_place_of_the_records(tmp_path):
    write_records(tmp_path, a=1)
    files.write_npz(str(tmp_path / "poses.npz"), pose3d=np.zeros(3))
    found = fingerprint(make_config(poses=str(tmp_path / "poses.npz")), str(tmp_path))
    assert found.keys() == {"poses"} and found["poses"].keys() == {"pose3d.npy"}


def test_an_array_is_known_by_its_crc_and_its_size(tmp_path):
    array = np.arange(6, dtype=np.float32)
    files.write_npz(str(tmp_path / "poses.npz"), a=array)
    buffer = io.BytesIO()
    np.save(buffer, array)
    data = buffer.getvalue()
    found = fingerprint(make_config(poses=str(tmp_path / "poses.npz")), None)
    assert found == {"poses": {"a.npy": f"{zlib.crc32(data):08x} ({len(data)} bytes)"}}


@pytest.mark.parametrize("content", [None, b"", b"Dear reader", b"PK\3\4"])
def test_what_cannot_be_read_has_no_fingerprint(tmp_path, content):
    """Reading it later reports it."""
    if content is not None:
        (tmp_path / "poses.npz").write_bytes(content)
    assert fingerprint(make_config(poses=str(tmp_path / "poses.npz")), None) == {}


def test_records_shorter_than_a_checksum_and_no_records(tmp_path):
    write_records(tmp_path / "a", short=2)
    assert fingerprint(make_config(), str(tmp_path / "a")) == {"records": {"short": "2 bytes, checksum 0000"}}
    assert fingerprint(make_config(), None) == {}
    with pytest.raises(UserError, match=f"{tmp_path}/b"):
        fingerprint(make_config(), str(tmp_path / "b"))
