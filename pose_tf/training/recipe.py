"""Recipes: which values they may have, and which may change while a run is resumed."""

import json
import os

from pose_tf.errors import UserError

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
BATCH_NORMS = ("replica", "synchronized", "frozen")
HOW_IT_RUNS = {  # keys that may change between two starts: they say how a run is computed and watched, not what it is
    "": ("strategy", "jit_compile", "deterministic", "profile_steps"),
    "data": ("replica_batch_size", "on_damage", "service"),
    "train": ("steps_per_call", "report_every_steps", "checkpoint_every_minutes", "checkpoints_kept"),
}


def check_values(config):
    """Refuses values of a recipe that nothing else looks at.

    Raises:
        UserError: names the key, its value and what it can be.
    """
    if config.precision not in PRECISIONS:
        raise UserError(f"config.precision is '{config.precision}'; it can be {', '.join(PRECISIONS)}")
    for key in ("steps_per_call", "report_every_steps", "checkpoints_kept"):
        if config.train[key] < 1:
            raise UserError(f"config.train.{key} is {config.train[key]}; it has to be at least 1")
    if not 0 <= config.optimizer.ema < 1:
        raise UserError(f"config.optimizer.ema is {config.optimizer.ema}; it has to be 0 or a decay below 1")
    steps = config.profile_steps
    if steps and not (len(steps) == 2 and 0 <= steps[0] < steps[1]):
        raise UserError(
            f"config.profile_steps is {tuple(steps)}; it has to be the first step and the one after the last"
        )


def check_switches(config, replicas: int):
    """Refuses combinations of switches that cannot train.

    Args:
        config: the recipe.
        replicas: how many there are, over all workers.

    Raises:
        UserError: names the keys, what is wrong with their values together, and what to do.
    """
    if config.batch_norm not in BATCH_NORMS:
        raise UserError(f"config.batch_norm is '{config.batch_norm}'; it can be {', '.join(BATCH_NORMS)}")
    if config.jit_compile and config.batch_norm == "synchronized" and replicas > 1:
        raise UserError(
            "config.jit_compile is True and config.batch_norm 'synchronized', which do not work together on "
            f"{replicas} replicas: XLA cannot compile messages between them; set one of them to False or 'replica'"
        )


def check_same_recipe(config, workdir):
    """A directory holds one run: what its recipe computes may not change between two starts."""
    if not os.path.exists(workdir.file("config.json")):
        return
    before = workdir.config().to_dict()
    now = json.loads(json.dumps(config.to_dict()))  # tuples become lists, as in the file
    for section in now:
        kept, given = (_without_how(section, values.get(section)) for values in (before, now))
        if kept != given:
            raise UserError(
                f"--workdir={workdir.path} holds a run with config.{section} = {before.get(section)}; "
                f"a run with {now[section]} needs another directory"
            )


def _without_how(section, value):
    if section in HOW_IT_RUNS[""]:
        return None
    if isinstance(value, dict):
        return {key: part for key, part in value.items() if key not in HOW_IT_RUNS.get(section, ())}
    return value
