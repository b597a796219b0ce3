"""Flags that several commands share."""

import pathlib

from absl import flags
from ml_collections import config_flags
from ml_collections.config_flags.config_flags import ConfigFileFlagParser

from pose_tf.errors import UserError

RECIPES = pathlib.Path(__file__).parents[1] / "configs"

flags.disclaim_key_flags()  # the flags belong to the module that calls these functions


def detector():
    return flags.DEFINE_string(
        "detector",
        None,
        "Workdir of a detector's run, or of one that trained both stages; or starter: the model that comes with the "
        "package.",
    )


def lifter():
    return flags.DEFINE_string(
        "lifter", None, "Workdir of a lifter's run, or of one that trained both stages; or starter."
    )


def flip_test():
    return flags.DEFINE_bool("flip_test", None, "Average with the mirror image; default: as in the recipes.")


def batch_size():
    return flags.DEFINE_integer("batch_size", 16, "Images per batch.", lower_bound=1)


def recipe():
    """Defines --config=RECIPE, by name or path, and --config.section.key=value. Its value is a locked ConfigDict."""
    text = "Recipe: a name such as hrnet_w32 or released/sem_gcn, or a Python file."
    holder = config_flags.DEFINE_config_file("config", None, text, lock_config=True)
    flags.FLAGS["config"].parser = _RecipeParser("config")
    return holder


class _RecipeParser(ConfigFileFlagParser):
    def parse(self, path):
        return super().parse(find_recipe(path))


def find_recipe(name: str) -> str:
    """Path of a recipe.

    Args:
        name: a path, or the name of a file in `configs/` without `.py`.

    Raises:
        UserError: the file does not exist; the message lists the recipes.
    """
    if pathlib.Path(name).is_file():
        return name
    paths = [path.relative_to(RECIPES) for path in RECIPES.rglob("*.py")]
    names = sorted(str(path.with_suffix("")) for path in paths if not any(part.startswith(".") for part in path.parts))
    names.remove("base")
    if name in names:
        return str(RECIPES / f"{name}.py")
    raise UserError(f"--config={name} does not exist; give a Python file or one of the recipes {', '.join(names)}")
