"""Objects cut out of Pascal VOC images, to paste over people (Sárándi et al., 2018).

A bank is a list of RGBA pictures of all sizes. On the device it is an atlas: one flat buffer of packed pixels that
holds every picture at full size, half size, quarter size, …, so that shrinking a picture needs few pixels of it.
"""

import dataclasses
import functools
import glob
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import cv2
import numpy as np
import tensorflow as tf
import tqdm
from PIL import Image

from pose_tf import files
from pose_tf.errors import UserError

MIN_PIXELS = 500
RIM = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (8, 8))
RIM_ALPHA = 192
LEVELS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class OccluderBank:
    """Objects to paste.

    Attributes:
        objects: uint8 [h, w, 4] each: RGB and alpha.
        path: file that holds them; None for a bank that was never saved.
    """

    objects: tuple[np.ndarray, ...]
    path: str | None = None

    def __post_init__(self):
        if not self.objects:
            raise UserError(f"{self.path or 'the occluder bank'} holds no objects")

    def __len__(self) -> int:
        return len(self.objects)

    @classmethod
    def from_voc(cls, voc_dir: str) -> "OccluderBank":
        """Cuts out the objects of a VOC devkit, see `cut_out_all`.

        Raises:
            UserError: it is no such directory, or no object is left.
        """
        return cls(tuple(picture for _, picture in cut_out_all(voc_dir)))

    @classmethod
    def from_tfds(cls, data_dir: str | None = None, manual_dir: str | None = None) -> "OccluderBank":
        """Cuts out the objects of VOC 2012 through TensorFlow Datasets, or reads those that it has prepared before.

        Args:
            data_dir: where TensorFlow Datasets keeps its data; by default its own choice.
            manual_dir: directory with VOC 2012's archive; by default the archive is downloaded (2 GB).

        Raises:
            UserError: the archive is missing, damaged or cannot be downloaded.
        """
        from pose_tf.data.voc_occluders.voc_occluders_dataset_builder import load_pictures

        return cls(tuple(load_pictures(data_dir, manual_dir)))

    @classmethod
    def load(cls, path: str) -> "OccluderBank":
        """Reads a bank that `save` wrote.

        Raises:
            UserError: the file is missing, damaged, not a bank, or empty.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                pixels, shapes = file["pixels"], file["shapes"]
        except FileNotFoundError:
            raise UserError(f"{path} does not exist; tools/build_occluders.py writes such a file") from None
        except Exception as error:  # zipfile, zlib and NumPy each raise their own
            raise UserError(f"{path} cannot be read as an occluder bank: {error}") from None
        shapes = shapes.astype(np.int64)
        ends = np.cumsum(shapes.prod(axis=1)) if shapes.ndim == 2 and shapes.shape[1] == 2 else None
        if ends is None or (shapes < 1).any() or pixels.dtype != np.uint8 or pixels.shape != (ends[-1:].sum(), 4):
            raise UserError(f"{path} is not an occluder bank: its arrays do not fit together")
        parts = np.split(pixels, ends[:-1]) if len(ends) else []
        return cls(tuple(part.reshape(*shape, 4) for part, shape in zip(parts, shapes)), path)

    def save(self, path: str) -> None:
        """Writes the bank as an .npz file: `pixels` uint8 [P, 4] of all objects in a row, `shapes` [N, 2]."""
        pixels = np.concatenate([picture.reshape(-1, 4) for picture in self.objects])
        shapes = np.array([picture.shape[:2] for picture in self.objects], np.int32)
        files.write_npz(path, compress=True, pixels=pixels, shapes=shapes)

    @functools.cached_property
    def atlas(self) -> "Atlas":
        """The bank in variables. Create it under the strategy's scope, on all workers: each device has a copy then."""
        with tf.init_scope():
            return Atlas(self.objects)


class Atlas:
    """All objects at all levels, in variables on the device.

    Cells lie in float32 variables, whose numbers mean nothing: of the types of four bytes it is the only one that
    workers can send each other and that GPUs keep in their own memory.

    Level l of an object of h x w pixels has ceil(h / 2^l) x ceil(w / 2^l) cells, each the mean of the pixels it covers.

    Attributes:
        cells: float32 [P]: red, green, blue, alpha in the bytes.
        sizes: int64 [N, 2]: h, w.
        starts: int64 [N, LEVELS]: where a level begins in `cells`.
    """

    def __init__(self, objects):
        cells = [level.reshape(-1, 4) for picture in objects for level in _levels(picture)]
        counts = np.array([len(level) for level in cells]).reshape(-1, LEVELS)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).reshape(-1, LEVELS)
        sizes = np.array([picture.shape[:2] for picture in objects], np.int64)
        packed = np.ascontiguousarray(np.concatenate(cells)).view(np.float32)[:, 0]
        self.cells = tf.Variable(packed, trainable=False, name="occluder_cells")
        self.sizes = tf.Variable(sizes, trainable=False, name="occluder_sizes")
        self.starts = tf.Variable(starts.astype(np.int64), trainable=False, name="occluder_starts")


