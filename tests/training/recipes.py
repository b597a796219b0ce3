"""The recipes in `configs/`, by name."""

import importlib

from tests.conftest import ROOT

CONFIGS = ROOT / "configs"
RECIPES = sorted(str(path.relative_to(CONFIGS).with_suffix("")) for path in CONFIGS.rglob("*.py"))
RECIPES.remove("base")


def recipe(name):
    return importlib.import_module(f"pose_tf.configs.{name.replace('/', '.')}").get_config()
