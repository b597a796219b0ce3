"""Tests of recipe rules, and of changes to a recipe when a run is resumed."""

import functools
import math
import re

import ml_collections
import pytest

from pose_tf.configs import base
from pose_tf.errors import UserError
from pose_tf.training.recipe import COMMON, MODELS, STAGES, check_same_recipe, check_values, flatten
from tests.training.recipes import RECIPES, recipe


@pytest.mark.parametrize("name", RECIPES)
def test_every_value_of_every_recipe_keeps_its_rule(name):
    check_values(recipe(name))


@pytest.mark.parametrize(
    ("defaults", "network"),
    [
        (base.detector(), "hrnet"),
        (base.detector("efficientnet_lite0"), "efficientnet_lite0"),
        (base.lifter(), "feed_forward"),
        (base.lifter("sem_gcn"), "sem_gcn"),
        (base.end_to_end(), "hrnet"),
        (base.end_to_end("efficientnet_lite0", "sem_gcn"), "efficientnet_lite0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_defaults_have_every_key_that_has_a_rule_and_no_other(defaults, network):
    rules = COMMON | STAGES[defaults.stage] | MODELS[network]
    if "lifter" in defaults:
        rules |= {key.replace("model.", "lifter."): rule for key, rule in MODELS[defaults.lifter.name].items()}
    assert flatten(defaults.to_dict()).keys() == rules.keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lifter.name": "transformer"}, "config.lifter.name is 'transformer'; it can be feed_forward, sem_gcn"),
        ({"lifter.units": 0}, "config.lifter.units is 0; it must be a whole number of at least 1"),
        ({"bones.length": -1.0}, "config.bones.length is -1.0; it must be at least 0"),
        (
            {"data.mix.h36": 0.0, "data.mix.mpii": 1.0},
            "config.data.mix.h36 is 0.0, but only these records have 3D poses",
        ),
        ({"decoding.method": "argmax", "loss.integral": 0.0, "loss.heatmap": 1.0}, "through which no loss reaches the"),
        (
            {"train_detector": False, "lifter_factor": 0.0},
            "config.train_detector is False and config.lifter_factor 0.0",
        ),
    ],
    ids=str,
)
def test_what_both_stages_cannot_train_is_refused(changes, message):
    config = base.end_to_end()
    config.update_from_flattened_dict(changes)
    with pytest.raises(UserError, match=re.escape(message)):
        check_values(config)


def test_a_run_of_both_stages_is_resumed_with_its_own_networks_only():
    config = base.end_to_end("efficientnet_lite0", "sem_gcn")
    check_same_recipe(config, base.end_to_end("efficientnet_lite0", "sem_gcn"), "W")
    with pytest.raises(UserError, match="config.lifter.channels = 128 .now 64."):
        other = base.end_to_end("efficientnet_lite0", "sem_gcn")
        other.lifter.channels = 64
        check_same_recipe(other, config, "W")


def test_a_recipe_cannot_misspell_a_key():
    with pytest.raises(AttributeError, match="widht"):
        base.detector().model.widht = 48


@pytest.mark.parametrize(
    ("name", "learning_rate"), [("hrnet_w32", 1e-5), ("hrnet_w48", 1e-5), ("feed_forward", 5e-4), ("sem_gcn", 5e-4)]
)
def test_the_papers_recipes_have_its_hyper_parameters(name, learning_rate):
    optimizer = recipe(name).optimizer
    assert (optimizer.learning_rate, optimizer.weight_decay, optimizer.schedule) == (learning_rate, 0.05, "constant")


def test_the_released_recipes_have_the_released_hyper_parameters():
    detector, lifter, graph = (recipe(f"released/{name}") for name in ("hrnet_w32", "feed_forward", "sem_gcn"))
    assert {name: factor for name, factor in detector.loss.items() if factor} == {"released_heatmap": 1.0}
    assert (detector.decoding.method, detector.decoding.alignment) == ("unshifted_argmax", "half_pixel")
    assert (detector.occlusion.probability, detector.occlusion.min_count, detector.occlusion.max_count) == (0.5, 1, 7)
    assert detector.color.to_dict() == {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.2}
    assert (detector.optimizer.weight_decay_form, detector.optimizer.schedule) == ("coupled", "step")
    assert (lifter.model.share_blocks, lifter.model.raw_pixels) == (True, True)
    assert (graph.model.non_local, graph.model.raw_pixels) == (False, True)
    for config in (detector, lifter, graph):
        assert (config.optimizer.weight_decay, config.optimizer.decay_biases) == (0.05, True)
        assert config.data.batch_size == 16


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("hrnet_w32", {"model.width": 32, "model.modules": (1, 4, 3), "loss.integral": 1.0, "train.epochs": 3.0}),
        ("hrnet_w48", {"model.width": 48, "occlusion.probability": 0.5, "occlusion.max_count": 8, "color.hue": 0.0}),
        ("hrnet_cpu", {"model.stem": 32, "loss.integral": 0.0, "loss.integral_l1": 0.05, "loss.distribution": 1.0}),
        ("quickstart_detector", {"model.width": 16, "model.downsample": 2, "heatmap_sigma": 1.0, "augment.flip": 0.5}),
        ("quickstart_lifter", {"model.units": 512, "augment.noise_px": 3.0, "train.epochs": 18.0, "flip_test": True}),
        ("feed_forward", {"model.units": 1024, "model.dropout": 0.5, "loss": "squared", "train.epochs": 20.0}),
        ("sem_gcn", {"model.channels": 128, "model.num_blocks": 4, "model.non_local": True, "loss": "squared"}),
        ("feed_forward_recomposed", {"data.batch_size": 128, "model.dropout": 0.0, "augment.arm_swap": 0.3}),
        ("end_to_end", {"model.scale": 0.875, "lifter.name": "sem_gcn", "lifter.features": True, "lifter_factor": 5.0}),
        ("sem_gcn_recomposed", {"data.batch_size": 64, "frame": "sight", "optimizer.learning_rate": 4e-3}),
    ],
)
def test_what_makes_a_recipe_different(name, values):
    found = flatten(recipe(name).to_dict())
    assert {key: found[key] for key in values} == values


