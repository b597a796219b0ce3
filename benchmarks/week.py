"""Measures what a long training leaves behind and takes: TensorBoard's files, checkpoints, memory.

    python benchmarks/week.py --part=reports --run=runs/detector
    python benchmarks/week.py --part=checkpoints --config=configs/hrnet_w48.py
    python benchmarks/week.py --part=memory --steps=20000 --config=configs/feed_forward.py --config.data.poses=POSES.npz
    python benchmarks/week.py --part=memory --steps=2000 --config=configs/quickstart_detector.py --data_dir=DATA

`reports` repeats the last reports of a run, with pictures of rendered people and 3D bodies, until they are those of
600,000 steps: a report every 100 steps and a validation every 4,000, as the paper's recipe makes with Human3.6M's
636,724 records. Prints the bytes that TensorBoard's files take, and the seconds to write and to open them.

`checkpoints` writes and restores the state of a recipe: its weights, and Adam's moments.

`memory` trains for a number of steps, and prints the memory of the process (RSS) along the way.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from absl import flags
from ml_collections import config_flags

from pose_tf import cli
from pose_tf.errors import UserError

_PART = flags.DEFINE_enum("part", None, ["reports", "checkpoints", "memory"], "What to measure.", required=True)
_RUN = flags.DEFINE_string("run", None, "Workdir of a run that has been validated.")
_STEPS = flags.DEFINE_integer("steps", 600_000, "Number of steps.", lower_bound=100)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory of records.")
_CONFIG = config_flags.DEFINE_config_file("config", None, "A recipe.")
REPORT_EVERY, VALIDATE_EVERY = 100, 4000
PICTURES = 8
ROOT = pathlib.Path(__file__).resolve().parents[1]


def repeat_reports(folder):
    import numpy as np
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from pose_tf import viz
    from pose_tf.synthetic.sample import SUBJECTS_TRAIN, render_sample
    from pose_tf.training.monitor import Monitor
    from pose_tf.workdir import Workdir

    lines = {line["split"]: line for line in Workdir(_RUN.value).reports()}
    if lines.keys() != {"train", "validation"}:
        raise UserError(f"--run={_RUN.value} has no validation yet")
    values = {split: {k: v for k, v in line.items() if k not in ("step", "split")} for split, line in lines.items()}
    people = [render_sample(0, i, SUBJECTS_TRAIN[0]) for i in range(PICTURES)]
    images, pose2d, pose3d = (np.stack([one[key] for one in people]) for key in ("image", "pose2d_crop", "pose3d"))
    sheet = viz.sheet_2d(images, pose2d, pose2d + 3)
    workdir = Workdir(folder)
    workdir.create()

    start = time.monotonic()
    with Monitor(workdir, 0, 0, _STEPS.value) as monitor:
        for step in range(REPORT_EVERY, _STEPS.value + 1, REPORT_EVERY):
            monitor.report(step, "train", values["train"])
            if step % VALIDATE_EVERY == 0:
                monitor.report(step, "validation", values["validation"])
                monitor.image(step, "validation", sheet)
                monitor.poses(step, "poses", pose3d)
        print(f"{_STEPS.value:,} steps, written in {time.monotonic() - start:.0f} s")
        start = time.monotonic()
        monitor.draw_curves()  # after every validation; these are the longest curves
        print(f"curves are drawn in {time.monotonic() - start:.1f} s")
    for path in sorted(pathlib.Path(folder).rglob("*")):
        if path.is_file():
            print(f"{path.relative_to(folder)!s:70s}{path.stat().st_size / 2**20:8.1f} MiB")

    start = time.monotonic()
    events = EventAccumulator(workdir.file("tensorboard")).Reload()
    print(f"TensorBoard reads them in {time.monotonic() - start:.1f} s: {len(events.Tags()['tensors'])} plots")
    start = time.monotonic()
    with Monitor(workdir, _STEPS.value, _STEPS.value, _STEPS.value):
        print(f"a resumed run reads them in {time.monotonic() - start:.1f} s")


def time_checkpoints(folder):
    import tensorflow as tf

    from pose_tf.models.networks import make_network
    from pose_tf.training.checkpoints import Checkpoints
    from pose_tf.training.state import make_state

    model = make_network(_CONFIG.value.model.to_dict())
    state = make_state(_CONFIG.value, model, tf.distribute.get_strategy(), 1000, 100)
    checkpoints = Checkpoints(folder, state.checkpoint(), 3)
    seconds = {"written": [], "restored": []}
    for step in range(1, 6):
        start = time.monotonic()
        checkpoints.save(step, step)
        seconds["written"].append(time.monotonic() - start)
        start = time.monotonic()
        checkpoints.restore()
        seconds["restored"].append(time.monotonic() - start)
    size = sum(path.stat().st_size for path in pathlib.Path(folder).glob(f"*{step}/*"))
    times = ", ".join(f"{name} in {statistics.median(values):.1f} s" for name, values in seconds.items())
    print(f"{model.count_params():,} weights; a checkpoint has {size / 2**20:.0f} MiB, {times}")


def watch_memory(folder):
    arguments = [arg for arg in sys.argv[1:] if arg.startswith("--config")]
    if _DATA_DIR.value:
        arguments.append(f"--data_dir={_DATA_DIR.value}")
    command = [sys.executable, ROOT / "tools" / "train.py", f"--workdir={folder}", *arguments]
    with open(f"{folder}.log", "w") as log:
        process = subprocess.Popen([*command, "--config.train.epochs=1e6"], stdout=log, stderr=log)
    reports, shown = pathlib.Path(folder, "metrics.jsonl"), 0
    try:
        while process.poll() is None and shown < _STEPS.value:
            time.sleep(0.5)
            lines = reports.read_text().splitlines() if reports.exists() else []
            step = json.loads(lines[-1])["step"] if lines else 0
            if step - shown >= _STEPS.value / 20:
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))
                print(f"step {step:8,d}  {memory / 2**10:8.0f} MiB", flush=True)
                shown = step
    finally:
        process.terminate()
        process.wait()
    if shown < _STEPS.value:
        raise UserError(
            f"the training has ended at step {shown}: {pathlib.Path(log.name).read_text().splitlines()[-1]}"
        )


def main():
    needed = {"reports": "run", "checkpoints": "config", "memory": "config"}[_PART.value]
    if flags.FLAGS[needed].value is None:
        raise UserError(f"--part={_PART.value} needs --{needed}")
    with tempfile.TemporaryDirectory() as parent:
        folder = f"{parent}/run"
        if _PART.value == "memory":
            return watch_memory(folder)
        cli.start_tensorflow()
        repeat_reports(folder) if _PART.value == "reports" else time_checkpoints(folder)


if __name__ == "__main__":
    cli.run(main)
