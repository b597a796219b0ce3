"""The course's TFRecords: schema, parsing, writing, and finding what is wrong with a file.

Three kinds exist: labelled Human3.6M (`h36/*`, ZLIB), its test set (`test_set.tfrecords`, ZLIB, no poses) and MPII
(`mpii/*`, not compressed).
"""

import contextlib
import dataclasses
import glob
import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import cv2
import numpy as np
import tensorflow as tf
import tqdm

from pose_tf import files
from pose_tf.errors import UserError

IMAGE_SHAPE = (256, 256, 3)
REPROJECTION_TOLERANCE_PX = 1.0
LENS = np.array([0.4, 0.5, 0.1, 0.004, 0.004])
"""The largest coefficients of lens distortion: k1, k2, k3, p1, p2. Twice those of Human3.6M's cameras."""
FRAME_BYTES = 16  # of length and checksums around each record
MAX_RECORD_BYTES = 1 << 26
DAMAGED = "damaged record"


@dataclasses.dataclass(frozen=True)
class Raw:
    """An array stored as its bytes."""

    dtype: type
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


@dataclasses.dataclass(frozen=True)
class Number:
    """Numbers stored as int64 or float lists."""

    dtype: type
    shape: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Jpeg:
    """An image stored as a JPEG file of any size."""


@dataclasses.dataclass(frozen=True)
class Schema:
    """What one kind of record holds, and how its files are compressed."""

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
H36M = Schema(
    "ZLIB",
    _CAMERA_FIELDS
    | {
        "pose2d_crop": Raw(np.float32, (17, 2)),
        "pose2d": Raw(np.float32, (17, 2)),
        "pose3d": Raw(np.float32, (17, 3)),
        "pose3d_univ": Raw(np.float32, (17, 3)),
        "framd_id": Number(np.int64),  # spelled so in the data
    },
)
MPII = Schema(
    "",
    {"image": Jpeg(), "pose2d": Raw(np.float32, (16, 2)), "visibility": Number(np.int64, (1, 16))},
)


def list_shards(data_dir: str, kind: str = "h36") -> list[str]:
    """The files of `DIR/h36` or `DIR/mpii`, sorted.

    Raises:
        UserError: the directory is missing or empty.
    """
    folder = os.path.join(data_dir, kind)
    shards = sorted(path for path in glob.glob(os.path.join(glob.escape(folder), "*")) if os.path.isfile(path))
    if not shards:
        raise UserError(f"{folder} holds no records; --data_dir must name a directory with {kind}/* TFRecords")
    return shards


# ---- parsing in graph


def parse(serialized, schema: Schema, keys: Iterable[str] | None = None) -> dict[str, tf.Tensor]:
    """Parses one serialised example inside a tf.data graph.

    Args:
        serialized: string scalar.
        schema: what kind of record it is.
        keys: the fields wanted; all by default.

    Returns:
        Tensors by key, shaped as the schema says. JPEG images come decoded, uint8 [H, W, 3].

    Raises:
        tf.errors.InvalidArgumentError: at run time, for a missing key or a wrong size. `named_errors` turns it into
            a sentence that names the file and the record.
    """
    fields = {key: schema.fields[key] for key in keys or schema.fields}
    features = tf.io.parse_single_example(
        serialized,
        {
            key: tf.io.FixedLenFeature(field.shape, tf.float32 if field.dtype == np.float32 else tf.int64)
            if isinstance(field, Number)
            else tf.io.FixedLenFeature((), tf.string)
            for key, field in fields.items()
        },
    )
    for key, field in fields.items():
        if isinstance(field, Raw):
            array = tf.reshape(tf.io.decode_raw(features[key], field.dtype), field.shape)
            features[key] = tf.debugging.check_numerics(array, key) if field.dtype == np.float32 else array
        elif isinstance(field, Jpeg):
            features[key] = tf.io.decode_jpeg(features[key], channels=3)
    return features


def examples(path: tf.Tensor, length: tf.Tensor, schema: Schema) -> tf.data.Dataset:
    """The serialized examples of a file in graph, without any error: (place, (number, bytes)), exactly `length` times.

    The number is the place; where the file breaks off it is -1, and for what is missing behind that -2.
    """
    stored = tf.data.TFRecordDataset(path, compression_type=schema.compression)
    # Numbered, so that errors come to an end: a file that cannot be opened is one for ever.
    found = tf.data.Dataset.zip((tf.data.Dataset.range(length), stored)).ignore_errors()
    first, others = (tf.data.Dataset.from_tensors((np.int64(number), b"")) for number in (-1, -2))
    return found.concatenate(first).concatenate(others.repeat()).enumerate().take(length)


