"""The interface between a stage and the trainer."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import numpy as np
import tensorflow as tf

from pose_tf import metrics
from pose_tf.data.pipeline import Share
from pose_tf.models.statistics import PoseStatistics
from pose_tf.skeleton import H36M, Skeleton

SHEET_SAMPLES = 8
"""The number of samples on a sheet."""


class Stage(Protocol):
    """The network, samples, losses and validation of the detector, the lifter, or both.

    A stage is made from a recipe and the directory of records, under the strategy's scope. It never writes files.

    Attributes:
        model: the network to train.
        num_samples: number of training samples.
        batch_size: samples of a step, over all replicas.
        loss_names: keys of the result of `losses`.
        validation_metric: the error of `validate` that selects the best weights: lowest is best.
        counters: entries of a batch that are reported as sums instead of means.
        shards: paths of the records that training and validation read, for error messages.
        statistics: mean and standard deviation of the training poses in mm, saved with the run; None for a detector
            alone.
        skeleton: of the poses.
    """

    model: tf.keras.Model
    num_samples: int
    batch_size: int
    loss_names: Sequence[str]
    validation_metric: str
    counters: Sequence[str] = ()
    shards: Sequence[str] = ()
    statistics: PoseStatistics | None = None
    skeleton: Skeleton = H36M

    def training_batches(self, start_step: int, share: Share, job: str = "") -> tf.data.Dataset:
        """Endless batches for the replicas of one host in turn.

        Args:
            start_step: the step of the first batches.
            share: the replicas of this host.
            job: name of the run for a tf.data service; ignored by a stage that does not use one.

        Returns:
            Dataset of {name: tensor [B, …]}, where B is the number of samples of one replica.
        """

    def notes(self) -> Sequence[str]:
        """What a user should know about the training samples, in sentences."""
        return ()

    def augment(self, batch: dict, seed, progress=1.0):
        """Augments a replica's batch.

        Args:
            batch: an element of `training_batches`.
            seed: int [2], seed of stateless random operations.
            progress: float scalar in 0…1, the completed share of the run.

        Returns:
            The argument of `losses`.
        """

    def losses(self, augmented) -> dict[str, tf.Tensor]:
        """Losses of a replica's augmented batch: {name: float32 [B]}; `loss` is minimized, the others are reported."""

    def validate(self, interrupted: Callable[[], bool] = lambda: False) -> dict[str, float] | None:
        """Errors on the validation subjects by name; None as soon as `interrupted()` is true."""

    def networks(self) -> dict[str, tf.keras.Model]:
        """The networks that may start from existing weights, by the recipe's key of their source."""
        return {"init_from": self.model}

    def training_sheet(self) -> np.ndarray:
        """A sheet of augmented training samples of step 0, uint8 [H, W, 3]."""

    def validation_sheet(self) -> np.ndarray:
        """A sheet of validation samples with predicted and true joints, uint8 [H, W, 3]."""

    def poses(self) -> np.ndarray | None:
        """Some predicted validation poses, float32 [N, J, 3] mm; None for a stage that predicts no 3D poses."""
        return None


def mean_errors(batches: Iterable, measure, interrupted, skeleton: Skeleton = H36M) -> dict[str, float] | None:
    """Mean errors over batches.

    Args:
        batches: batches of any type.
        measure: batch -> list of (names of metrics, see `metrics.PoseMetric`, true poses [B, J, D], predicted poses
            [B, J, D], weights of the joints [B, J] or None).
        interrupted: called before each batch; True ends the loop.
        skeleton: of the poses.

    Returns:
        {name: error}, without metrics that the skeleton or no sample allows to measure; None as soon as `interrupted()`
        is true.
    """
    means = {}
    for batch in batches:
        if interrupted():
            return None
        for names, target, predicted, joint_weights in measure(batch):
            for name in metrics.measurable(names, skeleton):
                mean = means.setdefault(name, metrics.PoseMetric(name, skeleton=skeleton))
                mean.update_state(target, predicted, joint_weights=joint_weights)
    return {name: float(metric.result()) for name, metric in means.items() if metric.count.numpy()}
