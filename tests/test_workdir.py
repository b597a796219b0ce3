"""Tests of the workdir: one process trains in it, on the data of its run, and damage to a file is one sentence."""

import errno
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from pose_tf import files
from pose_tf.data.fingerprint import fingerprint
from pose_tf.errors import UserError
from pose_tf.models import FeedForward, HRNet
from pose_tf.models.statistics import PoseStatistics
from pose_tf.skeleton import H36M
from pose_tf.workdir import Workdir
from tests.data.fingerprinted import make_config, write_records
from tests.skeletons import PERMUTED

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


def test_records_in_place_of_a_pose_file_are_other_data(tmp_path):
    write_records(tmp_path, a=1)
    workdir = Workdir(str(tmp_path))
    files.write_json(workdir.file("data.json"), {"poses": {"a.npy": "0"}, "samples": 7})
    with pytest.raises(UserError, match="it was started on poses, not records"):
        workdir.check_same_data(fingerprint(make_config(), str(tmp_path)), 7)


@pytest.mark.parametrize("content", ["[]", "3", "{}", "null", '{"samples": "7"}', '{"samples": 7, "records": 1}', "{"])
def test_damaged_data_is_named(tmp_path, content):
    (tmp_path / "data.json").write_text(content)
    with pytest.raises(UserError, match="data.json is damaged: "):
        Workdir(str(tmp_path)).data()


def test_a_run_without_fingerprints_is_known_by_its_statistics(tmp_path, rng):
    """Runs of earlier versions lack it."""
    pose3d = rng.normal(0, 300, (9, 17, 3))
    workdir = Workdir(str(tmp_path))
    workdir.check_same_statistics(PoseStatistics.of(pose3d))
    files.write_json(workdir.file("statistics.json"), PoseStatistics.of(pose3d).to_json())
    workdir.check_same_statistics(PoseStatistics.of(pose3d))
    workdir.check_same_statistics(None)  # of a detector
    with pytest.raises(UserError, match="the poses had another mean and standard deviation"):
        workdir.check_same_statistics(PoseStatistics.of(pose3d[:5]))


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


# ---------------------------------------------------------------------------------------------------- reading its files

CONFIG = {"stage": "lifter", "flip_test": False, "model": {"name": "feed_forward"}}
STATISTICS = {"mean_mm": [[0.0] * 3] * 17, "std_mm": [[100.0] * 3] * 17, "crop_margin": 1.25}
DEEP = "[" * 100_000


@pytest.fixture
def workdir(tmp_path):
    """The workdir of a lifter's run."""
    workdir = Workdir(str(tmp_path))
    FeedForward(units=8, num_blocks=1).save(workdir.file("best.keras"))
    for name, values in (("config", CONFIG), ("statistics", STATISTICS)):
        (tmp_path / f"{name}.json").write_text(json.dumps(values))
    return workdir


def write(workdir, name, value):
    """JSON of a value; text stays unchanged."""
    with open(workdir.file(name), "wb") as file:
        file.write(
            value
            if isinstance(value, bytes)
            else value.encode()
            if isinstance(value, str)
            else json.dumps(value).encode()
        )


def refusal(workdir, name, read):
    """The error message."""
    with pytest.raises(UserError) as error:
        read()
    message = str(error.value)
    assert message.startswith(workdir.file(name)) and "\n" not in message
    return message


def test_a_whole_directory_is_read(workdir):
    assert workdir.config().to_dict() == CONFIG
    assert workdir.load_best("lifter").name == "feed_forward"
    statistics = workdir.statistics()
    np.testing.assert_array_equal(statistics.std, np.full((17, 3), 100, np.float32))
    assert statistics.margin == 1.25
    write(workdir, "statistics.json", {key: STATISTICS[key] for key in ("mean_mm", "std_mm")})
    assert workdir.statistics().margin == 1.25
    assert workdir.reports() == [] and workdir.best_errors("mpjpe") == {}
    assert workdir.warnings() == []


