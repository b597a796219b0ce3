"""Tests of reading records inside graphs: whatever is wrong with them, an error names the file and the record."""

import os
import re
import shutil
import types
import zlib

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.data import graph_records, pipeline, records
from pose_tf.data.record_index import index_records
from pose_tf.errors import UserError
from tests.data.damage import FILE_FAULTS, RECORD_FAULTS, flip_middle

EVERYBODY = (1, 5, 6)


def test_parse_returns_only_the_keys_wanted(make_sample):
    parsed = graph_records.parse(records.encode(make_sample(3), records.H36M), records.H36M, ("subject", "pose3d"))
    assert sorted(parsed) == ["pose3d", "subject"]
    assert parsed["subject"].numpy() == 1
    np.testing.assert_array_equal(parsed["pose3d"], make_sample(3)["pose3d"])


def all_labeled(index):
    list(pipeline.labeled_images(index, EVERYBODY, 2))


def some_batches(index):
    list(pipeline.detector_batches(index, EVERYBODY, 2, seed=0).take(8))


def index_again(index):
    data_dir = index.shards[0].rsplit("/h36/", 1)[0]
    shutil.rmtree(os.path.join(data_dir, ".pose_tf"))  # damage amid a file leaves its size and checksum
    index_records(data_dir)


CONSUMERS = {"detector_batches": some_batches, "labeled_images": all_labeled, "index_records": index_again}


@pytest.fixture
def two_shards(tmp_path, people):
    """`.index` of a good shard and of a shard with three samples, to be damaged later; `.bad`: path of the latter."""
    good, bad = tmp_path / "h36" / "0", tmp_path / "h36" / "1"
    records.write(str(good), people.samples[:3], records.H36M)
    records.write(str(bad), people.samples[3:6], records.H36M)
    return types.SimpleNamespace(index=index_records(str(tmp_path)), bad=bad)


def refusal(consumer, index):
    with pytest.raises(UserError) as caught, graph_records.named_errors(index.shards, records.H36M):
        CONSUMERS[consumer](index)
    return str(caught.value)


@pytest.mark.parametrize("consumer", CONSUMERS)
@pytest.mark.parametrize("fault", RECORD_FAULTS)
def test_a_bad_record_is_named(people, two_shards, rewrite, fault, consumer):
    spoil, words = RECORD_FAULTS[fault]
    bad = two_shards.bad
    rewrite(bad, records.H36M, lambda number, example: spoil(example) if number == 1 else None, people.samples[3:6])
    assert refusal(consumer, two_shards.index).startswith(f"{bad} record 1: {words}")


@pytest.mark.parametrize("consumer", CONSUMERS)
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data[: len(data) // 2], " record 1: the file ends"),
        (flip_middle, " record 1: its bytes are damaged"),
        (lambda data: zlib.decompress(data), ": expected TFRecords with ZLIB compression"),
        (lambda data: b"Dear reader,\n" * 99, ""),
    ],
    ids=["cut", "flipped", "not compressed", "text"],
)
def test_a_bad_file_is_named(two_shards, spoil, words, consumer):
    two_shards.bad.write_bytes(spoil(two_shards.bad.read_bytes()))
    assert re.match(re.escape(f"{two_shards.bad}{words}"), refusal(consumer, two_shards.index))


@pytest.mark.parametrize("consumer", ["detector_batches", "labeled_images"])
def test_a_file_that_vanishes_is_named(two_shards, consumer):
    two_shards.bad.unlink()
    assert refusal(consumer, two_shards.index) == f"{two_shards.bad} does not exist"


@pytest.mark.parametrize(
    "cut", [lambda data: data[:-1], lambda data: data[:-4], lambda data: data[:2], lambda data: b""]
)
def test_a_shard_cut_between_records_is_not_taken_for_a_shorter_one(two_shards, cut):
    two_shards.bad.write_bytes(cut(two_shards.bad.read_bytes()))
    assert str(two_shards.bad) in refusal("index_records", two_shards.index)


def test_an_error_of_something_else_is_shown_without_a_look_at_the_records(index, monkeypatch):
    monkeypatch.setattr(records, "read", lambda *_: pytest.fail("records were read"))
    monkeypatch.setattr(records, "read_serialized", lambda *_: pytest.fail("records were read"))

    def model(batch):
        return tf.debugging.check_numerics(tf.cast(batch["image"], tf.float32) / 0.0, "a layer")

    kind = tf.errors.InvalidArgumentError
    with pytest.raises(kind, match="a layer"), graph_records.named_errors(index.shards, records.H36M):
        list(pipeline.detector_batches(index, (1, 5), 4, seed=0).map(model).take(1))
    for error in (tf.errors.ResourceExhaustedError, tf.errors.InternalError, tf.errors.DataLossError):
        with pytest.raises(error, match="disk full"), graph_records.named_errors(index.shards, records.H36M):
            raise error(None, None, "disk full")


def test_only_the_file_at_fault_is_read_again(people, index, damage, monkeypatch, capfd):
    copy = damage({})
    now = index_records(copy.data_dir)
    FILE_FAULTS["flipped"](copy.paths[6])
    opened = []
    read = records.read_serialized
    monkeypatch.setattr(records, "read_serialized", lambda path, schema: opened.append(path) or read(path, schema))
    words = re.escape(f"{copy.paths[6]} record 1")
    with pytest.raises(UserError, match=words), graph_records.named_errors(now.shards, records.H36M):
        list(pipeline.detector_batches(now, EVERYBODY, 4, seed=0).take(8))
    assert opened == [str(copy.paths[6])]
    assert f"looking for a damaged record in {copy.paths[6]}" in capfd.readouterr().err


def test_a_file_that_can_be_read_again_is_named(people, index, damage):
    copy = damage({})
    now = index_records(copy.data_dir)
    data = copy.paths[6].read_bytes()
    FILE_FAULTS["gone"](copy.paths[6])
    words = re.escape(f"a record of {copy.paths[6]} could not be read")
    with pytest.raises(UserError, match=words), graph_records.named_errors(now.shards, records.H36M):
        try:
            list(pipeline.detector_batches(now, EVERYBODY, 4, seed=0).take(8))
        finally:
            copy.paths[6].write_bytes(data)
