"""`UserError`, for mistakes that a user can fix, and TensorFlow's errors in one line."""

import re


class UserError(Exception):
    """Bad input: one sentence that names the file, record, key or value at fault. Commands print it and exit 1."""


def reason(error) -> str:
    """The line of a TensorFlow error that says what happened, without source locations."""
    places = r"\s*(File |Graph execution error|Detected at|<stack traces|$)"
    lines = [line for line in error.message.splitlines() if not re.match(places, line)]
    return re.sub(r"\{\{.*?\}\} |\s*\[Op:\w+\]", "", lines[0]) if lines else type(error).__name__