@pytest.mark.parametrize(
    ("name", "other", "keys"),
    [
        ("hrnet_w48", "hrnet_w32", "model.width"),
        (
            "released/hrnet_w32",
            "hrnet_w32",
            "color.hue decoding.method loss.integral loss.released_heatmap occlusion.max_count optimizer.decay_biases "
            "optimizer.schedule optimizer.weight_decay_form",
        ),
        ("released/feed_forward", "feed_forward", "model.raw_pixels model.share_blocks optimizer.decay_biases"),
        ("released/sem_gcn", "sem_gcn", "model.non_local model.raw_pixels optimizer.decay_biases"),
        (
            "efficientnet_cpu",
            "starter_detector",
            "augment.half_body augment.rotation augment.scale data.mix.h36 data.mix.mpii data.validation_samples "
            "optimizer.learning_rate",
        ),
        (
            "starter_lifter",
            "feed_forward_recomposed",
            "augment.noise_px augment.roll augment.tilt augment.tilt_mean data.batch_size data.validation_subjects "
            "model.units optimizer.learning_rate train.epochs train.validate_every_epochs",
        ),
    ],
)
def test_a_recipe_differs_from_another_in_what_its_docstring_says(name, other, keys):
    ours, theirs = (flatten(recipe(one).to_dict()) for one in (name, other))
    assert ours.keys() == theirs.keys()
    assert sorted(key for key in ours if ours[key] != theirs[key]) == keys.split()


