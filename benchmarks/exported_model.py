"""Runs an exported model on demand (see on_demand.py): python exported_model.py MODEL BATCH_SIZE."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import numpy as np
from on_demand import serve

import pose_tf


def main():
    model = pose_tf.load(sys.argv[1])
    crops = np.random.default_rng(0).integers(0, 256, (int(sys.argv[2]), 256, 256, 3), np.uint8)

    def work(calls):
        for _ in range(calls):
            model.crops(crops)

    serve(work)


if __name__ == "__main__":
    main()
