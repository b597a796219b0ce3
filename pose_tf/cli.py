"""What the command-line tools share: help that exits 0, and mistakes told in one sentence."""

import logging
import sys

import tensorflow as tf
from absl import app, flags

from pose_tf.errors import UserError


def run(main) -> None:
    """Runs a tool's `main()`.

    `--help` prints the tool's docstring and flags and exits 0. A `UserError`, a flag that does not parse, or a recipe
    key that does not exist is one sentence on standard error and exit status 1. float32 is float32: a GPU's TF32 is
    off, and a training has `config.tf32` for it.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # names of files may be anything
    if {"--help", "-help", "--helpshort", "-h"} & set(sys.argv[1:]):
        app.usage(shorthelp=True, writeto_stdout=True, exitcode=0)
    app.run(lambda _: _guarded(main), flags_parser=_parse_flags)


def _guarded(main):
    tf.config.experimental.enable_tensor_float_32_execution(False)
    logging.disable(logging.INFO)  # libraries' progress reports, whatever levels they set; warnings stay
    try:
        main()
    except UserError as error:
        _fail(error)
    except KeyboardInterrupt:
        _fail("interrupted")


def _parse_flags(arguments):
    try:
        rest = flags.FLAGS(arguments)
    except flags.Error as error:
        _fail(error)
    except (AttributeError, KeyError) as error:
        _fail(f"--config: the recipe has no such key: {error.args[0]}")
    except (TypeError, ValueError, OSError, SyntaxError, ImportError) as error:
        _fail(f"--config: {error}")
    if rest[1:]:
        _fail(f"'{rest[1]}' is not a flag; see --help")
    return rest


def _fail(message):
    print(f"error: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(1)