NUMBERS = {
    "detector": [
        "model.width model.stem model.blocks model.downsample data.validation_samples augment.flip augment.rotation",
        "augment.scale occlusion.probability occlusion.min_count occlusion.max_count occlusion.min_scale",
        "occlusion.max_scale color.brightness color.contrast color.saturation color.hue loss.integral loss.heatmap",
        "heatmap_sigma decoding.beta decoding.confidence_beta train.half_size_until augment.shift augment.half_body",
        "loss.integral_l1 loss.distribution data.mix.h36 data.mix.mpii",
    ],
    "lifter": [
        "seed model.units model.num_blocks model.dropout data.batch_size data.replica_batch_size",
        "augment.upper_body_swap augment.arm_swap augment.bone_length_noise augment.tilt augment.roll",
        "augment.noise_px optimizer.learning_rate",
        "optimizer.weight_decay optimizer.warmup_steps optimizer.final_fraction optimizer.clip_norm optimizer.ema",
        "train.epochs train.steps_per_call train.report_every_steps train.validate_every_epochs",
        "train.checkpoint_every_minutes train.checkpoints_kept augment.similar_errors",
        "bones.length bones.symmetry bones.direction",
    ],
}
NUMBERS = [(stage, key) for stage, keys in NUMBERS.items() for key in " ".join(keys).split()]


def set_values(config, values):
    """A recipe with changed values of any type, as in a user's file."""
    changed = config.to_dict()
    for key, value in values.items():
        *sections, last = key.split(".")
        functools.reduce(dict.__getitem__, sections, changed)[last] = value
    return ml_collections.ConfigDict(changed)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, 1e39, 10**400, True, "1", None])
@pytest.mark.parametrize(("stage", "key"), NUMBERS)
def test_a_number_out_of_its_range_is_named(stage, key, value):
    config = set_values(recipe("hrnet_w32" if stage == "detector" else "feed_forward"), {key: value})
    with pytest.raises(UserError, match=rf"^config\.{key} is '?{re.escape(str(value))}'?; it (must|can) be "):
        check_values(config)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("feed_forward", {"train.epochs": 0.0}, "config.train.epochs is 0.0; it must be above 0 and at most 1000000"),
        ("feed_forward", {"model.units": 0}, "config.model.units is 0; it must be a whole number of at least 1"),
        ("feed_forward", {"model.units": 64.0}, "config.model.units is 64.0; it must be a whole number"),
        (
            "feed_forward",
            {"augment.tilt_mean": -181.0},
            "augment.tilt_mean is -181.0; it must be at least -180 and at most",
        ),
        ("feed_forward", {"augment.tilt_mean": math.nan}, "config.augment.tilt_mean is nan"),
        ("feed_forward", {"model.dropout": 1.0}, "config.model.dropout is 1.0; it must be at least 0 and at most 0.99"),
        ("sem_gcn", {"model.channels": 1}, "config.model.channels is 1"),
        ("hrnet_w32", {"model.width": 0}, "config.model.width is 0"),
        (
            "hrnet_w32",
            {"model.modules": (1, 4)},
            "config.model.modules is (1, 4); it must be three whole numbers of",
        ),
        ("hrnet_w32", {"model.modules": (1, 4, 0)}, r"such as (1, 4, 3)"),
        ("hrnet_w32", {"model.downsample": 3}, "config.model.downsample is 3; it can be 1, 2, 4, 8"),
        ("hrnet_w32", {"data.validation_subjects": (8.5,)}, "config.data.validation_subjects is (8.5,)"),
        ("hrnet_w32", {"data.validation_samples": 0}, "config.data.validation_samples is 0"),
        ("hrnet_w32", {"loss.integral": 0.0}, "config.loss has no factor above 0: set one of config.loss.distribution"),
        ("hrnet_w32", {"occlusion.min_count": 9}, "config.occlusion.min_count is 9, above config.occlusion.max_count"),
        ("hrnet_w32", {"occlusion.min_scale": 1.5}, "config.occlusion.min_scale is 1.5, above config.occlusion.max_sc"),
        *(
            (
                "hrnet_w32",
                {"decoding.method": method, "loss.integral": 0.0, f"loss.{loss}": 1.0},
                f"config.decoding.method is '{method}', which config.loss.integral and integral_l1 cannot train",
            )
            for method in ("argmax", "unshifted_argmax")
            for loss in ("integral", "integral_l1")
        ),
        (
            "hrnet_w32",
            {"train.half_size_until": 0.5, "model.downsample": 8},
            "too small for config.model.downsample = 8",
        ),
        (
            "hrnet_w32",
            {"profile_steps": (5,)},
            "config.profile_steps is (5,); it must be the first step and",
        ),
        ("hrnet_w32", {"profile_steps": (5, 5)}, "config.profile_steps is (5, 5); it must be the first step and"),
        ("hrnet_w32", {"stage": "lift"}, "config.stage is 'lift'; it can be detector, lifter"),
        ("hrnet_w32", {"model.name": "sem_gcn"}, "config.model.name is 'sem_gcn'; it can be hrnet"),
        ("hrnet_w32", {"jit_compile": 1}, "config.jit_compile is 1; it must be True or False"),
        ("hrnet_w32", {"init_from": None}, "config.init_from is None; it must be a string"),
        ("hrnet_w32", {"model.depth": 3}, "config.model.depth is not a key of recipes for hrnet"),
        (
            "sem_gcn",
            {"model.confidence": True},
            "config.model.confidence is True, but without config.augment.errors all joints have the confidence 1; set",
        ),
        (
            "sem_gcn",
            {"augment.similar_errors": 16},
            "config.augment.similar_errors is 16, but config.augment.errors names no file of a detector's errors; set",
        ),
        ("feed_forward", {"occlusion": {}, "loss": "cubic"}, "config.loss is 'cubic'; it can be squared, distance"),
    ],
)
def test_what_a_recipe_cannot_say_is_refused(name, values, message):
    with pytest.raises(UserError) as caught:
        check_values(set_values(recipe(name), values))
    assert message in str(caught.value)


