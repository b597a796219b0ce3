"""The starter: the model that comes with the package, as the directories of a detector's and a lifter's run.

`pack.py` writes them. Weights are stored in float16 and computed with in float32. `model_int8.tflite` is the same model
for LiteRT, which `pose_tf.load()` and `pose-tf predict` use; `finder.tflite` is the network that finds people.
"""

import json
import os

NAME = "starter"
"""Stands for a run of the starter wherever a command takes a workdir to read from."""
_FOLDER = os.path.dirname(os.path.abspath(__file__))
MODEL_FILE = os.path.join(_FOLDER, "model_int8.tflite")
"""Written by `pose-tf export --detector=starter --lifter=starter --format=litert --precision=int8`."""
FINDER = os.path.join(_FOLDER, "finder.tflite")
"""Written by `pack_finder.py`."""


def run_dir(path: str, stage: str) -> str:
    """Directory of a run: that of the starter's detector or lifter for `starter`, otherwise `path`.

    Args:
        path: a workdir, or `starter`. A directory of that name comes first.
        stage: `detector` or `lifter`.
    """
    return folder(stage) if path == NAME and not os.path.exists(path) else path


def folder(stage: str) -> str:
    """Directory of the starter's run of a stage, `detector` or `lifter`."""
    return os.path.join(_FOLDER, stage)


def card() -> dict:
    """Entries of the starter's model card: its data, their licenses, the weights that it started from, its errors."""
    with open(os.path.join(_FOLDER, "card.json"), encoding="utf-8") as file:
        return json.load(file)


def origin() -> dict:
    """The entries of the card that also hold for models that contain a part of the starter or started from it."""
    return {key: value for key, value in card().items() if key in ("data", "started_from", "limits")}
