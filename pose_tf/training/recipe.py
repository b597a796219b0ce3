"""Recipes: which values they may have, and which may change while a run is resumed."""

import json
import os

from pose_tf.errors import UserError

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
MIN_REPLICA_BATCH = 8
"""Samples of each of several replicas whose batch normalization is over its own. With fewer, errors rise steeply
(Wu and He, Group Normalization, ECCV 2018, figure 1)."""
HOW_IT_RUNS = {  # keys that may change between two starts: they say how a run is computed and watched, not what it is
    "": ("strategy", "tf32", "jit_compile", "deterministic", "profile_steps"),
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


def may_split_batches(config) -> bool:
    """Whether several replicas would take the step that the recipe describes for one.

    They do if the recipe says what each gets, or if batch normalization is not over the samples of each alone.
    """
    return config.data.replica_batch_size > 0 or config.batch_norm != "replica"


def check_batch_norm(config, replicas: int) -> None:
    """Refuses batches that are too small for batch normalization.

    Args:
        config: the recipe, with both batch sizes.
        replicas: how many share a batch.

    Raises:
        UserError: names the batch size, and what to do.
    """
    total, each = config.data.batch_size, config.data.replica_batch_size
    if config.batch_norm == "replica" and replicas > 1 and each < MIN_REPLICA_BATCH:
        raise UserError(
            f"batches of {total} = {replicas} x {each}: each replica would normalize over {each} samples of its own, "
            f"and {MIN_REPLICA_BATCH} are the least; take --config.data.batch_size=0 "
            f"--config.data.replica_batch_size={max(total, MIN_REPLICA_BATCH)}, fewer devices "
            "(--config.strategy=one_device), or --config.batch_norm=synchronized"
        )
    samples = each if config.batch_norm == "replica" else total
    if config.batch_norm != "frozen" and config.stage == "lifter" and samples < 2:
        raise UserError(
            "config.data.batch_size is 1, and a batch of one pose has no variance to normalize with; "
            "it has to be at least 2, or config.batch_norm frozen"
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
