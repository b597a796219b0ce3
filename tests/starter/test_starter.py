"""Tests of the model that comes with the package."""

from pose_tf import starter


def test_the_name_stands_for_the_runs_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert starter.run_dir("runs/detector", "detector") == "runs/detector"
    assert starter.run_dir("starter", "lifter") == starter.folder("lifter")
    assert starter.folder("detector").endswith("pose_tf/starter/detector")
    (tmp_path / "starter").mkdir()
    assert starter.run_dir("starter", "detector") == "starter"  # the user's own
