"""Tests of finding people."""

import importlib.util
import logging
import pathlib
import sys

import cv2
import numpy as np
import pytest

from pose_tf import images
from pose_tf.predict.finders import PedestrianHOG, SSDLite, find_people, people_finder
from pose_tf.synthetic.sample import render_sample
from tests.predict.boxes import overlap

ROOT = pathlib.Path(__file__).parents[2]
FOOTBALL = ROOT.parent / "shared" / "data" / "photos" / "football.jpg"
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="ai-edge-litert is not installed"
)
FINDERS = [pytest.param("ssdlite", marks=needs_weights), "hog"]


@pytest.fixture(scope="module")
def ssdlite():
    return SSDLite()


@pytest.fixture
def finder(request):
    return request.getfixturevalue("ssdlite") if request.param == "ssdlite" else PedestrianHOG()


@pytest.fixture(scope="module")
def rendered():
    """A rendered person who stands, uint8 [256, 256, 3], and the box of the joints."""
    sample = render_sample(0, 54, 9)
    low, high = sample["pose2d_crop"].min(axis=0), sample["pose2d_crop"].max(axis=0)
    return sample["image"], np.concatenate([low, high - low])


@pytest.fixture(scope="module")
def photo():
    return cv2.imread(str(ROOT / "docs" / "basketball1.png"))[..., ::-1].copy()


@pytest.fixture(scope="module")
def player(photo):
    """The left one of two basketball players, uint8 [435, 260, 3], and its box."""
    return photo[45:, :260], np.float32([29, 37, 130, 395])


@pytest.fixture
def person(finder, request):
    """A person whom the finder finds."""
    return request.getfixturevalue("player" if isinstance(finder, SSDLite) else "rendered")


def placed(person, shape, *places, scale=1.0):
    """A gray image with the person at some places, and the boxes."""
    image, box = person
    image = images.resize(image, scale)
    canvas = np.full(shape, 128, np.uint8)
    for x, y in places:
        canvas[y : y + image.shape[0], x : x + image.shape[1]] = image
    return canvas, np.float32([scale * box + [x, y, 0, 0] for x, y in places])


@pytest.mark.parametrize("finder", FINDERS, indirect=True)
def test_people_are_found_where_they_are(finder, person):
    image, people = placed(person, (600, 1000, 3), (30, 140), (620, 90))
    boxes, scores = finder(image, finder.min_score)
    assert boxes.shape == (2, 4) and scores.shape == (2,) and boxes.dtype == np.float32
    assert scores[0] >= scores[1] >= finder.min_score
    for expected in people:
        assert max(overlap(found, expected) for found in boxes) > 0.5


@pytest.mark.parametrize("finder", FINDERS, indirect=True)
@pytest.mark.parametrize("shape", [(480, 640, 3), (1, 1, 3), (2000, 3, 3), (5, 1201, 3)], ids=str)
def test_nobody_is_in_an_empty_image(finder, shape):
    boxes, scores = finder(np.full(shape, 128, np.uint8), finder.min_score)
    assert boxes.shape == (0, 4) and scores.shape == (0,)


@pytest.mark.parametrize("finder", FINDERS, indirect=True)
def test_a_higher_score_finds_fewer(finder, person):
    counts = [len(finder(person[0], score * finder.min_score)[0]) for score in (0.1, 1.0, 10.0)]
    assert counts[0] >= counts[1] == 1 and counts[2] == 0


def test_the_default_scores_are_those_of_the_help():
    assert (SSDLite.min_score, PedestrianHOG.min_score) == (0.5, 0.9)
    assert "Default: 0.5, or 0.9 for OpenCV" in (ROOT / "pose_tf" / "cli" / "_photos.py").read_text()


@needs_weights
def test_small_people_are_found_in_tiles(ssdlite, player, monkeypatch):
    image, people = placed(player, (900, 1600, 3), (100, 650), (780, 400), (1300, 150), scale=0.5)
    boxes, _ = ssdlite(image, 0.5)
    assert all(max(overlap(found, person) for found in boxes) > 0.5 for person in people)
    assert len(boxes) == 3  # each once, although tiles overlap
    monkeypatch.setattr(ssdlite, "tiles", lambda width, height: np.array([[0, 0, width, height]]))
    assert len(ssdlite(image, 0.5)[0]) < 3


@needs_weights
def test_tiles_are_square_cover_the_image_and_overlap_by_half(ssdlite):
    assert ssdlite.tiles(300, 200).tolist() == [[0, 0, 300, 200]]
    tiles = ssdlite.tiles(1201, 800)
    assert tiles[0].tolist() == [0, 0, 1201, 800] and len(tiles) == 1 + 6 * 3
    assert (tiles[1:, 2:] == 400).all()
    assert sorted(set(tiles[1:, 0].tolist())) == [0, 160, 320, 481, 641, 801]
    assert sorted(set(tiles[1:, 1].tolist())) == [0, 200, 400]
    assert ssdlite.tiles(400, 200)[1:].tolist() == [[0, 0, 300, 200], [100, 0, 300, 200]]  # never enlarged
    line = ssdlite.tiles(3, 4000)
    assert len(line) == 1 + 15 and line[-1].tolist() == [0, 3500, 3, 500]


