"""Tests of the occluder bank: its file, and its atlas on the device."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from pose_tf.data.occluders import LEVELS, OccluderBank
from pose_tf.errors import UserError


def test_objects_survive_saving(tmp_path, rng):
    bank = OccluderBank(tuple(rng.integers(0, 256, (*size, 4), np.uint8) for size in ((20, 30), (60, 80))))
    bank.save(f"{tmp_path}/bank.npz")
    loaded = OccluderBank.load(f"{tmp_path}/bank.npz")
    assert len(loaded) == len(bank) == 2
    for before, after in zip(bank.objects, loaded.objects):
        np.testing.assert_array_equal(before, after)
    assert sorted(path.name for path in tmp_path.glob("*bank*")) == ["bank.npz"]


def test_an_empty_bank_is_refused(tmp_path):
    with pytest.raises(UserError, match="contains no objects"):
        OccluderBank(())
    np.savez(tmp_path / "empty.npz", pixels=np.zeros((0, 4), np.uint8), shapes=np.zeros((0, 2), np.int32))
    with pytest.raises(UserError, match="empty.npz contains no objects"):
        OccluderBank.load(f"{tmp_path}/empty.npz")


def test_files_that_are_no_bank_are_refused(tmp_path):
    with pytest.raises(UserError, match="bank.npz does not exist"):
        OccluderBank.load(f"{tmp_path}/bank.npz")
    (tmp_path / "bank.npz").write_text("not a bank")
    with pytest.raises(UserError, match="bank.npz cannot be read"):
        OccluderBank.load(f"{tmp_path}/bank.npz")
    np.savez(tmp_path / "bank.npz", pixels=np.zeros((5, 4), np.uint8), shapes=np.array([[2, 3]]))
    with pytest.raises(UserError, match="do not fit together"):
        OccluderBank.load(f"{tmp_path}/bank.npz")


def test_levels_hold_the_means_of_what_their_cells_cover(rng):
    picture = rng.integers(0, 256, (13, 6, 4)).astype(np.uint8)
    atlas = OccluderBank((picture[:3, :2], picture)).atlas
    start, cells = int(atlas.starts[1, 2]), atlas.cells.numpy().view(np.uint8).reshape(-1, 4)
    quarter = cells[start : start + 4 * 2].reshape(4, 2, 4)
    expected = [[picture[i : i + 4, j : j + 4].mean(axis=(0, 1)) for j in (0, 4)] for i in (0, 4, 8, 12)]
    np.testing.assert_allclose(quarter, expected, atol=0.5)
    assert atlas.starts.shape == (2, LEVELS)
    np.testing.assert_array_equal(atlas.sizes, [[3, 2], [13, 6]])


def test_augmentation_needs_no_image_libraries():
    code = "import sys, pose_tf.augment; print({'cv2', 'tqdm', 'pose_tf.data.pascal_voc'} & {*sys.modules})"
    root = pathlib.Path(__file__).parents[2]
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=root).stdout
    assert output.split() == ["set()"]
