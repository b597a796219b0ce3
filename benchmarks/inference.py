"""Measures throughput and latency of an exported model, compared to PyTorch and OpenVINO.

    python benchmarks/inference.py [--torch_python=PATH] [--rounds=9] [--requests=500]

Exports HRNet-W32 with the feed-forward lifter (random weights) in float32 and bfloat16, loads the SavedModel and calls
its signature `images` with batches of 1 and of 8. `--torch_python` names a Python interpreter with PyTorch and,
optionally, OpenVINO. They process the same images in separate processes (see torch_inference.py) with the same number
of threads. All take turns. Prints medians and ranges of the rounds, and medians of the ratios.

Then measures the latency of complete requests to `serving_default`, one at a time, from the bytes of a JPEG file to 2D
and 3D joints.
"""

import os
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from absl import flags
from contestant import Contestant, spread, take_turns, timed
from on_demand import serve

from pose_tf import cli
from pose_tf.errors import UserError

_WIDTH = flags.DEFINE_integer("width", 32, "Width of the HRNet.")
_TORCH_PYTHON = flags.DEFINE_string("torch_python", None, "A Python interpreter that can import torch.")
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Number of turns of each.", lower_bound=1)
_REQUESTS = flags.DEFINE_integer("requests", 500, "Number of JPEG requests.", lower_bound=1)
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["1", "8"], "Numbers of images in a call.")
_PRECISIONS = flags.DEFINE_list("precisions", ["float32", "bfloat16"], "Precisions of the exported detector.")
_SERVE = flags.DEFINE_enum(
    "serve",
    None,
    ["images", "lift"],
    "Only call this signature, on demand (see on_demand.py), with the first batch size.",
)
RUNTIMES = {
    "eager": "PyTorch, eager",
    "compiled": "PyTorch, compiled",
    "frozen": "PyTorch, frozen",
    "openvino": "OpenVINO",
}


def export_model(precision, folder):
    """Exports an estimator with random weights that preserve the variance. Returns the model and its signatures."""
    import numpy as np
    import tensorflow as tf

    from pose_tf.export.saved_model import export
    from pose_tf.models import FeedForward, HRNet, PoseEstimator
    from pose_tf.models.statistics import PoseStatistics

    tf.keras.utils.set_random_seed(0)
    detector = HRNet(_WIDTH.value)
    for layer in detector.layers:
        if isinstance(layer, tf.keras.layers.Conv2D):
            deviation = (2 / np.prod(layer.kernel.shape[:-1])) ** 0.5
            layer.kernel.assign(tf.random.normal(layer.kernel.shape, stddev=deviation))
    standard = PoseStatistics(np.zeros((17, 3), np.float32), np.ones((17, 3), np.float32))
    model = tf.saved_model.load(export(PoseEstimator(detector, FeedForward(), standard), folder, precision))
    return model, model.signatures


def make_work(signature, batch_size):
    """A function that calls a signature of images or 2D joints a given number of times."""
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    ((name, spec),) = signature.structured_input_signature[1].items()
    batch = tf.constant(rng.integers(0, 256, (batch_size, *spec.shape[1:])), spec.dtype)

    def work(calls):
        for _ in range(calls):
            signature(**{name: batch})["pose3d"].numpy()

    return work


def compare(signature, precision, batch_size):
    """Prints the speeds of one precision and batch size."""
    contestants = {"pose_tf": timed(make_work(signature, batch_size))}
    for runtime in RUNTIMES if _TORCH_PYTHON.value else ():
        task = {"runtime": runtime, "precision": precision, "batch_size": batch_size, "width": _WIDTH.value}
        peer = Contestant(_TORCH_PYTHON.value, pathlib.Path(__file__).with_name("torch_inference.py"), task)
        try:
            peer(2)  # fails if the runtime is not available
            contestants[RUNTIMES[runtime]] = peer
        except UserError as error:
            print(f"{RUNTIMES[runtime]} is not available: {error}")
    rates = take_turns(contestants, _ROUNDS.value)
    print(f"\n{precision}, batch {batch_size}")
    for name, values in rates.items():
        low, middle, high = (batch_size * rate for rate in spread(values))
        line = f"{name:20s}{middle:8.1f} images/s  ({low:.1f} to {high:.1f})"
        if name != "pose_tf":
            ratio = statistics.median(a / b for a, b in zip(rates["pose_tf"], values))
            line += f"   pose_tf is {ratio:.2f} times as fast"
            contestants[name].close()
        print(line, flush=True)


def time_requests(signature, precision):
    """Prints the latency of complete requests."""
    import cv2
    import numpy as np
    import tensorflow as tf

    noise = np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8)
    photo = cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", photo)[1].tobytes()
    seconds = []
    for _ in range(_REQUESTS.value + 10):
        start = time.monotonic()
        signature(image_bytes=tf.constant([data]))["pose3d"].numpy()
        seconds.append(time.monotonic() - start)
    milliseconds = 1000 * np.sort(seconds[10:])
    middle, late = np.percentile(milliseconds, [50, 99])
    print(
        f"\n{precision}, requests with a 640x480 JPEG: median {middle:.1f} ms, p99 {late:.1f} ms of {_REQUESTS.value}"
    )


def main():
    cli.start_tensorflow()
    if _SERVE.value:
        with tempfile.TemporaryDirectory() as folder:
            model, signatures = export_model(_PRECISIONS.value[0], folder)
            serve(make_work(signatures[_SERVE.value], int(_BATCH_SIZES.value[0])))
        return
    print(f"{os.cpu_count()} processors; HRNet-W{_WIDTH.value}, FeedForward", flush=True)
    for precision in _PRECISIONS.value:
        with tempfile.TemporaryDirectory() as folder:
            model, signatures = export_model(precision, folder)
            for batch_size in map(int, _BATCH_SIZES.value):
                compare(signatures["images"], precision, batch_size)
            time_requests(signatures["serving_default"], precision)
            del model


if __name__ == "__main__":
    cli.run(main)
