"""Tests of the reader of PyTorch checkpoints: both formats, files that would run code, and damaged files."""

import argparse
import builtins
import collections
import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from pose_tf.errors import UserError
from pose_tf.models.torch_checkpoint import read_state_dict
from tests.models.torch_files import SYSTEM, Tensor, write_legacy, write_zip

FORMATS = pytest.mark.parametrize("write", [write_zip, write_legacy])
FLOATS = np.arange(24, dtype=np.float32)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.pth"


def assert_equal(state, expected):
    assert list(state) == list(expected)
    for name, array in expected.items():
        assert (state[name].dtype, state[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(state[name], array)


def refusal(path):
    """What the user reads."""
    with pytest.raises(UserError) as error:
        read_state_dict(str(path))
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    return message


# ---------------------------------------------------------------------------------------------- what is read


@FORMATS
def test_a_bare_state_dict_is_read_in_its_order(path, rng, write):
    names = ["final_layer.weight", "bn1.running_var", "a"]
    state = {name: rng.normal(size=shape).astype(np.float32) for name, shape in zip(names, [(17, 4, 1, 1), (8,), ()])}
    write(path, state)
    assert_equal(read_state_dict(str(path)), state)


@FORMATS
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8", "bool"])
def test_every_number_type_is_kept(path, write, dtype):
    array = np.array([[0, 1, 100], [3, 0, 5]]).astype(dtype)
    write(path, {"x": array, "scalar": np.array(1, dtype)})
    assert_equal(read_state_dict(str(path)), {"x": array, "scalar": np.array(1, dtype)})


@FORMATS
def test_bfloat16_becomes_float32(path, write):
    write(path, {"x": np.array([[0x3F80, 0xC020], [0x0000, 0x4049]], np.uint16)})
    assert_equal(read_state_dict(str(path)), {"x": np.array([[1.0, -2.5], [0.0, 3.140625]], np.float32)})


@FORMATS
def test_a_transposed_tensor_has_the_values_of_the_transposed_array(path, write):
    array = FLOATS.reshape(2, 3, 4)
    write(path, {"x": array.transpose(2, 0, 1)})
    state = read_state_dict(str(path))
    assert_equal(state, {"x": array.transpose(2, 0, 1)})
    assert state["x"][3, 1, 0] == 15


@FORMATS
def test_tensors_that_share_a_storage_see_their_own_parts(path, write):
    flat = FLOATS.copy()
    write(path, {"head": flat[:4], "grid": flat.reshape(4, 6)[1:, ::2], "again": flat[:4]})
    state = read_state_dict(str(path))
    head, grid = [0, 1, 2, 3], [[6, 8, 10], [12, 14, 16], [18, 20, 22]]
    assert_equal(state, {name: np.array(part, np.float32) for name, part in zip(state, [head, grid, head])})
    state["head"][:] = -1
    np.testing.assert_array_equal(state["again"], head)


@FORMATS
def test_an_expanded_tensor_repeats_its_values_and_an_empty_one_has_none(path, write):
    write(path, {"x": Tensor(FLOATS, 2, (2, 3), (0, 1)), "empty": Tensor(FLOATS, 24, (0, 4), (4, 1))})
    state = read_state_dict(str(path))
    assert_equal(state, {"x": np.array([[2, 3, 4]] * 2, np.float32), "empty": np.zeros((0, 4), np.float32)})


@FORMATS
@pytest.mark.parametrize("key", ["state_dict", "best_state_dict", "model_state_dict", "model"])
def test_a_training_checkpoint_gives_its_weights_without_the_prefix(path, write, key):
    moments = {"step": 7, "exp_avg": FLOATS, "exp_avg_sq": FLOATS}
    weights = collections.OrderedDict({"module.conv1.weight": FLOATS.reshape(2, 3, 2, 2), "module.bn1.bias": FLOATS})
    weights._metadata = collections.OrderedDict({"": {"version": 1}, "bn1": {"version": 2}})
    checkpoint = {
        "epoch": 210,
        "architecture": "pose_hrnet",
        "best": None,
        "perf": np.float64(0.9),
        "finished": True,
        "rate": 1e-3,
        key: weights,
        "optimizer": {
            "state": {0: moments, 1: moments},
            "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.999), "nesterov": False, "params": [0, 1]}],
        },
        "long": (2**40, -5, "é", b"\x00\xff", [], {}, ()),
    }
    write(path, checkpoint)
    expected = {"conv1.weight": FLOATS.reshape(2, 3, 2, 2), "bn1.bias": FLOATS}
    assert_equal(read_state_dict(str(path)), expected)


def test_a_tensor_beside_the_state_dict_is_no_weight(path):
    write_zip(path, {"epoch": 3, "loss": np.array(0.5, np.float32), "state_dict": {"x": FLOATS}})
    assert_equal(read_state_dict(str(path)), {"x": FLOATS})


@FORMATS
def test_newer_pickle_protocols_are_read(path, write):
    for protocol in (3, 4, 5):
        write(path, {"epoch": 1, "perf": np.float64(0.9), "state_dict": {"x": FLOATS}}, protocol=protocol)
        assert_equal(read_state_dict(str(path)), {"x": FLOATS})


# ------------------------------------------------------------------------------------------- what is refused


class Evil:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(target):
    return {
        "system": Evil(os.system, f"touch '{target}'"),
        "eval": Evil(builtins.eval, f"open({str(target)!r}, 'w').close()"),
        "touch": Evil(pathlib.Path.touch, target),
    }


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("place", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("attack", ["system", "eval", "touch"])
def test_a_file_that_would_run_code_is_refused_and_does_not_run(path, tmp_path, attack, place, protocol):
    target = tmp_path / "made"
    evil = attacks(target)[attack]
    pickle.loads(pickle.dumps(evil, protocol))
    assert target.exists()
    target.unlink()
    write = {"zip": write_zip, "legacy": write_legacy}
    if place == "pickle":
        path.write_bytes(pickle.dumps({"x": evil}, protocol))
    else:
        write[place](path, {"state_dict": {"x": FLOATS}, "extra": [evil]}, protocol=protocol)
    assert "wants to use" in refusal(path)
    assert not target.exists()


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
def test_an_unknown_class_is_named(path, write, protocol):
    write(path, {"state_dict": {"x": FLOATS}, "arguments": argparse.Namespace(lr=0.1)}, protocol=protocol)
    assert "argparse.Namespace" in refusal(path)


@pytest.mark.parametrize(
    "program, instruction",
    [
        (b"\x80\x02(S'touch made'\nios\nsystem\n.", "INST"),
        (b"\x80\x02(cos\nsystem\nS'touch made'\no.", "os.system"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02]Pkey\n.", "PERSID"),
    ],
)
def test_other_ways_to_call_are_refused_by_their_names(path, tmp_path, monkeypatch, program, instruction):
    monkeypatch.chdir(tmp_path)
    path.write_bytes(program)
    assert instruction in refusal(path)
    assert not (tmp_path / "made").exists()


# --------------------------------------------------------------------------------------------- damaged files


def test_a_missing_file_is_named(path):
    assert refusal(path).endswith("does not exist")


def test_a_folder_is_named(tmp_path):
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"P", b"\x80", b"epoch,loss\n1,0.5\n", b"\x89HDF\r\n\x1a\n"], ids=str)
def test_a_file_of_another_kind_is_named(path, content):
    path.write_bytes(content)
    refusal(path)


def test_a_zip_of_something_else_is_named(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.keras/config.json", "{}")
    assert "not a PyTorch checkpoint" in refusal(path)


def test_a_plain_pickle_is_named(path):
    path.write_bytes(pickle.dumps({"x": [1.0, 2.0]}, 2))
    assert "not a PyTorch checkpoint" in refusal(path)


def test_a_file_of_a_big_endian_machine_is_refused(path):
    write_zip(path, {"x": FLOATS}, byteorder="big")
    assert "big-endian" in refusal(path)
    write_legacy(path, {"x": FLOATS}, system={**SYSTEM, "little_endian": False})
    assert "big-endian" in refusal(path)


@FORMATS
@pytest.mark.parametrize("share", [0.001, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.9999])
def test_a_truncated_file_is_named(path, rng, write, share):
    write(path, {f"layer{i}.weight": rng.normal(size=(16, 16)).astype(np.float32) for i in range(5)})
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refusal(path)


def test_a_legacy_file_without_its_last_byte_is_named(path):
    write_legacy(path, {"x": FLOATS, "y": FLOATS})
    path.write_bytes(path.read_bytes()[:-1])
    assert "truncated" in refusal(path)


@FORMATS
@pytest.mark.parametrize("count", [23, 25, 0, -24, 2**50])
def test_a_storage_of_another_size_is_named(path, write, count):
    write(path, {"x": Tensor(FLOATS, 0, (1,), (1,), count)})
    assert "damaged" in refusal(path)


@FORMATS
@pytest.mark.parametrize(
    "offset, shape, strides",
    [
        (0, (25,), (1,)),
        (1, (24,), (1,)),
        (0, (5, 5), (5, 1)),
        (0, (2,), (24,)),
        (24, (), ()),
        (-1, (4,), (1,)),
        (3, (4,), (-1,)),
        (0, (-1,), (1,)),
        (0, (4, 6), (1,)),
        (0, (4,), (6, 1)),
        (0, (2**62, 2**62), (2**62, 1)),
    ],
    ids=str,
)
def test_a_tensor_beyond_its_storage_is_named(path, write, offset, shape, strides):
    write(path, {"conv1.weight": Tensor(FLOATS, offset, shape, strides)})
    assert "'conv1.weight' reaches beyond its storage" in refusal(path)


@FORMATS
def test_a_key_that_is_no_tensor_is_named(path, write):
    write(path, {"state_dict": {"conv1.weight": FLOATS, "version": 3}})
    assert "'version' is not a tensor" in refusal(path)


@FORMATS
@pytest.mark.parametrize("value", [{}, {"epoch": 3}, {"weights": {"x": FLOATS}}, [FLOATS], FLOATS, 3, None], ids=repr)
def test_a_checkpoint_without_weights_is_named(path, write, value):
    write(path, value)
    assert "holds no weights" in refusal(path)


def test_a_zip_that_lacks_an_array_is_named(path, tmp_path):
    write_zip(tmp_path / "whole.pth", {"x": FLOATS, "y": FLOATS + 1})
    with zipfile.ZipFile(tmp_path / "whole.pth") as whole, zipfile.ZipFile(path, "w") as archive:
        for name in whole.namelist():
            if not name.endswith("/data/1"):
                archive.writestr(name, whole.read(name))
    assert "data/1" in refusal(path)


@pytest.mark.parametrize("position, value", [(6, 200), (8, 1), (8, 32), (10, 99)], ids=str)
def test_a_zip_that_python_cannot_unpack_is_named(path, position, value):
    write_zip(path, {"x": FLOATS})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + position] = value
    path.write_bytes(content)
    refusal(path)


@pytest.mark.parametrize(
    "parts", [{"system": "x"}, {"system": None}, {"keys": 3}, {"keys": [[]]}, {"keys": []}], ids=str
)
def test_a_legacy_file_with_wrong_parts_is_named(path, parts):
    write_legacy(path, {"x": FLOATS}, **parts)
    refusal(path)


@FORMATS
@pytest.mark.parametrize(
    "view", [(0, 24, (1,)), (0, (24,), 1), (0, ("24",), (1,)), ("0", (24,), (1,)), (0, (2.5,), (1,))], ids=str
)
def test_a_tensor_of_wrong_types_is_named(path, write, view):
    write(path, {"x": Tensor(FLOATS, *view)})
    refusal(path)


@FORMATS
def test_a_tensor_expanded_beyond_memory_is_named(path, write):
    write(path, {"x": Tensor(FLOATS, 0, (2**50,), (0,))})
    refusal(path)


def test_a_pickle_with_a_string_beyond_memory_is_named(path):
    path.write_bytes(b"\x80\x04\x8e" + (2**50).to_bytes(8, "little") + b"abc.")
    refusal(path)


def test_a_list_that_holds_itself_is_no_obstacle(path):
    endless = []
    endless.append(endless)
    write_legacy(path, {"state_dict": {"x": FLOATS}, "endless": endless})
    assert_equal(read_state_dict(str(path)), {"x": FLOATS})


@FORMATS
def test_random_damage_gives_arrays_or_an_error_of_the_user(path, write):
    rng = np.random.default_rng(2)
    checkpoint = {"epoch": 3, "perf": np.float64(0.9), "state_dict": {"x": FLOATS.reshape(4, 6).T, "y": np.array(7)}}
    write(path, checkpoint)
    content = path.read_bytes()
    refused = 0
    for i in range(300):
        position = rng.integers(len(content))
        damaged = bytearray(content)
        damaged[position] ^= rng.integers(1, 256)
        path.write_bytes(damaged[:position] if i % 3 == 0 else damaged)
        try:
            state = read_state_dict(str(path))
        except UserError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert all(isinstance(array, np.ndarray) for array in state.values())
    assert 150 < refused < 300
