"""Tests of smoothing poses over time, as they come and without delay."""

import dataclasses

import numpy as np

from pose_tf.predict.results import Frame, Person
from pose_tf.predict.smoothing import OneEuroFilter, PoseSmoother, smooth_without_delay

FPS = 30


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


def person(number, pose2d=0.0, pose3d=0.0, root3d=0.0, box=(0, 0, 50, 100)):
    poses = np.broadcast_to(pose2d, (17, 2)), np.broadcast_to(pose3d, (17, 3)), np.ones(17), number
    return Person(np.float32(box), *poses, np.broadcast_to(root3d, 3))


def frame(time, *people):
    return Frame(time, people)


def test_each_person_is_smoothed_alone():
    smoother = PoseSmoother()
    smoother(frame(0.0, person(1, 1, 1, 1)))
    known, new = smoother(frame(0.1, person(1, 3, 3, 3), person(2, 3, 3, 3))).people
    for name in ("pose2d", "pose3d", "root3d"):
        assert (getattr(known, name) < 3).all() and (getattr(new, name) == 3).all()
    assert [known.number, new.number] == [1, 2]


def test_joints_in_2d_are_smoothed_in_units_of_the_box_and_in_3d_in_mm(rng):
    smoother, walk = PoseSmoother(), np.cumsum(rng.normal(0, 5, (20, 17, 2)), axis=0)
    filtered, alone = PoseSmoother(), OneEuroFilter(1.0, 0.005)  # 6 Hz at 1000 mm/s
    for i, pose2d in enumerate(walk):
        near = person(1, pose2d), person(2, 4 * pose2d, box=(0, 0, 400, 10))
        small, large = smoother(frame(i / FPS, *near)).people
        np.testing.assert_allclose(large.pose2d, 4 * small.pose2d, atol=1e-9)
        pose3d = np.full((17, 3), 1000 * i / FPS)
        (found,) = filtered(frame(i / FPS, person(1, pose2d, pose3d))).people
        np.testing.assert_allclose(found.pose3d, alone(pose3d, i / FPS))


def test_distances_are_smoothed_more_than_joints(rng):
    """Noise of 100 mm around a person who stands still: less than half of it remains."""
    smoother, places = PoseSmoother(), []
    for i in range(100):
        root3d = rng.normal([0, 0, 4000], 100)
        places.append(smoother(frame(i / FPS, person(1, root3d=root3d))).people[0].root3d)
    assert np.std(places[50:], axis=0).max() < 50


def swing(count=90):
    """An arm that swings once a second with 300 mm: time and x."""
    times = np.arange(count) / FPS
    return times, 300 * np.sin(2 * np.pi * times)


def shift(signal, reference):
    """Delay of a signal of the same frequency against the reference, in frames."""
    lags = np.arange(-5, 6)
    middle = slice(20, -20)
    fit = [np.corrcoef(np.roll(signal, -lag)[middle], reference[middle])[0, 1] for lag in lags]
    return lags[np.argmax(fit)]


def test_a_file_is_smoothed_without_delay_and_more_than_a_camera(rng):
    times, x = swing()
    noisy = x + rng.normal(0, 40, len(x))
    frames = [frame(time, person(1, value, value, value)) for time, value in zip(times, noisy)]
    smoother = PoseSmoother()
    causal = np.array([smoother(one).people[0].pose3d[0, 0] for one in frames])
    free = np.array([one.people[0].pose3d[0, 0] for one in smooth_without_delay(frames)])
    assert shift(causal, x) >= 1 and shift(free, x) == 0
    middle = slice(10, -10)
    errors = [np.abs(values - x)[middle].mean() for values in (noisy, causal, free)]
    assert errors[2] < 0.8 * errors[1] and errors[2] < 0.8 * errors[0]
    assert np.abs(np.diff(free, 2)).mean() < 0.75 * np.abs(np.diff(causal, 2)).mean()


def test_time_has_no_direction_for_a_file(rng):
    """A video that is played backward has the same poses."""
    times = np.cumsum(rng.uniform(0.02, 0.2, 30))
    frames = [frame(time, person(1, *rng.normal(0, 50, 3))) for time in times]
    backward = [dataclasses.replace(one, time=-one.time) for one in reversed(frames)]
    for one, other in zip(smooth_without_delay(frames), reversed(smooth_without_delay(backward)), strict=True):
        assert one.time == -other.time
        for name in ("pose2d", "pose3d", "root3d"):
            np.testing.assert_allclose(getattr(one.people[0], name), getattr(other.people[0], name))


def test_people_come_and_go_in_a_file():
    frames = [
        frame(i / FPS, *(person(n, n, n, n) for n in people)) for i, people in enumerate([[1], [1, 2], [], [2, 1]])
    ]
    smooth = smooth_without_delay(frames)
    assert [[one.number for one in found.people] for found in smooth] == [[1], [1, 2], [], [2, 1]]
    for one in (one for found in smooth for one in found.people):
        np.testing.assert_allclose(one.pose3d, one.number)
    assert smooth_without_delay([]) == []


def test_what_is_not_known_stays_unknown_and_disturbs_nothing():
    roots = [0.0, np.nan, 0.0]
    smooth = smooth_without_delay([frame(i / FPS, person(1, 1, 1, root)) for i, root in enumerate(roots)])
    found = [one.people[0] for one in smooth]
    assert np.isnan(found[1].root3d).all()
    np.testing.assert_array_equal([found[0].root3d, found[2].root3d], np.zeros((2, 3)))
    np.testing.assert_allclose(found[1].pose3d, 1)
