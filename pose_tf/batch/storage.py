"""Files on every file system that Beam reads and writes: local disks, HDFS, Google Cloud Storage, S3, Azure."""

import contextlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.predict.media import MediaError

AS_IT_IS = CompressionTypes.UNCOMPRESSED
"""Beam would otherwise inflate files whose name ends in .gz, .bz2, …"""


def is_local(path: str) -> bool:
    """Whether a path is one of this machine, and no URL such as `gs://bucket/photos`."""
    return FileSystems.get_scheme(path) is None


def absolute(path: str) -> str:
    """A path or pattern that means the same in every process of this machine."""
    return os.path.abspath(path) if is_local(path) else path


def join(folder: str, name: str) -> str:
    """The path of a file in a folder; `name` itself if it is absolute or a URL."""
    return name if not is_local(name) or os.path.isabs(name) else FileSystems.join(folder, name)


def match(pattern: str, most: int | None = None) -> list[str]:
    """The files that match a pattern, at least the first `most`.

    Raises:
        UserError: the file system cannot be reached, or Beam lacks the package for it.
    """
    try:
        return [found.path for found in FileSystems.match([pattern], [most])[0].metadata_list]
    except (OSError, ValueError) as error:  # Beam's errors are of these types
        raise UserError(f"{pattern} cannot be read: {error}") from None


def exists(path: str) -> bool:
    return FileSystems.exists(path)


def read(path: str, most: int) -> bytes:
    """The content of a file.

    Raises:
        MediaError: the file cannot be read, or has more than `most` bytes.
    """
    if is_local(path) and not os.path.isfile(path):  # opening a pipe would wait for a writer
        raise MediaError(f"{path} is not a file" if os.path.exists(path) else f"{path} does not exist")
    try:
        with FileSystems.open(path, compression_type=AS_IT_IS) as file:
            data = file.read(most + 1)
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(data) > most:
        raise MediaError(f"{path} has more than {most:,} bytes")
    return data


def write(path: str, data: bytes) -> None:
    """Writes a file, complete or not at all. Replaces one that exists.

    Raises:
        UserError: the file cannot be written.
    """
    if is_local(path):
        files.write_bytes(path, data)
        return
    folder, name = FileSystems.split(path)
    temporary = FileSystems.join(folder, f"{files.PARTIAL}{uuid.uuid4().hex[:16]}-{name}")
    try:
        with FileSystems.create(temporary, compression_type=AS_IT_IS) as file:
            file.write(data)
        remove([path])
        FileSystems.rename([temporary], [path])
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}") from None


def remove(paths: list[str]) -> None:
    """Removes those of the files that exist."""
    there = [path for path in paths if exists(path)]
    if there:
        FileSystems.delete(there)


@contextlib.contextmanager
def on_disk(path: str) -> Iterator[str]:
    """Yields the path of a file or directory on this machine, which is a copy if it lies elsewhere.

    Raises:
        UserError: it cannot be read.
    """
    if is_local(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "copy")
        found = [path] if exists(path) and match(path) else match(FileSystems.join(path, "**"))
        try:
            for one in found:
                target = copy + one.removeprefix(path.rstrip("/"))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with FileSystems.open(one, compression_type=AS_IT_IS) as source, open(target, "wb") as file:
                    shutil.copyfileobj(source, file)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error}") from None
        yield copy
