"""The images of Human3.6M's and MPII's records as crops of 256x256 pixels, with their cameras."""

import dataclasses
import itertools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from pose_tf.batch import storage
from pose_tf.cropping import square_crop
from pose_tf.data import records
from pose_tf.errors import UserError
from pose_tf.geometry import CROP_SIZE, Crop
from pose_tf.predict.camera import Camera, CameraOptions
from pose_tf.predict.media import read_photo


class _FileBytes(records.Jpeg):
    """An image that is decoded later, by a reader that refuses too many pixels."""

    def decode(self, feature) -> bytes:
        (data,) = feature.bytes_list.value or (b"",)
        return data


_H36M = dataclasses.replace(
    records.H36M_TEST,
    fields={key: records.H36M_TEST.fields[key] for key in ("image", "offset", "scale", "intrinsics")},
)
_MPII = dataclasses.replace(records.MPII, fields={"image": _FileBytes()})


@dataclasses.dataclass(frozen=True)
class RecordedCrop:
    """One person's crop.

    Attributes:
        image: uint8 [256, 256, 3] RGB.
        size: width and height in pixels of the image in the record.
        crop: the region of that image which `image` shows.
        camera: the camera of that image.
    """

    image: np.ndarray
    size: tuple[int, int]
    crop: Crop
    camera: Camera


def read_crops(path: str, options: CameraOptions) -> Iterator[tuple[int, RecordedCrop | UserError]]:
    """Reads a file of records on any file system: ZLIB files as Human3.6M's or its test set's, others as MPII's.

    Args:
        path: path or URL.
        options: what is known of the camera of MPII's images.

    Yields:
        The number of each record, from 0, and its crop, or what is wrong with it. Where a file cannot be read any
        further, it ends with an error.
    """
    try:
        with storage.on_disk(path) as local:
            for number, found in _read(local, options):
                yield number, UserError(str(found).replace(local, path)) if isinstance(found, UserError) else found
    except UserError as error:
        yield 0, error


def _read(path, options):
    schema, crop_of = (_H36M, _of_h36m) if _is_compressed(path) else (_MPII, _of_mpii)
    serialized = records.read_serialized(path, schema)
    for number in itertools.count():
        where = f"{path} record {number}"
        try:
            data = next(serialized, None)
        except UserError as error:
            yield number, error
            return
        if data is None:
            return
        try:
            yield number, crop_of(records.decode(data, schema, where), where, options)
        except UserError as error:
            yield number, error


def _is_compressed(path):
    """Whether a file does not begin like TFRecords: with the length of a record in 8 bytes."""
    try:
        with open(path, "rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    return int.from_bytes(head, "little") > records.MAX_RECORD_BYTES


def _of_h36m(sample, where, _):
    (scale,), (x, y) = np.reshape(sample["scale"], 1), sample["offset"]
    fx, cx, fy, cy = map(float, sample["intrinsics"][0])
    if not min(scale, fx, fy) > 0:
        raise UserError(f"{where}: its scale and its focal lengths must be above 0")
    camera = Camera((fx * scale, (cx - x) * scale, fy * scale, (cy - y) * scale), "given")
    return RecordedCrop(sample["image"], (CROP_SIZE, CROP_SIZE), _whole(CROP_SIZE, CROP_SIZE), camera)


def _of_mpii(sample, where, options):
    image = read_photo(sample["image"], where)
    height, width = image.shape[:2]
    crop = _whole(width, height)
    return RecordedCrop(
        square_crop(image, Crop(*map(tf.constant, crop))).numpy(), (width, height), crop, options.camera(width, height)
    )


def _whole(width, height):
    """The crop that shows a whole image, with borders if it is not square, as in training."""
    crop = Crop.around(np.float32([0, 0, width, height]), 1.0)
    return Crop(*map(np.float32, crop))
