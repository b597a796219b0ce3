"""MPII records of small pictures, for tests."""

import cv2
import numpy as np

from pose_tf.data import records


def make_photo(number, size=(120, 80), unlabeled=()):
    """A sample of MPII's records: gray level `number` modulo 256, joints drawn at random inside the image.

    Args:
        number: of the photo.
        size: width and height in pixels.
        unlabeled: indices of joints with visibility 0 and the position 0, 0.
    """
    rng = np.random.default_rng(number)
    pose2d = rng.uniform(5, np.array(size) - 6, (16, 2))
    visibility = np.ones((1, 16), np.int64)
    pose2d[list(unlabeled)], visibility[0, list(unlabeled)] = 0, 0
    image = np.full((*size[::-1], 3), number % 256, np.uint8)
    return {
        "image": cv2.imencode(".jpg", image)[1].tobytes(),
        "pose2d": np.float32(pose2d),
        "visibility": visibility,
    }


def write_photos(data_dir, count=60, files=3):
    """Writes photos 1, 2, … as `mpii/*` and returns them."""
    photos = [make_photo(number) for number in range(1, count + 1)]
    for i in range(files):
        records.write(f"{data_dir}/mpii/{i}.tfrecord", photos[i::files], records.MPII)
    return photos
