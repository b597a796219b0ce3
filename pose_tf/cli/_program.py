"""Runs the `main()` of a program: help that exits 0, `~` in paths, one-line errors, output that never fails halfway."""

import contextlib
import io
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable

from absl import app, flags

from pose_tf.errors import UserError


def run(main: Callable[[], None], module: str | None = None, edit_help: Callable[[str], str] = str) -> None:
    """Runs `main()` after parsing the flags.

    `--help` prints the module's docstring and flags and exits 0. A `UserError`, a flag that does not parse, a recipe
    key that does not exist, or a missing package is one sentence on standard error and exit status 1. Output that
    nobody reads any more, as after `| head`, is dropped and ends nothing; output that cannot be written makes the exit
    status 1 at the end.

    Args:
        main: what to run; it calls `start_tensorflow()` when it needs TensorFlow.
        module: name of the module with the docstring and the flags; by default the script that Python runs.
        edit_help: applied to the text of `--help`.
    """
    _prepare_streams()
    os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if {"--help", "-help", "--helpshort", "-h"} & set(sys.argv[1:]):
        print(edit_help(_help(module)))
        sys.exit(0)
    app.run(lambda _: _guarded(main), flags_parser=_parse_flags)


def start_tensorflow() -> None:
    """Imports TensorFlow without its messages about the machine, checks that it has Keras 2, and switches TF32 off.

    float32 is float32 on GPUs, too; a run that may use TF32 has `config.tf32`. With TF_CPP_MIN_LOG_LEVEL=0 in the
    environment, all messages appear.

    Raises:
        ModuleNotFoundError: TensorFlow is not installed.
        UserError: it has Keras 3.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with contextlib.nullcontext() if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0" else _without_messages():
        import tensorflow as tf
    from pose_tf.keras_version import check_keras

    try:
        check_keras()
    except ImportError as error:
        raise UserError(str(error)) from None
    tf.config.experimental.enable_tensor_float_32_execution(False)


@contextlib.contextmanager
def _without_messages():
    """Versions of TensorFlow after 2.15 describe the machine before they read TF_CPP_MIN_LOG_LEVEL."""
    with tempfile.TemporaryFile() as messages:
        terminal = os.dup(2)
        os.dup2(messages.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            messages.seek(0)
            for line in messages:
                if not line.startswith((b"I0000 ", b"WARNING: All log messages before absl::InitializeLog()")):
                    os.write(2, line)


def _guarded(main):
    logging.disable(logging.INFO)  # progress reports of libraries, whatever levels they set; warnings stay
    logging.getLogger("pose_tf").addHandler(logging.StreamHandler())  # plain sentences, without absl's prefix
    logging.getLogger("pose_tf").propagate = False
    try:
        if "tensorflow" in sys.modules:  # a script has imported it
            start_tensorflow()
        main()
    except UserError as error:
        fail(error)
    except ModuleNotFoundError as error:
        fail(f"{error}; BUILD.md says what has to be installed")
    except KeyboardInterrupt:
        fail("interrupted")
    sys.stdout.flush()
    if problem := sys.stdout.buffer.raw.problem:
        fail(f"standard output cannot be written: {problem}")


def _help(module):
    name = sys.argv[0] if module is None else module  # absl files the flags of a script under its path
    _, _, of_flags = flags.FLAGS.module_help(name).strip().partition("\n")  # without the module's name
    return f"{sys.modules[module or '__main__'].__doc__}\nflags:\n{of_flags}"


class _Output(io.FileIO):
    """Drops what cannot be written.

    Attributes:
        problem: why something was dropped; None if nothing was, or if the reader has gone.
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
    """Makes standard output and error accept names of any kind and never fail, and opens closed ones on nothing."""
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
        fail(f"--config: the recipe has no such key: {error.args[0]}")
    except (TypeError, ValueError, OSError, SyntaxError, ImportError) as error:
        fail(f"--config: {error}")
    if rest[1:]:
        fail(f"'{rest[1]}' is not a flag; see --help")
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if flag.present and flag.value in ("", []) and "." not in name:  # a recipe's texts may be empty
            fail(f"--{name}= has no value, perhaps from an empty shell variable; give one, or leave the flag out")
    return rest


def _expand(argument):
    """Expands `~` and `~user` at the beginning of a flag's value, as shells do elsewhere."""
    flag, value = re.fullmatch(r"(-[^=]*=)?(.*)", argument, re.DOTALL).groups(default="")
    return flag + os.path.expanduser(value)


def fail(message) -> None:
    """Ends the program with one sentence on standard error and exit status 1."""
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(1)
