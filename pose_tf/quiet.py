"""Hides what libraries written in C++ print to standard error, past Python's own streams and loggers."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def standard_error(keep: Callable[[bytes], bool] = lambda line: False) -> Iterator[None]:
    """Redirects standard error in the `with` block, and prints the lines to keep after it.

    Args:
        keep: whether to print a line, with its line break; by default none.
    """
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
                if keep(line):
                    os.write(2, line)
