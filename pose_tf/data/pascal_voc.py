"""Cuts objects out of the images of Pascal VOC by their segmentation."""

import glob
import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import cv2
import numpy as np
import tqdm
from PIL import Image

from pose_tf.errors import UserError

MIN_PIXELS = 500
RIM = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (8, 8))
RIM_ALPHA = 192


def cut_out_all(voc_dir: str) -> Iterator[tuple[str, np.ndarray]]:
    """Cuts out the objects of a VOC devkit: no person, not difficult, not truncated, at least 500 pixels.

    Unusable images are reported on the terminal, skipped and counted.

    Args:
        voc_dir: directory with `Annotations`, `JPEGImages` and `SegmentationObject`.

    Yields:
        (name, RGBA image uint8 [h, w, 4]) of each object.

    Raises:
        UserError: the directory is not a VOC devkit, or has no usable object.
    """
    annotations = sorted(glob.glob(os.path.join(glob.escape(voc_dir), "Annotations", "*.xml")))
    if not annotations:
        raise UserError(f"{voc_dir} has no Annotations/*.xml: it is not a Pascal VOC directory")
    found = skipped = 0
    bar = tqdm.tqdm(annotations, unit=" images", desc=f"occluders of {voc_dir}")
    for annotation in bar:
        try:
            occluders = cut_out(annotation)
        except UserError as error:
            bar.write(f"skipped: {error}")
            skipped += 1
            continue
        for number, occluder in enumerate(occluders):
            yield f"{os.path.splitext(os.path.basename(annotation))[0]}-{number}", occluder
        found += len(occluders)
    if skipped:
        tqdm.tqdm.write(f"{skipped} of {len(annotations)} images were skipped")
    if not found:
        raise UserError(f"{voc_dir} has no usable object in {len(annotations)} images")


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
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:  # LookupError: an unknown encoding
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
    except Exception as error:  # every reader of Pillow raises other exceptions, and too large files raise further ones
        raise UserError(f"{mask_path} cannot be read as an image: {error}") from None
    if numbers.shape != image.shape[:2]:
        raise UserError(f"{mask_path} has shape {numbers.shape}, but its image has {image.shape[:2]}")
    objects = []
    for number, entry in enumerate(root.findall("object"), start=1):
        if entry.findtext("name") == "person" or "1" in (entry.findtext("difficult"), entry.findtext("truncated")):
            continue
        if not (numbers == number).any():  # VOC marks the pixels of difficult objects with 255
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
        color = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_BGR2RGB)
        half = (max(round((right - left) / 2), 1), max(round((bottom - top) / 2), 1))
        objects.append(cv2.resize(np.dstack([color, mask]), half, interpolation=cv2.INTER_AREA))
    return objects


def _read_image(path):
    """Reads an image, uint8 [H, W, 3] BGR. OpenCV cannot open every file name, so it decodes the bytes."""
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