@pytest.mark.parametrize(
    "value, words",
    [
        *((value, "it is not an object") for value in ([], [CONFIG], 3, None, True, '"stage"')),
        *((text, "is damaged") for text in ("", "{", '{"stage": "lifter"', DEEP, b"\xff\xfe{}", "{'stage': 1}")),
        *(({k: v for k, v in CONFIG.items() if k != key}, f"it has no {key}") for key in CONFIG),
        (CONFIG | {"stage": 3}, "its stage is 3"),
        (CONFIG | {"flip_test": "yes"}, "its flip_test is 'yes'"),
        (CONFIG | {"model": ["hrnet"]}, "its model is ['hrnet']"),
        (CONFIG | {"decoding": None}, "is damaged"),
        (CONFIG | {"decoding": [1]}, "is damaged"),
        (CONFIG | {"decoding": {"gamma": 1}}, "gamma"),
        (CONFIG | {"decoding": {"beta": "high"}}, "is damaged"),
        (CONFIG | {"decoding": {"method": "guess"}}, "decoding.method is 'guess'"),
        (CONFIG | {"a.b": 1}, "is damaged"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_a_damaged_recipe_is_named(workdir, value, words):
    write(workdir, "config.json", value)
    assert words in refusal(workdir, "config.json", workdir.config)
    refusal(workdir, "config.json", lambda: workdir.load_best("lifter"))


@pytest.mark.parametrize(
    "value, words",
    [
        *((value, "it is not an object") for value in ([], [[0, 0, 0]], 3, None)),
        *((text, "is damaged") for text in ("", "{", DEEP, b"\xff\xfe{}")),
        ({"std_mm": STATISTICS["std_mm"]}, "it has no mean_mm"),
        ({"mean_mm": STATISTICS["mean_mm"]}, "it has no std_mm"),
        *(
            (STATISTICS | {"mean_mm": value}, "mean_mm is not a list")
            for value in (0, [], [0] * 17, "x", None, {}, [[0, 0]])
        ),
        (STATISTICS | {"mean_mm": [[0.0] * 3] * 16 + [[0.0] * 2]}, "mean_mm is not a list"),
        (STATISTICS | {"mean_mm": [["a"] * 3] * 17}, "mean_mm is not a list"),
        (STATISTICS | {"std_mm": [[100.0] * 3] * 16}, "mean_mm has 17 joints, std_mm 16"),
        ({key: [[1.0] * 3] * 16 for key in ("mean_mm", "std_mm")}, "describes poses with 16 joints"),
        (STATISTICS | {"mean_mm": [[float("nan")] * 3] * 17}, "mean_mm has numbers that are not finite"),
        (STATISTICS | {"std_mm": [[float("inf")] * 3] * 17}, "std_mm has numbers that are not finite"),
        (STATISTICS | {"std_mm": [[0.0] * 3] * 17}, "std_mm must be above 0"),
        *(
            (STATISTICS | {"crop_margin": value}, "crop_margin is")
            for value in (0, -1.0, float("nan"), "wide", None, [1])
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_damaged_statistics_are_named(workdir, value, words):
    write(workdir, "statistics.json", value)
    assert words in refusal(workdir, "statistics.json", workdir.statistics)


@pytest.mark.parametrize(
    "line", ["", "{", "[]", "3", "null", DEEP, '{"split": "train"}', '{"step": 3}', '{"step": "3", "split": "train"}']
)
def test_a_damaged_report_is_named_with_its_line(workdir, line):
    good = [f'{{"step": {step}, "split": "validation", "mpjpe": {step}}}' for step in (1, 2, 3)]
    write(workdir, "metrics.jsonl", "\n".join([*good, '{"step": 4, "spl']))
    assert [report["step"] for report in workdir.reports()] == [1, 2, 3]
    assert workdir.best_errors("mpjpe") == {"step": 1, "mpjpe": 1}
    write(workdir, "metrics.jsonl", "\n".join([good[0], line, good[2], ""]))
    for read in (workdir.reports, lambda: workdir.best_errors("mpjpe")):
        assert "line 2 is not a report" in refusal(workdir, "metrics.jsonl", read)


def test_a_validation_without_its_metric_is_named(workdir):
    write(workdir, "metrics.jsonl", '{"step": 7, "split": "validation", "pixel_error": 3}\n')
    message = refusal(workdir, "metrics.jsonl", lambda: workdir.best_errors("mpjpe"))
    assert "the validation of step 7 has no mpjpe" in message


def test_a_file_that_cannot_be_read_is_named(workdir):
    os.remove(workdir.file("config.json"))
    os.mkdir(workdir.file("config.json"))
    assert "cannot be read" in refusal(workdir, "config.json", workdir.config)


def test_a_run_that_has_no_model_yet_says_so(workdir):
    os.remove(workdir.file("best.keras"))
    with pytest.raises(UserError, match="has no best.keras: the run has not reached its first validation yet"):
        workdir.load_best("lifter")


@pytest.mark.parametrize("model", [lambda: HRNet(4, stem=4, modules=(1, 1, 1), blocks=1), lambda: FeedForward(16, 8)])
def test_a_model_of_another_stage_or_of_other_joints_is_named(workdir, model):
    model().save(workdir.file("best.keras"))
    assert "expected a lifter with 17 joints" in refusal(workdir, "best.keras", lambda: workdir.load_best("lifter"))


def test_a_model_that_names_other_joints_than_its_run_is_refused(workdir):
    """The same number of joints in another order would give wrong poses."""
    model = FeedForward(units=8, num_blocks=1)
    workdir.save_best(model, PERMUTED)
    assert refusal(workdir, "best.keras", lambda: workdir.load_best("lifter")) == (
        f"{workdir.file('best.keras')} has the joints of permuted (17 joints), but its run those of h36m (17 joints): "
        "joint 1 is Head, not RHip; copy all files of the run that wrote it"
    )
    workdir.save_skeleton(PERMUTED)
    assert workdir.load_best("lifter").name == "feed_forward"


def test_a_skeleton_that_a_killed_command_has_left_is_removed(workdir):
    workdir.save_skeleton(PERMUTED)
    assert workdir.skeleton() == PERMUTED
    workdir.save_skeleton(H36M)
    assert workdir.skeleton() == H36M and workdir.load_best("lifter").name == "feed_forward"


def test_a_lifter_of_other_coordinates_is_loaded_with_a_warning(workdir, capsys):
    write(workdir, "config.json", CONFIG | {"normalized_by": "image"})
    workdir.load_best("lifter")
    assert (
        f"warning: {workdir.path}: the lifter was trained on 2D joints normalized by the whole image"
        in capsys.readouterr().err
    )


def test_a_name_that_is_not_utf_8_is_refused_and_nothing_is_made(tmp_path):
    with pytest.raises(UserError, match="not UTF-8"):
        Workdir(os.path.join(tmp_path, os.fsdecode(b"run\xff"), "x")).create()
    assert os.listdir(tmp_path) == []
