"""The keys of recipes, their valid values, and the keys that may change when a run is resumed."""

import json
import os

import ml_collections

from pose_tf.augment.geometric import LEGS
from pose_tf.augment.pose import RECOMPOSED_BY, SHOULDERS
from pose_tf.configs import base
from pose_tf.data import records
from pose_tf.data.sources import mix_of
from pose_tf.errors import UserError
from pose_tf.geometry import CROP_SIZE, FRAMES
from pose_tf.models.decoding import ALIGNMENTS, METHODS, Decoding
from pose_tf.models.networks import DETECTORS, LIFTERS
from pose_tf.skeleton import Skeleton, find_skeleton, is_skeleton
from pose_tf.training.rules import COUNT, FACTOR, POSITIVE_COUNT, SHARE, SWITCH, TEXT, Range, Several

MIN_REPLICA_BATCH = 8
"""The fewest samples per replica if each of several replicas normalizes over its own samples. With fewer, errors rise
steeply (Wu and He, Group Normalization, ECCV 2018, figure 1)."""
DEFAULT = "h36m"
"""The skeleton of recipes that name none."""
RECORDS = "records"
"""Stands for the skeleton of the records that a recipe reads."""
STRIDE = 32  # of the lowest resolution in a detector; the sides of the images that it sees are multiples of it

