"""Labeled crops that exported models are calibrated with and compared on."""

import dataclasses
import itertools
import os

import numpy as np

from pose_tf.data import records
from pose_tf.data.sources import DEFAULT_MIX, source_of
from pose_tf.errors import UserError
from pose_tf.geometry import UNLABELED_PX, change_labels
from pose_tf.skeleton import Skeleton
from pose_tf.synthetic.sample import SUBJECTS_TRAIN, render_sample

SHARDS = 16
"""The most files of one kind that are opened, evenly among all."""
SPREAD = 3
"""One record out of this many is taken; frames of videos resemble their neighbors."""


@dataclasses.dataclass(frozen=True)
class Examples:
    """Crops of people.

    Attributes:
        images: uint8 [N, 256, 256, 3] RGB.
        pose2d: float32 [N, J, 2] crop px; `UNLABELED_PX` for joints without a label.
        origin: what they are, for the model card.
    """

    images: np.ndarray
    pose2d: np.ndarray
    origin: str

    def __len__(self):
        return len(self.images)

    def __getitem__(self, part: slice) -> "Examples":
        return Examples(self.images[part], self.pose2d[part], self.origin)


def read(data_dir: str, count: int, skeleton: Skeleton) -> Examples:
    """Crops out of Human3.6M's records, MPII's, or as many of each. Reads no more of the files than it needs.

    Args:
        data_dir: directory with `h36/*`, `mpii/*` or both.
        count: number of crops, if there are as many.
        skeleton: of the labels.

    Raises:
        UserError: there are fewer than two records, or one of those that are read is damaged.
    """
    kinds = [kind for kind in DEFAULT_MIX if os.path.isdir(os.path.join(data_dir, kind))]
    if not kinds:
        raise UserError(f"{data_dir} contains no records; the data directory must have TFRecords in h36/ or mpii/")
    samples = []
    for number, kind in enumerate(kinds, 1):
        samples += _read_kind(
            data_dir, source_of(data_dir, kind), count * number // len(kinds) - len(samples), skeleton
        )
    if len(samples) < 2:
        raise UserError(f"{data_dir} has too few records: {len(samples)}; crops to calibrate and to compare are needed")
    order = np.random.default_rng(0).permutation(len(samples))
    images, pose2d = (np.stack([samples[i][part] for i in order]) for part in range(2))
    return Examples(images, pose2d, f"records of {' and '.join(kinds)}")


def _read_kind(data_dir, source, count, skeleton):
    """Images and labels of one kind of records, from as many files as are needed."""
    shards = records.list_shards(data_dir, source.name)
    shards = [shards[i] for i in sorted({i * len(shards) // SHARDS for i in range(SHARDS)})]
    streams = [_read_shard(shard, source, skeleton) for shard in shards]
    taken = []
    while streams and len(taken) < count:
        stream = streams.pop(0)
        if (sample := next(stream, None)) is not None:
            taken.append(sample)
            streams.append(stream)
    return taken


def _read_shard(path, source, skeleton):
    weights = None if skeleton.joints == source.skeleton.joints else source.skeleton.weights(skeleton)
    stored = enumerate(records.read_serialized(path, source.schema))
    for number, serialized in itertools.islice(stored, 0, None, SPREAD):
        records.decode(serialized, source.schema, f"{path} record {number}")  # names what is damaged
        sample = source.parse(serialized)
        labels = {"pose2d_crop": sample["pose2d_crop"][None]}
        if weights is not None:
            labels = change_labels(labels, weights)
        yield sample["image"].numpy(), np.asarray(labels["pose2d_crop"][0])


def rendered(count: int, skeleton: Skeleton) -> Examples:
    """Crops of rendered people, without labels of the skeleton, where there are no records."""
    images = [render_sample(0, i, SUBJECTS_TRAIN[i % len(SUBJECTS_TRAIN)])["image"] for i in range(count)]
    unlabeled = np.full((count, len(skeleton.joints), 2), UNLABELED_PX, np.float32)
    return Examples(np.stack(images), unlabeled, "rendered people")
