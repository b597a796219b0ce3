"""Writes a model of each kind, with an input and its results: python -m tests.cli.stack_models FOLDER"""

import sys

import numpy as np
import tensorflow as tf

from pose_tf.models import FeedForward, HRNet, PoseEstimator, SemGCN
from pose_tf.models.statistics import PoseStatistics


def models(rng):
    """(name, model, input)."""

    def hrnet():
        return HRNet(4, stem=4, modules=(1, 1, 1), blocks=1, downsample=2)

    statistics = PoseStatistics(rng.normal(size=(17, 3)).astype(np.float32), np.full((17, 3), 100, np.float32))
    pose2d = rng.uniform(-1, 1, (8, 17, 2)).astype(np.float32)
    groups = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [12, 13], [14, 15]]
    yield "hrnet", hrnet(), rng.normal(size=(2, 256, 256, 3)).astype(np.float32)
    yield "feed_forward", FeedForward(units=64, share_blocks=True), pose2d
    yield "sem_gcn", SemGCN(channels=32), pose2d
    chain = [(i, i + 1) for i in range(15)]
    yield "sem_gcn_grouped", SemGCN(16, channels=32, edges=chain, groups=groups), pose2d[:, 1:]
    estimator = PoseEstimator(hrnet(), FeedForward(units=64), statistics, flip_detector=True, flip_lifter=True)
    yield "pose_estimator", estimator, rng.integers(0, 256, (2, 256, 256, 3), np.uint8)


def outputs(model, x) -> dict[str, np.ndarray]:
    """Results by name."""
    found = model(x)
    return {name: value.numpy() for name, value in (found if isinstance(found, dict) else {"output": found}).items()}


def main(folder):
    rng = np.random.default_rng(0)
    for name, model, x in models(rng):
        model(x)
        for weight in model.weights:  # as after training: no weight is 0, and no statistic has its initial value
            fan_in = np.prod(weight.shape[:-1])
            deviation = (2 / fan_in) ** 0.5
            weight.assign(rng.normal(0, deviation, weight.shape) if fan_in > 1 else rng.uniform(0.5, 1.5, weight.shape))
        model.save(f"{folder}/{name}.keras")
        tf.train.Checkpoint(model=model).write(f"{folder}/{name}.ckpt")
        np.savez(f"{folder}/{name}.npz", x=x, **outputs(model, x))


if __name__ == "__main__":
    main(sys.argv[1])
