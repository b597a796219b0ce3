"""Trains a detector or a lifter, or resumes a run that was interrupted.

    pose-tf train --config=hrnet_w32 --data_dir=DATA --workdir=runs/detector
    pose-tf train --config=feed_forward --data_dir=DATA --workdir=runs/lifter --config.seed=1
    pose-tf train --config=hrnet_w32 --print_config

--config is the name of a recipe of the package, or the path of a Python file. --config.section.key=value overrides any
of its settings; --print_config lists them all. The command writes checkpoints, the best model, curves.png and
TensorBoard files to --workdir. The same command resumes the run. On SIGTERM and Ctrl-C, it writes a checkpoint first.
With several machines, a worker that notices the loss of another one restarts and waits for it.
"""

import os
import sys
from collections.abc import Iterator

from absl import flags
from ml_collections import ConfigDict

from pose_tf.cli import _flags, start_tensorflow
from pose_tf.errors import UserError

_CONFIG = _flags.recipe()
_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory with h36/* and mpii/* records.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory of the run.")
_PRINT_CONFIG = flags.DEFINE_bool("print_config", False, "Print every setting, overrides included, and exit.")
flags.mark_flag_as_required("config")


def main():
    if _PRINT_CONFIG.value:
        print("\n".join(settings(_CONFIG.value)))
        return
    if not _WORKDIR.value:
        raise UserError("--workdir is missing: give the directory of the run")
    start_tensorflow()
    from pose_tf.training.trainer import WorkerLost, train

    try:
        errors = train(_CONFIG.value, _DATA_DIR.value, _WORKDIR.value)
    except WorkerLost as lost:
        print(f"warning: {lost}; restarting from the last checkpoint", file=sys.stderr, flush=True)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # a process cannot join its cluster twice
    if not errors:  # a signal stopped it, or it is not the first worker
        return
    summary = ", ".join(f"{name} {value:.4g}" for name, value in errors.items())
    print(f"validation: {summary}")
    print(f"model {_WORKDIR.value}/best.keras, curves {_WORKDIR.value}/curves.png")
    print(f"TensorBoard: tensorboard --logdir {_WORKDIR.value}")


def settings(config: ConfigDict, prefix: str = "config") -> Iterator[str]:
    """Yields `config.section.key = value` for every setting, in the syntax of a recipe."""
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            yield from settings(value, f"{prefix}.{key}")
        else:
            yield f"{prefix}.{key} = {value!r}"
