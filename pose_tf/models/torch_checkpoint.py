"""Reads PyTorch checkpoints without PyTorch, and without doing what they say.

A checkpoint describes its contents by a program for Python's pickle machine, which may call any function there is. Here
that program is read instruction by instruction: tensors, containers, numbers and strings are built, anything else is
refused. Both formats are read: the zip archive of PyTorch 1.6 and later, and the older sequence of pickles.
"""

import dataclasses
import math
import pickletools
import struct
import zipfile

import numpy as np

from pose_tf.errors import UserError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
STATE_DICTS = ("state_dict", "best_state_dict", "model_state_dict", "model")
STORAGE_TYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}


def read_state_dict(path: str) -> dict[str, np.ndarray]:
    """Reads the weights of a checkpoint: a bare state_dict, or one under a usual key of a training's checkpoint.

    Args:
        path: file that `torch.save` wrote.

    Returns:
        Arrays by name; bfloat16 becomes float32. A `module.` prefix, which PyTorch adds on several GPUs, is removed.

    Raises:
        UserError: the file is missing, damaged, no checkpoint, holds something else than tensors, containers, numbers
            and strings, or has no weights.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4)
            file.seek(0)
            if start == b"PK\x03\x04":
                checkpoint, read_storage = _open_zip(path, file)
            elif start[:1] == b"\x80":
                checkpoint, read_storage = _open_legacy(path, file)
            else:
                raise UserError(f"{path} is not a PyTorch checkpoint")
            return _resolve(path, _find_state_dict(path, checkpoint), read_storage)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except UserError:
        raise
    except Exception as error:  # zipfile, pickletools and NumPy raise nearly anything at damaged bytes
        raise UserError(f"{path} is truncated or damaged: {error or type(error).__name__}") from None


@dataclasses.dataclass(frozen=True)
class _Storage:
    """A flat array somewhere in the file."""

    key: str
    dtype: str
    count: int

    @property
    def size(self) -> int:
        return self.count * (2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize)


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A view of a storage; offset and strides in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class _Global:
    """A class or function that a checkpoint names, of STORAGE_TYPES or _FUNCTIONS."""

    name: str


def _open_zip(path, file):
    archive = zipfile.ZipFile(file)
    programs = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(programs) != 1:
        raise UserError(f"{path} is a zip archive, but not a PyTorch checkpoint")
    root = programs[0].removesuffix("data.pkl")
    if root + "byteorder" in archive.namelist() and archive.read(root + "byteorder") != b"little":
        raise UserError(f"{path} was written by a big-endian machine, which cannot be read")

    def read_storage(storage):
        info = archive.getinfo(f"{root}data/{storage.key}")
        if info.file_size != storage.size:
            raise UserError(f"{path} is damaged: {info.filename} has {info.file_size} bytes instead of {storage.size}")
        return archive.read(info)

    with archive.open(programs[0]) as program:
        return _interpret(path, program), read_storage


def _open_legacy(path, file):
    if _interpret(path, file) != LEGACY_MAGIC:
        raise UserError(f"{path} is a pickle, but not a PyTorch checkpoint")
    _, system, checkpoint, keys = (_interpret(path, file) for _ in range(4))  # after the protocol's version
    if not system.get("little_endian", True):
        raise UserError(f"{path} was written by a big-endian machine, which cannot be read")
    positions, sizes = {}, {}
    for storage in _storages(checkpoint):
        if sizes.setdefault(storage.key, storage) != storage:
            raise UserError(f"{path} is damaged: storage {storage.key} is of two types or sizes")
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        if key not in sizes or sizes[key].count != count:
            raise UserError(f"{path} is damaged: storage {key} has an unexpected size")
        positions[key] = file.tell()
        file.seek(sizes[key].size, 1)

    def read_storage(storage):
        file.seek(positions[storage.key])
        return file.read(storage.size)

    return checkpoint, read_storage


def _storages(checkpoint):
    seen, left = set(), [checkpoint]
    while left:
        value = left.pop()
        if isinstance(value, _Tensor):
            yield value.storage
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))  # a list may hold itself
            left.extend(value.values() if isinstance(value, dict) else value)


def _find_state_dict(path, checkpoint):
    if isinstance(checkpoint, dict):
        for candidate in (*(checkpoint.get(key) for key in STATE_DICTS), checkpoint):
            if isinstance(candidate, dict) and any(isinstance(value, _Tensor) for value in candidate.values()):
                state_dict = {str(key).removeprefix("module."): value for key, value in candidate.items()}
                if len(state_dict) < len(candidate):
                    raise UserError(f"{path} has the same weight with and without the prefix 'module.'")
                return state_dict
    raise UserError(f"{path} holds no weights, neither by themselves nor under {', '.join(STATE_DICTS)}")


def _resolve(path, state_dict, read_storage):
    arrays, storages = {}, {}
    for name, tensor in state_dict.items():
        if not isinstance(tensor, _Tensor):
            raise UserError(f"{path}: '{name}' is not a tensor")
        storage = tensor.storage
        if storage not in storages:
            data = read_storage(storage)
            if len(data) != storage.size:
                raise UserError(f"{path} is truncated: '{name}' ends early")
            if storage.dtype == "bfloat16":
                storages[storage] = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
            else:
                storages[storage] = np.frombuffer(data, storage.dtype)
        flat = storages[storage]
        if not _fits(tensor, len(flat)):
            raise UserError(f"{path} is damaged: '{name}' reaches beyond its storage")
        strides = [stride * flat.itemsize for stride in tensor.strides]
        arrays[name] = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides).copy()
    return arrays


def _fits(tensor, count):
    """Whether a tensor is a view of `count` numbers."""
    numbers = (tensor.offset, *tensor.shape, *tensor.strides)
    if len(tensor.shape) != len(tensor.strides) or not all(isinstance(n, int) and n >= 0 for n in numbers):
        return False
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides))
    return math.prod(tensor.shape) <= count and (0 in tensor.shape or last < count)


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_CONTAINERS = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_PUTS, _GETS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}, {"GET", "BINGET", "LONG_BINGET"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _interpret(path, program):
    """Builds what a pickle program describes; see the module's docstring."""
    stack, marks, memo = [], [], {}

    def pop(count):
        if count > len(stack):
            raise ValueError("an instruction lacks its operands")
        values = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return values

    def since_mark():
        return pop(len(stack) - marks.pop())

    for opcode, argument, _ in pickletools.genops(program):
        name = opcode.name
        if name in ("PROTO", "FRAME"):
            pass
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _CONTAINERS:
            stack.append(_CONTAINERS[name]())
        elif name in _PUTS:
            memo[len(memo) if name == "MEMOIZE" else argument] = stack[-1]
        elif name in _GETS:
            stack.append(memo[argument])
        elif name == "MARK":
            marks.append(len(stack))
        elif name in _TUPLES:
            stack.append(tuple(pop(_TUPLES[name])))
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name == "LIST":
            stack.append(since_mark())
        elif name in ("APPEND", "APPENDS"):
            values = pop(1) if name == "APPEND" else since_mark()
            stack[-1].extend(values)
        elif name in ("SETITEM", "SETITEMS", "DICT"):
            values = pop(2) if name == "SETITEM" else since_mark()
            if name == "DICT":
                stack.append({})
            stack[-1].update(zip(values[::2], values[1::2], strict=True))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(_Global(argument if name == "GLOBAL" else " ".join(pop(2))))
            if not _is_known(stack[-1].name):
                raise UserError(f"{path} wants to use {stack[-1].name.replace(' ', '.')}, and is refused")
        elif name in ("REDUCE", "NEWOBJ"):
            function, arguments = pop(2)
            stack.append(_FUNCTIONS[function.name](*arguments))
        elif name == "BUILD":  # attributes of what was built, such as the versions of a state_dict's modules
            pop(1)
        elif name == "BINPERSID":
            kind, storage_type, key, _, count, *view = pop(1)[0]
            if kind != "storage" or any(view) or not isinstance(key, str) or not isinstance(count, int):
                raise ValueError("a tensor lies in an unknown kind of storage")
            stack.append(_Storage(key, STORAGE_TYPES[storage_type.name.removeprefix("torch ")], count))
        elif name == "STOP":
            return stack.pop()
        else:
            raise UserError(f"{path} uses the pickle instruction {name}, and is refused")


def _is_known(name):
    module, _, attribute = name.partition(" ")
    return (module == "torch" and attribute in STORAGE_TYPES) or name in _FUNCTIONS


def _tensor(storage, offset, shape, strides, *_):
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor has no storage")
    return _Tensor(storage, offset, shape, strides)


def _numpy_scalar(dtype, data):
    return np.frombuffer(data, dtype)[0].item()


def _encode(text, encoding):  # how protocol 2 writes bytes
    return text.encode({"latin1": "latin1"}[encoding])


_FUNCTIONS = {
    "collections OrderedDict": dict,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    "torch Size": tuple,
    "_codecs encode": _encode,
    "numpy dtype": lambda code, *_: np.dtype({"f8": "<f8", "f4": "<f4", "i8": "<i8", "i4": "<i4", "b1": "|b1"}[code]),
    "numpy.core.multiarray scalar": _numpy_scalar,
    "numpy._core.multiarray scalar": _numpy_scalar,
}
