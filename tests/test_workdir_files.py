"""Tests of reading a workdir: any damage to its files gives one sentence that names the file."""

import json
import os

import numpy as np
import pytest

from pose_tf.errors import UserError
from pose_tf.models import FeedForward, HRNet
from pose_tf.workdir import Workdir

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


@pytest.mark.parametrize("model", [lambda: HRNet(4, stem=4, modules=(1, 1, 1), blocks=1), lambda: FeedForward(16, 8)])
def test_a_model_of_another_stage_or_of_other_joints_is_named(workdir, model):
    model().save(workdir.file("best.keras"))
    assert "expected a lifter with 17 joints" in refusal(workdir, "best.keras", lambda: workdir.load_best("lifter"))


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
