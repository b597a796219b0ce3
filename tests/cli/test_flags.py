"""Tests of the flags that several commands share."""

import pathlib

import pytest

from pose_tf.cli._flags import find_recipe
from pose_tf.errors import UserError

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
    with pytest.raises(UserError, match=rf"^--config={name} does not exist; .* recipes feed_forward, .*, sem_gcn"):
        find_recipe(name)
