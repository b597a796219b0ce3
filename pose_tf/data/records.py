"""The course's TFRecords: schemas, reading, writing, and locating damage.

The three kinds are labeled Human3.6M (`h36/*`, ZLIB), its test set (`test_set.tfrecords`, ZLIB, no poses) and MPII
(`mpii/*`, not compressed). Labeled records with other joints than these data sets' have a file `skeleton.json` beside
them.
"""

import dataclasses
import glob
import os
import zlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from pose_tf import files, skeleton
from pose_tf.errors import UserError
from pose_tf.geometry import CROP_SIZE
from pose_tf.skeleton import Skeleton

IMAGE_SHAPE = (CROP_SIZE, CROP_SIZE, 3)
FRAME_BYTES = 16  # length and checksums around each record
MAX_RECORD_BYTES = 1 << 26


@dataclasses.dataclass(frozen=True)
class Raw:
    """An array stored as its bytes.

    Every kind of field has four methods: `spec` is its specification for tf.io, `parse` computes its value in a graph,
    `decode` does so outside of graphs, and `encode` is the inverse. The last two raise a ValueError.
    """

    dtype: type
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def spec(self):
        return tf.io.FixedLenFeature((), tf.string)

    def parse(self, stored, key: str):
        array = tf.reshape(tf.io.decode_raw(stored, self.dtype), self.shape)
        return tf.debugging.check_numerics(array, key) if self.dtype == np.float32 else array

    def decode(self, feature) -> np.ndarray:
        data = _only_bytes(feature)
        if len(data) != self.num_bytes:
            raise ValueError(
                f"has {len(data)} bytes, expected {self.num_bytes} for {self.shape}{self._hint(len(data))}"
            )
        return _finite(np.frombuffer(data, self.dtype).reshape(self.shape))

    def encode(self, value):
        return _bytes_feature(_shaped(value, self).tobytes())

    def _hint(self, num_bytes):
        return ""


class Joints(Raw):
    """Positions of the joints of a skeleton, stored as their bytes."""

    def _hint(self, num_bytes):
        joints, rest = divmod(num_bytes * self.shape[0], self.num_bytes)
        return "" if rest or not joints else f"; {SKELETON} beside the records must name their {joints} joints"


@dataclasses.dataclass(frozen=True)
class Number:
    """Numbers stored as int64 or float lists."""

    dtype: type
    shape: tuple[int, ...] = ()

    def spec(self):
        return tf.io.FixedLenFeature(self.shape, tf.float32 if self.dtype == np.float32 else tf.int64)

    def parse(self, stored, key: str):
        return stored

    def decode(self, feature) -> np.ndarray:
        values = feature.float_list.value if self.dtype == np.float32 else feature.int64_list.value
        expected = int(np.prod(self.shape))
        if len(values) != expected:
            raise ValueError(f"has {len(values)} numbers, expected {expected}")
        return _finite(np.array(values, self.dtype).reshape(self.shape))

    def encode(self, value):
        array = _shaped(value, self).ravel()
        if self.dtype == np.float32:
            return tf.train.Feature(float_list=tf.train.FloatList(value=array))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=array))


@dataclasses.dataclass(frozen=True)
class Jpeg:
    """An image stored as a JPEG file of any size. Outside of graphs, its value is the bytes of the file."""

    def spec(self):
        return tf.io.FixedLenFeature((), tf.string)

    def parse(self, stored, key: str):
        return tf.io.decode_jpeg(stored, channels=3)

    def decode(self, feature) -> bytes:
        data = _only_bytes(feature)
        try:
            tf.io.decode_jpeg(data, channels=3)
        except tf.errors.InvalidArgumentError:
            raise ValueError("is not an image") from None
        return data

    def encode(self, value):
        return _bytes_feature(value)


def _only_bytes(feature):
    if len(feature.bytes_list.value) != 1:
        raise ValueError("is not one string of bytes")
    return feature.bytes_list.value[0]


def _finite(array):
    if array.dtype == np.float32 and not np.all(np.isfinite(array)):
        raise ValueError("holds NaN or infinity")
    return array


def _bytes_feature(data):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[data]))


def _shaped(value, field):
    array = np.asarray(value, field.dtype)
    if array.shape != field.shape:
        raise ValueError(f"has shape {array.shape}, expected {field.shape}")
    return array


@dataclasses.dataclass(frozen=True)
class Schema:
    """The fields of one kind of record, and the compression of its files."""

    compression: str
    fields: dict[str, Raw | Number | Jpeg]


