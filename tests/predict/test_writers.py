"""Tests of the result writers: right pictures, a limited number of them, and nothing after a failure."""

from pose_tf.predict import writers


def test_samples_of_a_row_stay_few_and_even():
    spread = writers.Spread(4)
    for i in range(100):
        spread.offer(i, lambda: i)  # noqa: B023
    assert spread.kept == {0: 0, 32: 32, 64: 64, 96: 96}
