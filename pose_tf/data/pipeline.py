"""tf.data pipelines. The batch of a step depends only on the seed and the step."""

import dataclasses
import functools
import resource
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from pose_tf import geometry
from pose_tf.data import graph_records, records
from pose_tf.data.poses import PoseSet
from pose_tf.data.record_index import RecordIndex
from pose_tf.data.service import count_workers
from pose_tf.errors import UserError
from pose_tf.skeleton import Skeleton
from pose_tf.waiting import waiting

OPEN_SHARDS = 1000  # shards mixed at a time; each takes a file handle and less than 1 MB
STREAMS = 16  # threads that inflate open shards
SHUFFLE_IMAGES = 1024


@dataclasses.dataclass(frozen=True)
class Share:
    """The replicas of one host: `count` of `total`, starting with number `first`. By default a single replica."""

    first: int = 0
    count: int = 1
    total: int = 1

    @property
    def host(self) -> int:
        """The number of this host."""
        return self.first // self.count

    @property
    def hosts(self) -> int:
        """The number of hosts."""
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
    first_file: int = 0,
    labels: Sequence[str] = ("pose2d_crop",),
    skeleton: Skeleton | None = None,
) -> tf.data.Dataset:
    """Endless shuffled training batches of images and their 2D joints, for the replicas of one host in turn.

    An epoch is a random merge of all shards: the next record comes from a shard with a probability proportional to its
    remaining records, as in a uniform shuffle. Records of one shard keep their order in the merge; then images are
    shuffled within a window of 1,024. So the order is well mixed even if each shard is a video.

    With several readers (hosts, or workers of a tf.data service), each merges its part of the shards, and every epoch
    distributes them anew. Such a part is a chunk. With more than 1,000 shards, a part is split into several chunks to
    limit the number of open files. To start at a later step, the pipeline skips the chunks before it without opening
    them, and reads the chunk with that step again from its start.

    Args:
        index: index of the records.
        subjects: the subjects to keep. Shards without a sample of them are not opened.
        batch_size: samples of a step, over all replicas; each batch of the dataset is one replica's part.
        seed: seed of the order.
        start_step: the step of the first batches.
        share: the replicas of this host.
        on_damage: `stop`: a damaged record raises an error. `skip`: it is reported on standard error, left out and
            counted.
        service: address of a tf.data service that reads instead of this host, such as localhost:5050. With several
            workers the order also depends on their speed.
        job: name under which all hosts of a run share the output of the service.
        first_file: number of the index's first file in the argument of `graph_records.named_errors`.
        labels: the labels of the images to read, keys of `sources.KEYS`.
        skeleton: the joints to return; None for those of the source. Joints that the records lack are not labeled.

    Returns:
        Dataset of {"image": uint8 [B, 256, 256, 3], "pose2d_crop": float32 [B, J, 2] px, "skipped": int64 [B]}, where
        `skipped` is the number of damaged records left out right before each sample; or with other `labels`.

    Raises:
        UserError: no tf.data service answers at `service`, or the system does not allow enough open files. The call
            waits for a service without workers.
    """
    reader, readers = (0, _await_workers(service)) if service else (share.host, share.hosts)
    counts = index.counts(subjects)
    shards = np.flatnonzero(counts)
    chunks = min(len(shards), readers * -(-len(shards) // (readers * OPEN_SHARDS)))
    size = -(-len(shards) // chunks)  # shards in the largest chunk
    if not service:
        allow_open_files(size)

    def members(chunk):
        """Numbers of the shards of a chunk. Chunks are numbered through all epochs."""
        seeds = tf.stack([tf.cast(seed, tf.int64), chunk // chunks])
        return tf.random.experimental.stateless_shuffle(tf.constant(shards), seeds)[chunk % chunks :: chunks]

    first, skip = reader, start_step * batch_size // readers
    while skip >= (samples := counts[members(tf.constant(first, tf.int64))].sum()):
        first, skip = first + readers, skip - samples

    read_shard, lengths = _reader(index), tf.constant(index.lengths)
    parsed = _parser(index, subjects, ("image", *labels), on_damage, first_file)

    def read_chunk(chunk):
        tf.random.set_seed(1)  # for this graph only: `shuffle` combines it with its own seed and ignores the program's
        images = _merge(read_shard, members(chunk), lengths, size, parsed, seed=tf.stack([seed, -1 - chunk]))
        images = images.filter(lambda sample: sample["wanted"])  # tf.data picks a component without calling a function
        return images.shuffle(SHUFFLE_IMAGES, seed=chunk * 1_000_003 + seed, reshuffle_each_iteration=False)

    stride = 1 if service else readers
    dataset = tf.data.Dataset.range(first, np.iinfo(np.int64).max, stride).flat_map(read_chunk)
    if on_damage == "skip":
        dataset = _drop_damaged(dataset)
    dataset = dataset.skip(skip).batch(batch_size // share.total, drop_remainder=True)
    if service:
        dataset = dataset.apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.DYNAMIC, f"grpc://{service}", job_name=job
            )
        )
    keys = ("image", *labels, "skipped")
    change = _joint_changer(index.source.skeleton, skeleton)
    return dataset.map(lambda batch: change({key: batch[key] for key in keys})).prefetch(4)


def _joint_changer(own, skeleton):
    """A function that brings a sample or a batch to the joints of a skeleton."""
    if skeleton is None or skeleton.joints == own.joints:
        return lambda sample: sample
    weights = own.weights(skeleton)
    return lambda sample: geometry.change_labels(sample, weights)


def _await_workers(service):
    """The number of workers of a service. tf.data itself would wait silently forever, even without a service."""
    with waiting(lambda: f"a worker of the tf.data service at {service}"):
        try:
            while not (workers := count_workers(service)):
                time.sleep(1)
        except UserError as error:
            raise UserError(
                f"config.data.service={service} is not host:port of a service that answers ({error})"
            ) from None
    return workers


def allow_open_files(count: int) -> None:
    """Raises this process's limit of open files, which is 1,024 on many systems, to allow `count` open shards.

    Raises:
        UserError: the system does not allow as many.
    """
    needed = 2 * count + 500  # two pipelines at a time, and the program's own files
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY in (soft, hard) or soft >= needed:
        return
    if hard < needed:
        raise UserError(f"{count} shards must be open, but a process may open only {hard} files; see ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def _merge(read_shard, shards, lengths, most, parsed, seed):
    """A random merge of shards, as in a uniform shuffle, except that the records of each shard keep their order.

    Args:
        read_shard: see `_reader`.
        shards: int64 [M]: numbers of the shards.
        lengths: int64 [S]: number of records in each shard.
        most: upper limit of M.
        parsed: see `_parser`.
        seed: int64 [2].
    """
    number, serialized = tf.TensorSpec((), tf.int64), tf.TensorSpec((), tf.string)
    stored, sample = (number, (number, serialized)), []

    @tf.function(input_signature=(tf.TensorSpec((), tf.variant), tf.TensorSpec([None], tf.int64)))
    def parse(stream, shards):  # a function that is traced once
        dataset = parsed(tf.data.experimental.from_variant(stream, stored), shards).prefetch(8)
        sample[:] = [dataset.element_spec]
        return tf.data.experimental.to_variant(dataset)

    missing = [[0, most - tf.size(shards)]]
    lengths = tf.ensure_shape(tf.pad(tf.gather(lengths, shards), missing), [most])
    shards = tf.ensure_shape(tf.pad(shards, missing), [most])
    order = tf.random.experimental.stateless_shuffle(tf.repeat(tf.range(most, dtype=tf.int64), lengths), seed)
    # A loop; otherwise the graph would contain the reading operations once for each shard.
    variants = tf.map_fn(
        lambda shard: tf.data.experimental.to_variant(read_shard(shard)), shards, fn_output_signature=tf.variant
    )
    datasets = [tf.data.experimental.from_variant(variant, stored) for variant in tf.unstack(variants)]

    def choose(parts, order):
        if len(parts) == 1:
            return parts[0]
        order = tf.data.Dataset.from_tensor_slices(order)
        return tf.data.Dataset.choose_from_datasets(parts, order, stop_on_empty_dataset=False)

    # Choosing reads in the calling thread. So first merge the shards into prefetched streams, then merge the streams.
    count = min(most, STREAMS)
    streams = []
    for i, part in enumerate(tf.dynamic_partition(order, tf.cast(order % count, tf.int32), count)):
        stream = parse(
            tf.data.experimental.to_variant(choose(datasets[i::count], part // count)), tf.gather(shards, part)
        )
        streams.append(tf.data.experimental.from_variant(stream, *sample))
    return choose(streams, order % count)


def _reader(index):
    """A function that reads a shard: its number -> the result of `graph_records.examples`."""
    paths, lengths, schema = tf.constant(index.shards), tf.constant(index.lengths), index.source.schema
    return lambda shard: graph_records.examples(tf.gather(paths, shard), tf.gather(lengths, shard), schema)


def mixed(parts: Sequence[tf.data.Dataset]) -> tf.data.Dataset:
    """Batches that consist of one batch of each dataset, in order. The parts have the same keys."""
    if len(parts) == 1:
        return parts[0]

    def join(*batches):
        return {key: tf.concat([batch[key] for batch in batches], axis=0) for key in batches[0]}

    return tf.data.Dataset.zip(tuple(parts)).map(join, num_parallel_calls=1).prefetch(2)


def labeled_images(
    index: RecordIndex,
    subjects,
    batch_size: int,
    every: int = 1,
    on_damage: str = "stop",
    first_file: int = 0,
    skeleton: Skeleton | None = None,
) -> tf.data.Dataset:
    """One pass over labeled records in a fixed order; for evaluation.

    Args:
        index: index of the records.
        subjects: the subjects to keep.
        batch_size: images in a batch; the last batch may be smaller.
        every: keep one record out of this many, for a quick estimate on video frames that resemble their neighbors.
        on_damage, first_file, skeleton: see `detector_batches`.

    Returns:
        Dataset of {"image": uint8 [B, 256, 256, 3], "pose2d_crop": [B, J, 2], "pose3d": [B, J, 3], "subject": [B],
        "action": [B]}.
    """
    keys = ("image", "pose2d_crop", "pose3d", "subject", "action")
    read_shard, lengths = _reader(index), tf.constant(index.lengths)
    parsed = _parser(index, subjects, keys, on_damage, first_file)

    def read_and_parse(shard):
        return parsed(read_shard(shard), tf.fill([tf.gather(lengths, shard)], shard))

    dataset = (
        tf.data.Dataset.from_tensor_slices(np.flatnonzero(index.counts(subjects)))
        .interleave(read_and_parse, cycle_length=8, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .filter(lambda sample: sample["wanted"])
    )
    if on_damage == "skip":
        dataset = _drop_damaged(dataset)
    change = _joint_changer(index.source.skeleton, skeleton)
    samples = dataset.shard(every, 0).map(lambda sample: change({key: sample[key] for key in keys}))
    return samples.batch(batch_size).prefetch(2)


def test_samples(path: str, batch_size: int, keys: tuple[str, ...]) -> Iterator[tuple[tf.Tensor, ...]]:
    """One pass over `test_set.tfrecords`, in record order.

    Args:
        path: the file.
        batch_size: samples in a batch; the last batch may be smaller.
        keys: keys of `records.H36M_TEST`.

    Returns:
        Iterator of the values of the keys, [B, …] each.

    Raises:
        UserError: a record is damaged; the message names it.
    """
    dataset = tf.data.TFRecordDataset(path, compression_type=records.H36M_TEST.compression)

    def parse(serialized):
        sample = graph_records.parse(serialized, records.H36M_TEST, keys)
        return tuple(sample[key] for key in keys)

    samples = dataset.map(parse, num_parallel_calls=tf.data.AUTOTUNE)
    try:
        yield from samples.batch(batch_size).prefetch(2)
    except (tf.errors.OpError, UnicodeDecodeError):  # the latter from a message that quotes damaged bytes
        for _ in records.read(path, records.H36M_TEST):
            pass
        raise


def _parser(index, subjects, keys, on_damage, first_file):
    """A function that parses the results of `graph_records.examples`: (dataset of N, their shards [N]) -> dataset.

    Samples have the fields of `keys`, `wanted`, which is True for the given subjects, and `skipped`, which is 0. With
    `on_damage` `skip`, a damaged record is `wanted`, has fields of zeros, and `skipped` is 1. The index and `parse`
    read the same fields, so the same records count as damaged, whatever the `keys`.
    """
    paths, subjects = tf.constant(index.shards), tf.constant(sorted(subjects), tf.int64)
    fields = index.source.fields

    def parsed(stored, shards):
        if on_damage == "stop":
            return graph_records.parsed(stored, shards + first_file, parse)
        return (
            stored.enumerate()
            .filter(lambda position, record: record[1][0] >= -1)
            .interleave(
                functools.partial(parse_or_mark, shards), cycle_length=1, num_parallel_calls=1, deterministic=True
            )
        )

    def parse(serialized):
        sample = index.source.parse(serialized)
        with tf.control_dependencies(sample.values()):  # otherwise TensorFlow would prune the checks of unused fields
            wanted = {key: tf.identity(sample[key]) for key in keys}
        marks = {"wanted": tf.reduce_any(sample["subject"] == subjects), "skipped": tf.constant(0, tf.int64)}
        return wanted | marks

    def parse_or_mark(shards, position, record):
        place, (_, serialized) = record
        path = tf.gather(paths, tf.gather(shards, position))
        sound = tf.data.Dataset.from_tensors(serialized).map(parse).ignore_errors()
        return sound.concatenate(tf.data.Dataset.from_tensors((path, place)).map(mark)).take(1)

    def mark(path, place):
        tf.print("skipping a damaged record:", path, "record", place, output_stream=sys.stderr)
        zeros = {key: tf.zeros(fields[key].shape, fields[key].dtype) for key in keys}
        return zeros | {"wanted": tf.constant(True), "skipped": tf.constant(1, tf.int64)}

    return parsed


def _drop_damaged(dataset):
    """Removes damaged records; the sample after them gets their count as `skipped`."""

    def count(pending, sample):
        damaged = sample["skipped"]  # 0 or 1
        return (pending + 1) * damaged, sample | {"skipped": pending * (1 - damaged) - damaged}

    return dataset.scan(tf.constant(0, tf.int64), count).filter(lambda sample: sample["skipped"] >= 0)


def lifter_batches(
    poses: PoseSet, batch_size: int, *, seed: int, start_step: int = 0, share: Share = Share()
) -> tf.data.Dataset:
    """Endless shuffled training batches of poses held in memory, for the replicas of one host in turn.

    Every epoch is another permutation; an incomplete last batch is dropped.

    Args:
        poses: the training poses.
        batch_size: samples of a step, over all replicas; each batch of the dataset is one replica's part.
        seed: seed of the order.
        start_step: the step of the first batches.
        share: the replicas of this host.

    Returns:
        Dataset of {"pose2d_crop": float32 [B, J, 2] px, "pose3d": float32 [B, J, 3] mm, absolute}.
    """
    pose2d, pose3d = tf.constant(poses.pose2d_crop), tf.constant(poses.pose3d)
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
        .map(lambda order: {"pose2d_crop": tf.gather(pose2d, order), "pose3d": tf.gather(pose3d, order)})
        .prefetch(16)
    )
