"""Reading records inside tf.data graphs, with errors that name the file and the number of a damaged record."""

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf
import tqdm

from pose_tf.data import records
from pose_tf.errors import UserError

DAMAGED = "damaged record"


def parse(serialized, schema: records.Schema, keys: Iterable[str] | None = None) -> dict[str, tf.Tensor]:
    """Parses one serialized example inside a tf.data graph.

    Args:
        serialized: string scalar.
        schema: the kind of record.
        keys: the fields to return; all by default.

    Returns:
        Tensors by key, with the shapes of the schema. JPEG images are decoded to uint8 [H, W, 3].

    Raises:
        tf.errors.InvalidArgumentError: at run time, for a missing key or a wrong size. `named_errors` turns it into
            a sentence that names the file and the record.
    """
    fields = {key: schema.fields[key] for key in keys or schema.fields}
    features = tf.io.parse_single_example(serialized, {key: field.spec() for key, field in fields.items()})
    return {key: field.parse(features[key], key) for key, field in fields.items()}


def examples(path: tf.Tensor, length: tf.Tensor, schema: records.Schema) -> tf.data.Dataset:
    """The serialized examples of a file in graph, without errors: exactly `length` elements (place, (number, bytes)).

    The number equals the place. It is -1 where reading fails, and -2 for the missing examples after that.
    """
    stored = tf.data.TFRecordDataset(path, compression_type=schema.compression)
    # Zipped with a range to limit the number of errors: a file that cannot be opened raises one at every call.
    found = tf.data.Dataset.zip((tf.data.Dataset.range(length), stored)).ignore_errors()
    first, others = (tf.data.Dataset.from_tensors((np.int64(number), b"")) for number in (-1, -2))
    return found.concatenate(first).concatenate(others.repeat()).enumerate().take(length)


def parsed(stored: tf.data.Dataset, shards: tf.Tensor, parse) -> tf.data.Dataset:
    """Parses the result of `examples` in graph. The first failure is an error that names the file for `named_errors`.

    Args:
        stored: dataset of N examples.
        shards: int64 [N], numbers of their files in the argument of `named_errors`.
        parse: serialized example -> {key: tensor}.
    """

    def keep_position(element):
        position, (_, (_, serialized)) = element
        return position, parse(serialized)

    def check(element):
        position, (found, sample) = element
        # `tf.debugging.Assert` adds a condition, which an executor of one thread lacks.
        sound = tf.raw_ops.Assert(condition=position == found, data=[DAMAGED, tf.gather(shards, position)])
        with tf.control_dependencies([sound]):
            return tf.nest.map_structure(tf.identity, sample)

    # An example that fails is missing among the positions. The message of tf.data does not name the place.
    sound = _map_inline(stored.enumerate(), keep_position).ignore_errors()
    _, spec = sound.element_spec
    zeros = tf.nest.map_structure(lambda part: np.zeros([n or 0 for n in part.shape], part.dtype.as_numpy_dtype), spec)
    end = tf.data.Dataset.from_tensors((np.int64(-1), zeros))
    return _map_inline(sound.concatenate(end).enumerate().take(tf.size(shards, tf.int64)), check)


def _map_inline(dataset, function):
    """`dataset.map(function)` that runs in the calling thread, which saves 10 % of the CPU time per image.

    `map` hands each call to a thread of a pool and waits for it, which takes two context switches. tf.data has no
    option to change that.
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
def named_errors(shards: Sequence[str], schema: records.Schema | None = None) -> Iterator[None]:
    """Turns an error of `parsed` into a `UserError` that names the file and the record. Other errors pass unchanged.

    Args:
        shards: the files; `parsed` got indices into this sequence.
        schema: the kind of their records; by default the one that the name of a file's folder says.
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
    schema = schema or records.schema_of(path)
    for _ in tqdm.tqdm(records.read(path, schema), desc=f"looking for a damaged record in {path}", unit=" records"):
        pass
    raise UserError(
        f"a record of {path} could not be read, but now all records can: the disk or network may be unreliable, or "
        "the file was replaced; the same command resumes"
    )
