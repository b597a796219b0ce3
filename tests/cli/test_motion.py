"""Tests of `pose-tf motion`."""

import json

import numpy as np

from pose_tf.skeleton import H36M


def write_result(path, people=(1, 2)):
    pose = np.random.default_rng(0).normal(0, 300, (17, 3)).round(1)
    frames = [
        {
            "time_s": i / 30,
            "people": [{"person": n, "pose3d_mm": (pose + i).tolist(), "root3d_mm": [0, 0, 4000]} for n in people],
        }
        for i in range(5)
    ]
    path.write_text(json.dumps({"joints": H36M.joints, "frames": frames}))


def test_every_format_is_written_where_it_is_wanted(run_tool, fails, tmp_path):
    write_result(tmp_path / "walk.json")
    done = run_tool(
        "motion", f"--input={tmp_path}/walk.json", f"--output_dir={tmp_path}/out", "--formats=bvh,trc,c3d,angles"
    )
    names = {"walk.1.bvh", "walk.2.bvh", "walk.trc", "walk.c3d", "walk.1.angles.csv", "walk.2.angles.csv"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert {line.rpartition("/")[2] for line in done.stdout.splitlines()} == names
    (tmp_path / "walk.trc").write_text("of another program")
    message = f"error: {tmp_path}/walk.trc exists; give --overwrite or another --output_dir"
    assert fails("motion", f"--input={tmp_path}/walk.json") == message
    assert {path.name for path in tmp_path.iterdir()} >= {"walk.json", "walk.trc", "out"}
    assert not (tmp_path / "walk.1.bvh").exists() and (tmp_path / "walk.trc").read_text() == "of another program"
    run_tool("motion", f"--input={tmp_path}/walk.json", "--formats=trc", "--overwrite")
    assert (tmp_path / "walk.trc").read_text().startswith("PathFileType")


def test_what_cannot_be_written_is_refused(fails, tmp_path):
    write_result(tmp_path / "walk.json")
    walk = f"--input={tmp_path}/walk.json"
    assert fails("motion", walk, "--formats=bvh,fbx") == "error: --formats has 'fbx'; it can have bvh, trc, c3d, angles"
    assert fails("motion", walk, "--fps=0") == "error: --fps=0 must be 1 to 1000"
    assert fails("motion", f"--input={tmp_path}/no.json") == f"error: {tmp_path}/no.json does not exist"
    assert [path.name for path in tmp_path.iterdir()] == ["walk.json"]