def _levels(picture):
    yield picture
    sums = picture.astype(np.float32)
    counts = np.ones((*picture.shape[:2], 1), np.float32)
    for _ in range(LEVELS - 1):
        sums, counts = _halved(sums), _halved(counts)
        yield np.rint(sums / counts).astype(np.uint8)


def _halved(array):
    """Sums over 2 x 2 cells; an odd last row or column stands alone."""
    rows, columns = array.shape[:2]
    array = np.pad(array, ((0, rows % 2), (0, columns % 2), (0, 0)))
    return array[::2, ::2] + array[1::2, ::2] + array[::2, 1::2] + array[1::2, 1::2]


def cut_out_all(voc_dir: str) -> Iterator[tuple[str, np.ndarray]]:
    """Cuts out the objects of a VOC devkit: no person, not difficult, not truncated, at least 500 pixels.

    Images that cannot be used are named on the terminal, skipped and counted.

    Args:
        voc_dir: directory with `Annotations`, `JPEGImages` and `SegmentationObject`.

    Yields:
        A name for each object, and its picture uint8 [h, w, 4].

    Raises:
        UserError: it is no such directory, or no object is left.
    """
    annotations = sorted(glob.glob(os.path.join(glob.escape(voc_dir), "Annotations", "*.xml")))
    if not annotations:
        raise UserError(f"{voc_dir} has no Annotations/*.xml: it is not a Pascal VOC directory")
    found = skipped = 0
    bar = tqdm.tqdm(annotations, unit=" images", desc=f"occluders of {voc_dir}")
    for annotation in bar:
        try:
            pictures = cut_out(annotation)
        except UserError as error:
            bar.write(f"skipped: {error}")
            skipped += 1
            continue
        for number, picture in enumerate(pictures):
            yield f"{os.path.splitext(os.path.basename(annotation))[0]}-{number}", picture
        found += len(pictures)
    if skipped:
        tqdm.tqdm.write(f"{skipped} of {len(annotations)} images were skipped")
    if not found:
        raise UserError(f"{voc_dir} has no object to use: none of {len(annotations)} images is segmented and whole")


def cut_out(annotation: str) -> list[np.ndarray]:
    """The usable objects of one VOC image, uint8 [h, w, 4], at half their size.

    Args:
        annotation: path of the XML file, in a devkit's `Annotations`.

    Raises:
        UserError: a file is missing or unreadable, or the files contradict each other.
    """
    folder, name = os.path.split(annotation)
    stem = os.path.join(os.path.dirname(folder), "{}", os.path.splitext(name)[0])
    try:
        root = ElementTree.parse(annotation).getroot()
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:  # the last of an unknown encoding
        raise UserError(f"{annotation} cannot be read: {error}") from None
    if root.findtext("segmented") not in ("0", "1"):
        raise UserError(f"{annotation} does not say whether the image is segmented")
    if root.findtext("segmented") == "0":
        return []
    image = _read_image(stem.format("JPEGImages") + ".jpg")
    mask_path = stem.format("SegmentationObject") + ".png"
    try:
        with Image.open(mask_path) as file:
            numbers = np.array(file)  # the palette's indices: object numbers, 255 on the borders
    except Exception as error:  # each of Pillow's readers raises its own, and others for files that are too large
        raise UserError(f"{mask_path} cannot be read as an image: {error}") from None
    if numbers.shape != image.shape[:2]:
        raise UserError(f"{mask_path} has shape {numbers.shape}, its image {image.shape[:2]}")
    objects = []
    for number, entry in enumerate(root.findall("object"), start=1):
        if entry.findtext("name") == "person" or "1" in (entry.findtext("difficult"), entry.findtext("truncated")):
            continue
        if not (numbers == number).any():  # of a difficult object VOC marks the pixels with 255
            raise UserError(f"{mask_path} has no pixel of object {number} of its annotation")
        try:
            left, top, right, bottom = (
                int(float(entry.find("bndbox").findtext(side))) for side in ("xmin", "ymin", "xmax", "ymax")
            )
        except (AttributeError, TypeError, ValueError, OverflowError):
            raise UserError(f"{annotation}: object {number} has no box") from None
        if not (0 <= left < right <= image.shape[1] and 0 <= top < bottom <= image.shape[0]):
            raise UserError(f"{annotation}: the box of object {number} is not inside the image")
        mask = (numbers[top:bottom, left:right] == number).astype(np.uint8) * 255
        if np.count_nonzero(mask) < MIN_PIXELS:
            continue
        mask[cv2.erode(mask, RIM) < mask] = RIM_ALPHA
        colour = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_BGR2RGB)
        half = (max(round((right - left) / 2), 1), max(round((bottom - top) / 2), 1))
        objects.append(cv2.resize(np.dstack([colour, mask]), half, interpolation=cv2.INTER_AREA))
    return objects


def _read_image(path):
    """uint8 [H, W, 3] BGR. OpenCV cannot open every name, so it gets the bytes."""
    try:
        with open(path, "rb") as file:
            image = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)
    except OSError as error:
        raise UserError(f"{path} cannot be read as an image: {error.strerror}") from None
    except cv2.error:  # empty, or too large
        image = None
    if image is None:
        raise UserError(f"{path} cannot be read as an image")
    return image
