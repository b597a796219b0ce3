"""Tests of the interpreter of pickle programs: it builds what they describe, and calls nothing."""

import collections
import io
import pickle
import tracemalloc

import numpy as np
import pytest

from pose_tf import pickle_program
from pose_tf.errors import UserError
from pose_tf.pickle_program import Array, Other, Storage, Tensor, interpret


def described(program):
    return interpret("model.pth", io.BytesIO(program))[0]


@pytest.mark.parametrize("protocol", range(6))
def test_containers_numbers_and_strings_are_built(protocol):
    value = {"a": [1, -2.5, True, None], ("b", 2)[0]: ("text", b"bytes" if protocol > 2 else "text"), 3: {}}
    value["again"] = value["a"]
    assert described(pickle.dumps(value, protocol)) == value
    ordered = collections.OrderedDict([("x", 1), ("y", [2])])
    assert list(described(pickle.dumps(ordered, protocol)).items()) == [("x", 1), ("y", [2])]


def test_several_programs_follow_each_other():
    file = io.BytesIO(pickle.dumps([1]) + pickle.dumps("two") + b"rest")
    assert interpret("model.pth", file) == ([1], [])
    assert interpret("model.pth", file) == ("two", [])
    assert file.read() == b"rest"


def test_a_tensor_is_a_view_of_a_storage_in_the_file():
    program = (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n("
        b"(X\x07\x00\x00\x00storagectorch\nHalfStorage\nX\x01\x00\x00\x007X\x03\x00\x00\x00cpuK\x0ctQ"
        b"K\x02(K\x02K\x05t(K\x05K\x01t\x89NtR."
    )
    tensor, storages = interpret("model.pth", io.BytesIO(program))
    assert storages == [Storage("7", "<f2", 12)] and storages[0].size == 24
    assert tensor == Tensor(storages[0], 2, (2, 5), (5, 1))


@pytest.mark.parametrize("call", [b"(S'touch made'\nios\nsystem\n.", b"cos\nsystem\nS'touch made'\n\x85R."])
def test_other_functions_are_named_and_not_called(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    found = described(b"\x80\x02" + call)
    assert isinstance(found, Other) and found.name == "os.system"
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("program, name", [(b"\x80\x02\x82\x01.", "EXT1"), (b"\x80\x02]Pkey\n.", "PERSID")])
def test_other_instructions_are_refused(program, name):
    with pytest.raises(UserError, match=f"model.pth uses the pickle instruction {name}, which is refused"):
        described(program)


def test_a_program_of_too_many_instructions_is_refused(monkeypatch):
    monkeypatch.setattr(pickle_program, "MAX_INSTRUCTIONS", 1000)
    with pytest.raises(ValueError, match="more than 1000 instructions"):
        described(b"\x80\x02" + b"}" * 1000 + b".")


def test_a_call_that_is_repeated_does_not_multiply_its_arguments():
    items = b"(" + b"K\x01K\x02\x86" * 2000 + b"lq\x00"
    tracemalloc.start()
    described(b"\x80\x02" + items + b"ccollections\nOrderedDict\nh\x00\x85R" * 2000 + b".")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000  # each of 2000 dictionaries of 2000 items would take 70,000


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("value", [
    np.arange(6, dtype="<f4").reshape(2, 3), np.arange(6, dtype=">i2").reshape(3, 2), np.array([[True, False]]),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.array(2.5), np.zeros((0, 2)),
], ids=str)  # fmt: skip
def test_arrays_of_numbers_are_built(protocol, value):
    found = described(pickle.dumps({"a": [value]}, protocol))["a"][0].value()
    np.testing.assert_array_equal(found, value, strict=True)
    assert described(pickle.dumps(np.float32(2.5), protocol)) == 2.5


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_objects_hold_what_the_interpreter_makes_of_them(protocol):
    value = np.array([{"S1": [np.ones(2)]}, "text"], object)
    found = described(pickle.dumps(value, protocol)).value()
    assert found.shape == (2,) and found[1] == "text"
    np.testing.assert_array_equal(found[0]["S1"][0].value(), [1, 1])
    scalar = described(pickle.dumps(np.array({"a": 1}, object), protocol)).value()
    assert scalar.shape == () and scalar.item() == {"a": 1}


def test_arrays_of_anything_else_are_refused():
    array = described(pickle.dumps(np.array(["text"])))
    assert isinstance(array, Array)
    with pytest.raises(ValueError, match="an array holds 'U4' instead of numbers"):
        array.value()
