"""Tests of the reader of PyTorch checkpoints: both formats, files that would run code, and damaged files."""

import argparse
import builtins
import collections
import datetime
import json
import os
import pathlib
import pickle
import re
import sys
import types
import zipfile

import numpy as np
import pytest

from pose_tf.errors import UserError
from pose_tf.models.torch_checkpoint import read_state_dict
from tests.models.torch_files import SYSTEM, Array, Tensor, write_legacy, write_zip

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
    """The error message."""
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
@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize("attack", ["system", "eval", "touch"])
def test_code_in_a_file_does_not_run(path, tmp_path, attack, write, protocol):
    target = tmp_path / "made"
    evil = attacks(target)[attack]
    pickle.loads(pickle.dumps(evil, protocol))
    assert target.exists()
    target.unlink()
    write(path, {"extra": [evil], "state_dict": {"x": FLOATS}, "more": {"evil": evil}}, protocol=protocol)
    assert_equal(read_state_dict(str(path)), {"x": FLOATS})
    write(path, {"state_dict": {"x": FLOATS, "y": evil}}, protocol=protocol)
    assert re.search(r"'y' is not a tensor that can be read but a .*\.(system|eval|touch|getattr)$", refusal(path))
    write(path, evil, protocol=protocol)
    assert "contains no weights, only " in refusal(path)
    path.write_bytes(pickle.dumps({"x": evil}, protocol))
    assert "not a PyTorch checkpoint" in refusal(path)
    assert not target.exists()


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_model_instead_of_its_weights_is_named(path, write, protocol):
    write(path, argparse.Namespace(weights={"x": FLOATS}), protocol=protocol)
    assert "contains no weights, only argparse.Namespace" in refusal(path)


@pytest.mark.parametrize(
    "program, words",
    [
        (b"\x80\x02(S'touch made'\nios\nsystem\n.", "not a PyTorch checkpoint"),
        (b"\x80\x02(cos\nsystem\nS'touch made'\no.", "not a PyTorch checkpoint"),
        (b"\x80\x02cos\nsystem\nS'touch made'\n\x85R.", "not a PyTorch checkpoint"),
        (b"\x80\x02cos\nsystem\nS'touch made'\n\x85\x81.", "not a PyTorch checkpoint"),
        (b"\x80\x04cos\nsystem\nS'touch made'\n\x85}\x92.", "not a PyTorch checkpoint"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02]Pkey\n.", "PERSID"),
    ],
)
def test_no_instruction_calls_anything(path, tmp_path, monkeypatch, program, words):
    monkeypatch.chdir(tmp_path)
    path.write_bytes(program)
    assert words in refusal(path)
    assert not (tmp_path / "made").exists()


@FORMATS
def test_weights_that_repeat_a_storage_again_and_again_are_refused(path, write):
    flat = np.zeros(100_000, np.float32)
    write(path, {f"x{i}": flat for i in range(5)})
    assert len(read_state_dict(str(path))) == 5
    write(path, {f"x{i}": flat for i in range(100)})
    assert "repeat the same numbers" in refusal(path)


def test_a_key_that_is_too_deep_to_hash_is_no_obstacle(path):
    deep = ()
    for _ in range(50):
        deep = (deep,)
    write_zip(path, {"history": {deep: 1, (1, 2): 3}, "state_dict": {"x": FLOATS}})
    assert_equal(read_state_dict(str(path)), {"x": FLOATS})
    program = b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s."
    path.write_bytes(program)
    assert "not a PyTorch checkpoint" in refusal(path)


def test_a_compressed_archive_is_refused(path, tmp_path):
    write_zip(tmp_path / "whole.pth", {"x": np.zeros(1_000_000, np.float32)})
    with zipfile.ZipFile(tmp_path / "whole.pth") as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in whole.namelist():
            archive.writestr(name, whole.read(name))
    assert "is compressed" in refusal(path)


# ------------------------------------------------------------------------------- mmengine, Lightning, safetensors


class HistoryBuffer:
    """Like the log of mmengine: an object of a package that may not be installed."""

    def __init__(self, values):
        self.values = values


HistoryBuffer.__module__ = "mmengine"


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_mmengines_checkpoint_gives_its_tensors_and_the_rest_is_left_unread(path, write, protocol, monkeypatch):
    module = types.ModuleType(HistoryBuffer.__module__)
    module.HistoryBuffer = HistoryBuffer
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, HistoryBuffer.__module__, module)
        arrays = Array([[1.0, 2.0]]), Array(["left", "right"], dtype=object)
        checkpoint = {
            "meta": {"time": datetime.datetime(2023, 1, 5), "dataset_meta": {"sigmas": arrays[0], "names": arrays[1]}},
            "message_hub": {"log_scalars": collections.defaultdict(list, {"loss": [HistoryBuffer(arrays[0])]})},
            "seen": {1, 2},
            "frozen": frozenset([3]),
            "path": pathlib.PurePosixPath("work_dirs"),
            "state_dict": collections.OrderedDict({"backbone.conv1.weight": FLOATS, "head.final_layer.bias": FLOATS}),
            "optimizer": {"state": {0: {"exp_avg": FLOATS}}, "param_groups": [{"lr": np.float64(1e-3)}]},
        }
        write(path, checkpoint, protocol=protocol)
    assert HistoryBuffer.__module__ not in sys.modules
    state = read_state_dict(str(path))
    assert_equal(state, {"backbone.conv1.weight": FLOATS, "head.final_layer.bias": FLOATS})
    assert (state.key, state.others) == ("state_dict", ())


