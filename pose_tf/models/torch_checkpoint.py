"""Reads PyTorch checkpoints without PyTorch, and without executing anything in them.

It reads the zip archives of PyTorch 1.6 and later, the older sequence of pickles, and safetensors, which contain only
tensors. `pickle_program` interprets the descriptions of the first two.
"""

import math
import os
import struct
import zipfile

import numpy as np
import safetensors

from pose_tf.errors import UserError
from pose_tf.pickle_program import Other, Storage, Tensor, interpret, named_damage

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
STATE_DICTS = ("state_dict", "best_state_dict", "model_state_dict", "model")
"""Keys of the weights in a checkpoint, in order of preference."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""Prefixes that DataParallel, `torch.compile` and PyTorch Lightning add to the name of every weight."""
COUNTERS = {"steps", "n_averaged"}  # stored with the weights of a moving average
SAFETENSORS_TYPES = {
    **{"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "bfloat16", "BOOL": "|b1"},
    **{"I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1", "U8": "|u1"},
}
MAX_REPEATS = 8
"""How much larger than their file weights may be: tensors can share storage."""


class StateDict(dict):
    """Weights by name, and their key in the file.

    Attributes:
        key: key of the weights in the checkpoint; empty if the file contains nothing else.
        others: other keys that contain weights.
    """

    def __init__(self, arrays: dict[str, np.ndarray], key: str = "", others: tuple[str, ...] = ()):
        super().__init__(arrays)
        self.key = key
        self.others = others


def read_state_dict(path: str, key: str | None = None) -> StateDict:
    """Reads the weights of a checkpoint: a bare state_dict, or one under a key of a larger checkpoint.

    Args:
        path: file written by `torch.save` or safetensors.
        key: key of the weights; by default the first of STATE_DICTS that exists. `a.b` is b in a.

    Returns:
        Arrays by name; bfloat16 becomes float32. Prefixes of PREFIXES that all names share are removed.

    Raises:
        UserError: the file is missing, damaged or not a checkpoint, has no weights under the key, or has anything but
            tensors among them.
    """
    with named_damage(path), open(path, "rb") as file:
        start = file.read(9)
        file.seek(0)
        if start[6:] == b"\0\0{":  # the length of a header, and its first byte
            checkpoint, read_storage = _open_safetensors(path, file)
        elif start[:4] == b"PK\x03\x04":
            checkpoint, read_storage = _open_zip(path, file)
        elif start[:1] == b"\x80":
            checkpoint, read_storage = _open_legacy(path, file)
        else:
            raise UserError(f"{path} is not a PyTorch checkpoint")
        state_dict = _find_state_dict(path, checkpoint, key)
        arrays = _resolve(path, state_dict, read_storage, MAX_REPEATS * _size(file))
        return StateDict(_without_prefixes(arrays), state_dict.key, state_dict.others)


def _size(file):
    return os.fstat(file.fileno()).st_size


def _open_zip(path, file):
    archive = zipfile.ZipFile(file)
    names = archive.namelist()
    programs = [name for name in names if name.endswith("/data.pkl")]
    if len(programs) != 1:
        raise UserError(f"{path} is a zip archive, but not a PyTorch checkpoint")
    if sum(info.file_size for info in archive.infolist()) > _size(file):
        raise UserError(f"{path} is compressed, and PyTorch does not compress checkpoints; save it with torch.save")
    root = programs[0].removesuffix("data.pkl")
    if root + "byteorder" in names and archive.read(root + "byteorder") != b"little":
        raise UserError(f"{path} was written by a big-endian machine, which is not supported")

    def read_storage(storage):
        info = archive.getinfo(f"{root}data/{storage.key}")
        if info.file_size != storage.size:
            raise UserError(f"{path} is damaged: {info.filename} has {info.file_size} bytes instead of {storage.size}")
        return archive.read(info)

    with archive.open(programs[0]) as program:
        return interpret(path, program)[0], read_storage


def _open_legacy(path, file):
    if interpret(path, file)[0] != LEGACY_MAGIC:
        raise UserError(f"{path} is a pickle, but not a PyTorch checkpoint")
    interpret(path, file)  # the protocol version
    system, _ = interpret(path, file)
    checkpoint, storages = interpret(path, file)
    keys, _ = interpret(path, file)
    if not system.get("little_endian", True):
        raise UserError(f"{path} was written by a big-endian machine, which is not supported")
    positions, sizes = {}, {}
    for storage in storages:
        if sizes.setdefault(storage.key, storage) != storage:
            raise UserError(f"{path} is damaged: storage {storage.key} is of two types or sizes")
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        if key not in sizes or sizes[key].count != count:
            raise UserError(f"{path} is damaged: storage {key} has an unexpected type or size")
        positions[key] = file.tell()
        file.seek(sizes[key].size, 1)

    def read_storage(storage):
        file.seek(positions[storage.key])
        return file.read(storage.size)

    return checkpoint, read_storage


def _open_safetensors(path, file):
    try:
        tensors = dict(safetensors.deserialize(file.read()))
    except safetensors.SafetensorError as error:
        raise UserError(f"{path} is truncated or damaged: {error}") from None

    def tensor(name, dtype, shape):
        if dtype not in SAFETENSORS_TYPES:
            return Other(f"tensor of {dtype}")
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        return Tensor(Storage(name, SAFETENSORS_TYPES[dtype], math.prod(shape)), 0, tuple(shape), tuple(strides))

    checkpoint = {name: tensor(name, values["dtype"], values["shape"]) for name, values in tensors.items()}
    return checkpoint, lambda storage: tensors[storage.key]["data"]


def _find_state_dict(path, checkpoint, key):
    """The entries of the weights in a checkpoint, tensors or not."""
    found = {name: part for name, part in _parts(checkpoint) if _has_tensors(part)}
    if key is None:
        key = next((name for name in (*STATE_DICTS, "") if name in found), None)
    if key not in found:
        if isinstance(checkpoint, Other):
            raise UserError(f"{path} contains no weights, only {checkpoint.name}; save its state_dict() with PyTorch")
        places = f"under {key}" if key is not None else f"neither at the top nor under {', '.join(STATE_DICTS)}"
        names = ", ".join(f"'{name}'" for name in found if name)
        there = f"; it has some under {names}: choose with state_dict" if names else ""
        raise UserError(f"{path} contains no weights {places}{there}")
    return StateDict(
        {str(name): value for name, value in found[key].items()},
        key,
        tuple(name for name in found if name not in (key, "")),
    )


def _parts(checkpoint):
    """(key, value) of the dictionaries in a checkpoint, down to the third level."""
    seen, parts = set(), [("", checkpoint, 0)]
    for name, part, depth in parts:
        if isinstance(part, dict) and id(part) not in seen:  # a dictionary may occur many times
            seen.add(id(part))
            yield name, part
            if depth < 2:
                parts += [(f"{name}.{key}" if name else str(key), value, depth + 1) for key, value in part.items()]


def _has_tensors(part):
    return any(isinstance(value, Tensor) for value in part.values())


def _without_prefixes(arrays):
    if "module." in {name[:7] for name in arrays}:
        arrays = {name: array for name, array in arrays.items() if name not in COUNTERS}
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in arrays)), None):
        arrays = {name.removeprefix(prefix): array for name, array in arrays.items()}
    return arrays


def _resolve(path, state_dict, read_storage, most):
    """Arrays of the tensors, at most `most` bytes in total."""
    arrays, storages, size = {}, {}, 0
    for name, tensor in state_dict.items():
        if not isinstance(tensor, Tensor):
            kind = tensor.name if isinstance(tensor, Other) else type(tensor).__name__
            raise UserError(f"{path}: '{name}' is not a tensor that can be read but a {kind}")
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
            raise UserError(f"{path} is damaged: '{name}' extends past its storage")
        size += math.prod(tensor.shape) * flat.itemsize
        if size > most:
            raise UserError(f"{path} is damaged: '{name}' and others repeat the same numbers too often")
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
