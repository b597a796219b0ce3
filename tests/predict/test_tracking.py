"""Tests of tracking people through a video, and of smoothing their poses."""

import numpy as np
import pytest

from pose_tf.predict.tracking import OneEuroFilter, PeopleTracker, PoseSmoother
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


def test_what_stands_still_is_not_changed_by_the_filter(rng):
    smooth = OneEuroFilter(1.0, 0.01)
    values = rng.normal(size=(17, 3))
    for i in range(10):
        np.testing.assert_allclose(smooth(values, i / FPS), values)


def test_trembling_becomes_less_and_motion_is_kept_up_with(rng):
    steps = np.arange(300) / 30
    noise = rng.normal(0, 10, (300, 1, 3))
    smooth = OneEuroFilter(1.0, 0.005)
    still = np.array([smooth(noise[i], time) for i, time in enumerate(steps)])
    assert still[30:].std() < 0.6 * noise[30:].std()
    smooth = OneEuroFilter(1.0, 0.005)
    path = 1000 * steps[:, None, None] * [1.0, 0, 0]  # mm at 1 m/s
    moving = np.array([smooth(path[i], time) for i, time in enumerate(steps)])
    assert np.abs(moving - path)[60:].max() < 40


def test_by_hand():
    """At 10 Hz, the speeds are 0 and 50/s. The speed is filtered at 1 Hz with weight w = 2π/10 / (2π/10 + 1)."""
    smooth = OneEuroFilter(2.0, 0.1)
    assert smooth(np.array([3.0]), 0.0) == 3
    rate = 2 * np.pi / 10
    speed = rate / (rate + 1) * 50
    cutoff = 2 * np.pi * (2.0 + 0.1 * speed) / 10
    np.testing.assert_allclose(smooth(np.array([8.0]), 0.1), 3 + cutoff / (cutoff + 1) * 5)


def test_time_that_stands_still_changes_nothing():
    smooth = OneEuroFilter(1.0, 0.0)
    smooth(np.zeros(3), 1.0)
    np.testing.assert_array_equal(smooth(np.ones(3), 1.0), np.zeros(3))


def test_each_person_is_smoothed_alone():
    smoother = PoseSmoother()
    box = np.float32([0, 0, 50, 100])
    pose = np.ones((17, 2)), np.ones((17, 3))
    root3d = np.ones(3)
    smoother(1, box, *pose, root3d, 0.0)
    for number, expected in ((1, False), (2, True)):
        smoothed = smoother(number, box, 3 * pose[0], 3 * pose[1], 3 * root3d, 0.1)
        assert [np.allclose(values, 3) for values in smoothed] == [expected] * 3


def test_joints_in_2d_are_smoothed_in_units_of_the_box_and_in_3d_in_mm(rng):
    smoother, walk = PoseSmoother(), np.cumsum(rng.normal(0, 5, (20, 17, 2)), axis=0)
    for i, pose2d in enumerate(walk):
        others = np.zeros((17, 3)), np.zeros(3)
        small, *_ = smoother(1, np.float32([0, 0, 50, 100]), pose2d, *others, i / FPS)
        large, *_ = smoother(2, np.float32([0, 0, 400, 10]), 4 * pose2d, *others, i / FPS)
        np.testing.assert_allclose(large, 4 * small, atol=1e-9)
    filtered, alone = PoseSmoother(), OneEuroFilter(1.0, 0.005)  # 6 Hz at 1000 mm/s
    for i in range(20):
        pose3d = np.full((17, 3), 1000 * i / FPS)
        _, found, _ = filtered(1, np.float32([0, 0, 50, 100]), walk[i], pose3d, np.zeros(3), i / FPS)
        np.testing.assert_allclose(found, alone(pose3d, i / FPS))


def test_distances_are_smoothed_more_than_joints(rng):
    """Noise of 100 mm around a person who stands still: less than half of it remains."""
    smoother, places = PoseSmoother(), []
    for i in range(100):
        root3d = rng.normal([0, 0, 4000], 100)
        places.append(
            smoother(1, np.float32([0, 0, 50, 100]), np.zeros((17, 2)), np.zeros((17, 3)), root3d, i / FPS)[2]
        )
    assert np.std(places[50:], axis=0).max() < 50
