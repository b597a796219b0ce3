"""The directory of a run: training writes it, and every other command reads it.

config.json       the recipe, with every override
data.json         fingerprints of the data: names and sizes of the records, checksums of the arrays
checkpoints/      model, optimizer and step, in one directory for each checkpoint
best.keras        the model with the lowest validation error (the moving average of its weights, if the recipe sets one)
skeleton.json     the joints and bones, unless they are Human3.6M's 17 joints
statistics.json   mean and standard deviation of the training poses (not of a detector alone)
metrics.jsonl     one line for each report
curves.png        plots of the reports
tensorboard/      the reports for TensorBoard, with images of poses
lock              names the training process and its machine; the process holds a lock on this file while it runs
"""

import contextlib
import datetime
import errno
import fcntl
import json
import os
import socket
import sys
import tempfile
from collections.abc import Iterator

import ml_collections
import numpy as np
import tensorflow as tf

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.models import PoseEstimator, load_keras
from pose_tf.models.decoding import Decoding
from pose_tf.models.keras_file import joints_of, name_joints
from pose_tf.models.networks import CLASSES
from pose_tf.models.statistics import PoseStatistics
from pose_tf.skeleton import H36M, Skeleton, find_skeleton, read_skeleton

NORMALIZED_BY_IMAGE = (
    "the lifter was trained on 2D joints normalized by the whole image (x * 2 / width - 1, y * 2 / width - height / "
    "width), but here they are normalized by the crop of the person (x / 128 - 1): its poses are wrong until you "
    "fine-tune it (config.init_from)"
)

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
"""Error numbers of file systems without locks."""


