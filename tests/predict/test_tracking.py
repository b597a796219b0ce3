"""Tests of tracking people through a video, and of smoothing their poses."""

import numpy as np
import pytest

from pose_tf.predict.tracking import PeopleTracker
from pose_tf.synthetic.sample import render_sample
from tests.predict.boxes import overlap

FPS = 15


@pytest.fixture(scope="module")
def walker():
    """A rendered person cut out around the box of the joints, uint8 [h, w, 3], and the box within the cutout."""
    sample = render_sample(0, 54, 9)
    low, high = sample["pose2d_crop"].min(axis=0), sample["pose2d_crop"].max(axis=0)
    (left, top), (right, bottom) = (low - 24).astype(int), (high + 24).astype(int)
    return sample["image"][top:bottom, left:right], np.concatenate([low - [left, top], high - low])


def street(walker, *places):
    """An image with a walker at each place, on a textured background: uint8 [400, 900, 3]."""
    cut_out, _ = walker
    image = np.random.default_rng(0).integers(110, 146, (400, 900, 3), np.uint8)
    for x, y in places:
        image[y : y + cut_out.shape[0], x : x + cut_out.shape[1]] = cut_out
    return image


def test_people_who_walk_keep_their_keys(walker, pedestrian_hog):
    tracker = PeopleTracker()
    paths = [lambda i: (20 + 6 * i, 60), lambda i: (700 - 6 * i, 100)]  # they do not meet
    keys = [set(), set()]
    for i in range(40):
        places = [path(i) for path in paths]
        found = tracker(street(walker, *places), i / FPS)
        if i >= 8:
            assert len(set(found) & set(tracker.people)) == 2
            for own, place in zip(keys, places):
                box = walker[1] + [*place, 0, 0]
                nearest = max(found, key=lambda key: overlap(box, found[key]))  # noqa: B023
                assert overlap(box, found[nearest]) > 0.5
                own.add(nearest)
    assert [len(own) for own in keys] == [1, 1]
    assert keys[0] != keys[1]
    assert min(tracker.people.values()) > 39 / FPS - 0.2  # found to the end


def test_who_is_gone_is_given_up_and_who_comes_is_new(walker, pedestrian_hog):
    tracker = PeopleTracker()
    tracker(street(walker, (100, 60)), 0)
    assert not tracker.people  # found once
    for i in range(1, 10):
        assert len(tracker(street(walker, (100, 60)), i / FPS)) == 1
    ((key, found_last),) = tracker.people.items()
    for i in range(10, 40):
        left = tracker(street(walker), i / FPS)
    assert not left
    assert tracker.people == {key: found_last} and found_last < 10 / FPS
    for i in range(40, 50):
        found = tracker(street(walker, (500, 60)), i / FPS)
    (other,) = found
    assert other != key and set(tracker.people) == {key, other}


@pytest.mark.parametrize(
    ("scores", "tracked", "person"),
    [
        ([0.5, 0.5, 0.5], True, True),
        ([0.31, 0.21, 0.5], True, True),  # sure once is enough
        ([0.31, 0.49, 0.49], True, False),
        ([0.29, 0.29, 0.29], False, False),
        ([0.5, 0, 0], True, False),  # seen once
    ],
)
def test_a_low_score_is_enough_to_be_tracked_but_not_to_count_as_a_person(monkeypatch, scores, tracked, person):
    left = iter(scores)

    def find(image, min_score):
        score = next(left)
        found = score >= min_score
        return np.float32([[300, 100, 60, 150]] * found).reshape(-1, 4), np.float32([score] * found)

    monkeypatch.setattr("pose_tf.predict.finders.find_people", find)
    tracker, image = PeopleTracker(min_score=0.5), np.zeros((400, 900, 3), np.uint8)
    for i in range(3):
        found = tracker(image, 0.2 * i)
    assert (len(found), len(tracker.people)) == (tracked, person)


def test_given_people_are_followed_without_a_search(walker, monkeypatch):
    monkeypatch.setattr("pose_tf.predict.finders.find_people", None)
    tracker = PeopleTracker(np.float32([walker[1] + [20, 60, 0, 0]]))
    for i in range(30):
        ((key, box),) = tracker(street(walker, (20 + 5 * i, 60 + i)), i / FPS).items()
        assert key in tracker.people
        np.testing.assert_allclose(box, walker[1] + [20 + 5 * i, 60 + i, 0, 0], atol=3)