def parsed(stored: tf.data.Dataset, shards: tf.Tensor, parse) -> tf.data.Dataset:
    """Parses in graph what `examples` has read. The first failure is an error that tells the file, for `named_errors`.

    Args:
        stored: of N examples.
        shards: int64 [N]: numbers of their files in what `named_errors` is given.
        parse: serialized example -> {key: tensor}.
    """

    def keep_position(element):
        position, (_, (_, serialized)) = element
        return position, parse(serialized)

    def check(element):
        position, (found, sample) = element
        # `tf.debugging.Assert` adds a condition, which an executor of one thread has not.
        sound = tf.raw_ops.Assert(condition=position == found, data=[DAMAGED, tf.gather(shards, position)])
        with tf.control_dependencies([sound]):
            return tf.nest.map_structure(tf.identity, sample)

    # An example that fails is missing among the positions. What tf.data itself says of it does not tell where it is.
    sound = _map_inline(stored.enumerate(), keep_position).ignore_errors()
    _, spec = sound.element_spec
    zeros = tf.nest.map_structure(lambda part: np.zeros([n or 0 for n in part.shape], part.dtype.as_numpy_dtype), spec)
    end = tf.data.Dataset.from_tensors((np.int64(-1), zeros))
    return _map_inline(sound.concatenate(end).enumerate().take(tf.size(shards, tf.int64)), check)


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
    specs = tf.nest.map_structure(lambda output: tf.TensorSpec(output.shape, output.dtype), outputs)
    return tf.data.experimental.from_variant(variant, specs)


@contextlib.contextmanager
def named_errors(shards: Sequence[str], schema: Schema) -> Iterator[None]:
    """Turns an error of `parsed` into a `UserError` that names the file and the record. Others pass at once.

    Args:
        shards: the files, by the numbers that `parsed` was given.
        schema: of their records.
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        place = re.search(rf"{DAMAGED}\] \[(\d+)\]", error.message)
        if not place:
            raise
        path = shards[int(place[1])]
    else:
        return
    for _ in tqdm.tqdm(read(path, schema), desc=f"a damaged record in {path}: looking for it", unit=" records"):
        pass
    raise UserError(
        f"a record of {path} could not be read, but now all can: the disk or the network that it lies on fails at "
        "times, or the file was replaced; the same command resumes"
    )


# ---- reading one file, strictly


def read(path: str, schema: Schema) -> Iterator[dict[str, np.ndarray]]:
    """Yields the samples of one file as NumPy arrays, JPEG images as their bytes.

    Raises:
        UserError: names the file, the record (counted from 0) and the fault.
    """
    for number, serialized in enumerate(read_serialized(path, schema)):
        yield decode(serialized, schema, f"{path} record {number}")


def read_serialized(path: str, schema: Schema) -> Iterator[bytes]:
    """Yields the serialised examples of one file, whatever they hold.

    Raises:
        UserError: names the file, the record (counted from 0) that cannot be reached, and why.
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
    """Yields the serialized examples of a ZLIB file in one pass, without a look at their own checksums.

    The checksum of the whole stream comes at its end: examples are known to be sound when there are no more.

    Args:
        path: of the file.
        advance: called with the size of every part of the file that has been read.

    Raises:
        UserError: something is wrong with the file; `read_serialized` says what.
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
                    yield data[start + 12 : start + 12 + size]
                    start += size + FRAME_BYTES
                data = data[start:]
            whole = stream.eof and not data and not stream.unused_data and not file.read(1)
    except (OSError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    if not whole:
        raise UserError(f"{path} does not end where its records end")


def check_end(path: str, schema: Schema) -> None:
    """Looks for the end of a ZLIB stream: TensorFlow takes a file that was cut between two records for a whole one.

    Raises:
        UserError: the file is empty, cut, or goes on after the end.
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
    """Decodes one serialised example outside of TensorFlow graphs; `where` names it in the UserError raised."""
    example = tf.train.Example()
    try:
        example.ParseFromString(serialized)
    except Exception:  # protobuf's DecodeError moves between versions
        raise UserError(f"{where}: not a tf.train.Example") from None
    sample = {}
    for key, field in schema.fields.items():
        if key not in example.features.feature:
            raise UserError(f"{where}: key '{key}' is missing")
        feature = example.features.feature[key]
        if isinstance(field, Number):
            values = feature.float_list.value if field.dtype == np.float32 else feature.int64_list.value
            if len(values) != np.prod(field.shape):
                raise UserError(f"{where}: '{key}' has {len(values)} numbers, expected {int(np.prod(field.shape))}")
            sample[key] = np.array(values, field.dtype).reshape(field.shape)
            continue
        if len(feature.bytes_list.value) != 1:
            raise UserError(f"{where}: '{key}' is not one string of bytes")
        data = feature.bytes_list.value[0]
        if isinstance(field, Jpeg):
            if not data or cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is None:
                raise UserError(f"{where}: '{key}' is not an image")
            sample[key] = data
            continue
        if len(data) != field.num_bytes:
            raise UserError(f"{where}: '{key}' has {len(data)} bytes, expected {field.num_bytes} for {field.shape}")
        sample[key] = np.frombuffer(data, field.dtype).reshape(field.shape)
    for key, value in sample.items():
        if not isinstance(value, bytes) and value.dtype == np.float32 and not np.all(np.isfinite(value)):
            raise UserError(f"{where}: '{key}' holds NaN or infinity")
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


