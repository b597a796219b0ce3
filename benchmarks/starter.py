"""Measures the starter in milliseconds per person, compared to BlazePose in LiteRT.

    python benchmarks/starter.py [--litert_python=PATH --blazepose=FOLDER] [--rounds=9]

Exports the starter, loads the SavedModel, and calls its signature `images` with one crop and with eight: 2D and 3D
joints. `--litert_python` names a Python interpreter with `ai-edge-litert`; `--blazepose` a folder with
pose_landmark_full.tflite and pose_landmark_heavy.tflite, as in npm's package @mediapipe/pose. They take one crop, in a
separate process with as many threads. All take turns. Prints medians and ranges of the rounds.

Then runs `pose-tf predict` on a photo with two people, from the start of the process to the written files.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from absl import flags
from contestant import Contestant, spread, take_turns, timed
from inference import make_work

from pose_tf import cli

_LITERT_PYTHON = flags.DEFINE_string("litert_python", None, "A Python interpreter that can import ai_edge_litert.")
_BLAZEPOSE = flags.DEFINE_string(
    "blazepose", None, "Folder of pose_landmark_full.tflite and pose_landmark_heavy.tflite."
)
_COMMANDS = flags.DEFINE_integer("commands", 3, "Number of runs of pose-tf predict.", lower_bound=1)
ROOT = pathlib.Path(__file__).resolve().parents[1]


def make_calls(folder):
    """Functions that call the exported starter with one crop and with eight: {name: (function, people in a call)}."""
    import tensorflow as tf

    from pose_tf.evaluation.loading import load_estimator
    from pose_tf.export.saved_model import export

    signature = tf.saved_model.load(export(load_estimator("starter", "starter"), folder)).signatures["images"]

    return {f"starter, {people} at once": (timed(make_work(signature, people)), people) for people in (1, 8)}


def main():
    cli.start_tensorflow()
    print(f"{os.cpu_count()} processors", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        calls = make_calls(folder)
        if _LITERT_PYTHON.value and _BLAZEPOSE.value:
            for size in ("full", "heavy"):
                model = pathlib.Path(_BLAZEPOSE.value) / f"pose_landmark_{size}.tflite"
                script = pathlib.Path(__file__).with_name("litert_model.py")
                peer = Contestant(_LITERT_PYTHON.value, script, model, len(os.sched_getaffinity(0)))
                calls[f"BlazePose {size}"] = (peer, 1)
        rates = take_turns({name: call for name, (call, _) in calls.items()}, flags.FLAGS.rounds)
        for name, values in rates.items():
            low, middle, high = (1000 / calls[name][1] / rate for rate in reversed(spread(values)))
            print(f"{name:24s}{middle:8.1f} ms a person  ({low:.1f} to {high:.1f})", flush=True)
        seconds = []
        for _ in range(_COMMANDS.value):
            start = time.monotonic()
            command = [sys.executable, ROOT / "tools" / "predict.py", ROOT / "docs" / "basketball1.png"]
            subprocess.run([*command, f"--output_dir={folder}/poses"], check=True, capture_output=True)
            seconds.append(time.monotonic() - start)
        low, middle, high = spread(seconds)
        print(f"pose-tf predict photo{middle:8.1f} s  ({low:.1f} to {high:.1f})")


if __name__ == "__main__":
    cli.run(main)
