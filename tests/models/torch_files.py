"""Writes checkpoints in PyTorch's formats, without PyTorch and independently of the code that reads them.

NumPy arrays and `Tensor` objects become tensors; uint16 arrays hold the bits of bfloat16. All other objects are
pickled unchanged.
"""

import collections
import dataclasses
import io
import pathlib
import pickle
import sys
import types
import zipfile
from unittest import mock

import numpy as np

STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "uint16": "BFloat16Storage",
    "int64": "LongStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
TORCH, TORCH_UTILS = types.ModuleType("torch"), types.ModuleType("torch._utils")
for storage_name in STORAGES.values():
    setattr(TORCH, storage_name, type(storage_name, (), {"__module__": "torch"}))


def _rebuild_tensor_v2(*_):
    raise AssertionError("tests write tensors, and never read them")


_rebuild_tensor_v2.__module__ = "torch._utils"
TORCH_UTILS._rebuild_tensor_v2 = _rebuild_tensor_v2


@dataclasses.dataclass
class Tensor:
    """Description of a tensor in a file, true or not: a flat array, and offset and strides in elements."""

    storage: np.ndarray
    offset: int
    shape: tuple
    strides: tuple
    count: int | None = None
    """Size of the storage that the pickle states; by default the true one."""


class Array:
    """A NumPy array that remains a NumPy array in the file."""

    def __init__(self, values, dtype=None):
        self.values = np.array(values, dtype)

    def __reduce__(self):
        return self.values.__reduce__()


@dataclasses.dataclass(frozen=True)
class _Storage:
    kind: type
    key: str
    count: int


class _Pickler(pickle.Pickler):
    def __init__(self, file, protocol, view):
        super().__init__(file, protocol)
        self.view = view
        self.arrays = []

    def persistent_id(self, value):
        return ("storage", value.kind, value.key, "cpu", value.count, *self.view) if type(value) is _Storage else None

    def reducer_override(self, value):
        if isinstance(value, np.ndarray):
            value = _view(value)
        if not isinstance(value, Tensor):
            return NotImplemented
        keys = [key for key, array in enumerate(self.arrays) if array is value.storage] or [len(self.arrays)]
        if keys[0] == len(self.arrays):
            self.arrays.append(value.storage)
        count = value.storage.size if value.count is None else value.count
        storage = _Storage(getattr(TORCH, STORAGES[value.storage.dtype.name]), str(keys[0]), count)
        arguments = (storage, value.offset, value.shape, value.strides, False, collections.OrderedDict())
        return _rebuild_tensor_v2, arguments


def _view(array):
    """An array as a view of a storage that it shares with other arrays."""
    root = array
    while isinstance(root.base, np.ndarray):
        root = root.base
    assert root.flags.c_contiguous
    start, own = (part.__array_interface__["data"][0] for part in (root, array))
    strides = tuple(stride // array.itemsize for stride in array.strides)
    return Tensor(root, (own - start) // array.itemsize, array.shape, strides)


def _pickled(value, protocol, view=()):
    file = io.BytesIO()
    pickler = _Pickler(file, protocol, view)
    with mock.patch.dict(sys.modules, {"torch": TORCH, "torch._utils": TORCH_UTILS}):
        pickler.dump(value)
    return file.getvalue(), pickler.arrays


def write_zip(path, value, protocol=2, byteorder="little"):
    """The zip archive of PyTorch 1.6 and later."""
    program, arrays = _pickled(value, protocol)
    root = pathlib.Path(path).stem
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{root}/data.pkl", program)
        archive.writestr(f"{root}/byteorder", byteorder)
        for key, array in enumerate(arrays):
            archive.writestr(f"{root}/data/{key}", array.tobytes())
        archive.writestr(f"{root}/version", "3\n")


def write_legacy(path, value, protocol=2, system=SYSTEM, keys=None):
    """The sequence of pickles and arrays of older PyTorch. `keys` are the arrays' keys; default: the true ones."""
    program, arrays = _pickled(value, protocol, view=(None,))
    keys = [str(key) for key in range(len(arrays))] if keys is None else keys
    with open(path, "wb") as file:
        for header in (0x1950A86A20F9469CFC6C, 1001, system):
            pickle.dump(header, file, protocol)
        file.write(program)
        pickle.dump(keys, file, protocol)
        for array in arrays:
            file.write(np.int64(array.size).tobytes() + array.tobytes())