_CAMERA_FIELDS = {
    "image": Raw(np.uint8, IMAGE_SHAPE),
    "offset": Raw(np.float32, (2,)),
    "scale": Number(np.float32),
    "intrinsics": Raw(np.float32, (1, 4)),
    "intrinsics_univ": Raw(np.float32, (1, 4)),
    "camera": Number(np.int64),
    "subject": Number(np.int64),
    "action": Number(np.int64),
    "subaction": Number(np.int64),
}

H36M_TEST = Schema("ZLIB", _CAMERA_FIELDS)


def h36m(joints: int) -> Schema:
    """The schema of records in `h36`, with poses of so many joints."""
    pose2d, pose3d = Joints(np.float32, (joints, 2)), Joints(np.float32, (joints, 3))
    poses = {"pose2d_crop": pose2d, "pose2d": pose2d, "pose3d": pose3d, "pose3d_univ": pose3d}
    return Schema("ZLIB", _CAMERA_FIELDS | poses | {"framd_id": Number(np.int64)})  # spelled so in the data


def mpii(joints: int) -> Schema:
    """The schema of records in `mpii`, with poses of so many joints."""
    pose2d = Joints(np.float32, (joints, 2))
    return Schema("", {"image": Jpeg(), "pose2d": pose2d, "visibility": Number(np.int64, (1, joints))})


SKELETON = "skeleton.json"
"""Name of the file beside records that names their joints."""
SKELETONS = {"h36": skeleton.H36M, "mpii": skeleton.MPII}
"""Skeletons of labeled records without such a file, by the name of their folder."""
SCHEMAS = {"h36": h36m, "mpii": mpii}
"""Schemas of labeled records by the name of their folder: functions of the number of joints."""
H36M, MPII = (SCHEMAS[kind](len(own.joints)) for kind, own in SKELETONS.items())
KINDS = {"h36": H36M, "mpii": MPII}
"""Schemas of labeled records without a file that names their joints."""


def skeleton_of(folder: str) -> Skeleton:
    """The skeleton of the labeled records in a folder, `DIR/h36` or `DIR/mpii`.

    Raises:
        UserError: the file that names their joints is damaged.
    """
    path = os.path.join(folder, SKELETON)
    if os.path.lexists(path):
        return skeleton.read_skeleton(path)
    return SKELETONS[os.path.basename(os.path.abspath(folder))]


def schema_of(path: str) -> Schema:
    """The schema of a file of labeled records, which its folder says.

    Raises:
        UserError: the file that names their joints is damaged.
    """
    folder = os.path.dirname(os.path.abspath(path))
    return SCHEMAS[os.path.basename(folder)](len(skeleton_of(folder).joints))


def shards_in(folder: str) -> list[str]:
    """The files of records in a folder, sorted: those that are not hidden and do not name the joints."""
    paths = [path for path in glob.glob(os.path.join(glob.escape(folder), "*")) if os.path.isfile(path)]
    return sorted(path for path in paths if os.path.basename(path) != SKELETON)


def list_shards(data_dir: str, kind: str = "h36") -> list[str]:
    """The files of `DIR/h36` or `DIR/mpii`, see `shards_in`.

    Raises:
        UserError: the directory is missing or empty.
    """
    folder = os.path.join(data_dir, kind)
    shards = shards_in(folder)
    if not shards:
        raise UserError(f"{folder} contains no records; the data directory must have TFRecords in {kind}/")
    return shards


# ---- reading one file, strictly


def read(path: str, schema: Schema) -> Iterator[dict[str, np.ndarray]]:
    """Yields the samples of one file as NumPy arrays, JPEG images as their bytes.

    Raises:
        UserError: a record is damaged; the message names the file, the record (counted from 0) and the fault.
    """
    for number, serialized in enumerate(read_serialized(path, schema)):
        yield decode(serialized, schema, f"{path} record {number}")


def read_serialized(path: str, schema: Schema) -> Iterator[bytes]:
    """Yields the serialized examples of one file without decoding them.

    Raises:
        UserError: a record cannot be read; the message names the file, the record (counted from 0) and the cause.
    """
    records = iter(tf.data.TFRecordDataset(path, compression_type=schema.compression))
    number, size = 0, 0
    while True:
        try:
            serialized = next(records, None)
        except tf.errors.OpError as error:
            raise UserError(_explain_damage(path, number, schema, error)) from None
        if serialized is None:
            break
        data = serialized.numpy()
        yield data
        number += 1
        size += len(data) + FRAME_BYTES
    check_end(path, schema)
    if not schema.compression and os.path.getsize(path) != size:
        raise UserError(f"{path} record {number}: the file ends in the middle of it")


def inflate(path: str, advance: Callable[[int], None]) -> Iterator[bytes]:
    """Yields the serialized examples of a ZLIB file in one pass, see `inflate_frames`."""
    return (frame[12:-4] for frame in inflate_frames(path, advance))


