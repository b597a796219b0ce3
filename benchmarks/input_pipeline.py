"""Images a second of the detector's input pipeline, beside what zlib alone inflates of the same records.

    python benchmarks/input_pipeline.py --data_dir=DIR [--rounds=7] [--images=4800]

The pipeline is `detector_batches` on DIR/h36: reading, inflating, parsing, shuffling, batching. Beside it, as many
threads as the machine has cores inflate whole shards with Python's zlib and throw the bytes away. The two take turns;
medians and ranges of the rounds are printed, and the median of their ratios. A turn should be a whole number of epochs:
at the start of each, the shuffling window is filled before an image comes out.
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
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 16, "Images in a batch.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Turns that each takes.", lower_bound=1)
_IMAGES = flags.DEFINE_integer("images", 4800, "Images in a turn.", lower_bound=100)
flags.mark_flags_as_required(["data_dir"])


class Inflation:
    """Threads that inflate shard after shard, each from where it was when its turn ended."""

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
        """Bytes a second that come out."""
        start = time.monotonic()

        def work(worker):
            total = 0
            while time.monotonic() - start < seconds:
                total += next(worker)
            return total

        total = sum(self._pool.map(work, self._workers))
        return total / (time.monotonic() - start)


class Pipeline:
    """Batches for a detector."""

    def __init__(self, index, batch_size):
        import numpy as np

        from pose_tf.data import pipeline

        dataset = pipeline.detector_batches(index, np.unique(index.poses.subject), batch_size, seed=0)
        self._batches, self._size = iter(dataset), batch_size
        next(self._batches)

    def __call__(self, images: int) -> float:
        """Images a second, after as many that are not timed: a full shuffling window and more lies ready at first."""
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
        time.sleep(1)  # in which the window is filled again
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
