"""Trains the detector or a lifter, or goes on with a training that was interrupted.

    python tools/train.py --config=configs/hrnet_w32.py --data_dir=DATA --workdir=runs/detector
    python tools/train.py --config=configs/feed_forward.py --data_dir=DATA --workdir=runs/lifter --config.seed=1

Every key of a recipe can be overridden as --config.section.key=value. The directory --workdir receives checkpoints,
the best model, curves.png and TensorBoard files; the same command resumes from it. SIGTERM and Ctrl-C write a
checkpoint first. With several machines, a worker that notices the loss of another starts again and waits for it.
Whoever waits says for whom.
"""

import os
import sys

import _checkout  # noqa: F401
from absl import flags
from ml_collections import config_flags

from pose_tf import cli
from pose_tf.errors import UserError

_CONFIG = config_flags.DEFINE_config_file("config", None, "Recipe: a Python file of configs/.", lock_config=True)
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory with h36/* records.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the run is kept.")
flags.mark_flags_as_required(["config", "workdir"])


def main():
    from pose_tf.training.trainer import WorkerLost, train

    recipe = config_flags.get_config_filename(flags.FLAGS["config"])
    if not os.path.isfile(recipe):
        raise UserError(f"--config={recipe} does not exist")
    try:
        errors = train(_CONFIG.value, _DATA_DIR.value, _WORKDIR.value)
    except WorkerLost as lost:
        print(f"warning: {lost}; starting again from the last checkpoint", file=sys.stderr, flush=True)
        os.execv(sys.executable, [sys.executable, *sys.argv])  # a process cannot join its cluster a second time
    if not errors:  # it was asked to stop, or is not the first worker
        return
    summary = ", ".join(f"{name} {value:.4g}" for name, value in errors.items())
    print(f"validation: {summary}")
    print(f"model {_WORKDIR.value}/best.keras, curves {_WORKDIR.value}/curves.png")
    print(f"TensorBoard: tensorboard --logdir {_WORKDIR.value}")


if __name__ == "__main__":
    cli.run(main)
