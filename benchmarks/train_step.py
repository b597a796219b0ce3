"""Measures a recipe's training step in samples per second, compared to PyTorch and to the limit of the machine.

    python benchmarks/train_step.py --config=configs/hrnet_w32.py --config.precision=mixed_bfloat16
        --config.data.batch_size=8 [--torch_python=PATH] [--rounds=7] [--steps=4]

Times the step of tools/train.py: augmentation, forward, backward and update, with many steps in a call. One batch of
generated images or poses is repeated, so no files are read. `--torch_python` names a Python interpreter with PyTorch:
a second process takes the same steps of the public network (see torch_models.py; without augmentation and metrics)
with the same number of threads. `plain` trains like the public code, `tuned` uses channels last and the fused AdamW.
They take turns. Prints medians and ranges of the rounds, and medians of the ratios.

The limit assumes that the step's matrix products and convolutions run at the speed of one large product: once forward,
and once for each of the two gradients.
"""

import os
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

os.environ["TQDM_DISABLE"] = "1"  # hides the progress of making sample data
from absl import flags
from contestant import Contestant
from machine import flops, measure_product
from ml_collections import config_flags
from on_demand import serve

from pose_tf import cli
from pose_tf.errors import UserError

_CONFIG = config_flags.DEFINE_config_file("config", None, "A recipe.")
_TORCH_PYTHON = flags.DEFINE_string("torch_python", None, "A Python interpreter that can import torch.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Number of turns of each.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 0, "Steps in a round; by default about two seconds of them.")
_SERVE = flags.DEFINE_bool("serve", False, "Only take the steps of pose_tf, on demand: see on_demand.py.")
flags.mark_flags_as_required(["config"])


class OurStep:
    """The training step of `tools/train.py` on one batch that is repeated."""

    def __init__(self, config):
        import tensorflow as tf

        from pose_tf.data.pipeline import Share
        from pose_tf.synthetic.sample_data import write_sample_data
        from pose_tf.training.interruption import Interruption
        from pose_tf.training.state import make_state
        from pose_tf.training.step import make_train_steps
        from pose_tf.training.strategy import batch_sizes, distribute, make_strategy, variable_scope
        from pose_tf.training.trainer import make_stage

        strategy = make_strategy(config.strategy)
        tf.keras.mixed_precision.set_global_policy(config.precision)
        tf.config.experimental.enable_tensor_float_32_execution(config.tf32)
        self.batch_size, _ = batch_sizes(config.data, strategy)
        with tempfile.TemporaryDirectory() as folder, variable_scope(strategy):
            write_sample_data(folder, 2 * self.batch_size, num_test=1, num_poses=1, seed=0)
            stage = make_stage(config, folder)
            batch = next(iter(stage.training_batches(0, Share(0, 1, strategy.num_replicas_in_sync))))
        state = make_state(config, stage.model, strategy, 10**6, 10**6)
        repeated = tf.data.Dataset.from_tensors(batch).repeat()
        self._batches = iter(distribute(strategy, lambda share: repeated))
        self._take_steps = make_train_steps(config, stage, state, strategy, 10**6, Interruption())
        self.model = stage.model

    def __call__(self, steps: int) -> float:
        """Takes a number of steps and returns their duration in seconds."""
        import tensorflow as tf

        start = time.monotonic()
        done, *_ = self._take_steps(self._batches, tf.constant(steps))
        if int(done) != steps:
            raise RuntimeError(f"the loss was not finite after {int(done)} steps")
        return time.monotonic() - start


def torch_step(python, config, batch_size, threads, tuned):
    """The training step of PyTorch in a separate process, since the two frameworks may use different environments."""
    options = config.model.to_dict()
    if options.pop("raw_pixels", False) or options.pop("share_blocks", False):
        raise UserError("the PyTorch models support neither raw_pixels nor share_blocks")
    optimizer = {"lr": config.optimizer.learning_rate, "weight_decay": config.optimizer.weight_decay}
    task = {"model": options, "batch_size": batch_size, "optimizer": optimizer, "threads": threads, "tuned": tuned}
    task |= {"bfloat16": config.precision == "mixed_bfloat16", "clip_norm": config.optimizer.clip_norm}
    return Contestant(python, pathlib.Path(__file__).with_name("torch_models.py"), task)


def show(name, values, unit, scale=1.0, digits=1):
    low, middle, high = (f"{scale * f(values):.{digits}f}" for f in (min, statistics.median, max))
    print(f"{name:16s}{middle:>10s} {unit}  ({low} to {high})")


def main():
    cli.start_tensorflow()
    import tensorflow as tf

    config = _CONFIG.value
    if "occlusion" in config and not os.path.exists(config.occlusion.bank):
        print(f"occlusion is disabled: {config.occlusion.bank} does not exist", file=sys.stderr)
        config.occlusion.probability = 0.0
    ours = OurStep(config)
    if _SERVE.value:
        return serve(ours)
    threads = tf.config.threading.get_intra_op_parallelism_threads() or len(os.sched_getaffinity(0))
    product = measure_product(config.precision)
    contestants = {"pose_tf": ours}
    if _TORCH_PYTHON.value:
        for name in ("plain", "tuned"):
            contestants[f"PyTorch, {name}"] = torch_step(
                _TORCH_PYTHON.value, config, ours.batch_size, threads, name == "tuned"
            )

    steps = {}
    for name, contestant in contestants.items():
        contestant(2)  # tracing, and initialization of the libraries
        seconds = contestant(2) / 2
        steps[name] = _STEPS.value or max(1, round(2 / seconds))
    product()
    rates, speeds = {name: [] for name in contestants}, []
    for _ in range(_ROUNDS.value):
        for name, contestant in contestants.items():
            rates[name].append(ours.batch_size * steps[name] / contestant(steps[name]))
        speeds.append(product())

    for name, contestant in contestants.items():
        show(name, rates[name], "samples/s")
        if contestant is not ours:
            contestant.close()
            show("ratio", [a / b for a, b in zip(rates["pose_tf"], rates[name])], f"times {name}", digits=2)
    work = flops(ours.model, ours.batch_size, training=True) / ours.batch_size
    show("matrix product", speeds, "GFLOP/s", 1e-9)
    show("limit", [speed / work for speed in speeds], f"samples/s of {work * 1e-9:.3g} GFLOP")
    show("of the limit", [100 * work * rate / speed for rate, speed in zip(rates["pose_tf"], speeds)], "%")


if __name__ == "__main__":
    cli.run(main)
