"""Measures batches of Apache Beam beside a plain loop over the same photos with the same model.

    python benchmarks/batch.py --images='photos/*.jpg' [--photos=200] [--rounds=3]

Each round measures the loop, a batch in this process, and one in two processes. The first two find the model loaded.
The last one includes the start of both processes and their models, which a long batch does not notice.
"""

import contextlib
import glob
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from absl import flags

from pose_tf import cli

_IMAGES = flags.DEFINE_string("images", None, "Pattern of photos.", required=True)
_PHOTOS = flags.DEFINE_integer("photos", 200, "Number of photos.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of rounds, of which the medians are printed.", lower_bound=1)
WORKERS = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]


def loop(model, paths):
    from pose_tf.errors import UserError

    for path in paths:
        with contextlib.suppress(UserError):
            model.people(path)


def batch(paths, beam_options):
    from pose_tf.batch.pipeline import Options, predict_batch

    with tempfile.TemporaryDirectory() as folder:
        done = predict_batch(Options("input", tuple(paths), f"{folder}/out"), beam_options)
    assert done.inputs == len(paths)


def main():
    cli.start_tensorflow()
    import pose_tf
    from pose_tf.batch import handler

    paths = sorted(glob.glob(_IMAGES.value))[: _PHOTOS.value]
    model = pose_tf.load()
    handler.load = lambda: pose_tf.PoseModel(model._backend)
    loop(model, paths[:20])
    ways = {
        "loop": lambda: loop(model, paths),
        "batch": lambda: batch(paths, []),
        "batch in 2 processes, with their start": lambda: batch(paths, WORKERS),
    }
    seconds = {way: [] for way in ways}
    for _ in range(_ROUNDS.value):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - start)
    for way, times in seconds.items():
        print(f"{len(paths) / statistics.median(times):6.1f} photos/s  {way}")


if __name__ == "__main__":
    cli.run(main)
