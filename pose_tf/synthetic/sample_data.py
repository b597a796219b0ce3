"""Writes the synthetic data set as records, in the layout and format of the course's data."""

import functools
import multiprocessing
import os

import cv2
import numpy as np
import tqdm

from pose_tf import files, images, skeleton
from pose_tf.data import records
from pose_tf.data.record_index import POSE_KEYS
from pose_tf.geometry import BODY_OVER_JOINTS
from pose_tf.synthetic.sample import SUBJECTS_TRAIN, pose_sample, render_sample

SUBJECT_TEST = 9
SAMPLES_PER_SHARD = 500
MPII_SHARE = 10
PHOTOS = 6


def write_sample_data(output_dir: str, num_train: int, num_test: int, num_poses: int, seed: int) -> None:
    """Writes images of procedural people with their joints.

        DIR/h36/                  labeled; subjects 1, 5, 6, 7 and 8
        DIR/test_set.tfrecords    images of subject 9, without poses
        DIR/test/h36/             the same images with their poses
        DIR/photos/               six of them as PNG files, and boxes.csv with the boxes of the people in them
        DIR/mpii/                 every tenth training image as JPEG with MPII's 16 joints
        DIR/poses.npz             poses without images, of the training subjects

    The same arguments give the same images.

    Args:
        output_dir: DIR.
        num_train: number of labeled training images.
        num_test: number of images of the test subject.
        num_poses: number of poses without images.
        seed: seed of all images and poses.
    """
    subjects = _subjects(num_train) + [SUBJECT_TEST] * num_test
    # Fork before TensorFlow starts a thread. A new interpreter would take longer to import TensorFlow than to render.
    with multiprocessing.get_context("fork").Pool(os.cpu_count(), cv2.setNumThreads, (1,)) as pool:

        def make(function, subjects, start, unit):
            calls = ((seed, start + i, subject) for i, subject in enumerate(subjects))
            made = pool.imap(functools.partial(_call, function), calls, chunksize=4)
            return tqdm.tqdm(made, total=len(subjects), unit=f" {unit}", desc=f"{unit} of {output_dir}")

        samples = iter(make(render_sample, subjects, 0, "images"))
        shards = -(-num_train // SAMPLES_PER_SHARD)
        mpii = []
        for shard in range(shards):
            name = os.path.join(output_dir, "h36", f"sample-{shard:05d}-of-{shards:05d}.tfrecord")
            count = min(SAMPLES_PER_SHARD, num_train - shard * SAMPLES_PER_SHARD)
            batch = [next(samples) for _ in range(count)]
            records.write(name, batch, records.H36M)
            mpii += [_as_mpii(sample) for sample in batch[::MPII_SHARE]]
        test = list(samples)
        poses = list(make(pose_sample, _subjects(num_poses), len(subjects), "poses"))
    for i, sample in enumerate(test[:PHOTOS]):
        images.write_png(os.path.join(output_dir, "photos", f"person{i}.png"), sample["image"])
    with files.replacing(os.path.join(output_dir, "photos", "boxes.csv")) as temporary, open(temporary, "w") as file:
        file.write("file,x,y,width,height\n")
        file.writelines(f"person{i}.png,{_box(sample['pose2d_crop'])}\n" for i, sample in enumerate(test[:PHOTOS]))
    records.write(os.path.join(output_dir, "mpii", "sample.tfrecord"), mpii, records.MPII)
    records.write(os.path.join(output_dir, "test_set.tfrecords"), test, records.H36M_TEST)
    records.write(os.path.join(output_dir, "test", "h36", "sample-00000-of-00001.tfrecord"), test, records.H36M)
    arrays = {key: np.stack([pose[key] for pose in poses]) for key in POSE_KEYS}
    files.write_npz(os.path.join(output_dir, "poses.npz"), **arrays)


def _subjects(count):
    return [SUBJECTS_TRAIN[i % len(SUBJECTS_TRAIN)] for i in range(count)]


def _call(function, arguments):
    return function(*arguments)


def _box(pose2d):
    """The box around a body with these joints, as the text x,y,width,height."""
    low, high = pose2d.min(axis=0), pose2d.max(axis=0)
    size = BODY_OVER_JOINTS * (high - low)
    return ",".join(f"{value:.1f}" for value in (*((low + high - size) / 2), *size))


def _as_mpii(sample):
    pose2d = np.zeros((len(skeleton.MPII.joints), 2), np.float32)
    for own, other in skeleton.MPII.shared_with(skeleton.H36M):
        pose2d[own] = sample["pose2d_crop"][other]
    return {
        "image": images.encode(sample["image"], ".jpg"),
        "pose2d": pose2d,
        "visibility": np.ones((1, len(pose2d)), np.int64),
    }
