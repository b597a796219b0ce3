"""Compares the speed of two installations of TensorFlow: HRNet-W32, the lifters and the augmentation.

    python benchmarks/stacks.py [--pythons=PATH,PATH] [--rounds=7] [--only=WORDS]

By default the interpreters are those of `.venv` and `.venv-latest`.

Each row is a part of `inference.py` (an exported model), `train_step.py` (a recipe's training step) or `augment.py`, in
one process per interpreter. The processes take turns. Prints medians and ranges of the rounds, and the median of the
ratios.
"""

import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from absl import flags
from contestant import Contestant, spread, take_turns

from pose_tf import cli
from pose_tf.errors import UserError

FOLDER = pathlib.Path(__file__).parent
_PYTHONS = flags.DEFINE_list(
    "pythons", [f"{FOLDER.parent}/{venv}/bin/python" for venv in (".venv", ".venv-latest")], "Interpreters."
)
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Number of turns of each.", lower_bound=1)
_ONLY = flags.DEFINE_string("only", "", "Measure only rows whose names contain this text.")


def forward(signature, batch_size, precision="float32"):
    return (
        batch_size,
        "inference.py",
        f"--serve={signature}",
        f"--batch_sizes={batch_size}",
        f"--precisions={precision}",
    )


def training(recipe, batch_size, precision="float32"):
    what = (f"--config={FOLDER.parent}/configs/{recipe}.py", f"--config.precision={precision}")
    return batch_size, "train_step.py", "--serve", *what, f"--config.data.batch_size={batch_size}"


ROWS = {  # name: (samples in a call, script, flags)
    "HRNet-W32, forward, batch 1, float32": forward("images", 1),
    "HRNet-W32, forward, batch 8, float32": forward("images", 8),
    "HRNet-W32, forward, batch 1, bfloat16": forward("images", 1, "bfloat16"),
    "HRNet-W32, forward, batch 8, bfloat16": forward("images", 8, "bfloat16"),
    "HRNet-W32, training, batch 8, float32": training("hrnet_w32", 8),
    "HRNet-W32, training, batch 8, bfloat16": training("hrnet_w32", 8, "mixed_bfloat16"),
    "FeedForward, forward, batch 64": forward("lift", 64),
    "FeedForward, training, batch 64": training("feed_forward", 64),
    "SemGCN, training, batch 64": training("sem_gcn", 64),
    "pasting objects, batch 64": (64, "augment.py", "--serve=paste", "--batch=64"),
    "color jitter, batch 64": (64, "augment.py", "--serve=jitter", "--batch=64"),
}


def compare(name, batch_size, script, *arguments):
    """Prints a row: samples per second of each interpreter, and its speed relative to the first one."""
    contestants = [Contestant(python, FOLDER / script, *arguments) for python in _PYTHONS.value]
    turns = take_turns(dict(enumerate(contestants)), _ROUNDS.value)
    rates = [[batch_size * rate for rate in found] for found in turns.values()]
    for contestant in contestants:
        contestant.close()
    print(f"\n{name}")
    for python, found in zip(_PYTHONS.value, rates):
        ratio = statistics.median(a / b for a, b in zip(found, rates[0]))
        low, middle, high = (f"{rate:.{1 if found[0] < 100 else 0}f}" for rate in spread(found))
        print(f"{python:40s}{middle:>8s} samples/s  ({low} to {high})  {ratio:.2f}", flush=True)


def main():
    rows = {name: row for name, row in ROWS.items() if _ONLY.value in name}
    if not rows:
        raise UserError(f"--only={_ONLY.value} matches none of the rows: {'; '.join(ROWS)}")
    for name, row in rows.items():
        compare(name, *row)


if __name__ == "__main__":
    cli.run(main)
