"""Measures occlusion and color augmentation in images per second, compared to OpenCV, and the memory of the bank.

    python benchmarks/augment.py [--batch=64] [--runs=15]

Both paste the same objects with the same scales and centers: half of the images get 1 to 8 of them. The bank is
generated: 6000 smooth objects with sizes like those of VOC 2012 at half size. The rounds alternate. Prints medians and
ranges.
"""

import argparse
import os
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import cv2
import numpy as np
import tensorflow as tf
from on_demand import serve

from pose_tf.augment import ColorJitter
from pose_tf.augment.occlusion import paste_occluders
from pose_tf.data.occluders import OccluderBank

OBJECTS = 6000


def make_bank(rng):
    """A bank of objects with log-normal sides around 83 px, at most 250 px, like the halved boxes of VOC objects."""
    sides = np.clip(np.exp(rng.normal(np.log(83), 0.55, (OBJECTS, 2))), 12, 250).astype(int)
    objects = []
    for height, width in sides:
        coarse = rng.integers(0, 256, (height // 12 + 2, width // 12 + 2, 4)).astype(np.uint8)
        image = cv2.resize(coarse, (int(width), int(height)), interpolation=cv2.INTER_LINEAR)
        image[..., 3] = np.where(image[..., 3] > 100, 255, 0)
        objects.append(image)
    return OccluderBank(tuple(objects))


def make_pastes(rng, batch):
    indices = rng.integers(0, OBJECTS, (batch, 8))
    count = np.where(rng.random(batch) < 0.5, rng.integers(1, 9, batch), 0)
    indices[np.arange(8) >= count[:, None]] = -1
    scales = rng.uniform(0.2, 1.0, (batch, 8)).astype(np.float32)
    return indices, scales, rng.uniform(0, 256, (batch, 8, 2)).astype(np.float32)


def paste_with_opencv(images, bank, indices, scales, centers):
    """Pastes the objects with OpenCV, one after another, on one core."""
    images = images.copy()
    for image, numbers, factors, middles in zip(images, indices, scales, centers):
        for number, factor, middle in zip(numbers, factors, middles):
            if number < 0:
                continue
            image = bank.objects[number]
            height, width = np.round(np.array(image.shape[:2]) * factor).astype(int)
            resized = cv2.resize(image, (int(width), int(height)), interpolation=cv2.INTER_AREA)
            left, top = np.round(middle).astype(int) - (width // 2, height // 2)
            x, y = max(left, 0), max(top, 0)
            part = image[y : max(top + height, 0), x : max(left + width, 0)]
            over = resized[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]]
            alpha = over[..., 3:].astype(np.float32) / 255
            part[:] = alpha * over[..., :3] + (1 - alpha) * part
    return images


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--serve", choices=["paste", "jitter"], help="Only run this part, on demand: see on_demand.py.")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    bank = make_bank(rng)
    images = rng.integers(0, 256, (args.batch, 256, 256, 3)).astype(np.uint8)
    paste = tf.function(lambda images, *pastes: paste_occluders(images, bank, *pastes))
    jitter = tf.function(lambda images: ColorJitter()(images, training=True, seed=[0, 0]))
    device_images = tf.constant(images)
    if args.serve:
        pastes = [tf.constant(part) for part in make_pastes(rng, args.batch)]
        way = (lambda: paste(device_images, *pastes)) if args.serve == "paste" else (lambda: jitter(device_images))
        return serve(lambda calls: [way().numpy() for _ in range(calls)])
    pixels = sum(image.shape[0] * image.shape[1] for image in bank.objects)
    size = sum(np.prod(v.shape) * v.dtype.size for v in (bank.atlas.cells, bank.atlas.sizes, bank.atlas.starts))
    print(f"{OBJECTS} objects, {pixels / OBJECTS:.0f} pixels each: {size / 2**20:.0f} MiB on the device")
    ways = {
        "paste, OpenCV, one core": lambda pastes: paste_with_opencv(images, bank, *pastes),
        f"paste, ours, {tf.config.list_logical_devices()[-1].name[-5:]}": lambda pastes: paste(
            device_images, *(tf.constant(p) for p in pastes)
        ).numpy(),
        "color jitter, ours": lambda pastes: jitter(device_images).numpy(),
    }
    seconds = {name: [] for name in ways}
    for run in range(args.runs + 1):
        pastes = make_pastes(rng, args.batch)
        for name, way in ways.items():
            start = time.monotonic()
            way(pastes)
            if run:  # the first run traces
                seconds[name].append(time.monotonic() - start)
    for name, values in seconds.items():
        rates = [args.batch / value for value in values]
        print(f"{name:28s} {statistics.median(rates):8.0f} images/s  ({min(rates):.0f} to {max(rates):.0f})")


if __name__ == "__main__":
    main()