def inflate_frames(path: str, advance: Callable[[int], None]) -> Iterator[bytes]:
    """Yields the examples of a ZLIB file in one pass, each with its length and checksums around it.

    Their own checksums are not compared. The checksum of the stream is at its end, so the examples are verified only
    when the iterator ends.

    Args:
        path: path of the file.
        advance: called with the number of bytes after each read.

    Raises:
        UserError: the file is damaged; `read_serialized` names the record and the cause.
    """
    stream, data = zlib.decompressobj(), b""
    try:
        with open(path, "rb") as file:
            while not stream.eof and (part := file.read(1 << 16)):
                data += stream.decompress(part)
                advance(len(part))
                start = 0
                while len(data) - start >= FRAME_BYTES:
                    size = int.from_bytes(data[start : start + 8], "little")
                    if size > MAX_RECORD_BYTES:
                        raise UserError(f"{path}: its bytes are damaged")
                    if len(data) - start < size + FRAME_BYTES:
                        break
                    yield data[start : start + size + FRAME_BYTES]
                    start += size + FRAME_BYTES
                data = data[start:]
            whole = stream.eof and not data and not stream.unused_data and not file.read(1)
    except (OSError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not whole:
        raise UserError(f"{path} does not end where its records end")


def check_end(path: str, schema: Schema) -> None:
    """Checks that a ZLIB stream is complete. TensorFlow does not notice a file that was cut between two records.

    Raises:
        UserError: the file is empty or cut, or has bytes after the end of the stream.
    """
    if not os.path.getsize(path):
        raise UserError(f"{path} is empty")
    if schema.compression != "ZLIB":
        return
    stream = zlib.decompressobj()
    with open(path, "rb") as file:
        try:
            while not stream.eof and (data := file.read(1 << 20)):
                stream.decompress(data)
        except zlib.error as error:
            raise UserError(f"{path}: its bytes are damaged ({error})") from None
        if not stream.eof:
            raise UserError(f"{path} is cut: the end of its ZLIB stream is missing")
        if stream.unused_data or file.read(1):
            raise UserError(f"{path}: other bytes follow the end of its ZLIB stream")


def decode(serialized: bytes, schema: Schema, where: str) -> dict[str, np.ndarray]:
    """Decodes one serialized example outside of TensorFlow graphs; `where` names it in the UserError raised."""
    example = tf.train.Example()
    try:
        example.ParseFromString(serialized)
    except Exception:  # protobuf's DecodeError moves between versions
        raise UserError(f"{where}: not a tf.train.Example") from None
    sample = {}
    for key, field in schema.fields.items():
        if key not in example.features.feature:
            raise UserError(f"{where}: key '{key}' is missing")
        try:
            sample[key] = field.decode(example.features.feature[key])
        except ValueError as error:
            raise UserError(f"{where}: '{key}' {error}") from None
    return sample


def _explain_damage(path, number, schema, error):
    if not os.path.exists(path):
        return f"{path} does not exist"
    if os.path.getsize(path) == 0:
        return f"{path} is empty"
    with open(path, "rb") as file:
        looks_compressed = file.read(1) == b"\x78"  # the first byte of every ZLIB stream with the usual window
    if number == 0 and looks_compressed != (schema.compression == "ZLIB"):
        expected, found = ("ZLIB", "no") if schema.compression else ("no", "ZLIB")
        return f"{path}: expected TFRecords with {expected} compression, but the file has {found} compression"
    cut = any(word in str(error) for word in ("truncated", "EOF"))
    reason = "the file ends in the middle of it" if cut else "its bytes are damaged"
    return f"{path} record {number}: {reason}"


# ---- writing


def encode(sample: dict, schema: Schema) -> bytes:
    """Serializes one sample. JPEG fields take the file's bytes.

    Raises:
        ValueError: a key is missing or has another shape.
    """
    features = {}
    for key, field in schema.fields.items():
        if key not in sample:
            raise ValueError(f"'{key}' is missing")
        try:
            features[key] = field.encode(sample[key])
        except ValueError as error:
            raise ValueError(f"'{key}' {error}") from None
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def write(path: str, samples: Iterable[dict], schema: Schema) -> int:
    """Writes a file of records, complete or not at all. Returns the count."""
    count = 0
    # Level 1: photographs hardly compress, and higher levels take as long as rendering them.
    options = tf.io.TFRecordOptions(
        compression_type=schema.compression, compression_level=1 if schema.compression else None
    )
    with files.replacing(path) as temporary, tf.io.TFRecordWriter(temporary, options) as writer:
        for sample in samples:
            writer.write(encode(sample, schema))
            count += 1
    return count
