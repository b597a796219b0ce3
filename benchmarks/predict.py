"""Measures `predict`: a photo from the start of the command, and people per second.

    python benchmarks/predict.py [--video=walk.mp4] [--rounds=9] [--width=32]

Runs `pose-tf predict` with the starter on a photo of two people, from the start of the process to the written files.

Then measures a model in people per second: pixels sent directly, compared to one PNG per person.
Exports an HRNet with the feed-forward lifter (random weights) and loads it with `pose_tf.load`. Both methods then take
turns: `people` with 100 boxes in 5 images, and `video` with all detected people. Prints medians and ranges of the
rounds, and medians of the ratios. Reading photos, drawing and writing are not measured.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tools"))
import _checkout  # noqa: F401
from absl import flags
from contestant import spread
from inference import export_model

from pose_tf import cli

_VIDEO = flags.DEFINE_string("video", None, "A video of walking people; without it, only images are measured.")
_VIDEO_ROUNDS = flags.DEFINE_integer("video_rounds", 3, "Number of turns of each with the video.", lower_bound=1)
_IMAGES = flags.DEFINE_integer("images", 5, "Number of noise images.", lower_bound=1)
_PEOPLE = flags.DEFINE_integer("people", 100, "Total number of boxes in all images.", lower_bound=1)
_COMMANDS = flags.DEFINE_integer("commands", 5, "Number of runs of pose-tf predict.", lower_bound=1)
_SIZE = flags.DEFINE_list("size", ["1920", "1080"], "Width and height of the images in pixels.")
SEEDS = {"images": 0, "boxes": 1}


def make_images():
    """Images of coarse noise, with boxes between 150 px and the full height of the image."""
    import cv2
    import numpy as np

    width, height = map(int, _SIZE.value)
    noise, places = (np.random.default_rng(seed) for seed in SEEDS.values())
    images = []
    for part in np.array_split(np.arange(_PEOPLE.value), _IMAGES.value):
        coarse = noise.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
        tall = places.uniform(150, height, len(part))
        extent = np.stack([0.4 * tall, tall], axis=1)
        corner = places.uniform(0, 1, (len(part), 2)) * ((width, height) - extent)
        boxes = np.concatenate([corner, extent], axis=1)
        images.append((cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.float32(boxes)))
    return images


def time_command(folder):
    """Prints the seconds that `pose-tf predict` takes."""
    root = pathlib.Path(__file__).resolve().parents[1]
    command = [
        sys.executable,
        root / "tools" / "predict.py",
        root / "docs" / "basketball1.png",
        f"--output_dir={folder}",
    ]
    seconds = []
    for _ in range(_COMMANDS.value):
        start = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.monotonic() - start)
    low, middle, high = spread(seconds)
    print(f"pose-tf predict, a photo of two people: {middle:.2f} s  ({low:.2f} to {high:.2f})", flush=True)


def compare(title, unit, rounds, works):
    """Prints the throughput of several functions in units per second. A function returns its number of units."""
    rates = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            start = time.monotonic()
            done = work()
            rates[name].append(done / (time.monotonic() - start))
    print(f"\n{title}")
    for name, values in rates.items():
        low, middle, high = (f(values) for f in (min, statistics.median, max))
        print(f"{name:20s}{middle:8.2f} {unit}/s  ({low:.2f} to {high:.2f})", flush=True)
    ratio = statistics.median(a / b for a, b in zip(*rates.values()))
    first, second = rates
    print(f"{first} are {ratio:.2f} times as fast as {second}", flush=True)


def main():
    import pose_tf
    from pose_tf.predict.model import PoseModel
    from pose_tf.predict.tensorflow_backends import SavedModel

    with tempfile.TemporaryDirectory() as folder:
        time_command(f"{folder}/poses")
        export_model("float32", folder)
        by_files = SavedModel(folder)
        by_files.takes_pixels = False
        models = {"pixels": pose_tf.load(folder), "files": PoseModel(by_files)}
        images = make_images()
        for model in models.values():
            model.people(*images[0])  # the first call prepares the model
        print(f"{os.cpu_count()} processors; HRNet-W{flags.FLAGS.width}, FeedForward", flush=True)

        def people_of(model):
            return lambda: sum(len(model.people(image, boxes)) for image, boxes in images)

        title = f"{_PEOPLE.value} people in {_IMAGES.value} images of {'x'.join(_SIZE.value)} pixels"
        compare(title, "people", flags.FLAGS.rounds, {name: people_of(model) for name, model in models.items()})
        if _VIDEO.value:

            def frames_of(model):
                return lambda: sum(1 for _ in model.video(_VIDEO.value))

            works = {name: frames_of(model) for name, model in models.items()}
            compare(f"{_VIDEO.value}, people detected and tracked", "frames", _VIDEO_ROUNDS.value, works)


if __name__ == "__main__":
    cli.run(main)
