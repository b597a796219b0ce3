"""Interprets the pickles in PyTorch checkpoints and NumPy files without executing anything in them.

These files describe their contents by a program for Python's pickle machine, which can call any function. This module
interprets the program instruction by instruction and builds containers, numbers, strings, tensors and arrays. Anything
else (settings, history and random states are objects of many packages) is replaced by the name of its class or
function. Nothing is imported or called.
"""

import contextlib
import dataclasses
import pickletools
from collections.abc import Iterator

import numpy as np

from pose_tf.errors import UserError

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
    "UntypedStorage": "|u1",
}
MAX_NAME = 200  # characters of the name of a class or function
MAX_INSTRUCTIONS = 10_000_000
"""Longest pickle program. HRNet needs 60,000 instructions; each can use 64 bytes."""


@dataclasses.dataclass(frozen=True)
class Storage:
    """A flat array in the file."""

    key: str
    dtype: str
    count: int

    @property
    def size(self) -> int:
        return self.count * (2 if self.dtype == "bfloat16" else np.dtype(self.dtype).itemsize)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A view of a storage; offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclasses.dataclass(eq=False)
class DType:
    """A NumPy data type, such as "f4", and its byte order."""

    kind: str
    order: str = "="

    def fill(self, state) -> None:
        """Takes the state that NumPy's pickles give to a new data type."""
        self.order = state[1]


@dataclasses.dataclass(eq=False)
class Array:
    """A NumPy array."""

    state: tuple = ()

    def fill(self, state) -> None:
        """Takes the state that NumPy's pickles give to a new array."""
        self.state = state

    def value(self) -> np.ndarray:
        """The array. One of objects holds what `interpret` makes of them.

        Raises:
            Exception: almost any, if the file is damaged.
        """
        _, shape, dtype, column_major, data = self.state
        order = "F" if column_major else "C"
        if dtype.kind[0] == "O":
            array = np.empty(len(data), object)
            array[:] = data
            return array.reshape(shape, order=order)
        if dtype.kind[0] not in "biuf":
            raise ValueError(f"an array holds '{dtype.kind}' instead of numbers")
        return np.frombuffer(data, dtype.order.replace("|", "=") + dtype.kind).reshape(shape, order=order)


