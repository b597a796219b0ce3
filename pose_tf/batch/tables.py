"""The tables that a batch writes: people, errors and inputs, in Parquet files.

A chunk of inputs becomes a file of each table with the same name: `people-NAME.parquet`, `errors-NAME.parquet` where an
input failed, and, last, `inputs-NAME.parquet`. Once that is there, the chunk is done. Files without it are remains of a
process that died, which the next run removes.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pose_tf.batch import storage
from pose_tf.errors import UserError
from pose_tf.predict.results import Person
from pose_tf.skeleton import Skeleton

TABLES = ("people", "errors", "inputs")
SETTINGS = "settings.json"

PEOPLE = (
    *("file", "record", "person", "x", "y", "width", "height", "score"),
    *("pose2d_px", "pose3d_mm", "confidence", "root3d_mm"),
)
_INPUT = [pa.field("file", pa.string(), nullable=False), pa.field("record", pa.int64())]
ERRORS = pa.schema([*_INPUT, pa.field("reason", pa.string(), nullable=False)])
INPUTS = pa.schema(
    [
        *_INPUT,
        pa.field("image_width", pa.int32()),
        pa.field("image_height", pa.int32()),
        pa.field("people", pa.int32()),
    ]
)


def people_schema(skeleton: Skeleton) -> pa.Schema:
    """The columns of the table of people, with the skeleton of its poses as metadata."""
    joints = len(skeleton.joints)
    numbers = {"pose2d_px": 2 * joints, "pose3d_mm": 3 * joints, "confidence": joints, "root3d_mm": 3}
    metadata = {
        "joints": json.dumps(skeleton.joints),
        "bones": json.dumps(skeleton.bones),
        "pose3d_mm": "x, y, z of each joint relative to the hip, in the frame of the camera: x right, y down, z away",
        "root3d_mm": "x, y, z of the hip in the frame of the camera; NaN if unknown",
    }
    return pa.schema(
        [
            *_INPUT,
            pa.field("person", pa.int32(), nullable=False),
            *(pa.field(side, pa.float32(), nullable=False) for side in ("x", "y", "width", "height")),
            pa.field("score", pa.float32()),
            # NaN, and not null, is what is unknown: Arrow cannot read null among lists of fixed size out of Parquet.
            *(pa.field(name, pa.list_(pa.float32(), length), nullable=False) for name, length in numbers.items()),
        ],
        metadata,
    )


@dataclasses.dataclass
class Rows:
    """What became of a chunk of inputs: the rows of each table.

    Attributes:
        name: name of the chunk.
        skeleton: of the poses.
        people: a dictionary of the columns of `people_schema` for each person.
        errors: the same with those of `ERRORS` for each input that failed.
        inputs: the same with those of `INPUTS` for each input. Where it failed, all but the first two are missing.
    """

    name: str
    skeleton: Skeleton
    people: list[dict] = dataclasses.field(default_factory=list)
    errors: list[dict] = dataclasses.field(default_factory=list)
    inputs: list[dict] = dataclasses.field(default_factory=list)

    def add(
        self,
        file: str,
        record: int | None,
        size: tuple[int, int],
        people: Sequence[Person],
        scores: Sequence[float] | None = None,
    ) -> None:
        """Adds an input and its people.

        Args:
            file, record: the input; None for an image file.
            size: width and height of its image in pixels.
            people: all people in it.
            scores: those of the finder, if it found them.
        """
        for i, person in enumerate(people):
            box = map(float, person.box)
            numbers = (person.pose2d, person.pose3d, person.confidence, person.root3d)
            lists = [np.float32(values).ravel() for values in numbers]
            values = (file, record, person.number, *box, None if scores is None else float(scores[i]), *lists)
            self.people.append(dict(zip(PEOPLE, values, strict=True)))
        self.inputs.append(dict(zip(INPUTS.names, (file, record, *size, len(people)), strict=True)))

    def add_error(self, file: str, record: int | None, reason: str) -> None:
        """Adds an input that failed."""
        reason = reason.encode("utf-8", "backslashreplace").decode()  # paths may have any bytes
        self.errors.append({"file": file, "record": record, "reason": reason})
        self.inputs.append({"file": file, "record": record})


def chunk_name(inputs: Iterable[str]) -> str:
    """The name of a chunk, which depends on its inputs alone, so that doing it again replaces its files."""
    return hashlib.sha256("\0".join(sorted(inputs)).encode()).hexdigest()[:16]


def path_of(folder: str, table: str, chunk: str) -> str:
    """The path of a chunk's file of a table."""
    return storage.join(folder, f"{table}-{chunk}.parquet")


def is_done(folder: str, chunk: str) -> bool:
    """Whether all rows of a chunk are written."""
    return storage.exists(path_of(folder, "inputs", chunk))


def commit(folder: str, rows: Rows) -> None:
    """Writes the rows of a chunk.

    Raises:
        UserError: a file cannot be written.
    """
    schemas = {"people": people_schema(rows.skeleton), "errors": ERRORS, "inputs": INPUTS}
    for table in TABLES:
        values = getattr(rows, table)
        if values or table == "inputs":
            storage.write(path_of(folder, table, rows.name), _parquet(values, schemas[table]))


def _parquet(values, schema):
    content = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(values, schema), content)
    return content.getvalue().to_pybytes()


def remove_remains(folder: str) -> None:
    """Removes the files of chunks that are not done. No other run may be writing to the folder."""
    done = {_chunk_of(path) for path in storage.match(path_of(folder, "inputs", "*"))}
    for table in ("people", "errors"):
        storage.remove([path for path in storage.match(path_of(folder, table, "*")) if _chunk_of(path) not in done])


def _chunk_of(path):
    return path.rpartition("-")[2]


def check_settings(folder: str, settings: dict) -> None:
    """Stores the settings of the first run into a folder, and compares those of the others with them.

    Raises:
        UserError: they differ, or the folder cannot be read or written.
    """
    path = storage.join(folder, SETTINGS)
    if not storage.exists(path):
        storage.write(path, json.dumps(settings, indent=1).encode())
        return
    try:
        before = json.loads(storage.read(path, 1 << 20))
        different = [key for key, value in settings.items() if before.get(key) != value]
    except (ValueError, AttributeError):
        raise UserError(f"{path} is damaged") from None
    if different:
        was = ", ".join(f"{key} {json.dumps(before.get(key))}" for key in different)
        raise UserError(f"{folder} holds results of other settings: {was}; choose another directory")
