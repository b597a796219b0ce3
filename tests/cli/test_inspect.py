"""Tests of `pose-tf inspect`."""

import shutil

import cv2
import numpy as np

from pose_tf.data import records


def test_inspection_counts_the_records_and_draws_them(run_tool, sample_data, tmp_path):
    done = run_tool("inspect_records", f"--data_dir={sample_data}", f"--preview={tmp_path}/sheet.png")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["h36", "40", "samples"] in rows
    assert ["test_set", "6", "samples"] in rows
    assert ["mpii", "4", "samples"] in rows
    assert all([str(subject), "8"] in rows for subject in (1, 5, 6, 7, 8))
    assert "no faults" in done.stdout
    # At most 16 images of each of the two labeled files, which have 40 and 4.
    sheet = cv2.imread(f"{tmp_path}/sheet.png")
    assert sheet.shape == (3 * 256, 8 * 256, 3)
    photograph = sheet[512:, 3 * 256 : 4 * 256].reshape(-1, 3).astype(int)
    assert (np.abs(photograph - [0, 140, 255]).max(axis=-1) < 60).sum() > 30  # the orange of right limbs


def test_inspection_lists_every_damaged_record_and_fails(run_tool, sample_data, tmp_path):
    (shard,) = (sample_data / "h36").iterdir()
    samples = list(records.read(str(shard), records.H36M))[:4]
    samples[1] = samples[1] | {"pose2d": samples[1]["pose2d"] + np.float32(5)}
    samples[3] = samples[3] | {"pose3d": samples[3]["pose3d"] * np.float32(np.nan)}
    records.write(f"{tmp_path}/h36/damaged.tfrecord", samples, records.H36M)
    done = run_tool("inspect_records", f"--data_dir={tmp_path}", ok=False)
    assert done.returncode == 1
    assert "damaged.tfrecord record 1: pose3d projects 5.00 px away from pose2d" in done.stdout
    assert "damaged.tfrecord record 3: 'pose3d' holds NaN or infinity" in done.stdout


def test_a_directory_without_records_is_named(fails, tmp_path):
    (tmp_path / "empty" / "h36").mkdir(parents=True)
    assert "empty" in fails("inspect_records", f"--data_dir={tmp_path}/empty")


def test_without_labeled_images_there_is_no_preview(run_tool, sample_data, tmp_path):
    shutil.copy(sample_data / "test_set.tfrecords", tmp_path)
    done = run_tool("inspect_records", f"--data_dir={tmp_path}", f"--preview={tmp_path}/sheet.png")
    assert ["test_set", "6", "samples"] in [line.split() for line in done.stdout.splitlines()]
    assert "preview" not in done.stdout
    assert not (tmp_path / "sheet.png").exists()
