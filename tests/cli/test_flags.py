"""Tests of the flags that several commands share."""

import pathlib
import re

import pytest

from pose_tf.cli import _flags
from pose_tf.cli._flags import find_recipe
from pose_tf.errors import UserError
from tests.cli.processes import run

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("hrnet_w48", "configs/hrnet_w48.py"),
        ("released/sem_gcn", "configs/released/sem_gcn.py"),
        ("configs/hrnet_w48.py", "configs/hrnet_w48.py"),
    ],
)
def test_a_recipe_is_found_by_name_and_by_path(monkeypatch, config, expected):
    monkeypatch.chdir(ROOT)
    assert pathlib.Path(find_recipe(config)).samefile(ROOT / expected)


@pytest.mark.parametrize("name", ["hrnet_w33", "base", "configs", "nowhere.py"])
def test_an_unknown_recipe_lists_those_that_exist(monkeypatch, name):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=rf"^--config={name} does not exist; .* recipes efficientnet_cpu, .*, sem_gcn"):
        find_recipe(name)


def test_hidden_files_and_folders_are_no_recipes(monkeypatch, tmp_path):
    for name in ("base.py", "own.py", "._own.py", "more/deep.py", ".ipynb_checkpoints/own-checkpoint.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.setattr(_flags, "RECIPES", tmp_path)
    assert find_recipe("own") == f"{tmp_path}/own.py"
    for name in ("._own", ".ipynb_checkpoints/own-checkpoint"):
        with pytest.raises(UserError) as caught:
            find_recipe(name)
        assert str(caught.value).endswith("or one of the recipes more/deep, own")


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("evaluate", {"detector", "lifter", "flip_test", "batch_size"}),
        ("submit", {"detector", "lifter", "flip_test", "batch_size"}),
        ("export", {"detector", "lifter", "flip_test"}),
        ("train", {"config"}),
    ],
)
def test_help_lists_the_shared_flags_of_a_command_among_its_own(no_tensorflow, command, flags):
    done = run("-m", "pose_tf.cli", command, "--help", PYTHONPATH=no_tensorflow)
    listed = set(re.findall(r"^  --(?:\[no\])?(\w+):", done.stdout, re.MULTILINE))
    assert listed & {"detector", "lifter", "flip_test", "batch_size", "config"} == flags


def test_a_batch_has_at_least_one_image(no_tensorflow):
    flags = ("--detector=a", "--lifter=a", "--records=a", "--batch_size=0")
    done = run("-m", "pose_tf.cli", "submit", *flags, PYTHONPATH=no_tensorflow)
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*--batch_size=0.*\n", done.stderr)
