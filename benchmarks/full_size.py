"""Measures what a data set of Human3.6M's size costs before and between training steps.

    python benchmarks/full_size.py --write=5000 --images=DATA --data_dir=BIG
    python benchmarks/full_size.py --data_dir=BIG

The first writes a data set of any size in the shape of Human3.6M: 600 videos (subjects 1, 5, 6, 7 and 8, 15 actions
twice each, 4 cameras), one after the other in a few large files. It repeats the images of DATA/h36.

The second measures, each in a new process:

    index       the first start: reading all poses
    start       a later start: reading the index
    first step  the first batch of a training with the index
    resume      the first batch of a training that continues in the middle of an epoch
    validation  2,000 images of subject 8, evenly spaced
    evaluation  all images of subject 8
    mixing      how many videos the batches of 32 contain, over how many those of a uniform shuffle would

with the seconds and the largest memory of the process.
"""

import itertools
import os
import pathlib
import resource
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from absl import flags

from pose_tf import cli

_WRITE = flags.DEFINE_integer("write", None, "Number of records to write to --data_dir.", lower_bound=600)
_IMAGES = flags.DEFINE_string("images", None, "Directory of records whose images to repeat.")
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory of the large data set.", required=True)
_SHARDS = flags.DEFINE_integer("shards", 20, "Number of files to write.", lower_bound=1)
_PHASE = flags.DEFINE_string("phase", None, "Measure this alone, in this process.")
SUBJECTS, ACTIONS, SUBACTIONS, CAMERAS = (1, 5, 6, 7, 8), range(2, 17), (1, 2), range(4)
HELD_OUT = 8
BATCH, BATCHES = 32, 100
VALIDATION_IMAGES = 2000
FIRST_MM = 4000.0
"""Distance of the people in the first video. Those of each further video are a millimeter farther away, so that the
pose says which video it is from.
"""


def write():
    import numpy as np

    from pose_tf.data import records

    shards = records.list_shards(_IMAGES.value, "h36")
    images = [s for shard in shards[:1] for s in itertools.islice(records.read(shard, records.H36M), 300)]
    videos = list(itertools.product(SUBJECTS, ACTIONS, SUBACTIONS, CAMERAS))
    samples = np.arange(_WRITE.value)
    for number, part in enumerate(np.array_split(samples, _SHARDS.value)):

        def video_frames(part=part):
            for sample in part:
                video, image = int(sample * len(videos) // len(samples)), images[sample % len(images)]
                pose3d = image["pose3d"] + np.float32([0, 0, FIRST_MM + video - image["pose3d"][0, 2]])
                names = ("subject", "action", "subaction", "camera")
                yield image | {"pose3d": pose3d, "pose3d_univ": pose3d} | dict(zip(names, videos[video]))

        path = f"{_DATA_DIR.value}/h36/{number:05d}-of-{_SHARDS.value:05d}.tfrecord"
        records.write(path, video_frames(), records.H36M)
        print(f"{path}: {len(part)} records", flush=True)


def index():
    from pose_tf.data.record_index import index_records

    return index_records(_DATA_DIR.value)


def batches(start_step=0):
    import numpy as np

    from pose_tf.data.pipeline import detector_batches

    found = index()
    subjects = np.setdiff1d(found.poses.subject, [HELD_OUT])
    labels = ("pose2d_crop", "pose3d")
    return detector_batches(found, subjects, BATCH, seed=0, start_step=start_step, labels=labels), found


def first_step():
    next(iter(batches()[0]))


def resume():
    found = index()
    half = int(found.counts(SUBJECTS).sum()) // BATCH // 2
    next(iter(batches(half)[0]))


def held_out_images(count=None):
    from pose_tf.data.pipeline import labeled_images

    found = index()
    every = max(int(found.counts([HELD_OUT]).sum()) // count, 1) if count else 1
    return sum(len(batch["subject"]) for batch in labeled_images(found, [HELD_OUT], BATCH, every))


def mixing():
    import numpy as np

    dataset, found = batches()
    is_trained = found.poses.subject != HELD_OUT
    share = np.unique(found.poses.pose3d[is_trained, 0, 2], return_counts=True)[1] / is_trained.sum()
    expected = np.sum(1 - (1 - share) ** BATCH)
    counts = [len(np.unique(batch["pose3d"][:, 0, 2])) for batch in dataset.take(BATCHES)]
    return f"{np.mean(counts):.1f} videos in a batch (least {min(counts)}), {expected:.1f} in a uniform shuffle"


PHASES = {
    "index": index,
    "start": index,
    "first step": first_step,
    "resume": resume,
    "validation": lambda: held_out_images(VALIDATION_IMAGES),
    "evaluation": held_out_images,
    "mixing": mixing,
}


def measure(phase):
    """Prints what a phase has found, its seconds after TensorFlow has been imported, and the process's memory."""
    cli.start_tensorflow()
    start = time.monotonic()
    found = PHASES[phase]()
    seconds = time.monotonic() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    what = f", {found}" if isinstance(found, str) else f", {found} images" if isinstance(found, int) else ""
    print(f"{phase:12s}{seconds:8.1f} s {memory:6.2f} GiB{what}", flush=True)


def main():
    if _WRITE.value:
        cli.start_tensorflow()
        write()
    elif _PHASE.value:
        measure(_PHASE.value)
    else:
        stored = pathlib.Path(_DATA_DIR.value, ".pose_tf", "index.npz")
        stored.unlink(missing_ok=True)
        environment = os.environ | {"TQDM_DISABLE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
        for phase in PHASES:
            command = [sys.executable, __file__, f"--data_dir={_DATA_DIR.value}", f"--phase={phase}"]
            subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    cli.run(main)
