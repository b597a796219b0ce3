"""Numbered checkpoints. Each is complete or absent."""

import contextlib
import errno
import json
import os
import re
import shutil
import sys
import zlib

import tensorflow as tf

from pose_tf import files
from pose_tf.errors import UserError, reason
from pose_tf.models.keras_file import check_finite

MANIFEST = "manifest.json"
REPLACED = ".replaced-"
OPTIONAL_PARTS = {"average_statistics"}
"""Parts of the state that checkpoints of earlier versions lack."""


class Checkpoints:
    """The checkpoints of a run: `DIRECTORY/STEP/ckpt.*`, each with a manifest of its files and their checksums.

    A checkpoint is written under a temporary name, flushed to the disk together with its directory, and renamed when it
    is complete. Until then, an older checkpoint of the same step stays in place, because power may fail at any moment.

    Args:
        directory: the directory of the checkpoints.
        state: the state to save and restore.
        keep: how many of the newest checkpoints to keep, in addition to the best one.
    """

    def __init__(self, directory: str, state: tf.train.Checkpoint, keep: int):
        self._directory = directory
        self._state = state
        self._keep = keep

    def path(self, step: int) -> str:
        """Directory of the checkpoint of a step."""
        return os.path.join(self._directory, f"{step:08d}")

    def steps(self) -> list[int]:
        """Steps with a checkpoint, damaged or not, in ascending order."""
        return checkpoint_steps(self._directory)

    def save(self, step: int, best_step: int) -> None:
        """Writes a checkpoint and removes the outdated ones.

        Args:
            step: its number. An existing checkpoint of this step is replaced.
            best_step: the step of the best validation, whose checkpoint is kept until another is better.

        Raises:
            UserError: the checkpoint cannot be written. The existing checkpoints remain intact.
        """
        replaced = self._replaced(step)
        try:
            if not os.path.isdir(os.path.dirname(self._directory)):
                raise FileNotFoundError(errno.ENOENT, "the run's directory no longer exists")
            files.remove_partial(self._directory)
            self._bring_back()
            for old in self.steps():
                shutil.rmtree(self._replaced(old), ignore_errors=True)
            with files.completing_directory(self.path(step)) as temporary:
                self._state.write(os.path.join(temporary, "ckpt"))
                _write_manifest(temporary, step)
                if os.path.isdir(self.path(step)):
                    shutil.rmtree(replaced, ignore_errors=True)
                    os.rename(self.path(step), replaced)
        except (OSError, tf.errors.OpError) as error:
            self._bring_back()
            why = reason(error) if isinstance(error, tf.errors.OpError) else error.strerror
            intact = f"; {self.path(self.steps()[-1])} is intact" if self.steps() else ""
            raise UserError(f"{self.path(step)} cannot be written: {why}{intact}") from None
        shutil.rmtree(replaced, ignore_errors=True)
        for old in self.steps()[: -self._keep]:
            if old != best_step:
                shutil.rmtree(self.path(old), ignore_errors=True)

    def _replaced(self, step):
        """Temporary path of a checkpoint while a new one of the same step replaces it."""
        return os.path.join(self._directory, f"{REPLACED}{step:08d}")

    def _bring_back(self):
        """Undoes a replacement that was interrupted between its two renames."""
        for name in os.listdir(self._directory) if os.path.isdir(self._directory) else ():
            path = os.path.join(self._directory, name.removeprefix(REPLACED))
            if name.startswith(REPLACED) and not os.path.isdir(path):
                with contextlib.suppress(OSError):  # another worker was faster
                    os.rename(os.path.join(self._directory, name), path)

    def restore(self) -> int:
        """Restores the newest complete checkpoint and warns about damaged ones on standard error.

        Parts of the state that earlier versions did not save (`OPTIONAL_PARTS`) stay unchanged.

        Returns:
            The step of the checkpoint; 0 without checkpoints.

        Raises:
            UserError: all checkpoints are damaged, or the newest complete one belongs to another model or has a value
                that is not finite.
        """
        self._bring_back()
        steps = self.steps()
        for step in reversed(steps):
            if not is_whole(self.path(step)):
                print(f"warning: checkpoint {self.path(step)} is damaged", file=sys.stderr)
                continue
            try:
                with files.plain_name(self.path(step)) as folder:
                    path = os.path.join(folder, "ckpt")
                    self._as_saved(path).read(path).assert_consumed()
                    check_finite(f"checkpoint {self.path(step)}", _values(path))
            except (AssertionError, ValueError, tf.errors.OpError) as error:
                raise UserError(f"checkpoint {self.path(step)} does not fit the recipe: {error}") from None
            return step
        if steps:
            raise UserError(f"all checkpoints in {self._directory} are damaged; remove them to start over")
        return 0

    def _as_saved(self, path):
        parts = {name: part for name, part in vars(self._state).items() if not name.startswith("_")}
        saved = {name.split("/")[0] for name, _ in tf.train.list_variables(path)}
        missing = OPTIONAL_PARTS & set(parts) - saved
        return tf.train.Checkpoint(**{name: part for name, part in parts.items() if name not in missing})


def checkpoint_steps(directory: str) -> list[int]:
    """Steps of the checkpoints in a directory, in ascending order."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(int(name) for name in os.listdir(directory) if re.fullmatch(r"\d{8,}", name))
    return []


def _checksum(path):
    """CRC-32 of a file, and its size."""
    checksum, size = 0, 0
    with open(path, "rb") as file:
        while data := file.read(1 << 22):
            checksum, size = zlib.crc32(data, checksum), size + len(data)
    return [checksum, size]


def _write_manifest(folder, step):
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))  # a file system may add others
    manifest = {"step": step, "files": {name: _checksum(os.path.join(folder, name)) for name in names}}
    with open(os.path.join(folder, MANIFEST), "w") as file:
        json.dump(manifest, file)


def is_whole(folder: str) -> bool:
    """Whether all files of a checkpoint exist and match the manifest's checksums."""
    try:
        with open(os.path.join(folder, MANIFEST)) as file:
            checksums = json.load(file)["files"]
        return bool(checksums) and all(_checksum(os.path.join(folder, name)) == checksums[name] for name in checksums)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def _values(prefix):
    """Names and values of the floating-point variables in a checkpoint's files."""
    reader = tf.train.load_checkpoint(prefix)
    for name, dtype in reader.get_variable_to_dtype_map().items():
        if dtype.is_floating and not name.startswith("best/"):  # the lowest error is infinite before any validation
            yield name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE"), reader.get_tensor(name)
