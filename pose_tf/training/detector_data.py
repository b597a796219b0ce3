"""The records of a detector's recipe: one or several sources, which share every batch."""

import dataclasses

import numpy as np
import tensorflow as tf

from pose_tf import geometry
from pose_tf.data import pipeline
from pose_tf.data.pipeline import Share
from pose_tf.data.poses import PoseSet
from pose_tf.data.record_index import RecordIndex, index_records
from pose_tf.data.sources import H36M, HELD_OUT_FOLDS, SOURCES, Source
from pose_tf.errors import UserError


def mix_of(config) -> dict[str, float]:
    """The share of each source that a detector's recipe reads, by name. Older recipes read `h36` alone."""
    return {name: share for name, share in config.data.get("mix", {H36M.name: 1.0}).items() if share}


@dataclasses.dataclass(frozen=True)
class Part:
    """One source of a mixture.

    Attributes:
        source: the kind of records.
        share: share of each batch.
        batch_size: samples of a step, over all replicas.
        index: index of the records.
        first_file: number of its first file among the files of all parts.
        training, validation: the poses of both.
    """

    source: Source
    share: float
    batch_size: int
    index: RecordIndex
    first_file: int
    training: PoseSet
    validation: PoseSet


class DetectorData:
    """Training batches and validation images of a detector's recipe.

    Args:
        config: the recipe.
        data_dir: directory of records.
        replica_batch_size: samples of a step on one replica.
        replicas: number of replicas.

    Attributes:
        parts: the sources of the mixture.
        num_samples: number of training samples.
        shards: paths of all files.

    Raises:
        UserError: no data, damaged data, or a share of less than one sample.
    """

    def __init__(self, config, data_dir: str, replica_batch_size: int, replicas: int):
        self._config = config
        self.parts, self.shards = [], []
        mix = mix_of(config)
        counts = _divide(mix, replica_batch_size)
        for name, share in mix.items():
            source = SOURCES[name]
            index = index_records(data_dir, config.data.on_damage, source)
            held_out = config.data.validation_subjects if source is H36M else HELD_OUT_FOLDS
            training, validation = index.poses.split(held_out)
            if not np.any(geometry.inside_crop(validation.pose2d)):
                numbers = ", ".join(map(str, np.unique(validation.subject)))
                raise UserError(f"{data_dir}: no joint of subject {numbers} is inside its crop")
            self.parts.append(
                Part(source, share, replicas * counts[name], index, len(self.shards), training, validation)
            )
            self.shards += index.shards
        self.num_samples = sum(len(part.training) for part in self.parts)

    def training_batches(self, start_step: int, share: Share, job: str = "") -> tf.data.Dataset:
        """See `pipeline.detector_batches`; a batch holds the samples of one source after those of another."""
        data = self._config.data
        return pipeline.mixed(
            [
                pipeline.detector_batches(
                    part.index,
                    np.unique(part.training.subject),
                    part.batch_size,
                    seed=self._config.seed,
                    start_step=start_step,
                    share=share,
                    on_damage=data.on_damage,
                    service=data.service,
                    job=job if part.source is H36M else f"{job} {part.source.name}",
                    first_file=part.first_file,
                )
                for part in self.parts
            ]
        )

    def validation_images(self, batch_size: int) -> dict[str, tf.data.Dataset]:
        """Evenly spaced validation images of each source by name, in the batches of `pipeline.labeled_images`."""
        data = self._config.data
        return {
            part.source.name: pipeline.labeled_images(
                part.index,
                np.unique(part.validation.subject),
                batch_size,
                -(-len(part.validation) // data.validation_samples),
                data.on_damage,
                part.first_file,
            ).cache()
            for part in self.parts
        }


def _divide(mix, samples):
    """The number of samples of each source in a replica's batch: {name: count}, in total `samples`."""
    total = sum(mix.values())
    ends = np.round(np.cumsum([share / total for share in mix.values()]) * samples).astype(int)
    counts = dict(zip(mix, np.diff(ends, prepend=0).tolist()))
    for name, count in counts.items():
        if not count:
            raise UserError(
                f"config.data.mix.{name} is {mix[name]}, which is less than one of the {samples} samples in a batch"
            )
    return counts
