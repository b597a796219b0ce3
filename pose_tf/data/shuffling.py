"""Writes records once more in random order, on disk: training mixes files, but keeps the order inside a file.

Every record gets a random number of 64 bits; the new order is that of these numbers. Pass 1 reads all files and appends
each record to one of many buckets, by its number. Pass 2 sorts one bucket after the other in memory and writes it as a
file. A record is compressed in pass 1, alone; pass 2 joins the compressed records to one ZLIB stream.
"""

import concurrent.futures
import contextlib
import dataclasses
import os
import shutil
import struct
import threading
import zlib
from collections.abc import Iterator

import numpy as np
import tqdm

from pose_tf import files
from pose_tf.data import records
from pose_tf.data.fingerprint import of_records
from pose_tf.data.pipeline import allow_open_files
from pose_tf.data.threads import in_parallel
from pose_tf.errors import UserError

BUCKET_BYTES = 1 << 28
"""Size of a file, if the number of files is not given. Pass 2 holds it in memory."""
WRITERS = 4
"""Buckets in memory at a time. Pass 2 only copies, so that more threads would not write faster."""
GROWTH = 1.2
"""The largest expected size of the new records, relative to the old ones, which may be compressed more slowly."""
NAME = "shuffled"
PLAN = "plan.json"
HEADER = struct.Struct("<QIIIQQ")
"""Before each record in a bucket: random number, file, number in the file, Adler-32, bytes, bytes as stored."""
ADLER = 65521


def shuffle_records(data_dir: str, output_dir: str, shards: int | None = None, seed: int = 0) -> dict[str, int]:
    """Writes all labeled records of a directory to another one, in uniformly random order.

    The result depends on the records, their files' names, `shards` and `seed` only. `output_dir/h36` and
    `output_dir/mpii` appear when all is complete. A call that was killed in pass 2 continues there.

    Args:
        data_dir: directory with `h36/*`, `mpii/*`, or both.
        output_dir: directory without records.
        shards: number of files of each kind; by default, each has up to 256 MiB, and there is at least one for each
            core. Files that would be empty are left out.
        seed: seed of the order.

    Returns:
        {kind: number of records}.

    Raises:
        UserError: there are no records, a record is damaged, the output directory has other records, another process
            is writing to it, or the disk is too small.
    """
    folders = {kind: os.path.join(data_dir, kind) for kind in records.KINDS}
    folders = {kind: folder for kind, folder in folders.items() if records.shards_in(folder)}
    if not folders:
        raise UserError(f"{data_dir} contains no records; the data directory must have TFRecords in h36/ or mpii/")
    for folder in folders.values():
        _check_apart(folder, output_dir)
    unfinished = os.path.join(output_dir, f"{files.PARTIAL}{NAME}")
    try:
        os.makedirs(output_dir, exist_ok=True)
        with files.locked(output_dir, f"another process is shuffling records to {output_dir}"):
            jobs = [_Job(kind, data_dir, output_dir, unfinished, shards, seed) for kind in folders]
            for job in jobs:
                job.remove_useless()
            _check_space(jobs, output_dir)
            for job in jobs:
                job.write()
            for job in jobs:
                job.publish()
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{output_dir} cannot be written: {error.strerror or error}") from None
    return {job.kind: job.count for job in jobs}


def _check_apart(folder, output_dir):
    """Checks that the output directory neither contains a folder of records nor lies in it."""
    source, target = os.path.realpath(folder), os.path.realpath(output_dir)
    if os.path.commonpath([source, target]) in (source, target):
        raise UserError(f"--output_dir={output_dir} must not contain the records to shuffle, but {folder} is there")


def _check_space(jobs, output_dir):
    needed = sum(job.bytes_to_write for job in jobs)
    free = shutil.disk_usage(output_dir).free
    if free < needed:
        raise UserError(
            f"{output_dir} has {free / 1e9:.1f} GB of free space, but shuffling needs up to {needed / 1e9:.1f} GB"
        )


