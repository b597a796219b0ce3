"""Tests of `pose-tf convert`."""

import os
import signal
import time

import numpy as np
import pytest

from pose_tf.data.poses import read_pose_file
from tests.data.converters.layouts import coco_person, people_in_world, see, write_coco, write_photo, write_videopose3d

PEOPLE = 400


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def flags(tmp_path):
    """The flags of a conversion of photos, without --output_dir."""
    write_coco(tmp_path / "people.json", [coco_person(image_id=1 + i % 2) for i in range(PEOPLE)], images=2)
    for number in (1, 2):
        write_photo(tmp_path / "images" / f"{number:012d}.jpg", (100, 100))
    return ("--from=coco", f"--annotations={tmp_path}/people.json", f"--images={tmp_path}/images")


def test_a_killed_conversion_resumes(run_tool, start_tool, flags, tmp_path):
    flags = (*flags, "--people_per_file=10")
    done = run_tool("convert", *flags, f"--output_dir={tmp_path}/whole")
    assert done.stdout == f"{PEOPLE} people in {tmp_path}/whole/mpii\n"
    process = start_tool("convert", *flags, f"--output_dir={tmp_path}/killed")
    deadline = time.monotonic() + 100
    while len(list((tmp_path / "killed").rglob("*.tfrecord"))) < 8:
        assert process.poll() is None and time.monotonic() < deadline, process.errors.read_text()
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    names = content(tmp_path / "killed").keys()
    assert len([name for name in names if name.startswith("mpii/coco")]) < 40
    run_tool("convert", *flags, f"--output_dir={tmp_path}/killed")
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_who_is_left_out_is_printed(run_tool, flags, tmp_path):
    os.remove(tmp_path / "images" / "000000000002.jpg")
    done = run_tool(
        "convert", *flags, f"--output_dir={tmp_path}/output", "--name=part", "--min_joints=3", "--min_side=9"
    )
    assert done.stdout == f"left out: 200 image missing\n200 people in {tmp_path}/output/mpii\n"
    assert {path.name for path in (tmp_path / "output").rglob("*")} == {
        "mpii",
        "part.json",
        "part_00000-of-00001.tfrecord",
    }


def test_poses_become_a_file_for_training(run_tool, tmp_path, rng):
    world = {"S1": {"Walking": people_in_world(rng, 20)}}
    write_videopose3d(tmp_path, world, see(world))
    paths = (f"--annotations={tmp_path}/data_3d_h36m.npz", f"--poses2d={tmp_path}/data_2d_h36m_gt.npz")
    done = run_tool("convert", "--from=videopose3d", *paths, f"--output_dir={tmp_path}", "--every=4", "--name=poses")
    assert done.stdout == f"20 people in {tmp_path}/poses.npz\n"
    poses = read_pose_file(f"{tmp_path}/poses.npz")
    np.testing.assert_array_equal(poses.action, 14)


def test_faults_are_one_sentence(fails, flags, tmp_path):
    output = f"--output_dir={tmp_path}/output"
    assert "--every is not an option of --from=coco" in fails("convert", *flags, output, "--every=2")
    assert "--from=coco needs --images" in fails("convert", *flags[:2], output)
    assert "--annotations is missing" in fails("convert", "--from=coco", output)
    assert "should be one of" in fails("convert", *flags[1:], output, "--from=voc")
    assert "people.json cannot be read as a MATLAB file" in fails("convert", *flags[1:], output, "--from=lsp")
    (tmp_path / "file").write_text("in the way")
    assert f"{tmp_path}/file" in fails("convert", *flags, f"--output_dir={tmp_path}/file")
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    assert fails("convert", *flags, output) == f"error: no person could be used: {PEOPLE} image missing"
    (tmp_path / "people.json").write_text('{"images": [')
    assert "people.json is not a JSON file" in fails("convert", *flags, output)
