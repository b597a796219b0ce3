"""The directory of a run: what a training writes and what every other tool reads.

config.json       the recipe, with every override
checkpoints/      model, optimiser and step, a directory for each that is kept
best.keras        the model with the lowest validation error (its weights' moving average, if the recipe keeps one)
statistics.json   mean and standard deviation of the training poses (lifters)
metrics.jsonl     one line for each report
curves.png        the same as a picture
tensorboard/      the same for TensorBoard, with pictures of poses
index.npz         poses read from the records, and what lies where (a cache)
"""

import json
import os
import tempfile

import ml_collections
import tensorflow as tf

from pose_tf import files
from pose_tf.data.statistics import PoseStatistics
from pose_tf.errors import UserError


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
        """Makes the directory and sees that it can be written.

        Raises:
            UserError: it cannot.
        """
        try:
            os.makedirs(self.path, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise UserError(f"--workdir={self.path} cannot be written: {error.strerror}") from None

    def _read_json(self, name: str):
        """Reads a JSON file.

        Raises:
            UserError: it is missing or damaged.
        """
        try:
            with open(self.file(name)) as file:
                return json.load(file)
        except FileNotFoundError:
            raise UserError(f"{self.path} is not the directory of a finished run: it has no {name}") from None
        except ValueError as error:
            raise UserError(f"{self.file(name)} is damaged: {error}") from None

    def config(self) -> ml_collections.ConfigDict:
        """The recipe that the run was started with."""
        return ml_collections.ConfigDict(self._read_json("config.json"))

    def statistics(self) -> PoseStatistics:
        """Statistics of a lifter's training poses."""
        return PoseStatistics.from_json(self._read_json("statistics.json"))

    def reports(self) -> list[dict]:
        """The lines of `metrics.jsonl`, but for one that a killed run left unfinished; none if there is no file."""
        if not os.path.exists(self.file("metrics.jsonl")):
            return []
        with open(self.file("metrics.jsonl")) as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def best_errors(self, metric: str) -> dict[str, float]:
        """Errors of `best.keras` on the validation subjects by name; none if the weights were not trained here.

        Args:
            metric: the one that is lowest for the best model.
        """
        validations = [line for line in self.reports() if line["split"] == "validation"]
        best = min(validations, key=lambda line: line[metric], default={})
        return {name: value for name, value in best.items() if name != "split"}

    def save_best(self, model: tf.keras.Model) -> None:
        """Replaces `best.keras`."""
        with files.replacing(self.file("best.keras")) as temporary:
            model.save(temporary)

    def load_best(self, stage: str) -> tf.keras.Model:
        """The model with the lowest validation error.

        Args:
            stage: `detector` or `lifter`: what the caller expects to find.

        Raises:
            UserError: there is none, it is damaged, or it is of the other stage.
        """
        found = self.config().stage
        if found != stage:
            raise UserError(f"{self.path} holds a {found}; a {stage} is wanted here")
        path = self.file("best.keras")
        if not os.path.exists(path):
            raise UserError(f"{self.path} has no best.keras: its training has not reached a validation yet")
        try:
            return tf.keras.models.load_model(path, compile=False)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"{path} cannot be loaded: {error}") from None
