"""The inputs of a batch: image files, tables of boxes and files of records; without those that are done."""

import contextlib
import csv
import dataclasses
import io
from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io import fileio
from apache_beam.io.filesystems import FileSystems

from pose_tf.batch import storage, tables
from pose_tf.errors import UserError
from pose_tf.predict.outputs import readable
from pose_tf.predict.people import BOX_COLUMNS, parse_box

KINDS = ("input", "boxes", "records")
"""Patterns of image files, of tables of boxes, and of files of records."""
Box = tuple[float, float, float, float]


@dataclasses.dataclass(frozen=True)
class Input:
    """A file.

    Attributes:
        path: path or URL.
        boxes: x, y, width, height in pixels of each person in an image; None to find people, and for records.
        problem: what is wrong with the boxes.
    """

    path: str
    boxes: tuple[Box, ...] | None = None
    problem: str | None = None

    @property
    def file(self) -> str:
        """The path as tables hold it."""
        return readable(self.path)


@dataclasses.dataclass(frozen=True)
class Chunk:
    """Inputs whose rows are written together.

    Attributes:
        kind: one of `KINDS`.
        inputs: the files.
    """

    kind: str
    inputs: tuple[Input, ...]

    @property
    def name(self) -> str:
        """See `tables.chunk_name`."""
        return tables.chunk_name(one.file for one in self.inputs)


class Chunks(beam.PTransform):
    """The chunks of inputs that are still to do. Applied to a pipeline.

    Args:
        kind: one of `KINDS`.
        patterns: absolute patterns of files.
        folder: absolute path of the results.
        size: the most files in a chunk.
    """

    def __init__(self, kind: str, patterns: list[str], folder: str, size: int):
        super().__init__()
        self._kind, self._patterns, self._folder, self._size = kind, patterns, folder, size

    def expand(self, pipeline):
        matches = pipeline | "Patterns" >> beam.Create(self._patterns) | fileio.MatchAll()
        if self._kind == "boxes":
            found = matches | "ReadBoxes" >> beam.FlatMap(lambda match: read_boxes(match.path))
        else:
            found = matches | beam.Map(lambda match: (readable(match.path), Input(match.path)))
        done = (
            pipeline
            | "Tables" >> beam.Create([tables.path_of(self._folder, "inputs", "*")])
            | beam.io.ReadAllFromParquet(columns=["file"])
            | beam.Map(lambda row: (row["file"], None))
        )
        kind = self._kind
        return (
            {"found": found, "done": done}
            | beam.CoGroupByKey()
            | "LeaveOutDone" >> beam.FlatMap(_still_to_do)
            | beam.BatchElements(min_batch_size=self._size, max_batch_size=self._size)
            | beam.Map(lambda inputs: Chunk(kind, tuple(inputs)))
            | beam.Reshuffle()
        )


def _still_to_do(group):
    """One input of all that have the same path, unless it is done."""
    _, entries = group
    found = list(entries["found"])
    if found and not any(True for _ in entries["done"]):
        boxes = None if found[0].boxes is None else tuple(box for one in found for box in one.boxes)
        yield Input(found[0].path, boxes, next((one.problem for one in found if one.problem), None))


def read_boxes(path: str) -> Iterator[tuple[str, Input]]:
    """Reads a table of boxes: CSV, or Parquet if the name ends in .parquet. Ignores columns other than `BOX_COLUMNS`.

    Yields:
        The file that a row names, and the row as an `Input` with one box, or with a problem. Files without a folder are
        beside the table.

    Raises:
        UserError: the table cannot be read, or lacks a column.
    """
    folder = FileSystems.split(path)[0]
    try:
        with FileSystems.open(path, compression_type=storage.AS_IT_IS) as file:
            for number, row in _rows(path, file):
                one = _of_row(row, folder, f"{path} line {number}")
                yield one.file, one
    except (OSError, csv.Error, pa.ArrowException) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _of_row(row, folder, where):
    if not row["file"]:
        return Input(where, (), f"{where}: no file is named")
    file = storage.join(folder, str(row["file"]))
    text = ",".join(str(row[column]) for column in BOX_COLUMNS[1:])
    try:
        return Input(file, (tuple(parse_box(text).tolist()),))
    except UserError:
        return Input(file, (), f"{where}: {text} is not a box")


def check_boxes_table(path: str) -> None:
    """Reads the first row of a table of boxes.

    Raises:
        UserError: the table cannot be read, or lacks a column.
    """
    with contextlib.closing(read_boxes(path)) as rows:
        next(rows, None)


def _rows(path, file):
    """(number of a line, {column: value}) for each row of a table, counted from 1 in Parquet."""
    if path.endswith(".parquet"):
        table = pq.ParquetFile(file)
        _check_columns(path, table.schema_arrow.names)
        rows = (row for batch in table.iter_batches(columns=BOX_COLUMNS) for row in batch.to_pylist())
        yield from enumerate(rows, 1)
    else:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        reader = csv.DictReader(text)
        _check_columns(path, reader.fieldnames or ())
        for row in reader:
            yield reader.line_num, row


def _check_columns(path, columns):
    missing = [column for column in BOX_COLUMNS if column not in columns]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}; it needs {','.join(BOX_COLUMNS)}")
