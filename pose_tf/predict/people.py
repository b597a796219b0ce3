"""Boxes of people, and boxes that the user gives."""

import csv
import logging
import os
import unicodedata

import numpy as np

from pose_tf.errors import UserError
from pose_tf.images import MAX_BOX
from pose_tf.predict.media import MediaError
from pose_tf.skeleton import ENDS, H36M, Skeleton

logger = logging.getLogger(__name__)
SEEN = 0.3
"""The lowest confidence of joints to which boxes are fitted."""
FEWEST_SEEN = 6
SHARED_BY_JOINTS = 0.5
"""The lowest intersection of a box and that of its person's joints, over the smaller of the two."""
SIZES_OF_JOINTS = (0.25, 2.0)
"""The range of the longest side of the joints' box, over that of the person's box."""
BOX_COLUMNS = ("file", "x", "y", "width", "height")
MOST_NAMED = 20
"""Warnings name this many files and count the rest."""


def overlap(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Area of the intersection of two boxes [4], over that of their union and over that of the smaller box."""
    sides = np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - np.maximum(a[:2], b[:2])
    shared = np.prod(np.maximum(sides, 0))
    areas = np.prod(a[2:]), np.prod(b[2:])
    return shared / (sum(areas) - shared), shared / min(areas)


def fitted(box: np.ndarray, pose2d: np.ndarray, confidence: np.ndarray, skeleton: Skeleton = H36M) -> np.ndarray | None:
    """The box of a person's joints, which is how training draws boxes.

    A box that was found may be loose, or lack an arm. An estimate in the fitted box does not suffer from that.

    Args:
        box: float [4] px, in which the pose was estimated.
        pose2d: float [J, 2] px.
        confidence: float [J].
        skeleton: of the pose.

    Returns:
        float32 [4] px; None if the joints do not cover the body, if too few of them are seen, or if they are hardly
        those of the person in `box`.
    """
    seen = pose2d[confidence >= SEEN]
    if len(seen) < FEWEST_SEEN or skeleton.missing(*ENDS):
        return None
    corner = seen.min(axis=0) + 0.5  # boxes are measured from the image's outer edge
    joints = np.concatenate([corner, np.maximum(seen.max(axis=0) + 0.5 - corner, 1)]).astype(np.float32)
    return joints if is_around(box, joints) else None


def is_around(box: np.ndarray, joints: np.ndarray) -> bool:
    """Whether a box [4] and the box of some joints [4] can be those of one person."""
    low, high = np.multiply(SIZES_OF_JOINTS, max(box[2:]))
    return bool(low <= max(joints[2:]) <= high and overlap(joints, box)[1] >= SHARED_BY_JOINTS)


def touches(box: np.ndarray, width: int, height: int) -> bool:
    """Whether a box [4] overlaps an image."""
    return bool((box[:2] < (width, height)).all() and (box[:2] + box[2:] > 0).all())


def check_boxes(boxes: np.ndarray, width: int, height: int, source: str) -> np.ndarray:
    """Checks that each box overlaps its image.

    Args:
        boxes: float [N, 4]: x, y, width, height in pixels.
        width, height: size of the image in pixels.
        source: name of the image for error messages.

    Returns:
        The boxes, float32 [N, 4].

    Raises:
        MediaError: a box is not four finite numbers, is smaller than a pixel, lies outside of the image, or has a side
            of more than `MAX_BOX` times the image's longest side.
    """
    try:
        boxes = np.asarray(boxes, np.float32)
        boxes = boxes.reshape(-1, 4) if boxes.size == 0 else boxes
    except (TypeError, ValueError):
        boxes = np.zeros(0)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise MediaError(f"{source}: boxes must be [N, 4]: x, y, width, height in pixels")
    for box in boxes:
        text = f"{source}: the box {','.join(f'{value:g}' for value in box)}"
        if not np.isfinite(box).all():
            raise MediaError(f"{text} is not finite")
        if min(box[2:]) < 1:
            raise MediaError(f"{text} is smaller than a pixel")
        if not touches(box, width, height):
            raise MediaError(f"{text} is outside of its {width}x{height} pixels")
        if max(box[2:]) > MAX_BOX * max(width, height):
            raise MediaError(f"{text} is too large for its {width}x{height} pixels")
    return boxes


class GivenBoxes:
    """Boxes that the user gives, which replace the search for people.

    Args:
        box: `x,y,width,height` in pixels of the one person in every image; or `whole` if this person fills it.
        path: CSV file for `read_boxes`. Give at most one of `box` and `path`; without either, images are searched.

    Raises:
        UserError: both are given, or one is wrong.
    """

    def __init__(self, box: str | None = None, path: str | None = None):
        if box is not None and path is not None:
            raise UserError("give one box or a file of boxes, not both")
        self._box = box
        self._fixed = parse_box(box)[None] if box is not None and box != "whole" else None
        self._by_name = read_boxes(path) if path is not None else None
        self._names = {_normalized(name): name for name in self._by_name or ()}
        self._path = path

    @property
    def searching(self) -> bool:
        """Whether images have to be searched for people."""
        return self._box is None and self._by_name is None

    def check(self, paths: list[str]) -> None:
        """Compares the files in the table with the inputs, and warns of files that only one of the two has.

        Raises:
            UserError: they have no file in common.
        """
        if self._by_name is None:
            return
        in_table = {path: self._name_in_table(path) for path in paths}
        if not any(in_table.values()):
            raise UserError(f"{self._path} names none of the inputs; it needs file names without folders")
        named = set(in_table.values())
        unused = [name for name in self._by_name if name not in named]
        self._warn("has a row for {}, but no input has that name", unused)
        self._warn("has no row for {}", [path for path, name in in_table.items() if name is None])

    def _warn(self, text, names):
        for name in names[:MOST_NAMED]:
            logger.warning("%s %s", self._path, text.format(name))
        if names[MOST_NAMED:]:
            logger.warning("… and the same for %d more", len(names) - MOST_NAMED)

    def _name_in_table(self, path):
        """A file's name in the table, which may use another Unicode normal form; None if the table lacks it."""
        name = _as_text(os.path.basename(path))
        return name if name in self._by_name else self._names.get(_normalized(name))

    def __call__(self, path: str, width: int, height: int) -> np.ndarray | None:
        """Boxes in an image from a file, float32 [N, 4] px; None if the image has to be searched."""
        if self._by_name is not None:
            return self._by_name.get(self._name_in_table(path), np.zeros((0, 4), np.float32))
        if self._box == "whole":
            return np.float32([[0, 0, width, height]])
        return self._fixed


def _as_text(path):
    """A path as a table spells it, in any locale. Bytes that are not UTF-8 are kept."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def _normalized(name):
    return unicodedata.normalize("NFC", name)


def parse_box(text: str) -> np.ndarray:
    """`x,y,width,height` in pixels -> float32 [4].

    Raises:
        UserError: the text is not four numbers, or the box is smaller than a pixel.
    """
    try:
        box = np.float32([float(value) for value in text.split(",")])
    except ValueError:
        box = np.zeros(0)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise UserError(f"{text} is not a box x,y,width,height")
    if min(box[2:]) < 1:
        raise UserError(f"{text} is smaller than a pixel")
    return box


def read_boxes(path: str) -> dict[str, np.ndarray]:
    """Reads a CSV file of boxes: one person per line, with columns file,x,y,width,height, the file without its folder.

    Returns:
        float32 [N, 4] px by file name.

    Raises:
        UserError: the file cannot be read, or a line is not a box.
    """
    boxes = {}
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            missing = [column for column in BOX_COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                raise UserError(f"{path} has no column {', '.join(missing)}; it needs {','.join(BOX_COLUMNS)}")
            for row in reader:
                text = ",".join(str(row[column]) for column in BOX_COLUMNS[1:])
                try:
                    box = parse_box(text)
                except UserError:
                    raise UserError(f"{path} line {reader.line_num}: {text} is not a box") from None
                boxes.setdefault(row["file"], []).append(box)
    except (OSError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return {name: np.stack(rows) for name, rows in boxes.items()}
