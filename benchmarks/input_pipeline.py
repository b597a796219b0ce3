"""Measures the detector's input pipeline in images per second, compared to inflating the same records with zlib.

    python benchmarks/input_pipeline.py --data_dir=DIR [--rounds=7] [--images=4800]

The pipeline is `detector_batches` on DIR/h36: reading, inflating, parsing, shuffling, batching. For comparison, one
thread per core inflates whole shards with Python's zlib and discards the bytes. The two take turns. Prints medians and
ranges of the rounds, and the median of the ratios. A turn should be a whole number of epochs, because each epoch first
fills the shuffling window.
"""

import itertools
import os
import pathlib
import statistics
import sys
import threading
import time
import zlib
from concurrent import futures

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

os.environ["TQDM_DISABLE"] = "1"
from absl import flags

from pose_tf import cli

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory of records.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Number of images in a batch.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Number of turns of each.", lower_bound=1)
_IMAGES = flags.DEFINE_integer("images", 4800, "Number of images in a turn.", lower_bound=100)
flags.mark_flags_as_required(["data_dir"])


class Inflation:
    """Threads that inflate shard after shard. In its next turn, each thread continues where it stopped."""

    def __init__(self, shards, threads):
        self._shards, self._lock = itertools.cycle(shards), threading.Lock()
        self._workers = [self._inflate() for _ in range(threads)]
        self._pool = futures.ThreadPoolExecutor(threads)

    def _inflate(self):
        """Yields the sizes of inflated pieces, endlessly."""
        while True:
            with self._lock:
                path = next(self._shards)
            stream = zlib.decompressobj()
            with open(path, "rb") as file:
                while data := file.read(1 << 18):
                    yield len(stream.decompress(data))

    def __call__(self, seconds: float) -> float:
        """Inflates for a number of seconds. Returns the inflated bytes per second."""
        start = time.monotonic()

        def work(worker):
            total = 0
            while time.monotonic() - start < seconds:
                total += next(worker)
            return total

        total = sum(self._pool.map(work, self._workers))
        return total / (time.monotonic() - start)


class Pipeline:
    """The input pipeline of a detector."""

    def __init__(self, index, batch_size):
        import numpy as np

        from pose_tf.data import pipeline

        dataset = pipeline.detector_batches(index, np.unique(index.poses.subject), batch_size, seed=0)
        self._batches, self._size = iter(dataset), batch_size
        next(self._batches)

    def __call__(self, images: int) -> float:
        """Images per second. First reads as many images untimed, because more than a window is already buffered."""
        for _ in range(images // self._size):
            next(self._batches)
        start = time.monotonic()
        for _ in range(images // self._size):
            next(self._batches)
        return images // self._size * self._size / (time.monotonic() - start)


def show(name, values, unit):
    print(f"{name:24s}{statistics.median(values):10.2f} {unit}  ({min(values):.2f} to {max(values):.2f})")


def main():
    cli.start_tensorflow()
    from pose_tf.data.record_index import index_records

    threads = len(os.sched_getaffinity(0))
    index = index_records(_DATA_DIR.value)
    inflation, pipeline = Inflation(index.shards, threads), Pipeline(index, _BATCH_SIZE.value)
    total = sum(_inflated(path) for path in index.shards)
    record = total / len(index.poses)
    print(f"{len(index.poses)} records in {len(index.shards)} shards, {record / 1e3:.0f} kB each, {threads} threads")
    ours, limit = [], []
    for _ in range(_ROUNDS.value):
        ours.append(pipeline(_IMAGES.value))
        time.sleep(1)  # the pipeline fills its window again
        limit.append(inflation(_IMAGES.value / ours[-1]))
    show("pipeline", ours, "images/s")
    show("zlib", [rate / record for rate in limit], "records/s")
    show("zlib", [rate / 1e6 for rate in limit], "MB/s inflated")
    show("pipeline / zlib", [a * record / b for a, b in zip(ours, limit)], "")


def _inflated(path):
    stream = zlib.decompressobj()
    with open(path, "rb") as file:
        return sum(len(stream.decompress(data)) for data in iter(lambda: file.read(1 << 20), b""))


if __name__ == "__main__":
    cli.run(main)
