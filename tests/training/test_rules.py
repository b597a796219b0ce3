"""Tests of rules for values in recipes."""

import math

import pytest

from pose_tf.training.rules import COUNT, POSITIVE_COUNT, SHARE, SWITCH, TEXT, Range, Several


@pytest.mark.parametrize(
    "rule, valid, invalid",
    [
        (Range(0, 180), (0, 0.5, 180), (-1e-9, 180.5, math.nan, math.inf, "1", None, True, (1,))),
        (Range(0, 1, above=True), (1e-9, 1), (0, 1.1)),
        (Range(0, 1, below=True), (0, 0.999), (1, -0.1)),
        (COUNT, (0, 2**31 - 1), (-1, 1.0, 2**31)),
        (POSITIVE_COUNT, (1,), (0,)),
        (SHARE, (0, 1, 0.5), (1.01,)),
        (Several(1, "three numbers", (3,)), ((1, 4, 3), [1, 1, 1]), ((1, 4), (0, 1, 1), (1.0, 1, 1), 3, "abc")),
        (Several(0, "numbers"), ((), (0,), (5, 6, 7, 8)), ((-1,), None)),
        (TEXT, ("", "a"), (None, 1)),
        (SWITCH, (True, False), (0, 1, "True")),
    ],
    ids=str,
)
def test_values_keep_a_rule_or_not(rule, valid, invalid):
    assert [value for value in valid if value not in rule] == []
    assert [value for value in invalid if value in rule] == []


@pytest.mark.parametrize(
    "rule, text",
    [
        (Range(0, 180), "at least 0 and at most 180"),
        (Range(0, 1, above=True, below=True), "above 0 and below 1"),
        (POSITIVE_COUNT, "a whole number of at least 1"),
        (Several(1, "three numbers", (3,)), "three numbers"),
        (SWITCH, "True or False"),
    ],
    ids=str,
)
def test_a_rule_says_what_is_valid(rule, text):
    assert str(rule) == text