class Detections:
    """In place of the network: a box, as y0, x0, y1, x1 in units of a tile, in some tiles."""

    def __init__(self, **boxes):
        self._boxes = {int(name[1:]): box for name, box in boxes.items()}
        self._tile = -1

    def __call__(self, images):
        assert images.shape == (1, 300, 300, 3)
        self._tile += 1
        edges, scores = np.zeros((1, 1917, 4), np.float32), np.zeros((1, 1917), np.float32)
        if self._tile in self._boxes:
            *edges[0, 7], scores[0, 7] = self._boxes[self._tile]
        return {"boxes": edges, "scores": scores}


@needs_weights
@pytest.mark.parametrize(
    "detections, expected",
    [
        (Detections(t0=(0.1, 0.2, 0.5, 0.4, 0.9)), [[240, 80, 240, 320]]),
        (Detections(t1=(0.2, 0.2, 0.6, 0.6, 0.9)), [[80, 80, 160, 160]]),
        (Detections(t1=(0.2, 0.6, 0.6, 0.99, 0.9)), []),  # cut off at the right edge of the first tile
        (Detections(t1=(0.0, 0.0, 0.6, 0.6, 0.9)), [[0, 0, 240, 240]]),  # at the edge of the image
        (Detections(t15=(0.6, 0.6, 1.0, 1.0, 0.9)), [[1040, 640, 160, 160]]),
        (Detections(t15=(0.0, 0.6, 0.5, 0.9, 0.9)), []),
        (Detections(t1=(0.6, 0.6, 0.9, 0.9, 0.9), t7=(0.1, 0.1, 0.4, 0.4, 0.8)), [[240, 240, 120, 120]]),  # the same
        (Detections(t0=(0.1, 0.1, 0.9, 0.5, 0.7), t1=(0.4, 0.4, 0.8, 0.8, 0.9)), [[160, 160, 160, 160]]),  # a part
    ],
)  # fmt: skip
def test_boxes_of_tiles_are_merged(ssdlite, monkeypatch, detections, expected):
    monkeypatch.setattr(ssdlite, "_detect", detections)
    boxes, _ = ssdlite(np.zeros((800, 1200, 3), np.uint8), 0.5)
    np.testing.assert_allclose(boxes, np.float32(expected).reshape(-1, 4), atol=1e-3)


@needs_weights
def test_people_are_found_who_are_cut_off_by_the_border(ssdlite, photo):
    boxes, _ = ssdlite(photo, ssdlite.min_score)
    assert len(boxes) == 2
    for person in np.float32([(29, 82, 130, 395), (436, 19, 202, 455)]):
        assert max(overlap(found, person) for found in boxes) > 0.8


@needs_weights
@pytest.mark.skipif(not FOOTBALL.exists(), reason="the shared photographs are absent")
def test_people_are_found_who_lunge(ssdlite):
    boxes, _ = ssdlite(cv2.imread(str(FOOTBALL))[..., ::-1], ssdlite.min_score)
    assert len(boxes) == 1 and overlap(boxes[0], np.float32([75, 65, 378, 265])) > 0.8


@needs_weights
def test_boxes_of_one_tile_that_are_alike_are_one_person(ssdlite, monkeypatch):
    edges, scores = np.zeros((1, 1917, 4), np.float32), np.zeros((1, 1917), np.float32)
    edges[0, :3] = [(0.1, 0.1, 0.6, 0.6), (0.12, 0.1, 0.6, 0.6), (0.5, 0.7, 1.2, 0.9)]  # the last beyond the border
    scores[0, :3] = 0.7, 0.9, 0.6
    monkeypatch.setattr(ssdlite, "_detect", lambda images: {"boxes": edges, "scores": scores})
    boxes, found = ssdlite(np.zeros((100, 200, 3), np.uint8), 0.5)
    np.testing.assert_allclose(boxes, [[20, 12, 100, 48], [140, 50, 40, 50]], atol=1e-3)
    np.testing.assert_allclose(found, [0.9, 0.6])


def test_without_litert_pedestrians_are_found_and_a_warning_says_what_to_install(monkeypatch, rendered, caplog):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    people_finder.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            boxes, scores = find_people(rendered[0])
    people_finder.cache_clear()
    assert len(boxes) == 1 and scores[0] >= PedestrianHOG.min_score
    (record,) = caplog.records
    assert record.getMessage().endswith("python -m pip install ai-edge-litert")
