"""Tests of the model card: it describes the model that it comes with."""

from tests.export.models import read_card


def test_the_card_tells_what_the_numbers_mean(exported, estimator):
    card = read_card(exported)
    assert card["joints"][0] == "Hip" and len(card["joints"]) == 17
    assert [1, 0] in card["bones"] and len(card["bones"]) == 16
    assert "mm" in card["outputs"]["pose3d"]
    assert card["flip_test"] == {"detector": True, "lifter": True}
    assert card["parameters"]["detector"] == estimator.detector.count_params()
    assert (card["version"], card["precision"], card["data"]) == (1, "float32", "none")
