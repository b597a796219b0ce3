"""What the command-line tools share: help that exits 0, paths with `~`, and mistakes told in one sentence."""

import io
import logging
import os
import re
import sys

import tensorflow as tf
from absl import app, flags

from pose_tf.errors import UserError


def run(main) -> None:
    """Runs a tool's `main()`.

    `--help` prints the tool's docstring and flags and exits 0. A `UserError`, a flag that does not parse, or a recipe
    key that does not exist is one sentence on standard error and exit status 1. Output that nobody reads any more, as
    after `| head`, is dropped and ends nothing; output that cannot be written makes the exit status 1, at the end.
    float32 is float32: a GPU's TF32 is off, and a training has `config.tf32` for it.
    """
    sys.stdout, sys.stderr = map(_patient, (sys.stdout, sys.stderr))
    if {"--help", "-help", "--helpshort", "-h"} & set(sys.argv[1:]):
        app.usage(shorthelp=True, writeto_stdout=True, exitcode=0)
    app.run(lambda _: _guarded(main), flags_parser=_parse_flags)


def _guarded(main):
    tf.config.experimental.enable_tensor_float_32_execution(False)
    logging.disable(logging.INFO)  # libraries' progress reports, whatever levels they set; warnings stay
    logging.getLogger("pose_tf").addHandler(logging.StreamHandler())  # our own are sentences, without absl's prefix
    logging.getLogger("pose_tf").propagate = False
    try:
        main()
    except UserError as error:
        _fail(error)
    except KeyboardInterrupt:
        _fail("interrupted")
    sys.stdout.flush()
    if problem := sys.stdout.buffer.raw.problem:
        _fail(f"standard output cannot be written: {problem}")


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


def _patient(stream):
    """A stream, or none where it is closed, as one that takes names of any kind and never fails."""
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
    except flags.Error as error:
        _fail(error)
    except (AttributeError, KeyError) as error:
        _fail(f"--config: the recipe has no such key: {error.args[0]}")
    except (TypeError, ValueError, OSError, SyntaxError, ImportError) as error:
        _fail(f"--config: {error}")
    if rest[1:]:
        _fail(f"'{rest[1]}' is not a flag; see --help")
    for name in flags.FLAGS:
        flag = flags.FLAGS[name]
        if flag.present and flag.value in ("", []) and "." not in name:  # a recipe's texts may be empty
            _fail(f"--{name}= has no value, perhaps from an empty shell variable; give one, or leave the flag out")
    return rest


def _expand(argument):
    """Expands `~` and `~user` at the beginning of a flag's value, as shells do elsewhere."""
    flag, value = re.fullmatch(r"(-[^=]*=)?(.*)", argument, re.DOTALL).groups(default="")
    return flag + os.path.expanduser(value)


def _fail(message):
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(1)
