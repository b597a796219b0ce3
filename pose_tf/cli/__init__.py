"""The program `pose-tf`. Each command is a module here: it parses flags, makes one call and returns an exit status.

No command imports TensorFlow before its flags are parsed.
"""

import ast
import importlib
import pathlib
import re
import sys
from collections.abc import Callable

from pose_tf.cli._program import fail, run, start_tensorflow
from pose_tf.errors import UserError, needing_tensorflow

__all__ = ["COMMANDS", "fail", "main", "run", "run_command", "start_tensorflow"]

COMMANDS = (
    "predict",
    "predict-batch",
    "motion",
    "train",
    "evaluate",
    "submit",
    "export",
    "serve-client",
    "inspect",
    "convert",
    "shuffle",
    "make-sample",
    "build-occluders",
    "import-torch",
    "data-service",
)


def main() -> None:
    """Runs the command that `sys.argv` names."""
    program = "python -m pose_tf.cli" if pathlib.Path(sys.argv[0]).name == "__main__.py" else "pose-tf"
    command = sys.argv[1] if sys.argv[1:] else ""
    if command in ("--help", "-help", "-h"):
        print(_usage(program))
    elif command in COMMANDS:
        del sys.argv[1]
        run_command(command, lambda other: f"{program} {other}")
    elif command:
        fail(f"'{command}' is not a command of {program}; the commands are {', '.join(COMMANDS)}")
    else:
        fail(f"{program} needs a command; see {program} --help")


def run_command(command: str, spell: Callable[[str], str]) -> None:
    """Runs a command with the flags in `sys.argv`.

    Args:
        command: one of `COMMANDS`.
        spell: maps a command to the way the user starts it, for the help text.
    """
    try:
        with needing_tensorflow(f"pose-tf {command}"):
            module = importlib.import_module(_module(command))
    except UserError as error:
        fail(error)
    others = rf"pose-tf ({'|'.join(COMMANDS)})(?![\w-])"
    run(module.main, module.__name__, lambda text: re.sub(others, lambda match: spell(match[1]), text))


def _module(command):
    return f"{__name__}.{command.replace('-', '_')}"


def _usage(program):
    def summary(command):
        source = pathlib.Path(__file__).with_name(f"{command.replace('-', '_')}.py").read_text(encoding="utf-8")
        return ast.get_docstring(ast.parse(source)).partition("\n")[0]

    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {command:{width}}  {summary(command)}" for command in COMMANDS)
    return f"usage: {program} COMMAND [flags]\n\n{lines}\n\n{program} COMMAND --help lists the flags of a command."
