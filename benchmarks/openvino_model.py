"""Runs an .onnx file in OpenVINO on demand: see on_demand.py.

python openvino_model.py MODEL.onnx BATCH_SIZE f32|bf16
"""

import os
import sys

import numpy as np
import openvino
from on_demand import serve


def compile_model(model, precision, threads):
    """A model of OpenVINO as a function, in the precision `f32` or `bf16`."""
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    return openvino.Core().compile_model(model, "CPU", {**hints, "INFERENCE_NUM_THREADS": threads})


def main():
    path, batch_size, precision = sys.argv[1:]
    crops = np.random.default_rng(0).integers(0, 256, (int(batch_size), 256, 256, 3), np.uint8)
    model = openvino.Core().read_model(path)
    model.reshape(list(crops.shape))
    compiled = compile_model(model, precision, len(os.sched_getaffinity(0)))

    def work(calls):
        for _ in range(calls):
            compiled(crops)

    serve(work)


if __name__ == "__main__":
    main()
