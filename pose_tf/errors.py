"""`UserError`, for mistakes that a user can fix, and TensorFlow's errors in one line."""

import contextlib
import re
from collections.abc import Iterator


class UserError(Exception):
    """Bad input: one sentence that names the file, record, key or value at fault. Commands print it and exit 1."""


@contextlib.contextmanager
def argument(flag: str, kind: type[UserError] = UserError) -> Iterator[None]:
    """Puts `flag=` before what is wrong with its value: the library names the value, the command names the flag.

    Args:
        flag: such as `--model`.
        kind: of the errors in the block that begin with the flag's value.
    """
    try:
        yield
    except kind as error:
        raise UserError(f"{flag}={error}") from None


def reason(error) -> str:
    """The line of a TensorFlow error that says what happened, without source locations."""
    places = r"\s*(File |Graph execution error|Detected at|<stack traces|$)"
    lines = [line for line in error.message.splitlines() if not re.match(places, line)]
    return re.sub(r"\{\{.*?\}\} |\s*\[Op:\w+\]", "", lines[0]) if lines else type(error).__name__