def _is_empty_folder(path):
    return os.path.isdir(path) and not os.listdir(path)


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What pass 1 has read, and the number of records and the size of each bucket that has any."""

    source: dict
    counts: list[int]
    sizes: list[int]


class _Job:
    """Shuffles the records of one kind.

    Attributes:
        kind: `h36` or `mpii`.
        bytes_to_write: upper limit of the space that the job still takes.
    """

    def __init__(self, kind, data_dir, output_dir, unfinished, shards, seed):
        self.kind = kind
        self._folder, self._target = os.path.join(data_dir, kind), os.path.join(output_dir, kind)
        self._place = os.path.join(unfinished, kind)
        self._done = os.path.join(self._place, "complete")
        self._paths = records.list_shards(data_dir, kind)
        self._compressed = bool(records.KINDS[kind].compression)
        self._schema = records.schema_of(self._paths[0])
        self._size = sum(os.path.getsize(path) for path in self._paths)
        self._seed = seed
        self._buckets = shards or max(os.cpu_count(), -(-self._size // BUCKET_BYTES))
        self._source = {"records": of_records(data_dir, kind), "shards": self._buckets, "seed": seed}
        self._plan = self._read_plan()
        self._is_published = bool(self._plan) and not os.path.exists(self._done)
        if not self._is_published and os.path.lexists(self._target) and not _is_empty_folder(self._target):
            raise UserError(f"{self._target} exists already; give another --output_dir")
        copied = self._size * min(WRITERS / self._buckets, 1)  # a bucket is removed when its file is complete
        self.bytes_to_write = 0 if self._plan else int(GROWTH * (self._size + copied))

    @property
    def count(self) -> int:
        """The number of records, when they are written."""
        return sum(self._plan.counts)

    def remove_useless(self) -> None:
        """Removes what an earlier call has left, unless this call can continue it."""
        if self._plan:
            files.remove_partial(self._done)
        else:
            shutil.rmtree(self._place, ignore_errors=True)

    def write(self) -> None:
        """Writes all files where nobody looks for records."""
        if self._is_published:
            return
        if not self._plan:
            os.makedirs(self._done)
            try:
                self._fill_buckets()
            except BaseException:
                shutil.rmtree(self._place, ignore_errors=True)
                raise
        numbers = range(len(self._plan.counts))
        with tqdm.tqdm(total=sum(self._plan.sizes), desc=f"writing {self.kind}", unit="B", unit_scale=True) as bar:

            def write(number):
                self._write_shard(number)
                bar.update(self._plan.sizes[number])

            in_parallel(write, numbers, threading.Event(), WRITERS)
        own = os.path.join(self._folder, records.SKELETON)
        if os.path.lexists(own):
            with files.replacing(os.path.join(self._done, records.SKELETON)) as temporary:
                shutil.copyfile(own, temporary)

    def publish(self) -> None:
        """Moves the files to the output directory."""
        if not self._is_published:
            files.flush(self._done)
            os.rename(self._done, self._target)
            files.flush(os.path.dirname(self._target))

    # ---- pass 1

    def _fill_buckets(self):
        stop, lock = threading.Event(), threading.Lock()
        allow_open_files(self._buckets)
        with (
            contextlib.ExitStack() as opened,
            tqdm.tqdm(total=self._size, desc=f"reading {self._folder}", unit="B", unit_scale=True) as bar,
        ):
            buckets = [
                _Bucket(opened.enter_context(open(self._bucket(number), "wb"))) for number in range(self._buckets)
            ]

            def advance(size):
                if stop.is_set():
                    raise concurrent.futures.CancelledError
                with lock:
                    bar.update(size)

            def read(file):
                drawn = _random_numbers(self._seed, file)
                for number, frame in enumerate(self._frames(self._paths[file], advance)):
                    place = next(drawn)
                    stored = _deflate(frame) if self._compressed else frame
                    header = HEADER.pack(place, file, number, zlib.adler32(frame), len(frame), len(stored))
                    buckets[place * self._buckets >> 64].add(header + stored)

            in_parallel(read, range(len(self._paths)), stop)
        used = [number for number, bucket in enumerate(buckets) if bucket.count]
        if not used:
            raise UserError(f"{self._folder} contains no records")
        for number in range(self._buckets):
            if number not in used:
                os.remove(self._bucket(number))
        for position, number in enumerate(used):
            files.flush(self._bucket(number))
            os.rename(self._bucket(number), self._bucket(position))
        counts, sizes = zip(*((buckets[number].count, buckets[number].size) for number in used))
        self._plan = _Plan(self._source, list(counts), list(sizes))
        files.write_json(os.path.join(self._place, PLAN), dataclasses.asdict(self._plan))

    def _frames(self, path, advance) -> Iterator[bytes]:
        """The records of a file as they are stored, with their lengths and checksums."""
        if self._compressed:
            try:
                yield from records.inflate_frames(path, advance)
            except UserError:
                for _ in records.read_serialized(path, self._schema):  # names the damaged record
                    advance(0)
                raise
            return
        start = 0
        for serialized in records.read_serialized(path, self._schema):
            with open(path, "rb") as file:
                file.seek(start)
                frame = file.read(len(serialized) + records.FRAME_BYTES)
            start += len(frame)
            advance(len(frame))
            yield frame

    def _bucket(self, number):
        return os.path.join(self._place, f"{number:05d}.bucket")

    def _shard(self, number, total):
        return os.path.join(self._done, f"{NAME}_{number:05d}-of-{total:05d}.tfrecord")

    # ---- pass 2

    def _write_shard(self, number):
        """Writes a file, unless it is there, and removes its bucket."""
        bucket, path = self._bucket(number), self._shard(number, len(self._plan.counts))
        if not os.path.exists(path):
            with open(bucket, "rb") as file:
                data = memoryview(file.read())
            entries, start = [], 0
            while start < len(data):
                entry = HEADER.unpack_from(data, start)
                start += HEADER.size
                entries.append((*entry, start))
                start += entry[-1]
            with files.replacing(path) as temporary, open(temporary, "wb") as file:
                file.write(b"\x78\x01" if self._compressed else b"")
                checksum = 1
                for _, _, _, own, size, stored, start in sorted(entries):
                    file.write(data[start : start + stored])
                    checksum = _join_checksums(checksum, own, size)
                file.write(b"\x03\x00" + checksum.to_bytes(4, "big") if self._compressed else b"")
        with contextlib.suppress(FileNotFoundError):
            os.remove(bucket)

    # ---- what an earlier call has left

    def _read_plan(self):
        """The plan of an earlier call with the same arguments, if everything that it has left is there; else None."""
        path = os.path.join(self._place, PLAN)
        with contextlib.suppress(UserError, TypeError, OSError):
            plan = _Plan(**files.read_json(path))
            if plan.source == self._source and self._has_left(plan):
                return plan
        return None

    def _has_left(self, plan):
        """Whether each bucket or its file is there."""
        if not os.path.exists(self._done):
            return bool(records.shards_in(self._target))
        buckets = range(len(plan.sizes))
        return all(
            os.path.exists(self._shard(number, len(buckets)))
            or os.path.getsize(self._bucket(number)) == plan.sizes[number]
            for number in buckets
        )


class _Bucket:
    """A file of records in the order in which threads find them.

    Attributes:
        count, size: its records and bytes.
    """

    def __init__(self, file):
        self._file, self._lock = file, threading.Lock()
        self.count = self.size = 0

    def add(self, data):
        with self._lock:
            self._file.write(data)
            self.count += 1
            self.size += len(data)


def _random_numbers(seed, file):
    """Endless random integers of 64 bits for the records of a file."""
    rng = np.random.default_rng([seed, file])
    while True:
        yield from rng.integers(0, 1 << 64, 1024, dtype=np.uint64).tolist()


def _deflate(data):
    """Compressed blocks that can follow, and be followed by, those of other data."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)  # level 1, like `records.write`
    return deflate.compress(data) + deflate.flush(zlib.Z_FULL_FLUSH)


def _join_checksums(first, second, size):
    """The Adler-32 checksum of data from those of two parts; `size` is the number of bytes in the second."""
    (b1, a1), (b2, a2) = divmod(first, 1 << 16), divmod(second, 1 << 16)
    return (b1 + b2 + size * (a1 - 1)) % ADLER << 16 | (a1 + a2 - 1) % ADLER
