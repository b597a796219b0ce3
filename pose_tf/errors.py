"""`UserError` for problems that a user can fix, and TensorFlow errors in one line."""

import contextlib
import re
from collections.abc import Iterable, Iterator


class UserError(Exception):
    """Bad input: one sentence that names the file, record, key or value at fault. Commands print it and exit 1."""


@contextlib.contextmanager
def argument(flag: str, kind: type[UserError] = UserError) -> Iterator[None]:
    """Adds `flag=` to errors about its value: the library names the value, the command names the flag.

    Args:
        flag: name of the flag, such as `--model`.
        kind: type of the errors raised in the block whose message begins with the value of the flag.
    """
    try:
        yield
    except kind as error:
        raise UserError(f"{flag}={error}") from None


@contextlib.contextmanager
def needing_tensorflow(what: str) -> Iterator[None]:
    """Says what to install, if a package is missing that the `with` block imports.

    Args:
        what: what needs TensorFlow, for the message.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise UserError(
            f"{what} needs TensorFlow, but the package {error.name} is not installed: python -m pip install "
            "'pose_tf[tensorflow]'"
        ) from None


def check_choice(name: str, value, choices: Iterable[str]) -> None:
    """Checks that a value is one of several.

    Args:
        name: name of the value for the error message.
        value: the value.
        choices: the values that are allowed.

    Raises:
        UserError: the value is not one of them.
    """
    choices = tuple(choices)
    if value not in choices:
        raise UserError(f"{name} is '{value}'; it can be {', '.join(choices)}")


def reason(error) -> str:
    """The line of a TensorFlow error that says what happened, without source locations."""
    places = r"\s*(File |Graph execution error|Detected at|<stack traces|$)"
    lines = [line for line in error.message.splitlines() if not re.match(places, line)]
    return re.sub(r"\{\{.*?\}\} |\s*\[Op:\w+\]", "", lines[0]) if lines else type(error).__name__