COMMON = {
    "stage": ("detector", "lifter", "end_to_end"),
    "seed": Range(0, 2**32 - 1, whole=True),
    "skeleton": TEXT,
    "strategy": ("auto", "one_device", "mirrored", "multi_worker"),
    "init_from": TEXT,
    "precision": ("float32", "mixed_float16", "mixed_bfloat16"),
    "tf32": SWITCH,
    "jit_compile": SWITCH,
    "deterministic": SWITCH,
    "batch_norm": ("replica", "synchronized", "frozen"),
    "profile_steps": Several(0, "the first step and the one after the last, such as (100, 110), or ()", (0, 2)),
    "flip_test": SWITCH,
    "data.batch_size": COUNT,
    "data.replica_batch_size": COUNT,
    "data.on_damage": ("stop", "skip"),
    "data.validation_subjects": Several(0, "whole numbers of at least 0, such as (7, 8), or () for none"),
    "optimizer.learning_rate": Range(0, 1e38),
    "optimizer.weight_decay": FACTOR,
    "optimizer.weight_decay_form": ("decoupled", "coupled"),
    "optimizer.decay_biases": SWITCH,
    "optimizer.schedule": ("constant", "cosine", "step"),
    "optimizer.warmup_steps": COUNT,
    "optimizer.final_fraction": SHARE,
    "optimizer.clip_norm": FACTOR,
    "optimizer.ema": Range(0, 1, below=True),
    "train.epochs": Range(0, 1e6, above=True),
    "train.steps_per_call": POSITIVE_COUNT,
    "train.report_every_steps": POSITIVE_COUNT,
    "train.validate_every_epochs": Range(0, 1e6, above=True),
    "train.checkpoint_every_minutes": FACTOR,
    "train.checkpoints_kept": POSITIVE_COUNT,
}
STAGES = {
    "detector": {
        "model.name": tuple(DETECTORS),
        "data.mix.h36": SHARE,
        "data.mix.mpii": SHARE,
        "data.service": TEXT,
        "data.validation_samples": POSITIVE_COUNT,
        "augment.flip": SHARE,
        "augment.rotation": Range(0, 180),
        "augment.scale": Range(0, 1, below=True),
        "augment.shift": Range(0, 1),
        "augment.half_body": SHARE,
        "occlusion.bank": TEXT,
        "occlusion.probability": SHARE,
        "occlusion.min_count": POSITIVE_COUNT,
        "occlusion.max_count": Range(1, 64, whole=True),
        "occlusion.min_scale": Range(0.01, 16),
        "occlusion.max_scale": Range(0.01, 16),
        "color.brightness": Range(0, 10),
        "color.contrast": Range(0, 10),
        "color.saturation": Range(0, 10),
        "color.hue": Range(0, 0.5),
        "loss.integral": FACTOR,
        "loss.integral_l1": FACTOR,
        "loss.heatmap": FACTOR,
        "loss.released_heatmap": FACTOR,
        "loss.distribution": FACTOR,
        "heatmap_sigma": Range(0.1, 64),
        "decoding.method": METHODS,
        "decoding.beta": Range(0, 1e8, above=True),
        "decoding.confidence_beta": Range(0, 1e8),
        "decoding.alignment": ALIGNMENTS,
        "train.half_size_until": SHARE,
    },
    "lifter": {
        "model.name": tuple(LIFTERS),
        "model.raw_pixels": SWITCH,
        "model.confidence": SWITCH,
        "data.poses": TEXT,
        "augment.recompose": SWITCH,
        "augment.upper_body_swap": SHARE,
        "augment.arm_swap": SHARE,
        "augment.bone_length_noise": Range(0, 1),
        "augment.tilt": Range(0, 180),
        "augment.tilt_mean": Range(-180, 180),
        "augment.roll": Range(0, 180),
        "augment.noise_px": Range(0, CROP_SIZE),
        "augment.errors": TEXT,
        "augment.similar_errors": COUNT,
        "frame": FRAMES,
        "loss": ("squared", "distance"),
        "bones.length": FACTOR,
        "bones.symmetry": FACTOR,
        "bones.direction": FACTOR,
    },
}
STAGES["end_to_end"] = STAGES["detector"] | {
    "train_detector": SWITCH,
    "lifter.name": tuple(LIFTERS),
    "lifter.raw_pixels": SWITCH,
    "lifter.confidence": SWITCH,
    "lifter.features": SWITCH,
    "lifter_init_from": TEXT,
    "lifter_loss": STAGES["lifter"]["loss"],
    "lifter_factor": FACTOR,
    "frame": FRAMES,
    **{key: rule for key, rule in STAGES["lifter"].items() if key.startswith("bones.")},
}
EFFICIENTNET = {
    "model.scale": tuple(side / CROP_SIZE for side in range(CROP_SIZE // 2, CROP_SIZE + 1, STRIDE)),
    "model.pyramid": Several(1, "four whole numbers of at least 1, such as (64, 96, 128, 128)", (4,)),
}
MODELS = {name: EFFICIENTNET for name in DETECTORS if name.startswith("efficientnet_")} | {
    "hrnet": {
        "model.width": Range(1, 1024, whole=True),
        "model.stem": Range(1, 1024, whole=True),
        "model.modules": Several(1, "three whole numbers of at least 1, such as (1, 4, 3)", (3,)),
        "model.blocks": Range(1, 64, whole=True),
        "model.downsample": (1, 2, 4, 8),
    },
    "feed_forward": {
        "model.units": Range(1, 65536, whole=True),
        "model.num_blocks": Range(1, 256, whole=True),
        "model.dropout": Range(0, 0.99),
        "model.share_blocks": SWITCH,
    },
    "sem_gcn": {
        "model.channels": Range(2, 8192, whole=True),  # the non-local layers halve them
        "model.num_blocks": Range(1, 256, whole=True),
        "model.non_local": SWITCH,
    },
}
OPTIONAL_KEYS = (  # recipes of earlier versions lack them
    "skeleton",
    "tf32",
    "data.mix.h36",
    "data.mix.mpii",
    "decoding.confidence_beta",
    "augment.shift",
    "augment.half_body",
    "augment.tilt",
    "augment.tilt_mean",
    "augment.roll",
    "augment.errors",
    "augment.similar_errors",
    "model.confidence",
    "bones.length",
    "bones.symmetry",
    "bones.direction",
    "frame",
)
EXECUTION_KEYS = (  # how a run is computed and reported, not what it learns; may change when a run is resumed
    "init_from",
    "lifter_init_from",
    "strategy",
    "tf32",
    "jit_compile",
    "deterministic",
    "profile_steps",
    "data.replica_batch_size",
    "data.on_damage",
    "data.service",
    "train.steps_per_call",
    "train.report_every_steps",
    "train.checkpoint_every_minutes",
    "train.checkpoints_kept",
)
PATH_KEYS = ("data.poses", "augment.errors", "occlusion.bank")
"""Paths that may change, too: the run stores fingerprints of the content."""
NEEDED_JOINTS = {
    "augment.half_body": LEGS,
    "augment.recompose": RECOMPOSED_BY,
    "augment.arm_swap": SHOULDERS,
}
"""Joints that the skeleton must have for an option."""


def check_values(config: ml_collections.ConfigDict) -> None:
    """Checks every key and value of a recipe.

    Raises:
        UserError: names the invalid key, its value, and the valid values.
    """
    values = flatten(config.to_dict())
    rules = dict(COMMON)
    for key, more in (("stage", STAGES), ("model.name", MODELS)):
        _check(values, key, rules.get(key))
        rules |= more[values[key]]
    if "lifter.name" in rules:
        _check(values, "lifter.name", rules["lifter.name"])
        rules |= {key.replace("model.", "lifter."): rule for key, rule in MODELS[values["lifter.name"]].items()}
    for key in rules:
        if key in values or key not in OPTIONAL_KEYS:
            _check(values, key, rules[key])
    if unknown := sorted(values.keys() - rules.keys()):
        raise UserError(f"config.{unknown[0]} is not a key of recipes for {values['model.name']}")
    first, last = values["profile_steps"] or (0, 1)
    if first >= last:
        raise UserError(f"config.profile_steps is {(first, last)}; it must be the first step and the one after")
    if (name := values.get("skeleton", DEFAULT)) != RECORDS:
        _check_skeleton(values, find_skeleton(name))
    if values["stage"] == "lifter":
        _check_lifter(values)
    else:
        _check_detector(values)
    if values["stage"] == "end_to_end":
        _check_end_to_end(values)


def _check(values, key, rule):
    if key not in values:
        raise UserError(f"the recipe has no config.{key}; configs/base.py has every key")
    value = values[key]
    if value in rule and not (isinstance(rule, tuple) and type(value) is not type(rule[0])):  # True equals 1
        return
    shown = f"'{value}'" if isinstance(value, str) else value
    if isinstance(rule, tuple):
        raise UserError(f"config.{key} is {shown}; it can be {', '.join(map(str, rule))}")
    raise UserError(f"config.{key} is {shown}; it must be {rule}")


def skeleton_of(config: ml_collections.ConfigDict) -> Skeleton:
    """The skeleton that a recipe names.

    Raises:
        UserError: its file does not exist or is not a skeleton.
    """
    return find_skeleton(config.get("skeleton", DEFAULT))


def with_skeleton_of_records(config: ml_collections.ConfigDict, data_dir: str | None) -> ml_collections.ConfigDict:
    """A recipe that names its skeleton: if that is `records`, a copy with the skeleton of the records.

    Args:
        config: a recipe that has passed `check_values`.
        data_dir: directory of records. If the recipe reads both kinds, those with 3D poses say which joints.

    Raises:
        UserError: the recipe reads no records, the file that names their joints is damaged, or they lack joints that
            options need.
    """
    if config.get("skeleton") != RECORDS:
        return config
    if not data_dir or config.data.get("poses"):
        raise UserError("config.skeleton is 'records', but the recipe reads no records of data_dir; name a skeleton")
    kind = next(kind for kind in records.SKELETONS if kind in mix_of(config))
    folder = os.path.join(data_dir, kind)
    named = records.skeleton_of(folder) not in records.SKELETONS.values()
    config = config.copy_and_resolve_references()
    config.skeleton = os.path.join(folder, records.SKELETON) if named else DEFAULT
    check_values(config)
    return config


def with_skeleton_of_run(config: ml_collections.ConfigDict, kept: str) -> ml_collections.ConfigDict:
    """A recipe that can be resumed although its skeleton's file is gone: with the copy that the run keeps.

    Args:
        config: a recipe.
        kept: path of the run's `skeleton.json`, which need not exist.
    """
    name = config.get("skeleton", DEFAULT)
    if not isinstance(name, str) or name == RECORDS or is_skeleton(name) or not os.path.exists(kept):
        return config
    config = config.copy_and_resolve_references()
    config.skeleton = kept
    return config


def _check_skeleton(values, skeleton):
    """Checks that the skeleton has the joints that options need."""
    for key, joints in NEEDED_JOINTS.items():
        if values.get(key) and (missing := skeleton.missing(*joints)):
            raise UserError(
                f"config.{key} is {values[key]}, but the skeleton {skeleton} lacks {', '.join(missing)}, which it needs"
                f"; set config.{key} = {type(values[key])()}, or use another config.skeleton"
            )
    if values.get("bones.symmetry") and not skeleton.bone_pairs:
        raise UserError(
            f"config.bones.symmetry is {values['bones.symmetry']}, but the skeleton {skeleton} has no bones on both "
            "sides; set config.bones.symmetry = 0.0, or use another config.skeleton"
        )


def _check_lifter(values):
    if values.get("model.confidence") and not values.get("augment.errors"):
        raise UserError(
            "config.model.confidence is True, but without config.augment.errors all joints have the confidence 1; set "
            "config.augment.errors to a file of pose-tf evaluate --detections, or config.model.confidence = False"
        )
    if values.get("augment.similar_errors") and not values.get("augment.errors"):
        raise UserError(
            f"config.augment.similar_errors is {values['augment.similar_errors']}, but config.augment.errors names no "
            "file of a detector's errors; set it, or config.augment.similar_errors = 0"
        )


def _check_detector(values):
    for low, high in (("min_count", "max_count"), ("min_scale", "max_scale")):
        low, high = f"occlusion.{low}", f"occlusion.{high}"
        if values[low] > values[high]:
            raise UserError(f"config.{low} is {values[low]}, above config.{high}, which is {values[high]}")
    mix = [key for key in values if key.startswith("data.mix.")]
    if mix and not any(values[key] for key in mix):
        raise UserError(f"config.data.mix has no share above 0: set one of config.{', config.'.join(mix)}")
    losses = [key for key in values if key.startswith("loss.")]
    if not any(values[key] for key in losses):
        raise UserError(f"config.loss has no factor above 0: set one of config.{', config.'.join(losses)}")
    method = values["decoding.method"]
    is_trained = values.get("train_detector", True)
    if is_trained and Decoding(method).takes_argmax and (values["loss.integral"] or values["loss.integral_l1"]):
        raise UserError(
            f"config.decoding.method is '{method}', which config.loss.integral and integral_l1 cannot train"
        )
    if values["train.half_size_until"]:
        _check_half_size(values)


def _check_end_to_end(values):
    if not values["data.mix.h36"]:
        raise UserError("config.data.mix.h36 is 0.0, but only these records have 3D poses: set it above 0")
    if Decoding(values["decoding.method"]).takes_argmax and values["train_detector"]:
        raise UserError(
            f"config.decoding.method is '{values['decoding.method']}', through which no loss reaches the detector; set "
            "it to soft_argmax or debiased, or config.train_detector = False"
        )
    if not values["train_detector"] and not values["lifter_factor"]:
        raise UserError("config.train_detector is False and config.lifter_factor 0.0, so that nothing is trained")


def _check_half_size(values):
    """Checks that the network can see images of half the size."""
    half = f"config.train.half_size_until is {values['train.half_size_until']}, but images of half the size"
    if values["model.name"] == "hrnet":
        if CROP_SIZE // 2 % (STRIDE * values["model.downsample"]):
            raise UserError(
                f"{half} are too small for config.model.downsample = {values['model.downsample']}; lower one of them"
            )
    elif CROP_SIZE / 2 * values["model.scale"] % STRIDE:
        fitting = [scale for scale in EFFICIENTNET["model.scale"] if CROP_SIZE / 2 * scale % STRIDE == 0]
        raise UserError(
            f"{half} do not fit config.model.scale = {values['model.scale']}; it can be "
            f"{', '.join(map(str, fitting))} with them"
        )


def flatten(values: dict, prefix: str = "") -> dict:
    """Nested settings -> {"section.key": value}."""
    flat = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def may_split_batches(config) -> bool:
    """Whether several replicas take the same training step as the one that the recipe describes.

    They do if the recipe sets the batch size of each replica, or if batch normalization does not use the statistics of
    each replica separately.
    """
    return config.data.replica_batch_size > 0 or config.batch_norm != "replica"


def check_batch_norm(config, replicas: int) -> None:
    """Rejects batches that are too small for batch normalization.

    Args:
        config: the recipe, with both batch sizes.
        replicas: number of replicas that share a batch.

    Raises:
        UserError: names the batch size and possible fixes.
    """
    total, each = config.data.batch_size, config.data.replica_batch_size
    if config.batch_norm == "replica" and replicas > 1 and each < MIN_REPLICA_BATCH:
        raise UserError(
            f"batches of {total} = {replicas} x {each}: each replica would normalize over its own {each} samples, but "
            f"needs at least {MIN_REPLICA_BATCH}; set config.data.batch_size = 0 and config.data.replica_batch_size = "
            f"{max(total, MIN_REPLICA_BATCH)}, use fewer devices (config.strategy = one_device), or set "
            "config.batch_norm = synchronized"
        )
    samples = each if config.batch_norm == "replica" else total
    if config.batch_norm != "frozen" and config.stage != "detector" and samples < 2:
        raise UserError(
            "config.data.batch_size is 1, but one pose has no variance for batch normalization; "
            "set it to at least 2, or set config.batch_norm = frozen"
        )


def check_switches(config, replicas: int) -> None:
    """Rejects combinations of settings that cannot train.

    Args:
        config: the recipe.
        replicas: number of replicas of all workers.

    Raises:
        UserError: names the keys, why their values conflict, and the fix.
    """
    if config.jit_compile and config.batch_norm == "synchronized" and replicas > 1:
        raise UserError(
            "config.jit_compile is True and config.batch_norm 'synchronized', which do not work together on "
            f"{replicas} replicas: XLA cannot compile the communication between replicas; set config.jit_compile = "
            "False or config.batch_norm = replica"
        )


def check_same_recipe(config: ml_collections.ConfigDict, before: ml_collections.ConfigDict, workdir: str) -> None:
    """Checks that a recipe may resume a run. A directory holds one run, and its computation must not change.

    The skeleton may have another path: `Workdir.check_same_skeleton` compares the joints.

    The run may become longer if no step depends on its length.

    Args:
        config: the recipe.
        before: the recipe that started the run. Keys that it lacks, because an earlier version wrote it, had their
            defaults.
        workdir: directory of the run, for the message.

    Raises:
        UserError: names the keys that differ, with both values, and the keys that may change.
    """
    names = [config[section].name for section in ("model", "lifter") if section in config]
    defaults = getattr(base, config.stage)(*names)
    defaults, given, kept = (flatten(json.loads(json.dumps(v.to_dict()))) for v in (defaults, config, before))
    given, kept = defaults | given, defaults | kept
    differ = [key for key in given if key in kept and given[key] != kept[key]]
    moved = [key for key in PATH_KEYS if given.get(key) and kept.get(key)]
    differ = [key for key in differ if key not in (*EXECUTION_KEYS, *moved, "skeleton")]
    if differ == ["train.epochs"]:
        _check_longer(given, kept, workdir)
    elif differ:
        what = ", ".join(f"config.{key} = {kept[key]!r} (now {given[key]!r})" for key in differ[:4])
        more = f" and {len(differ) - 4} more keys that differ" if len(differ) > 4 else ""
        may_change = [key for key in EXECUTION_KEYS + PATH_KEYS if key in given]
        raise UserError(
            f"{workdir} contains a run with {what}{more}: resume it with its own values, or use another "
            f"directory. These may change: config.{', config.'.join(may_change)}"
        )


def _check_longer(given, kept, workdir):
    epochs, before = given["train.epochs"], kept["train.epochs"]
    run = f"{workdir} contains a run with config.train.epochs = {before}"
    if epochs < before:
        raise UserError(f"{run}, which cannot be shortened to {epochs}: use another directory")
    for key, value, what in (
        ("optimizer.schedule", given["optimizer.schedule"] == "cosine", "its learning rate"),
        ("train.half_size_until", given.get("train.half_size_until"), "the size of its images"),
    ):
        if value:
            raise UserError(
                f"{run}, which cannot be extended to {epochs}: {what} depends on the length "
                f"(config.{key} = {given[key]!r}). To continue from its weights, use another directory and set "
                f"config.init_from = {workdir}"
            )
