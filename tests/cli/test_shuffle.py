"""Tests of `pose-tf shuffle`."""

import os
import signal
import time

import pytest

from pose_tf.data import records


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def data_dir(sample_data, tmp_path_factory):
    """The 40 images of the sample data, ten times."""
    folder = tmp_path_factory.mktemp("in_order")
    (whole,) = (sample_data / "h36").iterdir()
    (folder / "h36").mkdir()
    for number in range(10):
        (folder / "h36" / f"{number}.tfrecord").write_bytes(whole.read_bytes())
    return folder


def test_the_command_writes_all_records_in_another_order(run_tool, data_dir, tmp_path):
    done = run_tool("shuffle", f"--data_dir={data_dir}", f"--output_dir={tmp_path}/out", "--shards=2")
    assert done.stdout == f"400 records in {tmp_path}/out/h36\n"
    before, after = (
        [data for shard in records.list_shards(str(folder)) for data in records.read_serialized(shard, records.H36M)]
        for folder in (data_dir, tmp_path / "out")
    )
    assert before != after and sorted(before) == sorted(after)


def test_a_killed_command_resumes(run_tool, start_tool, data_dir, tmp_path):
    flags = (f"--data_dir={data_dir}", "--shards=60", "--seed=3")
    run_tool("shuffle", *flags, f"--output_dir={tmp_path}/whole")
    process = start_tool("shuffle", *flags, f"--output_dir={tmp_path}/killed")
    deadline = time.monotonic() + 100
    while not list((tmp_path / "killed").rglob("complete/*.tfrecord")):
        assert process.poll() is None and time.monotonic() < deadline, process.errors.read_text()
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "h36").exists()
    run_tool("shuffle", *flags, f"--output_dir={tmp_path}/killed")
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert os.listdir(tmp_path / "killed") == ["h36"]


def test_faults_are_one_sentence(fails, data_dir, tmp_path):
    assert "--output_dir is missing" in fails("shuffle", f"--data_dir={data_dir}")
    assert "must not contain the records" in fails("shuffle", f"--data_dir={data_dir}", f"--output_dir={data_dir}")
    assert "contains no records" in fails("shuffle", f"--data_dir={tmp_path}", f"--output_dir={tmp_path}/out")
    (tmp_path / "h36").mkdir()
    damaged = (data_dir / "h36" / "0.tfrecord").read_bytes()
    (tmp_path / "h36" / "0.tfrecord").write_bytes(damaged[: len(damaged) // 2])
    message = fails("shuffle", f"--data_dir={tmp_path}", f"--output_dir={tmp_path}/out")
    assert f"{tmp_path}/h36/0.tfrecord record " in message and "the file ends in the middle of it" in message
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
