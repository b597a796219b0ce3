"""Runs the `main()` of a program: help, `~` in paths, one-line errors, and output that survives a closed pipe."""

import contextlib
import functools
import inspect
import io
import logging
import os
import re
import sys
from collections.abc import Callable

from absl import app, flags

from pose_tf import quiet
from pose_tf.errors import UserError


def run(main: Callable[..., None], module: str | None = None, edit_help: Callable[[str], str] = str) -> None:
    """Runs `main()` after parsing the flags.

    `--help` prints the module's docstring and flags and exits with status 0. A `UserError`, a flag that does not parse,
    an unknown recipe key, or a missing package prints one sentence to standard error and exits with status 1. If the
    reader of the output has gone, as after `| head`, output is dropped and the program continues. If output cannot be
    written for another reason, the program continues and exits with status 1.

    Args:
        main: function to run; it calls `start_tensorflow()` when it needs TensorFlow. If it has a parameter, it gets
            the list of the arguments after `--`, which are not flags of the program.
        module: name of the module with the docstring and the flags; default: the script that Python runs.
        edit_help: function applied to the text of `--help`.
    """
    _prepare_streams()
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    arguments = sys.argv
    if inspect.signature(main).parameters:
        end = arguments.index("--") if "--" in arguments else len(arguments)
        main = functools.partial(main, arguments[end + 1 :])
        arguments = arguments[:end]
    if {"--help", "-help", "--helpshort", "-h"} & set(arguments[1:]):
        print(edit_help(_help(module)))
        sys.exit(0)
    app.run(lambda _: _guarded(main), arguments, flags_parser=_parse_flags)


def start_tensorflow() -> None:
    """Imports TensorFlow without its messages about the machine, checks that it has Keras 2, and disables TF32.

    Without TF32, float32 keeps its full precision on GPUs. `config.tf32` enables it for a run. With
    TF_CPP_MIN_LOG_LEVEL=0 in the environment, all messages appear.

    Raises:
        ModuleNotFoundError: TensorFlow is not installed.
        UserError: it has Keras 3.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with contextlib.nullcontext() if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0" else quiet.standard_error(_of_interest):
        import tensorflow as tf
    from pose_tf.keras_version import check_keras

    try:
        check_keras()
    except ImportError as error:
        raise UserError(str(error)) from None
    tf.config.experimental.enable_tensor_float_32_execution(False)


def _of_interest(line):
    """Whether a line is no message about the machine. TensorFlow after 2.15 prints these before it reads
    TF_CPP_MIN_LOG_LEVEL."""
    return not line.startswith((b"I0000 ", b"WARNING: All log messages before absl::InitializeLog()"))


def _guarded(main):
    logging.disable(logging.INFO)  # hides progress reports of libraries at any level they set; warnings stay
    logging.getLogger("pose_tf").addHandler(logging.StreamHandler())  # plain sentences, without absl's prefix
    logging.getLogger("pose_tf").propagate = False
    try:
        if "tensorflow" in sys.modules:  # a script has imported it
            start_tensorflow()
        main()
    except UserError as error:
        fail(error)
    except ModuleNotFoundError as error:
        fail(f"{error}; BUILD.md lists the required packages")
    except KeyboardInterrupt:
        fail("interrupted")
    sys.stdout.flush()
    if problem := sys.stdout.buffer.raw.problem:
        fail(f"standard output cannot be written: {problem}")


def _help(module):
    name = sys.argv[0] if module is None else module  # absl registers the flags of a script under its path
    _, _, of_flags = flags.FLAGS.module_help(name).strip().partition("\n")  # without the module's name
    return f"{sys.modules[module or '__main__'].__doc__}\nflags:\n{of_flags}"


class _Output(io.FileIO):
    """A stream that drops output that it cannot write.

    Attributes:
        problem: reason why output was dropped; None if none was, or if the reader has gone.
    """

    problem = None

    def write(self, data):
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)
        except OSError as error:
            self.problem = error.strerror
            return len(data)


def _prepare_streams():
    """Lets standard output and error accept any file name and never fail. Closed streams write to the null device."""
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(spare)
    sys.stdout, sys.stderr = map(_patient, (sys.stdout, sys.stderr))


def _patient(stream):
    output = _Output(os.devnull, "w") if stream is None else _Output(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(output),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=stream is not None and (stream.line_buffering or stream.write_through),
    )


def _parse_flags(arguments):
    try:
        rest = flags.FLAGS([_expand(argument) for argument in flags.FLAGS.read_flags_from_files(arguments)])
    except (flags.Error, UserError) as error:
        missing = re.match(r"flag (--\w+)=None: Flag --\w+ must have a value", str(error))
        fail(f"{missing[1]} is missing; see --help" if missing else error)
    except (AttributeError, KeyError) as error:
        fail(f"--config: the recipe lacks this key: {error.args[0]}")
    except (TypeError, ValueError, OSError, SyntaxError, ImportError) as error:
        fail(f"--config: {error}")
    if len(rest) == 2 and "input" in flags.FLAGS and flags.FLAGS["input"].value is None:
        flags.FLAGS["input"].parse(rest.pop())
    if rest[1:]:
        fail(f"'{rest[1]}' is not a flag; see --help")
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if flag.present and flag.value in ("", []) and "." not in name:  # strings in a recipe may be empty
            fail(f"--{name}= has no value, perhaps because a shell variable is empty; give a value or omit the flag")
    return rest


def _expand(argument):
    """Expands `~` and `~user` at the beginning of a flag's value, where shells do not."""
    flag, value = re.fullmatch(r"(-[^=]*=)?(.*)", argument, re.DOTALL).groups(default="")
    return flag + os.path.expanduser(value)


def fail(message) -> None:
    """Prints one sentence to standard error and exits with status 1."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(1)
