"""tf.data pipelines. What a pipeline yields at a step depends on the seed and the step alone."""

import dataclasses
import functools
import sys
import time

import numpy as np
import tensorflow as tf

from pose_tf.data import records
from pose_tf.data.poses import RECORD_KEYS, PoseSet, RecordIndex
from pose_tf.data.service import has_workers
from pose_tf.errors import UserError
from pose_tf.waiting import waiting

CHUNK_SHARDS = 4
SHUFFLE_IMAGES = 1024


@dataclasses.dataclass(frozen=True)
class Share:
    """The replicas that one host feeds: `count` of all `total`, from number `first` on. By default the only one."""

    first: int = 0
    count: int = 1
    total: int = 1

    @property
    def host(self) -> int:
        """Number of the host."""
        return self.first // self.count

    @property
    def hosts(self) -> int:
        """How many hosts there are."""
        return self.total // self.count


def detector_batches(
    index: RecordIndex,
    subjects,
    batch_size: int,
    *,
    seed: int,
    start_step: int = 0,
    share: Share = Share(),
    on_damage: str = "stop",
    service: str = "",
    job: str = "",
) -> tf.data.Dataset:
    """Endless shuffled training batches of images and their 2D joints, for the replicas of one host in turn.

    The unit of reading is a chunk: four shards, read side by side and shuffled within a window of 1,024 images. Every
    epoch puts all shards into another order, and so into other chunks. Chunk after chunk goes to the hosts in turn,
    or to the workers of a tf.data service. To begin at a later step, the chunks before it are not opened.

    Args:
        index: of the records.
        subjects: the subjects to keep.
        batch_size: of all replicas together; each batch that comes out is one replica's part.
        seed: of the order.
        start_step: the step that the first batches belong to.
        share: which replicas are fed.
        on_damage: `stop`: a damaged record is an error. `skip`: it is named on standard error, left out and counted.
        service: address of a tf.data service that reads in the host's place, such as localhost:5050. With several
            workers the order depends on their speed, too.
        job: name under which all hosts of a run share what the service reads.

    Returns:
        Dataset of {"image": uint8 [B, 256, 256, 3], "pose2d": float32 [B, 17, 2] crop px, "skipped": int64 [B]}; the
        last tells how many damaged records were left out right before each sample.

    Raises:
        UserError: nothing answers at `service`, or another kind of server. One without workers is waited for.
    """
    if service:
        _await_workers(service)
    chunks = -(-len(index.shards) // CHUNK_SHARDS)

    def order(epoch):
        return tf.random.experimental.stateless_shuffle(tf.range(len(index.shards)), seed=tf.stack([seed, epoch]))

    def members(chunk):
        """Numbers of the shards of a chunk, which is counted through all epochs."""
        group = chunk % chunks
        return order(chunk // chunks)[group * CHUNK_SHARDS : (group + 1) * CHUNK_SHARDS]

    @functools.lru_cache(1)
    def sizes(epoch):
        """Samples in each chunk of an epoch."""
        counts = index.counts(subjects)[order(tf.constant(epoch, tf.int64))]
        return np.add.reduceat(counts, np.arange(0, len(counts), CHUNK_SHARDS))

    host, hosts = (0, 1) if service else (share.host, share.hosts)
    first, skip = host, start_step * batch_size // hosts
    while skip >= (size := sizes(first // chunks)[first % chunks]):
        first, skip = first + hosts, skip - size

    def read_chunk(chunk):
        tf.random.set_seed(1)  # of this graph: `shuffle` mixes it with its own, and must not see the program's
        images = _read(index, members(chunk), subjects, ("image", "pose2d_crop"), on_damage)
        return images.shuffle(SHUFFLE_IMAGES, seed=chunk * 1_000_003 + seed, reshuffle_each_iteration=False)

    dataset = tf.data.Dataset.range(first, np.iinfo(np.int64).max, hosts).interleave(
        read_chunk, cycle_length=1, num_parallel_calls=1, deterministic=True
    )
    if on_damage == "skip":
        dataset = _drop_damaged(dataset)
    dataset = dataset.skip(skip).batch(batch_size // share.total, drop_remainder=True)
    if service:
        dataset = dataset.apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.DYNAMIC, f"grpc://{service}", job_name=job
            )
        )
    return dataset.map(
        lambda batch: {
            "image": batch["image"],
            "pose2d": batch["pose2d_crop"],
            "skipped": batch["skipped"],
        }
    ).prefetch(4)


def _await_workers(service):
    """tf.data itself would wait for ever, in silence, even for a service that there is not."""
    with waiting(lambda: f"a worker of the tf.data service at {service}"):
        try:
            while not has_workers(service):
                time.sleep(1)
        except UserError as error:
            raise UserError(
                f"config.data.service={service} is not host:port of a service that answers ({error})"
            ) from None


def labelled_images(
    index: RecordIndex, subjects, batch_size: int, every: int = 1, on_damage: str = "stop"
) -> tf.data.Dataset:
    """One pass over labelled records in a fixed order; for evaluation.

    Args:
        index: of the records.
        subjects: the subjects to keep.
        batch_size: the last batch may be smaller.
        every: keep one record out of this many, for a quick look at video frames that resemble their neighbours.
        on_damage: see `detector_batches`.

    Returns:
        Dataset of {"image": uint8 [B, 256, 256, 3], "pose2d_crop": [B, 17, 2], "pose3d": [B, 17, 3], "action": [B]}.
    """
    keys = ("image", "pose2d_crop", "pose3d", "action")
    dataset = _read(index, tf.range(len(index.shards)), subjects, keys, on_damage, cycle_length=8)
    if on_damage == "skip":
        dataset = _drop_damaged(dataset)
    return dataset.shard(every, 0).map(lambda sample: {key: sample[key] for key in keys}).batch(batch_size).prefetch(2)


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


def _read(index, shard_numbers, subjects, keys, on_damage, cycle_length=CHUNK_SHARDS):
    """Labelled records of some subjects out of some shards, read in parallel and in a fixed order.

    Yields the fields of `keys`, and `skipped` 0. With `on_damage` `skip`, a damaged record has fields of zeros and
    `skipped` 1. Damaged is what the index calls so, whatever `keys` are.
    """
    paths, lengths = tf.constant(index.shards), tf.constant(index.lengths)
    wanted = tf.constant(sorted(subjects), tf.int64)

    def read_shard(number):
        path = tf.gather(paths, number)
        if on_damage == "skip":
            # A file that has gone would be tried for ever, where nothing to read ends at once.
            pattern = tf.strings.regex_replace(path, r"([*?\[\]\\])", r"\\\1")
            there = tf.io.matching_files(pattern)
            dataset = tf.data.TFRecordDataset(there, compression_type=records.H36M.compression)
            return _mark_lost_rest(dataset, tf.gather(lengths, number)).interleave(
                functools.partial(parse_or_mark, path), cycle_length=1, num_parallel_calls=1, deterministic=True
            )
        dataset = tf.data.TFRecordDataset(path, compression_type=records.H36M.compression)
        return _map_inline(dataset, parse)

    def parse(serialized):
        sample = records.parse(serialized, records.H36M, ("image", *RECORD_KEYS))
        with tf.control_dependencies(sample.values()):  # or checks of fields that are not wanted would be pruned
            fields = {key: tf.identity(sample[key]) for key in keys}
        marks = {"wanted": tf.reduce_any(sample["subject"] == wanted), "skipped": tf.constant(0, tf.int64)}
        return fields | marks

    def parse_or_mark(path, place, serialized):
        sound = tf.data.Dataset.from_tensors(serialized).map(parse).ignore_errors()
        return sound.concatenate(tf.data.Dataset.from_tensors((path, place)).map(mark)).take(1)

    def mark(path, place):
        tf.print("skipping a damaged record:", path, "record", place, output_stream=sys.stderr)
        fields = {key: records.H36M.fields[key] for key in keys}
        zeros = {key: tf.zeros(field.shape, field.dtype) for key, field in fields.items()}
        return zeros | {"wanted": tf.constant(True), "skipped": tf.constant(1, tf.int64)}

    return (
        tf.data.Dataset.from_tensor_slices(shard_numbers)
        .interleave(read_shard, cycle_length=cycle_length, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .filter(lambda sample: sample["wanted"])  # tf.data picks a component without calling a function
    )


def _map_inline(dataset, function):
    """`dataset.map(function)` that runs in the thread which asks, as no option of tf.data does; CPU per image -10 %.

    `map` hands each call to a thread of a pool and waits for it: two context switches.
    """
    traced = tf.function(function).get_concrete_function(dataset.element_spec)
    outputs = traced.structured_outputs
    flat = tf.nest.flatten(outputs)
    variant = tf.raw_ops.MapDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        other_arguments=traced.captured_inputs,
        f=traced,
        output_types=[output.dtype for output in flat],
        output_shapes=[output.shape for output in flat],
        use_inter_op_parallelism=False,
    )
    return tf.data.experimental.from_variant(variant, tf.nest.map_structure(tf.TensorSpec.from_tensor, outputs))


def _mark_lost_rest(dataset, length):
    """Numbers the records of a file: (number, bytes). If it breaks off before `length`, one more has no bytes."""
    end = tf.data.Dataset.from_tensors((tf.constant(-1, tf.int64), ""))

    def follow(count, record):
        number, serialized = record
        return tf.maximum(count, number + 1), (tf.where(number < 0, count, number), serialized)

    numbered = dataset.enumerate().ignore_errors().concatenate(end).scan(tf.constant(0, tf.int64), follow)
    return numbered.filter(lambda number, _: number < length)


def _drop_damaged(dataset):
    """Takes out damaged records; the sample after them gets their number as `skipped`."""

    def count(pending, sample):
        damaged = sample["skipped"]  # 0 or 1
        return (pending + 1) * damaged, sample | {"skipped": pending * (1 - damaged) - damaged}

    return dataset.scan(tf.constant(0, tf.int64), count).filter(lambda sample: sample["skipped"] >= 0)


def lifter_batches(
    poses: PoseSet, batch_size: int, *, seed: int, start_step: int = 0, share: Share = Share()
) -> tf.data.Dataset:
    """Endless shuffled training batches of poses held in memory, for the replicas of one host in turn.

    Every epoch is another permutation; the last batch is dropped if it is not full.

    Args:
        poses: to train on.
        batch_size: of all replicas together; each batch that comes out is one replica's part.
        seed: of the order.
        start_step: the step that the first batches belong to.
        share: which replicas are fed.

    Returns:
        Dataset of {"pose2d": float32 [B, 17, 2] crop px, "pose3d": float32 [B, 17, 3] mm, absolute}.
    """
    pose2d, pose3d = tf.constant(poses.pose2d), tf.constant(poses.pose3d)
    steps_per_epoch = len(poses) // batch_size

    def epoch_batches(epoch):
        skip = tf.where(epoch == start_step // steps_per_epoch, start_step % steps_per_epoch, 0)
        order = tf.random.experimental.stateless_shuffle(tf.range(len(poses)), seed=[tf.cast(seed, tf.int64), epoch])
        batches = tf.reshape(order[: steps_per_epoch * batch_size], (steps_per_epoch, share.total, -1))
        mine = batches[skip:, share.first : share.first + share.count]
        return tf.data.Dataset.from_tensor_slices(tf.reshape(mine, (-1, batch_size // share.total)))

    epochs = tf.data.Dataset.range(start_step // steps_per_epoch, np.iinfo(np.int64).max)
    return (
        epochs.flat_map(epoch_batches)
        .map(lambda order: {"pose2d": tf.gather(pose2d, order), "pose3d": tf.gather(pose3d, order)})
        .prefetch(16)
    )
