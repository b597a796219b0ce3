"""Tests of making networks from the `model` section of a recipe."""

import pytest

from pose_tf.models import EfficientNetLite, FeedForward, HRNet, SemGCN
from pose_tf.models.networks import CLASSES, DETECTORS, LIFTERS, make_network

HRNET = {"width": 4, "stem": 4, "modules": (0, 0, 1), "blocks": 0, "downsample": 2}


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("hrnet", HRNET, HRNet),
        ("efficientnet_lite1", {"scale": 0.5, "pyramid": (8, 8, 8, 8)}, EfficientNetLite),
        ("feed_forward", {"units": 8, "num_blocks": 1}, FeedForward),
        ("sem_gcn", {"channels": 8, "num_blocks": 1}, SemGCN),
    ],
)
def test_a_section_names_the_network_and_its_arguments(name, options, kind):
    section = {"name": name, **options}
    model = make_network(section)
    assert type(model) is kind
    assert {key: model.get_config()[key] for key in options} == options
    assert section == {"name": name, **options}
    if kind is EfficientNetLite:
        assert model.get_config()["variant"] == 1


def test_every_network_belongs_to_a_stage():
    assert list(DETECTORS) == ["hrnet", *(f"efficientnet_lite{variant}" for variant in range(5))]
    assert list(LIFTERS) == ["feed_forward", "sem_gcn"]
    assert CLASSES["detector"] == (HRNet, EfficientNetLite)
    assert CLASSES["lifter"] == (FeedForward, SemGCN)
