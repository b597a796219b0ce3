"""How well training batches mix the data: how many scenes a batch shows, estimated without reading an image."""

import dataclasses

import numpy as np

from pose_tf.data import pipeline
from pose_tf.data.record_index import RecordIndex

LEAST = 0.8
"""A batch should show at least this share of the scenes that it would show in a uniform order."""


@dataclasses.dataclass(frozen=True)
class Mixing:
    """The mean number of different scenes in a batch. A scene is all that a subject does under the name of one action.

    Attributes:
        batch_size: samples in a batch.
        expected: in the batches of `pipeline.detector_batches`.
        uniform: in a uniformly random order.
    """

    batch_size: int
    expected: float
    uniform: float

    def __str__(self) -> str:
        """A sentence if batches mix badly, else an empty string."""
        if self.expected >= LEAST * self.uniform:
            return ""
        return (
            f"batches of {self.batch_size} will show about {self.expected:.0f} different scenes (a subject's action) "
            f"instead of {self.uniform:.0f}, because few large files hold one video after the other; pose-tf shuffle "
            "writes the records in random order"
        )


def mixing(index: RecordIndex, subjects, batch_size: int) -> Mixing:
    """Estimates how many scenes a batch shows, by shuffling the numbers of the scenes as training does the images.

    The index does not say from which video a record is; so the videos of a subject's action count as one scene.

    Args:
        index: index of the records.
        subjects: the subjects to keep.
        batch_size: samples of the source in a batch.
    """
    wanted = np.isin(index.poses.subject, list(subjects))
    order = np.argsort(index.shard[wanted], kind="stable")  # as in the files
    shard, subject, action = (one[wanted][order] for one in (index.shard, index.poses.subject, index.poses.action))
    (_, subject), (actions, action) = (np.unique(one, return_inverse=True) for one in (subject, action))
    scene = subject * len(actions) + action
    share = np.bincount(scene) / len(scene)
    shown = scene[_training_order(shard)]
    size = min(batch_size, len(shown))
    batches = np.sort(shown[: len(shown) // size * size].reshape(-1, size))
    expected = np.mean(1 + np.count_nonzero(np.diff(batches), axis=1))
    return Mixing(batch_size, float(expected), float(np.sum(1 - (1 - share) ** batch_size)))


def _training_order(shard):
    """A random order of an epoch, as `detector_batches` makes it: [N], sorted numbers of files -> permutation [N]."""
    rng = np.random.default_rng(0)
    numbers, file = np.unique(shard, return_inverse=True)
    chunks = -(-len(numbers) // pipeline.OPEN_SHARDS)  # read one after the other
    # Random times in their order within each file: a random merge of the files.
    times = np.sort(file + rng.random(len(file))) - file
    merged = np.argsort(times + rng.permutation(len(numbers))[file] % chunks)
    # An image leaves the window after a geometrically distributed number of steps, with the window's size as mean.
    window = pipeline.SHUFFLE_IMAGES
    entered = np.maximum(np.arange(len(file)), window)
    return merged[np.argsort(entered + window * rng.exponential(size=len(file)))]
