"""Tests of the signature `people`: it gives the same poses as files and boxes, and people share the image's memory."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.export.crops import crop_box, crop_people
from tests.export.test_crops import BAD_BOXES

BOXES = np.float32(
    [[20, 6, 120, 300], [-30, -20, 200, 520], [400.5, 100.25, 90.5, 210], [600, 440, 60, 90], [7, 8, 1, 1]]
)


@pytest.fixture(scope="module")
def image():
    """Coarse noise, uint8 [480, 640, 3]."""
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8).repeat(8, 0).repeat(8, 1)


@pytest.fixture(scope="module")
def signatures(exported):
    return tf.saved_model.load(exported).signatures


def test_the_crops_are_those_of_files_bit_for_bit(image):
    crops, corners, sides = tf.function(crop_people)(image, BOXES, 1.3)
    data, crop_file = tf.io.encode_png(image), tf.function(crop_box)
    for i, box in enumerate(tf.constant(BOXES)):
        crop, corner, side = crop_file(data, box, 1.3)
        np.testing.assert_array_equal(crops[i], crop)
        np.testing.assert_array_equal(corners[i], corner)
        assert float(sides[i]) == float(side)


def test_pixels_and_files_have_the_same_poses(signatures, image):
    found = signatures["people"](image=tf.constant(image), box=tf.constant(BOXES))
    files = tf.repeat(tf.io.encode_png(image), len(BOXES))
    expected = signatures["image_and_box"](image_bytes=files, box=tf.constant(BOXES))
    assert set(found) == {"pose2d", "pose3d", "confidence"}
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("words", "box"), [(words, boxes[0]) for words, boxes in BAD_BOXES.items()])
def test_one_box_that_holds_nobody_is_refused(signatures, words, box):
    boxes = tf.constant([(10, 10, 20, 20), box], tf.float32)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"box is {words}"):
        signatures["people"](image=tf.zeros([50, 70, 3], tf.uint8), box=boxes)


def test_no_boxes_are_refused(signatures, image):
    with pytest.raises(tf.errors.InvalidArgumentError, match="the batch is empty"):
        signatures["people"](image=tf.constant(image), box=tf.zeros([0, 4]))


MEMORY = """
import sys, threading
import tensorflow as tf
tf.config.threading.set_inter_op_parallelism_threads(12)  # as a machine of 12 cores
tf.config.threading.set_intra_op_parallelism_threads(1)
model = tf.saved_model.load(sys.argv[1])
image = tf.zeros([4096, 4096, 3], tf.uint8)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4 / 1024

def estimate(people):
    model.signatures["people"](image=image, box=tf.constant([[100.0, 200.0, 900.0, 2500.0]] * people))
    done.set()

done = threading.Event()
estimate(1)
done.clear()
before, peak = resident(), 0
asked = threading.Thread(target=estimate, args=(8,))
asked.start()
while not done.wait(0.002) and asked.is_alive():
    peak = max(peak, resident())
assert done.is_set()
print(peak - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the operating system does not report memory")
def test_people_share_the_image(exported):
    """The image takes 48 MiB. Eight copies would take 384 MiB."""
    done = subprocess.run([sys.executable, "-I", "-c", MEMORY, exported], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 200  # the network takes about 100
