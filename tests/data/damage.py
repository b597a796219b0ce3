"""Ways to damage records and their files."""

import numpy as np


def put(key, data):
    return lambda example: example.features.feature[key].bytes_list.value.__setitem__(slice(None), [data])


def drop(key):
    return lambda example: example.features.feature.__delitem__(key)


NAN = np.full((17, 3), np.nan, np.float32).tobytes()


RECORD_FAULTS = {
    "missing key": (drop("pose2d_crop"), "key 'pose2d_crop' is missing"),
    "missing subject": (drop("subject"), "key 'subject' is missing"),
    "missing action": (drop("action"), "key 'action' is missing"),
    "NaN joints": (put("pose2d_crop", NAN[:136]), "'pose2d_crop' holds NaN or infinity"),
    "NaN joints in 3D": (put("pose3d", NAN), "'pose3d' holds NaN or infinity"),
    "16 joints": (put("pose2d_crop", bytes(128)), "'pose2d_crop' has 128 bytes, expected 136"),
    "16 joints in 3D": (put("pose3d", bytes(192)), "'pose3d' has 192 bytes, expected 204"),
    "image size": (put("image", bytes(128 * 128 * 3)), "'image' has 49152 bytes, expected 196608"),
    "no Example": (lambda example: b"\xff" * 40, "not a tf.train.Example"),
}


def flip_middle(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 255, data[middle + 1] ^ 255]) + data[middle + 2 :]


FILE_FAULTS = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": lambda path: path.write_bytes(flip_middle(path.read_bytes())),
    "text": lambda path: path.write_bytes(b"Dear reader,\n" * 99),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
}
