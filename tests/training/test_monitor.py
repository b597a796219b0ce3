"""Tests that a run that was killed and resumed reports everything exactly once."""

import resource
import shutil

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.training.monitor import Monitor
from pose_tf.workdir import Workdir
from tests.training.recipes import recipe


@pytest.fixture
def workdir(tmp_path):
    """Workdir of a run that reported losses, validations and poses at steps 4 and 8."""
    workdir = Workdir(str(tmp_path))
    with Monitor(workdir, 0, 0, 8) as monitor:
        monitor.recipe(recipe("feed_forward"))
        monitor.image(0, "augmented", np.zeros((8, 8, 3), np.uint8))
        for step in (4, 8):
            report(monitor, step)
    return workdir


def report(monitor, step):
    monitor.report(step, "train", {"loss": float(step)})
    monitor.report(step, "validation", {"mpjpe": float(step)})
    monitor.image(step, "validation", np.zeros((8, 8, 3), np.uint8))
    monitor.poses(step, "poses", np.random.default_rng(0).normal(size=(1, 17, 3)))


def events(workdir):
    """Sorted (step, tag) pairs of all values in the event files."""
    found = []
    for path in tf.io.gfile.glob(workdir.file("tensorboard/*tfevents*")):
        for serialized in tf.data.TFRecordDataset(path).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(serialized)
            found += [(event.step, value.tag) for value in event.summary.value]
    return sorted(found)


AT_START = {"config", "augmented", "_hparams_/session_start_info", "_hparams_/experiment"}
OF_VALIDATION = {"validation/mpjpe", "validation", "poses_VERTEX", "poses_FACE", "poses_COLOR", "poses_config"}


def tags(workdir, step):
    found = [tag for other, tag in events(workdir) if other == step]
    assert len(found) == len(set(found)), "reported twice"
    return set(found)


def test_steps_that_a_killed_run_lost_are_reported_once(workdir):
    before = events(workdir)
    with Monitor(workdir, 4, 4, 8) as monitor:
        assert {step for step, _ in events(workdir)} == {0, 4}
        report(monitor, 8)
    assert events(workdir) == before
    assert tags(workdir, 0) <= AT_START
    assert tags(workdir, 8) - {"poses_config"} == (OF_VALIDATION | {"train/loss"}) - {"poses_config"}
    assert [(line["step"], line["split"]) for line in workdir.reports()] == [
        (4, "train"),
        (4, "validation"),
        (8, "train"),
        (8, "validation"),
    ]


def test_a_validation_that_was_reported_and_not_saved_is_reported_once(workdir):
    """The checkpoint of step 8 was written before the validation at step 8."""
    with Monitor(workdir, 8, 4, 8):
        pass
    assert tags(workdir, 8) == {"train/loss"}
    assert tags(workdir, 4) >= {"train/loss", "validation/mpjpe", "validation"}
    assert [(line["step"], line["split"]) for line in workdir.reports()][2:] == [(8, "train")]


def test_a_run_that_starts_again_reports_all_again(workdir):
    with Monitor(workdir, 0, 0, 8):
        assert not events(workdir)
        assert not workdir.reports()


def test_what_is_no_event_file_is_left_alone(workdir, tmp_path):
    (tmp_path / "tensorboard" / "old.tfevents.bak").mkdir()
    for step in (4, 0):
        with Monitor(workdir, step, step, 8):
            pass
    assert (tmp_path / "tensorboard" / "old.tfevents.bak").is_dir()


def test_an_event_file_that_ends_in_the_middle_of_an_event_is_kept_up_to_there(workdir):
    (path,) = tf.io.gfile.glob(workdir.file("tensorboard/*tfevents*"))
    with open(path, "rb+") as file:
        file.truncate(len(file.read()) - 5)
    with Monitor(workdir, 4, 4, 8):
        pass
    assert tags(workdir, 4) and not tags(workdir, 8)


def test_every_metric_is_drawn_over_the_steps(workdir, tmp_path, curves):
    """The image has three graphs side by side: loss, mpjpe, and an empty one."""
    with Monitor(workdir, 8, 8, 8) as monitor:
        monitor.draw_curves()
    height, width, _ = cv2.imread(str(tmp_path / "curves.png")).shape
    assert (height, width) == (270, 1215)  # 3 x 13.5 inches at 90 dpi


def test_a_file_that_cannot_be_written_is_named(workdir, tmp_path):
    with Monitor(workdir, 8, 8, 8) as monitor:
        (tmp_path / "metrics.jsonl").unlink()
        (tmp_path / "metrics.jsonl").mkdir()
        with pytest.raises(UserError, match=f"^{tmp_path}/metrics.jsonl cannot be written: Is a directory$"):
            monitor.report(8, "train", {"loss": 1.0})
    (tmp_path / "metrics.jsonl").rmdir()
    shutil.rmtree(tmp_path / "tensorboard")
    (tmp_path / "tensorboard").write_text("")
    with pytest.raises(UserError, match=f"^{tmp_path}/tensorboard cannot be written: Not a directory"):
        Monitor(workdir, 8, 8, 8)


def test_events_that_the_disk_does_not_take_are_one_sentence(workdir, tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Monitor(workdir, 8, 8, 8) as monitor:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        try:
            with pytest.raises(UserError, match=f"^{tmp_path}/tensorboard cannot be written: "):
                monitor.report(9, "train", {f"m{number}": 1.0 for number in range(150)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