@dataclasses.dataclass(eq=False)
class Other:
    """A class or function that a file names, or its result; never executed."""

    name: str


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONTAINERS = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": lambda: Other("set")}
_PUTS, _GETS = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}, {"GET", "BINGET", "LONG_BINGET"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@contextlib.contextmanager
def named_damage(path: str) -> Iterator[None]:
    """Turns what reading a file raises into a UserError that names it, also errors of `interpret` and its results."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except UserError:
        raise
    except Exception as error:  # zipfile, pickletools and NumPy raise almost anything on damaged bytes
        raise UserError(f"{path} is truncated or damaged: {str(error)[:MAX_NAME] or type(error).__name__}") from None


def interpret(path: str, program) -> tuple[object, list[Storage]]:
    """Interprets a pickle program without executing anything.

    Args:
        path: name of the file in messages.
        program: file, positioned at the program; afterwards at its end.

    Returns:
        What the program describes, with `Tensor`, `Array` and `Other` in place of objects; and the storages that it
        names.

    Raises:
        UserError: the program has an instruction that is refused.
        Exception: almost any other, if the program is damaged.
    """
    stack, marks, memo, storages = [], [], {}, []

    def pop(count):
        if count > len(stack):
            raise ValueError("an instruction lacks its operands")
        values = stack[len(stack) - count :]
        del stack[len(stack) - count :]
        return values

    def since_mark():
        return pop(len(stack) - marks.pop())

    for number, (opcode, argument, _) in enumerate(pickletools.genops(program)):
        if number > MAX_INSTRUCTIONS:
            raise ValueError(f"its description has more than {MAX_INSTRUCTIONS} instructions")
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
        elif name == "POP" and marks and marks[-1] == len(stack):
            marks.pop()
        elif name == "POP":
            pop(1)
        elif name == "POP_MARK":
            since_mark()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name in _TUPLES:
            stack.append(tuple(pop(_TUPLES[name])))
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name == "LIST":
            stack.append(since_mark())
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            values = pop(1) if name == "APPEND" else since_mark()
            if not isinstance(stack[-1], Other):
                stack[-1].extend(values)
        elif name in ("SETITEM", "SETITEMS", "DICT"):
            values = pop(2) if name == "SETITEM" else since_mark()
            if name == "DICT":
                stack.append({})
            if not isinstance(stack[-1], Other):
                stack[-1].update(zip(map(_key, values[::2]), values[1::2], strict=True))
        elif name == "FROZENSET":
            since_mark()
            stack.append(Other("frozenset"))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(_named(*(argument.split(" ", 1) if name == "GLOBAL" else pop(2))))
        elif name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX"):
            function, *arguments = pop(3 if name == "NEWOBJ_EX" else 2)
            stack.append(_call(function, arguments[0]))
        elif name in ("INST", "OBJ"):
            made = since_mark()
            stack.append(_named(*argument.split(" ", 1)) if name == "INST" else Other(made[0].name))
        elif name == "BUILD":  # attributes, such as the versions of a state_dict's modules
            (state,) = pop(1)
            if isinstance(stack[-1], Array | DType):
                stack[-1].fill(state)
        elif name == "BINPERSID":
            stack.append(_storage(*pop(1)[0]))
            storages += [stack[-1]] * isinstance(stack[-1], Storage)
        elif name == "STOP":
            return stack.pop(), storages
        else:
            raise UserError(f"{path} uses the pickle instruction {name}, which is refused")


def _key(value):
    """A key of a dictionary. A key that could be slow or too deep to hash is replaced."""
    return value if isinstance(value, str | bytes | int | float | None) else Other(type(value).__name__)


def _named(module, name):
    return Other(f"{module[:MAX_NAME]}.{name[:MAX_NAME]}")


def _call(function, arguments):
    """The result of a function that a file calls."""
    made = _FUNCTIONS[function.name](*arguments) if function.name in _FUNCTIONS else None
    return Other(function.name) if made is None else made


def _storage(kind, storage_type, key, _, count=0, *view):
    if kind != "storage":  # the source code of a module
        return Other(storage_type.name)
    if any(view) or not isinstance(key, str) or not isinstance(count, int):
        raise ValueError("a tensor has an unknown kind of storage")
    dtype = STORAGE_TYPES.get(storage_type.name.removeprefix("torch.").removeprefix("storage."))
    return Storage(key, dtype, count) if dtype else storage_type


def _tensor(storage, offset, shape, strides, *_):
    if isinstance(storage, Other):
        return Other(f"tensor in a {storage.name}")
    if not isinstance(storage, Storage):
        raise ValueError("a tensor has no storage")
    return Tensor(storage, offset, shape, strides)


def _ordered_dict(*lists):
    """Python 2 passes the items as a list, which is emptied so that repeated calls cannot multiply them."""
    made = {_key(key): value for items in lists for key, value in items}
    for items in lists:
        items.clear()
    return made


def _filled_array(data, dtype, shape, order):
    return Array((1, shape, dtype, order == "F", data))


def _scalar(dtype, data):
    return np.frombuffer(data, dtype.order.replace("|", "=") + dtype.kind)[0].item()


_FUNCTIONS = {
    # The bytes of an array, in old protocols:
    "_codecs.encode": lambda text, encoding: text.encode(encoding),
    "__builtin__.bytes": lambda *text: None if text else b"",
    "numpy.dtype": lambda kind, *_: DType(kind),
    **{
        f"numpy.{package}.multiarray.{name}": function
        for package in ("core", "_core")
        for name, function in (("_reconstruct", lambda *_: Array()), ("scalar", _scalar))
    },
    **{f"numpy.{package}.numeric._frombuffer": _filled_array for package in ("core", "_core")},
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *_: tensor,
    "torch.Size": lambda sizes: sizes,
}