@pytest.mark.parametrize("variant", range(5))
def test_a_recipe_can_name_every_efficientnet_lite(variant):
    config = base.detector(f"efficientnet_lite{variant}")
    assert config.model.to_dict() == {
        "name": f"efficientnet_lite{variant}",
        "scale": 0.75,
        "pyramid": (64, 96, 128, 128),
    }
    check_values(config)


@pytest.mark.parametrize("scale", [0.5, 0.625, 0.75, 0.875, 1.0])
def test_a_detector_sees_images_of_a_size_that_its_strides_divide(scale):
    config = set_values(base.detector("efficientnet_lite0"), {"model.scale": scale})
    check_values(config)
    config.train.half_size_until = 0.5
    if scale in (0.5, 0.75, 1.0):
        check_values(config)
        return
    with pytest.raises(UserError) as caught:
        check_values(config)
    assert str(caught.value) == (
        "config.train.half_size_until is 0.5, but images of half the size do not fit config.model.scale = "
        f"{scale}; it can be 0.5, 0.75, 1.0 with them"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        *(
            ({"model.scale": scale}, f"config.model.scale is {scale}; it can be 0.5, 0.625, 0.75, 0.875, 1.0")
            for scale in (0.7, 0.25, 0.0, 2.0, -0.75, math.nan, math.inf, None, True)
        ),
        ({"model.scale": "0.75"}, "config.model.scale is '0.75'; it can be 0.5"),
        ({"model.pyramid": (64, 96, 128)}, "config.model.pyramid is (64, 96, 128); it must be four whole numbers of"),
        ({"model.pyramid": (64, 96, 128, 0)}, "such as (64, 96, 128, 128)"),
        ({"model.pyramid": (64, 96, 128, 1.5)}, "config.model.pyramid is"),
        ({"model.width": 32}, "config.model.width is not a key of recipes for efficientnet_lite0"),
        ({"model.name": "hrnet"}, "the recipe has no config.model.width"),
        ({"model.name": "efficientnet_lite5"}, "it can be hrnet, efficientnet_lite0, efficientnet_lite1"),
    ],
)
def test_what_a_recipe_of_efficientnet_lite_cannot_say_is_refused(values, message):
    with pytest.raises(UserError) as caught:
        check_values(set_values(base.detector("efficientnet_lite0"), values))
    assert message in str(caught.value)


