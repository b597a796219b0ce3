"""tf.data pipelines. What a pipeline yields at a step depends on the seed and the step alone."""

import numpy as np
import tensorflow as tf

from pose_tf.data import records
from pose_tf.data.poses import PoseSet

READERS = 8
SHUFFLE_IMAGES = 1024


def detector_batches(
    shards: list[str], subjects, batch_size: int, *, seed: int, start_step: int, steps_per_epoch: int
) -> tf.data.Dataset:
    """Endless shuffled training batches of images and their 2D joints.

    Every epoch visits the shards in another order and shuffles within a window of 1,024 images; the last batch is
    dropped if it is not full.

    Args:
        shards: record files.
        subjects: the subjects to keep.
        batch_size: global batch size.
        seed: of the order.
        start_step: the step that the first batch belongs to.
        steps_per_epoch: full batches in an epoch.

    Returns:
        Dataset of {"image": uint8 [B, 256, 256, 3], "pose2d": float32 [B, 17, 2] crop px}.
    """

    def epoch_batches(epoch):
        tf.random.set_seed(1)  # of this graph: `shuffle` mixes it with its own, and must not see the program's
        skip = tf.where(epoch == start_step // steps_per_epoch, start_step % steps_per_epoch, 0)
        files = tf.random.experimental.stateless_shuffle(tf.constant(shards), seed=[tf.cast(seed, tf.int64), epoch])
        return (
            _read(tf.data.Dataset.from_tensor_slices(files), subjects, ("image", "pose2d_crop"))
            .shuffle(SHUFFLE_IMAGES, seed=epoch * 1_000_003 + seed, reshuffle_each_iteration=False)
            .batch(batch_size, drop_remainder=True)
            .skip(tf.cast(skip, tf.int64))
        )

    epochs = tf.data.Dataset.range(start_step // steps_per_epoch, np.iinfo(np.int64).max)
    batches = epochs.flat_map(epoch_batches)
    return batches.map(lambda sample: {"image": sample["image"], "pose2d": sample["pose2d_crop"]}).prefetch(4)


def labelled_images(shards: list[str], subjects, batch_size: int, every: int = 1) -> tf.data.Dataset:
    """One pass over labelled records in a fixed order; for evaluation.

    Args:
        shards: record files.
        subjects: the subjects to keep.
        batch_size: the last batch may be smaller.
        every: keep one record out of this many, for a quick look at video frames that resemble their neighbours.

    Returns:
        Dataset of {"image": uint8 [B, 256, 256, 3], "pose2d_crop": [B, 17, 2], "pose3d": [B, 17, 3], "action": [B]}.
    """
    keys = ("image", "pose2d_crop", "pose3d", "action")
    files = tf.data.Dataset.from_tensor_slices(shards)
    return _read(files, subjects, keys, every).batch(batch_size).prefetch(2)


def test_images(path: str, batch_size: int) -> tf.data.Dataset:
    """One pass over the images of `test_set.tfrecords`, in record order: uint8 [B, 256, 256, 3]."""
    dataset = tf.data.TFRecordDataset(path, compression_type=records.H36M_TEST.compression)
    return (
        dataset.map(
            lambda serialized: records.parse(serialized, records.H36M_TEST, ("image",))["image"],
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .batch(batch_size)
        .prefetch(2)
    )


def _read(files, subjects, keys, every=1):
    """Reads labelled records of some subjects from a dataset of file names, in parallel and in a fixed order."""
    wanted = tf.constant(sorted(subjects), tf.int64)

    def is_wanted(serialized):
        subject = records.parse(serialized, records.H36M, ("subject",))["subject"]
        return tf.reduce_any(subject == wanted)

    return (
        files.interleave(
            lambda file: tf.data.TFRecordDataset(file, compression_type=records.H36M.compression),
            cycle_length=READERS,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        .filter(is_wanted)
        .shard(every, 0)
        .map(lambda serialized: records.parse(serialized, records.H36M, keys), num_parallel_calls=tf.data.AUTOTUNE)
    )


def lifter_batches(poses: PoseSet, batch_size: int, *, seed: int, start_step: int) -> tf.data.Dataset:
    """Endless shuffled training batches of poses held in memory.

    Every epoch is another permutation; the last batch is dropped if it is not full.

    Returns:
        Dataset of {"pose2d": float32 [B, 17, 2] crop px, "pose3d": float32 [B, 17, 3] mm, absolute}.
    """
    pose2d, pose3d = tf.constant(poses.pose2d), tf.constant(poses.pose3d)
    steps_per_epoch = len(poses) // batch_size

    def epoch_batches(epoch):
        skip = tf.where(epoch == start_step // steps_per_epoch, start_step % steps_per_epoch, 0)
        order = tf.random.experimental.stateless_shuffle(tf.range(len(poses)), seed=[tf.cast(seed, tf.int64), epoch])
        batches = tf.reshape(order[: steps_per_epoch * batch_size], (steps_per_epoch, batch_size))
        return tf.data.Dataset.from_tensor_slices(batches[skip:])

    epochs = tf.data.Dataset.range(start_step // steps_per_epoch, np.iinfo(np.int64).max)
    return (
        epochs.flat_map(epoch_batches)
        .map(lambda order: {"pose2d": tf.gather(pose2d, order), "pose3d": tf.gather(pose3d, order)})
        .prefetch(16)
    )
