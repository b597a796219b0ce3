"""The records of a detector's recipe: one or several sources, which share every batch."""

import dataclasses
import os

import numpy as np
import tensorflow as tf

from pose_tf import geometry
from pose_tf.data import pipeline
from pose_tf.data.mixing import mixing
from pose_tf.data.pipeline import Share
from pose_tf.data.poses import PoseSet
from pose_tf.data.record_index import RecordIndex, index_records
from pose_tf.data.sources import Source, held_out, mix_of
from pose_tf.errors import UserError
from pose_tf.skeleton import H36M, Skeleton


@dataclasses.dataclass(frozen=True)
class Part:
    """One source of a mixture.

    Attributes:
        source: the kind of records.
        batch_size: samples of a step, over all replicas.
        index: index of the records.
        first_file: number of its first file among the files of all parts.
        training, validation: the poses of both.
    """

    source: Source
    batch_size: int
    index: RecordIndex
    first_file: int
    training: PoseSet
    validation: PoseSet


class DetectorData:
    """Training batches and validation images of a detector's recipe.

    Args:
        config: the recipe.
        indexes: the index of each source, see `index_sources`.
        batch_size: samples of a step, over all replicas.
        replicas: number of replicas.
        labels: the labels of training images, see `pipeline.detector_batches`.
        skeleton: the joints of all labels. Photographs may lack some.

    Attributes:
        parts: the sources of the mixture.
        num_samples: number of training samples.
        shards: paths of all files.

    Raises:
        UserError: too few samples for training and validation, shares that do not fit the batch, or joints that records
            lack.
    """

    def __init__(
        self,
        config,
        indexes: dict[str, RecordIndex],
        batch_size: int,
        replicas: int,
        labels=("pose2d_crop",),
        skeleton: Skeleton = H36M,
    ):
        self._config, self._skeleton = config, skeleton
        self._labels = labels
        self.parts, self.shards = [], []
        counts = divide_batch(mix_of(config), batch_size, replicas)
        with_pose3d = any(index.source.has_pose3d for index in indexes.values())
        for name, index in indexes.items():
            training, validation = _split(index, config.data.validation_subjects, skeleton, with_pose3d)
            self.parts.append(Part(index.source, counts[name], index, len(self.shards), training, validation))
            self.shards += index.shards
        self.num_samples = sum(len(part.training) for part in self.parts)

    def training_batches(self, start_step: int, share: Share, job: str = "") -> tf.data.Dataset:
        """See `pipeline.detector_batches`; a batch holds the samples of one source after those of another."""
        data = self._config.data
        if not data.service:
            pipeline.allow_open_files(sum(min(len(part.index.shards), pipeline.OPEN_SHARDS) for part in self.parts))
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
                    job=job if part.source.has_pose3d else f"{job} {part.source.name}",
                    first_file=part.first_file,
                    labels=self._labels,
                    skeleton=self._skeleton,
                )
                for part in self.parts
            ]
        )

    def notes(self) -> list[str]:
        """A sentence if the records are in an order that batches mix badly. Photographs have no such order."""
        mixings = (
            mixing(part.index, np.unique(part.training.subject), part.batch_size)
            for part in self.parts
            if part.source.has_pose3d
        )
        return [note for note in map(str, mixings) if note]

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
                self._skeleton,
            ).cache()
            for part in self.parts
        }


def index_sources(config, data_dir: str) -> dict[str, RecordIndex]:
    """The index of each source that a recipe reads, by name.

    Raises:
        UserError: a source has no records, or damaged ones.
    """
    return {name: index_records(data_dir, config.data.on_damage, name) for name in mix_of(config)}


def _split(index, validation_subjects, skeleton, with_pose3d):
    """The training and the validation poses of a source. Beside records with 3D poses, photographs may lack joints."""
    folder = os.path.dirname(index.shards[0])
    if not index.source.has_pose3d and len(np.unique(index.poses.subject)) == 1:
        raise UserError(f"{folder} has {len(index.poses)} photographs, too few to hold some of them out for validation")
    poses = index.poses.in_joints(skeleton, may_lack=with_pose3d and not index.source.has_pose3d)
    training, validation = poses.split(held_out(index.source, index.poses.subject, validation_subjects))
    if not np.any(geometry.inside_crop(validation.pose2d_crop)):
        numbers = ", ".join(map(str, np.unique(validation.subject)))
        whose = f"subject {numbers}" if index.source.has_pose3d else "the photographs held out for validation"
        raise UserError(f"{folder}: no joint of {whose} is inside its crop")
    return training, validation


def divide_batch(mix: dict[str, float], samples: int, replicas: int) -> dict[str, int]:
    """The number of samples of each source in a batch: {name: count}, in total `samples`.

    Args:
        mix: share of each source, see `mix_of`.
        samples: samples in a batch, over all replicas.
        replicas: number of replicas, which share the samples of each source evenly.

    Raises:
        UserError: a share is less than one sample, or cannot be shared.
    """
    ends = np.round(np.cumsum(list(mix.values())) * samples).astype(int)
    counts = dict(zip(mix, np.diff(ends, prepend=0).tolist()))
    for name, count in counts.items():
        if not count:
            raise UserError(
                f"config.data.mix.{name} is a share of {mix[name]:.3g}, which is less than one of the {samples} "
                "samples in a batch"
            )
        if count % replicas:
            raise UserError(
                f"config.data.mix makes {count} of the {samples} samples in a batch {name}, which {replicas} replicas "
                "cannot share evenly; change the shares or config.data.batch_size"
            )
    return counts
