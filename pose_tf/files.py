"""Writing files so that nothing is ever half-written."""

import contextlib
import json
import os
from collections.abc import Iterator

from pose_tf.errors import UserError


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a temporary name beside `path`; renames it to `path` at the end, or removes it after an error.

    Raises:
        UserError: the file system refuses.
    """
    folder, name = os.path.split(os.path.abspath(path))
    temporary = os.path.join(folder, f".partial-{name}")
    try:
        os.makedirs(folder, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)


def write_json(path: str, values) -> None:
    """Writes a JSON file."""
    with replacing(path) as temporary, open(temporary, "w") as file:
        json.dump(values, file, indent=1)
