"""Banks of objects to paste over people (Sárándi et al., 2018).

A bank is a list of RGBA images of all sizes. On the device it is an atlas: one flat buffer of packed pixels that holds
every object at full size, half size, quarter size, …, so that shrinking an object needs few pixels of it.
"""

import dataclasses
import functools
import os

import numpy as np
import tensorflow as tf

from pose_tf import files
from pose_tf.errors import UserError

LEVELS = 8


@dataclasses.dataclass(frozen=True, eq=False)
class OccluderBank:
    """Objects to paste.

    Attributes:
        objects: uint8 [h, w, 4] each: RGB and alpha.
        path: file from which the bank was loaded; None for a bank that was not loaded from a file.
    """

    objects: tuple[np.ndarray, ...]
    path: str | None = None

    def __post_init__(self):
        if not self.objects:
            raise UserError(f"{self.path or 'the occluder bank'} contains no objects")

    def __len__(self) -> int:
        return len(self.objects)

    @classmethod
    def from_voc(cls, voc_dir: str) -> "OccluderBank":
        """Cuts out the objects of a VOC devkit, see `pascal_voc.cut_out_all`.

        Raises:
            UserError: the directory is not a VOC devkit, or has no usable object.
        """
        from pose_tf.data.pascal_voc import cut_out_all  # here, so that augmentation needs no image libraries

        return cls(tuple(occluder for _, occluder in cut_out_all(voc_dir)))

    @classmethod
    def from_tfds(cls, data_dir: str | None = None, manual_dir: str | None = None) -> "OccluderBank":
        """Cuts out the objects of VOC 2012 through TensorFlow Datasets, or reads them if they have been prepared.

        Args:
            data_dir: data directory of TensorFlow Datasets; by default the library's default.
            manual_dir: directory with the archive of VOC 2012; by default the archive is downloaded (2 GB).

        Raises:
            UserError: the archive is missing, damaged or cannot be downloaded.
        """
        from pose_tf.data.voc_occluders.voc_occluders_dataset_builder import load_occluders

        return cls(tuple(load_occluders(data_dir, manual_dir)))

    @classmethod
    def load(cls, path: str) -> "OccluderBank":
        """Reads a bank that `save` wrote.

        Raises:
            UserError: the file is missing, damaged, not a bank, or empty.
        """
        if not os.path.exists(path):
            raise UserError(f"{path} does not exist; create it with pose-tf build-occluders")
        arrays = files.read_npz(path, "an occluder bank", ("pixels", "shapes"))
        pixels, shapes = arrays["pixels"], arrays["shapes"]
        shapes = shapes.astype(np.int64)
        ends = np.cumsum(shapes.prod(axis=1)) if shapes.ndim == 2 and shapes.shape[1] == 2 else None
        if ends is None or (shapes < 1).any() or pixels.dtype != np.uint8 or pixels.shape != (ends[-1:].sum(), 4):
            raise UserError(f"{path} is not an occluder bank: its arrays do not fit together")
        parts = np.split(pixels, ends[:-1]) if len(ends) else []
        return cls(tuple(part.reshape(*shape, 4) for part, shape in zip(parts, shapes)), path)

    def save(self, path: str) -> None:
        """Writes the bank as an .npz file: `pixels` uint8 [P, 4] of all objects in a row, `shapes` [N, 2]."""
        pixels = np.concatenate([occluder.reshape(-1, 4) for occluder in self.objects])
        shapes = np.array([occluder.shape[:2] for occluder in self.objects], np.int32)
        files.write_npz(path, compress=True, pixels=pixels, shapes=shapes)

    @functools.cached_property
    def atlas(self) -> "Atlas":
        """The bank in variables. Create it in the strategy's scope on all workers, so that each device has a copy."""
        with tf.init_scope():
            return Atlas(self.objects)


class Atlas:
    """All objects at all levels, in variables on the device.

    Cells are stored in float32 variables, although they are not numbers: float32 is the only type of four bytes that
    workers can send each other and that GPUs keep in their own memory.

    Level l of an object of h x w pixels has ceil(h / 2^l) x ceil(w / 2^l) cells, each the mean of the pixels it covers.

    Attributes:
        cells: float32 [P]: red, green, blue, alpha in the bytes.
        sizes: int64 [N, 2]: h, w.
        starts: int64 [N, LEVELS]: where a level begins in `cells`.
    """

    def __init__(self, objects):
        cells = [level.reshape(-1, 4) for occluder in objects for level in _levels(occluder)]
        counts = np.array([len(level) for level in cells]).reshape(-1, LEVELS)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).reshape(-1, LEVELS)
        sizes = np.array([occluder.shape[:2] for occluder in objects], np.int64)
        packed = np.ascontiguousarray(np.concatenate(cells)).view(np.float32)[:, 0]
        self.cells = tf.Variable(packed, trainable=False, name="occluder_cells")
        self.sizes = tf.Variable(sizes, trainable=False, name="occluder_sizes")
        self.starts = tf.Variable(starts.astype(np.int64), trainable=False, name="occluder_starts")


def _levels(occluder):
    yield occluder
    sums = occluder.astype(np.float32)
    counts = np.ones((*occluder.shape[:2], 1), np.float32)
    for _ in range(LEVELS - 1):
        sums, counts = _halved(sums), _halved(counts)
        yield np.rint(sums / counts).astype(np.uint8)


def _halved(array):
    """Sums over 2 x 2 cells; an odd last row or column is summed alone."""
    rows, columns = array.shape[:2]
    array = np.pad(array, ((0, rows % 2), (0, columns % 2), (0, 0)))
    return array[::2, ::2] + array[1::2, ::2] + array[::2, 1::2] + array[1::2, 1::2]
