"""Measures exported models in all formats, compared to PyTorch, OpenVINO and BlazePose.

    python benchmarks/inference.py [--torch_python=PATH] [--rounds=9]
    python benchmarks/inference.py --detector=RUN --lifter=RUN --data_dir=DATA
    python benchmarks/inference.py --detector=starter --lifter=starter --data_dir=DATA --blazepose=FOLDER

Exports a model as a SavedModel (float32, bfloat16), for LiteRT (float32, float16, int8) and as ONNX: by default
HRNet-W32 with the feed-forward lifter and random weights, otherwise two runs. On crops of `--data_dir`, it calibrates
int8 and compares each file with the SavedModel. Then it loads each file with `pose_tf.load` and calls `crops` with
batches of 1 and of 8.

`--torch_python` names a Python interpreter with PyTorch and OpenVINO. OpenVINO runs the .onnx file. PyTorch runs the
same network as the default's (see torch_inference.py), and OpenVINO what it converts from that. `--blazepose` names a
folder with pose_landmark_lite.tflite, pose_landmark_full.tflite and pose_landmark_heavy.tflite, as in npm's package
@mediapipe/pose, which LiteRT runs with one crop at a time.

Each has a process of its own, with as many threads. All take turns. For each prints

    images/s     the median of the rounds, with their range
    of best      the median of the ratios to the fastest of the others (those not made by pose_tf)
    of peak      the share of the speed of one large matrix product in the same precision
    cold start   from the start of the process to the first pose
    memory       the most that the process has occupied

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
from contestant import Contestant, spread, take_turns
from machine import flops, peaks
from on_demand import serve

from pose_tf import cli
from pose_tf.errors import UserError

_DETECTOR = flags.DEFINE_string("detector", None, "Workdir of a detector's run, or starter; default: random weights.")
_LIFTER = flags.DEFINE_string("lifter", None, "Workdir of a lifter's run, or starter.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Records of people for int8; default: rendered ones, with random weights."
)
_WIDTH = flags.DEFINE_integer("width", 32, "Width of the HRNet with random weights.")
_TORCH_PYTHON = flags.DEFINE_string("torch_python", None, "A Python interpreter that can import torch and openvino.")
_BLAZEPOSE = flags.DEFINE_string("blazepose", None, "Folder of BlazePose's .tflite files.")
_ROUNDS = flags.DEFINE_integer("rounds", 9, "Number of turns of each.", lower_bound=1)
_REQUESTS = flags.DEFINE_integer("requests", 500, "Number of JPEG requests.", lower_bound=0)
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["1", "8"], "Numbers of images in a call.")
_ONLY = flags.DEFINE_list("only", None, "Measure only those whose names contain one of these words.")
_SERVE = flags.DEFINE_enum(
    "serve",
    None,
    ["images", "lift"],
    "Only call this signature of a SavedModel with random weights, on demand (see on_demand.py), with the first batch "
    "size and the first of --precisions.",
)
_PRECISIONS = flags.DEFINE_list("precisions", ["float32", "bfloat16"], "Precisions of the SavedModel.")
FOLDER = pathlib.Path(__file__).parent
CROPS = 200
"""Crops to calibrate int8, and as many others to compare."""
PEERS = "PyTorch", "OpenVINO", "BlazePose"


def random_estimator():
    """HRNet and the feed-forward lifter with random weights that preserve the variance."""
    import numpy as np
    import tensorflow as tf

    from pose_tf.models import FeedForward, HRNet, PoseEstimator
    from pose_tf.models.statistics import PoseStatistics

    tf.keras.utils.set_random_seed(0)
    detector = HRNet(_WIDTH.value)
    for layer in detector.layers:
        if isinstance(layer, tf.keras.layers.Conv2D):
            deviation = (2 / np.prod(layer.kernel.shape[:-1])) ** 0.5
            layer.kernel.assign(tf.random.normal(layer.kernel.shape, stddev=deviation))
    standard = PoseStatistics(np.zeros((17, 3), np.float32), np.ones((17, 3), np.float32))
    return PoseEstimator(detector, FeedForward(), standard)


def export_model(precision, folder):
    """Exports an estimator with random weights. Returns the model, which must stay alive, and its signatures."""
    import tensorflow as tf

    from pose_tf.export.saved_model import export

    model = tf.saved_model.load(export(random_estimator(), folder, precision))
    return model, model.signatures


def export_all(estimator, folder):
    """Exports a model in all formats. Returns {name: path}."""
    import math

    from pose_tf.export import comparison, examples
    from pose_tf.export.one_file import OneFileExporter
    from pose_tf.export.saved_model import export

    forms = {}
    for precision in _PRECISIONS.value:
        forms[f"SavedModel {precision}"] = export(estimator, folder, precision)
    if _DATA_DIR.value is None:
        found = examples.rendered(8, estimator.skeleton)
        limits = dict.fromkeys(comparison.LIMITS, comparison.Limits(math.inf, math.inf, math.inf))
    else:
        found, limits = examples.read(_DATA_DIR.value, 2 * CROPS, estimator.skeleton), comparison.LIMITS
    exporter = OneFileExporter(estimator, found[1::2], found[::2].images, limits=limits)
    for name, (format, precision) in {
        "LiteRT float32": ("litert", "float32"),
        "LiteRT float16": ("litert", "float16"),
        "LiteRT int8": ("litert", "int8"),
        "ONNX Runtime float32": ("onnx", "float32"),
    }.items():
        try:
            forms[name], figures = exporter.export(folder, format, precision)
            size = os.path.getsize(forms[name]) / 1e6
            print(f"{name:22s}{size:6.1f} MB, {comparison.describe(figures)}", flush=True)
        except UserError as error:
            print(f"{name} is not available: {error}")
    return forms


def contestants(forms, batch_size):
    """{name: arguments of its `Contestant`}."""
    found = {name: (sys.executable, FOLDER / "exported_model.py", path, batch_size) for name, path in forms.items()}
    if torch := _TORCH_PYTHON.value:
        if _DETECTOR.value is None:
            for precision in ("float32", "bfloat16"):
                for name, runtime in {
                    "PyTorch eager": "eager",
                    "PyTorch compiled": "compiled",
                    "PyTorch frozen": "frozen",
                    "OpenVINO (PyTorch)": "openvino",
                }.items():
                    task = {"runtime": runtime, "precision": precision, "batch_size": batch_size}
                    found[f"{name} {precision}"] = torch, FOLDER / "torch_inference.py", task | {"width": _WIDTH.value}
        if model := forms.get("ONNX Runtime float32"):
            for precision, name in {"f32": "float32", "bf16": "bfloat16"}.items():
                found[f"OpenVINO {name}"] = torch, FOLDER / "openvino_model.py", model, batch_size, precision
    if _BLAZEPOSE.value and batch_size == 1:
        threads = len(os.sched_getaffinity(0))
        for size in ("lite", "full", "heavy"):
            model = pathlib.Path(_BLAZEPOSE.value, f"pose_landmark_{size}.tflite")
            found[f"BlazePose {size}"] = sys.executable, FOLDER / "litert_model.py", model, threads
    return {name: call for name, call in found.items() if not _ONLY.value or any(w in name for w in _ONLY.value)}


def compare(forms, batch_size, work, limits):
    """Prints a table for one batch size.

    Args:
        forms: {name: path} of the exported model.
        batch_size: number of images in a call.
        work: floating-point operations for an image.
        limits: operations per second of a matrix product, by precision.
    """
    running = {}
    for name, command in contestants(forms, batch_size).items():
        process = Contestant(*command)
        try:
            process(1)
            running[name] = process
        except UserError as error:
            print(f"{name} is not available: {error}")
    rates = take_turns(running, _ROUNDS.value)
    others = {name: statistics.median(values) for name, values in rates.items() if name.startswith(PEERS)}
    fastest = rates[max(others, key=others.get)] if others else None
    columns = f"{'images/s':>9s}{'':18s}{'of best':>8s}{'of peak':>9s}{'cold start':>12s}{'memory':>12s}"
    print(f"\nbatch {batch_size:<21d}{columns}")
    for name, values in rates.items():
        low, middle, high = (batch_size * rate for rate in spread(values))
        ratio = statistics.median(a / b for a, b in zip(values, fastest or values))
        limit = limits.get(name.split()[-1])
        share = "" if name.startswith("BlazePose") or limit is None else f"{100 * middle * work / limit:.0f} %"
        memory = running[name].peak_memory() / 2**20
        print(
            f"{name:27s}{middle:9.1f} {f'({low:.1f} to {high:.1f})':17s}{ratio:8.2f}{share:>9s}"
            f"{running[name].cold_start:10.1f} s{memory:8.0f} MiB",
            flush=True,
        )
        running[name].close()


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


def time_requests(path, name):
    """Prints the latency of complete requests to a SavedModel."""
    import cv2
    import numpy as np
    import tensorflow as tf

    model = tf.saved_model.load(path)
    noise = np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8)
    photo = cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
    data = cv2.imencode(".jpg", photo)[1].tobytes()
    seconds = []
    for _ in range(_REQUESTS.value + 10):
        start = time.monotonic()
        model.signatures["serving_default"](image_bytes=tf.constant([data]))["pose3d"].numpy()
        seconds.append(time.monotonic() - start)
    middle, late = np.percentile(1000 * np.sort(seconds[10:]), [50, 99])
    print(f"\n{name}, requests with a 640x480 JPEG: median {middle:.1f} ms, p99 {late:.1f} ms of {_REQUESTS.value}")


def main():
    cli.start_tensorflow()
    from pose_tf.evaluation.loading import load_estimator

    if _SERVE.value:
        with tempfile.TemporaryDirectory() as folder:
            model, signatures = export_model(_PRECISIONS.value[0], folder)
            serve(make_work(signatures[_SERVE.value], int(_BATCH_SIZES.value[0])))
        return
    if (_DETECTOR.value is None) != (_LIFTER.value is None):
        raise UserError("give both --detector and --lifter, or none of them")
    if _DETECTOR.value and _DATA_DIR.value is None:
        raise UserError("--detector needs --data_dir: int8 needs crops of people")
    with tempfile.TemporaryDirectory() as folder:
        estimator = load_estimator(_DETECTOR.value, _LIFTER.value) if _DETECTOR.value else random_estimator()
        name = f"{_DETECTOR.value} and {_LIFTER.value}" if _DETECTOR.value else f"HRNet-W{_WIDTH.value}, FeedForward"
        work = flops(estimator.detector, 1)
        print(f"{os.cpu_count()} processors; {name}; {work * 1e-9:.1f} billion operations for an image", flush=True)
        forms = export_all(estimator, folder)
        limits = peaks()
        for precision, speed in limits.items():
            print(f"a large matrix product in {precision}: {speed * 1e-9:.0f} billion operations a second", flush=True)
        for batch_size in map(int, _BATCH_SIZES.value):
            compare(forms, batch_size, work, limits)
        for precision in _PRECISIONS.value if _REQUESTS.value else ():
            time_requests(forms[f"SavedModel {precision}"], precision)


if __name__ == "__main__":
    cli.run(main)