@FORMATS
@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.", "model._orig_mod."]
)
def test_prefixes_of_all_weights_are_removed(path, write, prefix):
    write(path, {"state_dict": {f"{prefix}conv1.weight": FLOATS, f"{prefix}module.bias": FLOATS}})
    assert list(read_state_dict(str(path))) == ["conv1.weight", "module.bias"]


def test_a_prefix_of_some_weights_belongs_to_their_names(path):
    write_zip(path, {"model.conv1.weight": FLOATS, "loss.weight": FLOATS})
    assert list(read_state_dict(str(path))) == ["model.conv1.weight", "loss.weight"]


def test_the_counter_of_a_moving_average_is_no_weight(path):
    write_zip(path, {"state_dict": {"x": FLOATS}, "ema_state_dict": {"steps": np.array(9), "module.x": FLOATS + 1}})
    assert_equal(read_state_dict(str(path), "ema_state_dict"), {"x": FLOATS + 1})


@FORMATS
def test_weights_under_several_keys_are_told_and_can_be_chosen(path, write):
    parts = {"state_dict": 1, "state_dict_ema": 2, "model_ema": 3, "teacher": 4}
    checkpoint = {key: {"x": FLOATS + value} for key, value in parts.items()}
    write(path, {**checkpoint, "ema": {"module": {"x": FLOATS + 5}}})
    state = read_state_dict(str(path))
    assert_equal(state, {"x": FLOATS + 1})
    assert (state.key, state.others) == ("state_dict", ("state_dict_ema", "model_ema", "teacher", "ema.module"))
    for key, value in {**parts, "ema.module": 5}.items():
        assert_equal(read_state_dict(str(path), key), {"x": FLOATS + value})
    with pytest.raises(UserError, match="no weights under student; it has some under 'state_dict', .*'teacher'"):
        read_state_dict(str(path), "student")
    write(path, {"teacher": {"x": FLOATS}, "student": {"x": FLOATS}})
    assert "it has some under 'teacher', 'student': choose with state_dict" in refusal(path)


def save_safetensors(path, arrays):
    """Writes the format according to its specification: length of the header, header, numbers."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, array) in arrays.items():
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": (len(data), len(data) + array.nbytes)}
        data += array.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


@pytest.mark.parametrize("padding", range(0, 256, 8))
def test_safetensors_are_read_whatever_the_length_of_their_header(path, padding):
    name = "module." + "x" * (padding + 1)
    save_safetensors(path, {name: ("F32", FLOATS.reshape(2, 3, 4))})
    assert_equal(read_state_dict(str(path)), {name[7:]: FLOATS.reshape(2, 3, 4)})


def test_safetensors_of_every_type_are_read(path):
    types = {"F16": "<f2", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
    arrays = {name: (name, np.array([[0, 1], [1, 0]]).astype(dtype)) for name, dtype in types.items()}
    bits = np.array([0x3F80, 0xC020], np.uint16)
    save_safetensors(path, arrays | {"half": ("BF16", bits), "scalar": ("F32", np.float32(3))})
    expected = {name: array for name, (_, array) in arrays.items()}
    expected |= {"half": np.array([1.0, -2.5], np.float32), "scalar": np.array(3, np.float32)}
    state = read_state_dict(str(path))
    assert_equal({name: state[name] for name in expected}, expected)
    assert len(state) == len(expected)


def test_damaged_safetensors_are_one_sentence(path, rng):
    save_safetensors(path, {"a": ("F32", FLOATS), "b": ("F32", FLOATS)})
    content = path.read_bytes()
    for size in (8, 9, 20, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        refusal(path)
    for position in range(len(content) - 192):
        damaged = bytearray(content)
        damaged[position] ^= 0x15
        path.write_bytes(damaged)
        try:
            read_state_dict(str(path))
        except UserError as error:
            assert str(path) in str(error)
    path.write_bytes(content)
    with pytest.raises(UserError, match="contains no weights under state_dict"):
        read_state_dict(str(path), "state_dict")


def test_safetensors_that_are_no_numbers_of_ours_are_refused_by_their_type(path):
    save_safetensors(path, {"a": ("F32", FLOATS), "b": ("F8_E4M3", np.zeros(4, np.uint8))})
    assert "'b' is not a tensor that can be read but a tensor of F8_E4M3" in refusal(path)


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
    assert "'conv1.weight' extends past its storage" in refusal(path)


@FORMATS
def test_a_key_that_is_no_tensor_is_named(path, write):
    write(path, {"state_dict": {"conv1.weight": FLOATS, "version": 3}})
    assert "'version' is not a tensor" in refusal(path)


@FORMATS
@pytest.mark.parametrize("value", [{}, {"epoch": 3}, {"weights": {"x": FLOATS}}, [FLOATS], FLOATS, 3, None], ids=repr)
def test_a_checkpoint_without_weights_is_named(path, write, value):
    write(path, value)
    assert "contains no weights" in refusal(path)


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
