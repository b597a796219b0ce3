"""The interface of a stage: what the trainer and the training step need of it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from pose_tf import metrics
from pose_tf.data.pipeline import Share
from pose_tf.models.statistics import PoseStatistics

PICTURES = 8
"""Samples on a sheet."""


class Stage(Protocol):
    """What one of the two stages trains, on which samples, with which losses, and how it is judged.

    A stage is made from a recipe and the directory of records, under the strategy's scope. It only reads.

    Attributes:
        model: the network to train.
        num_samples: samples to train on.
        batch_size: samples of a step, over all replicas.
        loss_names: what `losses` returns.
        validation_metric: the error among those of `validate` that is lowest for the best weights.
        counters: entries of a batch that are counted: their sum is reported, not their mean.
        shards: paths of the records that training and validation read, for errors that name them.
        statistics: mean and deviation of the training poses in mm, to be kept with the run; None if there are none.
    """

    model: tf.keras.Model
    num_samples: int
    batch_size: int
    loss_names: Sequence[str]
    validation_metric: str
    counters: Sequence[str] = ()
    shards: Sequence[str] = ()
    statistics: PoseStatistics | None = None

    def training_batches(self, start_step: int, share: Share, job: str = "") -> tf.data.Dataset:
        """Endless batches for the replicas of one host in turn.

        Args:
            start_step: the step that the first batches belong to.
            share: which replicas are fed.
            job: name of the run for a tf.data service; ignored by a stage that needs none.

        Returns:
            Dataset of {name: tensor [B, …]}, B being the samples of one replica.
        """

    def augment(self, batch: dict, seed, progress=1.0):
        """What the network sees of a replica's batch.

        Args:
            batch: an element of `training_batches`.
            seed: int [2] for stateless randomness.
            progress: float scalar in 0…1: the share of the run that is done.

        Returns:
            What `losses` takes.
        """

    def losses(self, augmented) -> dict[str, tf.Tensor]:
        """Losses of a replica's augmented batch: {name: float32 [B]}; `loss` is minimized, the others are reported."""

    def validate(self, interrupted: Callable[[], bool] = lambda: False) -> dict[str, float] | None:
        """Errors on the validation subjects by name; None as soon as `interrupted()` is true."""

    def augmented_pictures(self) -> np.ndarray:
        """A sheet of training samples as the network sees them first, uint8 [H, W, 3]."""

    def pictures(self) -> np.ndarray:
        """A sheet of validation samples, predicted and true, uint8 [H, W, 3]."""

    def poses(self) -> np.ndarray | None:
        """Some predicted validation poses, float32 [N, 17, 3] mm; None for a stage that predicts no 3D poses."""
        return None


def mean_errors(names: Iterable[str], batches: Iterable, predict, interrupted) -> dict[str, float] | None:
    """Means of errors over batches.

    Args:
        names: of the metrics, see `metrics.PoseMetric`.
        batches: of anything.
        predict: batch -> (true poses [B, J, D], predicted poses [B, J, D], weights of the joints [B, J] or None).
        interrupted: asked before each batch.

    Returns:
        {name: error}; None as soon as `interrupted()` is true.
    """
    means = {name: metrics.PoseMetric(name) for name in names}
    for batch in batches:
        if interrupted():
            return None
        target, predicted, joint_weights = predict(batch)
        for metric in means.values():
            metric.update_state(target, predicted, joint_weights=joint_weights)
    return {name: float(metric.result()) for name, metric in means.items()}
