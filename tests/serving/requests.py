"""Requests to a server."""

import numpy as np
import pytest

from pose_tf.errors import UserError
from tests.export.inputs import encode

PHOTOS = [encode("JPEG"), encode("PNG", size=(30, 90))]
RNG = np.random.default_rng(0)
INPUTS = {
    "serving_default": {"image_bytes": PHOTOS},
    "images": {"images": RNG.integers(0, 256, (2, 256, 256, 3), np.uint8)},
    "image_and_box": {"image_bytes": PHOTOS, "box": np.float32([[10, 5, 30, 40], [2, 3, 20.5, 70]])},
    "lift": {"pose2d": RNG.normal(128, 40, (2, 17, 2)).astype(np.float32)},
}


def complaint(client, signature="lift", inputs=None):
    """The error message."""
    with pytest.raises(UserError) as error:
        client.predict(signature, INPUTS["lift"] if inputs is None else inputs)
    message = str(error.value)
    assert message.startswith(client.card["server"]) and "\n" not in message
    return message
