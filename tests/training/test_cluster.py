"""Tests of the workers of a run: how TF_CONFIG names them, and how they wait for each other at the start."""

import json

import pytest
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.training import strategy
from pose_tf.training.cluster import Cluster, read_tf_config


def tf_config(workers=("a:1", "b:2"), type_="worker", index=0, **jobs):
    workers = list(workers) if isinstance(workers, tuple) else workers
    cluster = {"worker": workers, **jobs}
    return json.dumps({"cluster": cluster, "task": {"type": type_, "index": index}})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "no 'cluster'"),
        ("3", "no 'cluster'"),
        ('{"cluster": ["a:1"], "task": {"type": "worker", "index": 0}}', "no 'cluster'"),
        ('{"cluster": {"worker": ["a:1"]}}', "no 'task'"),
        ('{"cluster": {"worker": ["a:1"]}, "task": "worker"}', "no 'task'"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps"}}', 'type is "ps"'),
        ('{"cluster": {}, "task": {"type": "worker", "index": 0}}', "index is 0"),
        (tf_config("a:1"), 'worker is "a:1", which is not a list'),
        (tf_config([]), r"worker is \[\], which is not a list"),
        (tf_config({"0": "a:1"}), "which is not a list"),
        (tf_config([["a", 1]]), r'\["a", 1\] is not an address host:port'),
        (tf_config(["a"]), '"a" is not an address host:port'),
        (tf_config(["a:"]), '"a:" is not an address host:port'),
        (tf_config([":1"]), '":1" is not an address host:port'),
        (tf_config(["a:x"]), '"a:x" is not an address host:port'),
        (tf_config(["a:²"]), "is not an address host:port"),
        (tf_config(["a:-1"]), '"a:-1" is not an address host:port'),
        (tf_config(["grpc://a:1"]), '"grpc://a:1" is not an address host:port'),
        (tf_config(["a..b:1"]), '"a..b:1" is not an address host:port'),
        (tf_config(["a:0"]), "port of a:0 is not in 1 to 65535"),
        (tf_config(["a:70000"]), "port of a:70000 is not in 1 to 65535"),
        (tf_config(("a:1", "b:2", "a:1")), "lists a:1 2 times"),
        (tf_config(chief=["a:1"]), "lists a:1 2 times"),
        (tf_config(chief=["c:1", "d:1"]), "has 2 chiefs"),
        (tf_config(ps=["c:1"]), "its cluster has 'ps'"),
        (tf_config(evaluator=["c:1"]), "its cluster has 'evaluator'"),
        (tf_config(type_="evaluator"), 'type is "evaluator"'),
        (tf_config(type_="chief"), "index is 0; it must be that of a chief in its cluster"),
        (tf_config(type_=None), "type is null"),
        (tf_config(index=2), "index is 2; it must be a whole number from 0 to 1"),
        (tf_config(index=-1), "index is -1; it must be a whole number from 0 to 1"),
        (tf_config(index=True), "index is true; it must be a whole number from 0 to 1"),
        (tf_config(index=0.0), "index is 0.0; it must be a whole number from 0 to 1"),
        (tf_config(index="0"), 'index is "0"; it must be a whole number from 0 to 1, without quotes'),
        (tf_config(index=None), "index is null"),
    ],
)
@pytest.mark.parametrize("name", ["auto", "multi_worker"])
def test_a_tf_config_that_is_none_is_refused_in_a_sentence(monkeypatch, name, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=f"^TF_CONFIG: .*{words}.*; the expected form is {{"):
        strategy.make_strategy(name)


@pytest.mark.parametrize("text", ["", " "])
def test_an_empty_tf_config_is_none(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match="the environment variable TF_CONFIG is not set"):
        strategy.make_strategy("multi_worker")
    assert isinstance(strategy.make_strategy("auto"), tf.distribute.OneDeviceStrategy)


@pytest.mark.parametrize(("kind", "index", "expected"), [("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)])
def test_a_chief_is_the_first_worker(monkeypatch, kind, index, expected):
    monkeypatch.setenv("TF_CONFIG", tf_config(("a:1", "[::1]:65535"), kind, index, chief=["c:1"]))
    assert read_tf_config() == Cluster(("c:1", "a:1", "[::1]:65535"), expected)
