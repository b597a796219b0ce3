"""Images a second of a detector's training step: augmentation, forward, backward and update, without reading records.

    python benchmarks/train_step.py --config=configs/hrnet_cpu.py [--steps=8] [--config.model.width=16]

Prints the median and the range over single steps, at the size that training begins with and at the size it ends with.
"""

import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "tools"))
import _checkout  # noqa: F401
from absl import flags
from ml_collections import config_flags

from pose_tf import cli

_CONFIG = config_flags.DEFINE_config_file("config", None, "A detector's recipe.")
_STEPS = flags.DEFINE_integer("steps", 8, "Steps to time at each size.", lower_bound=1)
flags.mark_flags_as_required(["config"])


def main():
    import tensorflow as tf

    from pose_tf.data.pipeline import Share
    from pose_tf.data.sample_data import write_sample_data
    from pose_tf.training.optimizers import make_optimizer
    from pose_tf.training.stages import make_stage
    from pose_tf.training.workdir import Workdir

    config = _CONFIG.value
    with tempfile.TemporaryDirectory() as folder:
        write_sample_data(folder, 2 * config.data.batch_size, num_test=1, num_poses=1, seed=0)
        tf.keras.mixed_precision.set_global_policy(config.precision)
        stage = make_stage(config, folder, Workdir(folder))
        batch = next(iter(stage.training_batches(0, Share())))
    optimizer = make_optimizer(config.optimizer, 1000, 1000)

    @tf.function
    def train_step(batch, progress):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(stage.losses(stage.augment(batch, [0, 0]), progress)["loss"])
        gradients = tape.gradient(loss, stage.model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, stage.model.trainable_variables))
        return loss

    for name, progress in (("first step", 0.0), ("last step", 1.0)):
        train_step(batch, tf.constant(progress))
        rates = []
        for _ in range(_STEPS.value):
            start = time.monotonic()
            train_step(batch, tf.constant(progress)).numpy()
            rates.append(config.data.batch_size / (time.monotonic() - start))
        print(f"{name:10s} {statistics.median(rates):6.1f} images/s  ({min(rates):.1f} to {max(rates):.1f})")


if __name__ == "__main__":
    cli.run(main)
