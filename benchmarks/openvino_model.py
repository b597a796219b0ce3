"""Runs an .onnx file in OpenVINO on demand: see on_demand.py.

python openvino_model.py MODEL.onnx BATCH_SIZE f32|bf16
"""

import os
import sys

import numpy as np
import openvino
from on_demand import serve


def main():
    path, batch_size, precision = sys.argv[1:]
    crops = np.random.default_rng(0).integers(0, 256, (int(batch_size), 256, 256, 3), np.uint8)
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape(list(crops.shape))
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    threads = len(os.sched_getaffinity(0))
    compiled = core.compile_model(model, "CPU", {**hints, "INFERENCE_NUM_THREADS": threads})

    def work(calls):
        for _ in range(calls):
            compiled(crops)

    serve(work)


if __name__ == "__main__":
    main()