def test_a_key_that_is_missing_is_named():
    config = recipe("feed_forward")
    with config.unlocked():
        del config.optimizer.ema
    with pytest.raises(UserError, match="the recipe has no config.optimizer.ema; configs/base.py has every key"):
        check_values(config)


def resume(before, now, name="feed_forward"):
    check_same_recipe(set_values(recipe(name), now), set_values(recipe(name), before), "runs/lifter")


def test_how_a_run_is_computed_and_where_its_data_lies_may_change():
    resume({}, {"strategy": "mirrored", "jit_compile": True, "data.on_damage": "skip", "train.steps_per_call": 3})
    resume({"data.poses": "a.npz"}, {"data.poses": "/elsewhere/a.npz"})
    resume({"augment.errors": "a.npz"}, {"augment.errors": "/elsewhere/a.npz"})
    for before, now in (("", "a.npz"), ("a.npz", "")):
        with pytest.raises(UserError, match=re.escape(f"config.augment.errors = {before!r} (now {now!r})")):
            resume({"augment.errors": before}, {"augment.errors": now})


def test_a_refused_resume_names_the_key_both_values_and_what_may_change():
    with pytest.raises(UserError) as caught:
        resume({"model.units": 32}, {"model.units": 64})
    assert str(caught.value).startswith(
        "runs/lifter contains a run with config.model.units = 32 (now 64): resume it with its own values, or "
        "use another directory. These may change: config.init_from, config.strategy, "
    )
    assert str(caught.value).endswith("config.train.checkpoints_kept, config.data.poses, config.augment.errors")
    with pytest.raises(UserError, match=r"subjects = \[8\] \(now \[1, 8\]\), config.loss = 'squared' \(now "):
        resume({}, {"seed": 1, "data.validation_subjects": (1, 8), "loss": "distance"})


def test_a_key_of_a_later_version_had_its_default():
    before = base.detector()
    with before.unlocked():
        del before.augment.shift, before.data.mix
    check_same_recipe(base.detector(), before, "runs/detector")
    for key, value, message in (
        ("augment.shift", 0.1, "augment.shift = 0.0 (now 0.1)"),
        ("data.mix.mpii", 0.5, "data.mix.mpii = 0.0 (now 0.5)"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            check_same_recipe(set_values(base.detector(), {key: value}), before, "runs/detector")


@pytest.mark.parametrize("schedule", ["constant", "step"])
def test_a_run_whose_steps_do_not_depend_on_its_length_can_be_extended(schedule):
    resume({"optimizer.schedule": schedule}, {"optimizer.schedule": schedule, "train.epochs": 21.0})
    with pytest.raises(UserError, match="config.train.epochs = 20.0, which cannot be shortened to 3.0"):
        resume({}, {"train.epochs": 3.0})
    with pytest.raises(UserError, match=r"contains a run with config.seed = 0 \(now 1\), config.train.epochs = 20.0 "):
        resume({}, {"train.epochs": 21.0, "seed": 1})


def test_a_run_whose_steps_depend_on_its_length_says_how_to_train_on():
    cosine = {"optimizer.schedule": "cosine"}
    with pytest.raises(UserError) as caught:
        resume(cosine, cosine | {"train.epochs": 30.0})
    assert str(caught.value) == (
        "runs/lifter contains a run with config.train.epochs = 20.0, which cannot be extended to 30.0: its "
        "learning rate depends on the length (config.optimizer.schedule = 'cosine'). To continue from its weights, "
        "use another directory and set config.init_from = runs/lifter"
    )
    half = {"train.half_size_until": 0.5}
    with pytest.raises(UserError, match=r"the size of its images depends .* \(config.train.half_size_until = 0.5\)"):
        resume(half, half | {"train.epochs": 30.0}, "hrnet_w32")