class Workdir:
    """Paths and files of a run.

    Args:
        path: the directory.
    """

    def __init__(self, path: str):
        self.path = path

    def file(self, name: str) -> str:
        """Path of a file in the directory."""
        return os.path.join(self.path, name)

    def create(self) -> None:
        """Creates the directory and checks that it is writable.

        Raises:
            UserError: it is not writable, or its name is not UTF-8, which TensorBoard's writer requires.
        """
        try:
            os.path.abspath(self.path).encode()
        except UnicodeEncodeError:
            raise UserError(f"{self.path}: the name of the directory is not UTF-8") from None
        try:
            os.makedirs(self.path, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {error.strerror}") from None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the directory against other runs, and removes unfinished files of a killed one.

        The operating system releases the lock when the process ends, for whatever reason. On a network file system the
        lock works across machines if the file system supports `flock`, as NFS does on Linux.

        Raises:
            UserError: another process trains here; the message names it and its machine.
        """
        try:
            lock = os.open(self.file("lock"), os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UserError(f"{self.file('lock')} cannot be opened: {error.strerror}") from None
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(lock, 1000).decode(errors="replace").strip() or "another process"
                raise UserError(f"{self.path} is in use by {holder}: stop that run, or use another directory") from None
            except OSError as error:
                if error.errno not in NO_LOCKS:
                    raise UserError(f"{self.file('lock')} cannot be locked: {error.strerror}") from None
                print(
                    f"warning: the file system of {self.path} does not support locks: do not start another run there",
                    file=sys.stderr,
                )
            else:
                now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
                with contextlib.suppress(OSError):  # the lock also works if the disk is full
                    os.ftruncate(lock, 0)
                    os.write(lock, f"process {os.getpid()} on {socket.gethostname()}, since {now}\n".encode())
                files.remove_partial(self.path)
            yield
        finally:
            os.close(lock)

    def _read_text(self, name: str) -> str:
        """Reads a text file.

        Raises:
            UserError: it is missing or damaged.
        """
        try:
            with open(self.file(name), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            raise UserError(f"{self.path} is not the directory of a finished run: it has no {name}") from None
        except OSError as error:
            raise UserError(f"{self.file(name)} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UserError(f"{self.file(name)} is damaged: it is not text") from None

    def _read_json(self, name: str):
        """Reads a JSON file.

        Raises:
            UserError: it is missing or damaged.
        """
        try:
            return json.loads(self._read_text(name))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.file(name)} is damaged: {error}") from None

    def config_of_run(self) -> ml_collections.ConfigDict | None:
        """The recipe of the run in the directory; None if the directory does not contain a run yet.

        Raises:
            UserError: the directory contains imported weights, which cannot be resumed.
        """
        if not os.path.exists(self.file("config.json")):
            return None
        config = self.config()
        if "imported" in config:
            raise UserError(
                f"{self.path} contains imported weights: to train from them, use another directory and set "
                f"config.init_from = {self.path}"
            )
        return config

    def config(self) -> ml_collections.ConfigDict:
        """The recipe that started the run.

        Raises:
            UserError: it is missing or damaged, or lacks a key that every recipe has.
        """
        values, file = self._read_json("config.json"), self.file("config.json")
        if not isinstance(values, dict):
            raise UserError(f"{file} is damaged: it is not an object with the recipe's keys")
        for key, kind in (("stage", str), ("flip_test", bool), ("model", dict)):
            if not isinstance(values.get(key), kind):
                raise UserError(
                    f"{file} is damaged: its {key} is {values[key]!r}"
                    if key in values
                    else f"{file} is damaged: it has no {key}"
                )
        try:
            Decoding(**values.get("decoding", {}))
            return ml_collections.ConfigDict(values)
        except UserError as error:
            raise UserError(f"{file} is damaged: {error}") from None
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise UserError(f"{file} is damaged: {error}") from None

    def data(self) -> dict | None:
        """Fingerprints of the data on which the run was started, and its number of `samples`; None if not saved.

        Raises:
            UserError: the file is damaged.
        """
        if not os.path.exists(self.file("data.json")):
            return None
        values = self._read_json("data.json")
        if not isinstance(values, dict) or not isinstance(values.get("samples"), int):
            raise UserError(f"{self.file('data.json')} is damaged: it must hold an object with a number of samples")
        if not all(isinstance(part, dict) for name, part in values.items() if name != "samples"):
            raise UserError(f"{self.file('data.json')} is damaged: its parts must be objects")
        return values

    def check_same_data(self, data: dict, samples: int | None = None) -> None:
        """Checks that a run resumes on the data on which it was started. A new run may use any data.

        Args:
            data: see `pose_tf.data.fingerprint`.
            samples: number of training samples, if already known.

        Raises:
            UserError: the data differs; the message names the difference.
        """
        kept = self.data()
        if kept is None:
            return
        other = f"{self.path} contains a run on other data"
        advice = "resume it on the same data, or use another directory"
        sources = [{"records", "poses"} & part.keys() for part in (data, kept)]
        if all(sources) and sources[0] != sources[1]:
            (now,), (before,) = sources
            raise UserError(f"{other}: it was started on {before}, not {now}; {advice}")
        for section in data.keys() & kept.keys():
            before, now = kept[section], data[section]
            if before == now:
                continue
            differ = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
            more = f" ({len(differ) - 1} more changed)" if len(differ) > 1 else ""
            what, had = now.get(differ[0], "missing"), before.get(differ[0], "missing")
            raise UserError(f"{other}: {differ[0]} of the {section} was {had}, now it is {what}{more}; {advice}")
        if samples not in (None, kept["samples"]):
            raise UserError(f"{other}: it had {kept['samples']} training samples, now {samples}; {advice}")

    def check_same_statistics(self, now: PoseStatistics | None) -> None:
        """Checks that a lifter resumes on poses with the same statistics.

        Raises:
            UserError: they differ by more than rounding.
        """
        if now is None or not os.path.exists(self.file("statistics.json")):
            return
        kept = self.statistics()
        if not all(np.allclose(*pair, atol=0.01) for pair in ((kept.mean, now.mean), (kept.std, now.std))):
            raise UserError(
                f"{self.path} contains a run on other data: the poses had another mean and standard deviation "
                "(statistics.json); resume it on the same data, or use another directory"
            )

    def skeleton(self) -> Skeleton:
        """The skeleton of the run's poses. Runs of earlier versions have Human3.6M's.

        Raises:
            UserError: the recipe or the skeleton's file is missing or damaged.
        """
        name, file = self.config().get("skeleton", H36M.name), self.file("skeleton.json")
        if os.path.exists(file):
            return read_skeleton(file)
        if not isinstance(name, str):
            raise UserError(f"{self.file('config.json')} is damaged: its skeleton is {name!r}")
        return find_skeleton(name, f"{self.file('config.json')}: skeleton")

    def save_skeleton(self, skeleton: Skeleton) -> None:
        """Keeps the skeleton of a run, whose recipe may name a file that changes. Human3.6M's needs no file, and a
        command that was killed may have left that of another."""
        if skeleton != H36M:
            files.write_json(self.file("skeleton.json"), skeleton.to_json())
        elif os.path.lexists(self.file("skeleton.json")):
            os.remove(self.file("skeleton.json"))

    def check_same_skeleton(self, now: Skeleton) -> None:
        """Checks that a run resumes with the joints and bones with which it was started.

        Raises:
            UserError: they differ.
        """
        kept = self.skeleton()
        if difference := kept.difference(now):
            raise UserError(
                f"{self.path} contains a run with the skeleton {kept}, which differs from config.skeleton, "
                f"{now}: {difference}; resume it with its own skeleton, or use another directory"
            )

    def statistics(self) -> PoseStatistics:
        """Statistics of a lifter's training poses.

        Raises:
            UserError: they are missing or damaged.
        """
        values, file = self._read_json("statistics.json"), self.file("statistics.json")
        try:
            statistics = PoseStatistics.from_json(values)
        except ValueError as error:
            raise UserError(f"{file} is damaged: {error}") from None
        joints = len(self.skeleton().joints) if os.path.exists(self.file("config.json")) else len(H36M.joints)
        if len(statistics.mean) != joints:
            raise UserError(f"{file} describes poses with {len(statistics.mean)} joints, expected {joints}")
        return statistics

    def reports(self) -> list[dict]:
        """The lines of `metrics.jsonl`, except one that a killed run left unfinished; empty without the file.

        Raises:
            UserError: the file is damaged.
        """
        if not os.path.exists(self.file("metrics.jsonl")):
            return []
        reports = []
        for number, line in enumerate(self._read_text("metrics.jsonl").split("\n")[:-1], 1):
            try:
                report = json.loads(line)
                if not (isinstance(report["step"], int) and isinstance(report["split"], str)):
                    raise TypeError
            except (ValueError, TypeError, KeyError, RecursionError):
                raise UserError(f"{self.file('metrics.jsonl')} is damaged: line {number} is not a report") from None
            reports.append(report)
        return reports

    def best_errors(self, metric: str) -> dict[str, float]:
        """Errors of `best.keras` on the validation subjects by name; empty if the weights were not trained here.

        Args:
            metric: the metric that selects the best model: lowest is best.

        Raises:
            UserError: the reports are damaged.
        """
        validations = [line for line in self.reports() if line["split"] == "validation"]
        for line in validations:
            if not isinstance(line.get(metric), int | float):
                file = self.file("metrics.jsonl")
                raise UserError(f"{file} is damaged: the validation of step {line['step']} has no {metric}")
        best = min(validations, key=lambda line: line[metric], default={})
        return {name: value for name, value in best.items() if name != "split"}

    def warnings(self) -> list[str]:
        """Warnings about the model, such as about weights that were trained on other inputs."""
        by_image = self.config().get("normalized_by") == "image"
        return [f"{self.path}: {NORMALIZED_BY_IMAGE}"] if by_image else []

    def save_best(self, model: tf.keras.Model, skeleton: Skeleton = H36M) -> None:
        """Replaces `best.keras`, which names its joints unless they are Human3.6M's."""
        with files.replacing(self.file("best.keras")) as temporary:
            model.save(temporary)
            if skeleton != H36M:
                name_joints(temporary, skeleton)

    def load_best(self, stage: str) -> tf.keras.Model:
        """The model with the lowest validation error; of a run that trained both stages, the stage's part. Prints
        warnings about it on standard error.

        Args:
            stage: the expected stage, `detector` or `lifter`.

        Raises:
            UserError: the model is missing or damaged, or belongs to the other stage or to other joints.
        """
        found = self.config().stage
        if found not in (stage, "end_to_end"):
            raise UserError(f"{self.path} contains a {found}, expected a {stage}")
        path = self.file("best.keras")
        if not os.path.exists(path):
            raise UserError(f"{self.path} has no best.keras: the run has not reached its first validation yet")
        for warning in self.warnings():
            print(f"warning: {warning}", file=sys.stderr)
        model = load_keras(path)
        if isinstance(model, PoseEstimator):
            model = getattr(model, stage)
        skeleton = self.skeleton()
        joints = len(skeleton.joints)
        if not isinstance(model, CLASSES[stage]) or model.output_shape[-1 if stage == "detector" else 1] != joints:
            raise UserError(f"{path} is a {model.name}, expected a {stage} with {joints} joints")
        named = joints_of(path)
        if named is not None and named.joints != skeleton.joints:
            number = next(i for i, (one, other) in enumerate(zip(named.joints, skeleton.joints)) if one != other)
            raise UserError(
                f"{path} has the joints of {named}, but its run those of {skeleton}: joint {number} is "
                f"{named.joints[number]}, not {skeleton.joints[number]}; copy all files of the run that wrote it"
            )
        return model