# ---- checking


def problems(sample: dict[str, np.ndarray]) -> list[str]:
    """Contradictions inside a labeled sample that could be decoded: each step of the projection within 1 px.

    A disagreement of pose3d and pose2d that a lens explains is none: Human3.6M's cameras distort by some pixels near
    the border, and the projection here is linear.

    Returns:
        Phrases such as "pose3d projects 3.20 px away from pose2d"; empty if all is well.
    """
    if np.any(sample["pose3d"][:, 2] <= 0):
        return ["pose3d has joints behind the camera"]
    fx, cx, fy, cy = sample["intrinsics"][0]
    x, y, z = sample["pose3d"].T
    projected = np.stack([fx * x / z + cx, fy * y / z + cy], axis=-1)
    cropped = (sample["pose2d"] - sample["offset"]) * sample["scale"]
    steps = [("pose3d projects", projected, "pose2d"), ("pose2d crops to", cropped, "pose2d_crop")]
    found = []
    for what, pose, key in steps:
        error = np.abs(pose - sample[key]).max()
        if key == "pose2d" and error > REPROJECTION_TOLERANCE_PX:
            left = _without_distortion(sample[key] - projected, x / z, y / z, np.array([fx, fy]))
            error = error if np.abs(left).max() > REPROJECTION_TOLERANCE_PX else 0.0
        if error > REPROJECTION_TOLERANCE_PX:
            found.append(f"{what} {error:.2f} px away from {key}")
    return found


def _without_distortion(offset, x, y, focal):
    """What a lens leaves of the offsets [J, 2] px of joints at x, y [J], in focal lengths from the image's middle.

    Radial and tangential distortion (Brown, 1966; the camera model of Human3.6M) of the coefficients that fit best, k1,
    k2, k3, p1 and p2, none of which is larger than a lens makes it: so they explain little near the middle.
    """
    r2 = x**2 + y**2
    radial = [np.stack([x * r2**power, y * r2**power], axis=-1) for power in (1, 2, 3)]
    tangential = [np.stack([x * y, y**2 + r2], axis=-1), np.stack([x**2 + r2, x * y], axis=-1)]
    effects = np.stack([effect * focal for effect in radial + tangential], axis=-1).reshape(-1, len(LENS))
    # Least squares with a prior, for the joints of a small person say little about five numbers.
    prior = np.diag(REPROJECTION_TOLERANCE_PX / 4 / (LENS / 2))
    equations = np.concatenate([effects, prior])
    values = np.concatenate([offset.ravel(), np.zeros(len(LENS))])
    coefficients = np.clip(np.linalg.lstsq(equations, values, rcond=None)[0], -LENS, LENS)
    return offset - (effects @ coefficients).reshape(offset.shape)


def joints_outside(sample: dict[str, np.ndarray]) -> int:
    """How many joints of a labelled sample lie outside the crop's pixels. Not a fault: limbs do get cut off."""
    pose = sample["pose2d_crop"]
    return int(np.any((pose < -0.5) | (pose > IMAGE_SHAPE[0] - 0.5), axis=-1).sum())


# ---- writing


def encode(sample: dict, schema: Schema) -> bytes:
    """Serialises one sample. JPEG fields take the file's bytes.

    Raises:
        ValueError: a key is missing or has another shape.
    """
    features = {}
    for key, field in schema.fields.items():
        if key not in sample:
            raise ValueError(f"'{key}' is missing")
        if isinstance(field, Jpeg):
            features[key] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[sample[key]]))
            continue
        array = np.asarray(sample[key], field.dtype)
        if array.shape != field.shape:
            raise ValueError(f"'{key}' has shape {array.shape}, expected {field.shape}")
        if isinstance(field, Raw):
            features[key] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[array.tobytes()]))
        elif field.dtype == np.float32:
            features[key] = tf.train.Feature(float_list=tf.train.FloatList(value=array.ravel()))
        else:
            features[key] = tf.train.Feature(int64_list=tf.train.Int64List(value=array.ravel()))
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
