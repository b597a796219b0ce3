"""Writes files and directories completely or not at all, and gives any path a name that TensorFlow can open."""

import contextlib
import errno
import fcntl
import io
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator

import numpy as np

from pose_tf.errors import UserError

PARTIAL = ".partial-"
"""Prefix of the names of unfinished files and directories."""
LONGEST_ENDING = 32
NO_FLUSH = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)
"""Errors from file systems that cannot flush directories, and from directories that are writable but not readable."""


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a temporary name beside `path`; flushes the file to disk and renames it to `path`, or removes it on error.

    Each call uses a new name, so several processes can write the same file: the last one wins. The name keeps the
    suffix of `path`, from which some writers choose their format.

    Raises:
        UserError: the file cannot be written.
    """
    folder, name = os.path.split(os.path.abspath(path))
    temporary = _temporary(folder, os.path.splitext(name)[1])
    try:
        os.makedirs(folder, exist_ok=True)
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
        flush(folder)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            os.remove(temporary)


@contextlib.contextmanager
def completing_directory(path: str) -> Iterator[str]:
    """Yields a new temporary directory beside `path`; flushes it and renames it to `path`, or removes it on error.

    Raises:
        OSError: the directory cannot be written, or `path` exists and is not empty.
    """
    folder = os.path.dirname(os.path.abspath(path))
    temporary = _temporary(folder)
    try:
        os.makedirs(temporary)
        yield temporary
        for where, _, names in os.walk(temporary):
            for name in names:
                flush(os.path.join(where, name))
            flush(where)
        os.rename(temporary, path)
        flush(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(folder, ending=""):
    ending = ending if len(os.fsencode(ending)) <= LONGEST_ENDING else ""
    return os.path.join(folder, f"{PARTIAL}{uuid.uuid4().hex[:16]}{ending}")


def cache_folder() -> str:
    """The user's directory for what can be made again: `$XDG_CACHE_HOME/pose_tf`, or `~/.cache/pose_tf`."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(cache, "pose_tf")


@contextlib.contextmanager
def plain_name(path: str) -> Iterator[str]:
    """Yields another name of a file or directory that every library can open. It is valid inside the `with` block.

    TensorFlow interprets `[`, `*`, `?` and backslashes in the path of a checkpoint as a pattern, and cannot open names
    that are not UTF-8. OpenCV crashes on these, and in an ASCII locale on names that are not ASCII. FFmpeg takes the
    beginning of `12:30.mp4` for a protocol.

    Raises:
        OSError: the path cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def flush(path: str) -> None:
    """Waits until the content of a file, or the list of names in a directory, is on disk.

    Raises:
        OSError: a file cannot be flushed. Directories that cannot be flushed are ignored: some file systems lack it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if not os.path.isdir(path) or error.errno not in NO_FLUSH:
            raise


@contextlib.contextmanager
def locked(folder: str, busy: str = "") -> Iterator[None]:
    """Lets one thread or process at a time into the `with` block of a directory. File systems without locks allow all.

    Args:
        folder: the directory, which exists and must not be removed in the block.
        busy: if given, the block does not wait for another one.

    Raises:
        UserError: with the text of `busy`, if another one is in the block.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if busy else 0))
            except BlockingIOError:
                raise UserError(busy) from None
        yield
    finally:
        os.close(descriptor)


def remove_partial(folder: str) -> None:
    """Removes unfinished files that killed processes left in a directory. No other process may be writing to it."""
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if name.startswith(PARTIAL):
            path = os.path.join(folder, name)
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):  # fails if it was a directory
                os.remove(path)


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file, complete or not at all."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        file.write(content)


def write_json(path: str, values) -> None:
    """Writes a JSON file."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(values, file, indent=1)


def read_json(path: str, what: str = "a JSON file"):
    """The content of a JSON file.

    Args:
        path: file to read.
        what: what the file should be, for error messages.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is not {what}: {error}") from None


def read_npz(path: str, what: str, keys: Iterable[str], optional: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """Reads arrays of an .npz file. Nothing in the file is executed.

    Args:
        path: file to read.
        what: content that the file should have, for error messages: "an occluder bank".
        keys: names of required arrays.
        optional: names of arrays that are read if present.

    Raises:
        UserError: the file is missing or damaged, or lacks one of `keys`.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in (*keys, *optional) if key in file}
    except FileNotFoundError:
        raise UserError(f"{path} does not exist") from None
    except Exception as error:  # zipfile, zlib and NumPy each raise their own exceptions
        raise UserError(f"{path} cannot be read as {what}: {error}") from None
    for key in keys:
        if key not in arrays:
            raise UserError(f"{path} has no array '{key}'")
    return arrays


def write_npz(path: str, compress: bool = False, **arrays) -> None:
    """Writes an .npz file."""
    content = io.BytesIO()  # NumPy's archive prints to standard error if it cannot write to a full disk
    (np.savez_compressed if compress else np.savez)(content, **arrays)
    write_bytes(path, content.getbuffer())
