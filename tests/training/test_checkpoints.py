"""Tests of checkpoints: complete or absent, numbered, pruned, and recoverable after damage."""

import os
import pathlib
import resource
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.training.checkpoints import Checkpoints


@pytest.fixture
def value():
    return tf.Variable(tf.zeros([64, 1024]))


@pytest.fixture
def checkpoints(tmp_path, value):
    return Checkpoints(f"{tmp_path}/run/checkpoints", tf.train.Checkpoint(value=value), keep=2)


@pytest.fixture
def save(tmp_path, value, checkpoints):
    """Saves checkpoints whose value equals their step."""
    (tmp_path / "run").mkdir()

    def run(*steps, best=0):
        for step in steps:
            value.assign(tf.fill(value.shape, float(step)))
            checkpoints.save(step, best)
        value.assign(tf.zeros_like(value))

    return run


def test_the_newest_checkpoint_comes_back(save, checkpoints, value):
    assert checkpoints.restore() == 0
    save(3, 12)
    assert checkpoints.restore() == 12
    np.testing.assert_array_equal(value, np.full(value.shape, 12, np.float32))


def test_the_newest_and_the_best_are_kept(save, checkpoints, tmp_path):
    save(1, 2, 3, best=0)
    assert checkpoints.steps() == [2, 3]
    save(4, 5, 6, best=3)
    assert checkpoints.steps() == [3, 5, 6]
    save(7, best=7)
    assert checkpoints.steps() == [6, 7]
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["00000006", "00000007"]


def test_a_checkpoint_of_a_step_replaces_the_one_of_the_same_step(save, checkpoints, value):
    save(5)
    value.assign(tf.fill(value.shape, -1.0))
    checkpoints.save(5, 0)
    assert checkpoints.restore() == 5
    assert value.numpy().max() == -1


def cut(folder):
    data = folder / "ckpt.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1])


def flip(folder):
    data = folder / "ckpt.data-00000-of-00001"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)


def lose_index(folder):
    (folder / "ckpt.index").unlink()


def lose_manifest(folder):
    (folder / "manifest.json").unlink()


def half_manifest(folder):
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text()[:20])


@pytest.mark.parametrize("damage", [cut, flip, lose_index, lose_manifest, half_manifest])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_comes_back(
    save, checkpoints, value, damage, tmp_path, capsys
):
    save(3, 12)
    newest = tmp_path / "run" / "checkpoints" / "00000012"
    damage(newest)
    assert checkpoints.restore() == 3
    assert value.numpy().max() == 3
    assert f"{newest} is damaged" in capsys.readouterr().err
    save(12)  # in its place
    assert checkpoints.restore() == 12


def test_a_run_of_which_nothing_is_left_does_not_start_from_scratch(save, checkpoints, tmp_path):
    save(3)
    cut(tmp_path / "run" / "checkpoints" / "00000003")
    with pytest.raises(UserError, match=f"all checkpoints in {tmp_path}/run/checkpoints are damaged"):
        checkpoints.restore()


def test_a_checkpoint_of_another_model_is_refused(save, tmp_path):
    save(3)
    other = Checkpoints(f"{tmp_path}/run/checkpoints", tf.train.Checkpoint(value=tf.Variable([1.0, 2.0])), keep=2)
    with pytest.raises(UserError, match="00000003 does not fit the recipe"):
        other.restore()


@pytest.mark.parametrize("folder", ["run[x]", "back\\slash", "a*b?"])
def test_the_name_of_the_directory_does_not_matter(tmp_path, value, folder):
    (tmp_path / folder).mkdir()
    checkpoints = Checkpoints(f"{tmp_path}/{folder}/checkpoints", tf.train.Checkpoint(value=value), keep=2)
    value.assign(tf.ones_like(value))
    checkpoints.save(3, 0)
    value.assign(tf.zeros_like(value))
    assert checkpoints.restore() == 3
    np.testing.assert_array_equal(value, np.ones(value.shape, np.float32))


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_checkpoint_with_values_that_are_not_finite_is_refused(tmp_path, number):
    (tmp_path / "run").mkdir()
    model, best = tf.keras.Sequential([tf.keras.layers.Dense(2, input_shape=(3,))]), tf.Variable(np.inf)
    state = tf.train.Checkpoint(model=model, best=best)
    checkpoints = Checkpoints(f"{tmp_path}/run/checkpoints", state, keep=2)
    checkpoints.save(3, 0)
    assert checkpoints.restore() == 3  # with the lowest error infinite, as before the first validation
    model.layers[0].bias.assign([0.0, number])
    checkpoints.save(4, 0)
    with pytest.raises(UserError, match="00000004: the weights 'model/layer_with_weights-0/bias' are not finite"):
        checkpoints.restore()


def test_what_a_killed_process_left_half_written_is_not_seen(save, checkpoints, tmp_path):
    save(3)
    folder = tmp_path / "run" / "checkpoints"
    shutil.copytree(folder / "00000003", folder / ".partial-00000004")
    assert checkpoints.restore() == 3
    save(4)
    assert sorted(path.name for path in folder.iterdir()) == ["00000003", "00000004"]


def test_a_hidden_file_may_come_and_go(save, checkpoints, value, monkeypatch, tmp_path):
    """As NFS makes one of each file that is removed while it is open."""
    write = tf.train.Checkpoint.write

    def write_and_leave(self, path, *more):
        pathlib.Path(path).with_name(".nfs0001").write_text("")
        return write(self, path, *more)

    monkeypatch.setattr(tf.train.Checkpoint, "write", write_and_leave)
    save(3)
    folder = tmp_path / "run" / "checkpoints"
    (folder / "00000003" / ".nfs0001").unlink()
    (folder / ".DS_Store").write_text("")
    (folder / "._00000004").write_text("")
    assert checkpoints.restore() == 3
    np.testing.assert_array_equal(value, np.full(value.shape, 3, np.float32))


def test_a_vanished_directory_is_one_sentence(save, checkpoints, tmp_path):
    save(3)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(UserError, match=f"{tmp_path}/run/checkpoints/00000004 cannot be written: .*no longer exists"):
        checkpoints.save(4, 0)
    assert not (tmp_path / "run").exists()


FILL_THE_DISK = """
import sys
import tensorflow as tf
from pose_tf.errors import UserError
from pose_tf.training.checkpoints import Checkpoints
value = tf.Variable(tf.zeros([int(sys.argv[2])]))
checkpoints = Checkpoints(sys.argv[1], tf.train.Checkpoint(value=value), keep=2)
try:
    checkpoints.save(4, 0)
except UserError as error:
    sys.exit(str(error))
"""


def test_a_disk_that_takes_no_more_is_one_sentence_and_the_last_checkpoint_is_intact(save, tmp_path):
    save(3)
    limit = 1 << 20
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, f"{tmp_path}/run/checkpoints", str(1 << 20)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        cwd=pathlib.Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
    )
    folder = tmp_path / "run" / "checkpoints"
    assert done.returncode == 1
    assert f"{folder}/00000004 cannot be written: " in done.stderr
    assert f"{folder}/00000003 is intact" in done.stderr
    assert "Traceback" not in done.stderr
    assert "{{" not in done.stderr
    assert [path.name for path in folder.iterdir()] == ["00000003"]


def test_a_checkpoint_that_is_replaced_is_there_until_the_new_one_is(save, checkpoints, value, monkeypatch):
    """The process may die between any two calls. A new one restores the checkpoint that exists then."""
    save(3, 5)
    rename, calls = os.rename, []

    def die(*names):
        calls.append(names)
        if len(calls) == 2:
            raise KeyboardInterrupt
        rename(*names)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "rename", die)
        save(5)
    assert checkpoints.steps() == [3]
    assert checkpoints.restore() == 5
    assert checkpoints.steps() == [3, 5]
    assert value.numpy().max() == 5


def test_a_checkpoint_that_cannot_take_the_place_of_another_leaves_it(save, checkpoints, monkeypatch, tmp_path):
    save(5)
    rename = os.rename

    def refuse(source, target):
        if ".partial-" in source:
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    folder = f"{tmp_path}/run/checkpoints/00000005"
    with pytest.raises(UserError, match=f"{folder} cannot be written: No space left on device; {folder} is intact"):
        checkpoints.save(5, 0)
    assert checkpoints.steps() == [5]


def test_a_checkpoint_and_its_directory_are_on_the_disk_before_it_has_its_name(save, monkeypatch, tmp_path):
    save()
    flushed, renamed = [], []
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda *names: (renamed.append(list(flushed)), rename(*names)))
    save(5)
    (before,) = renamed
    names = {pathlib.Path(path).name for path in before}
    assert {"ckpt.index", "ckpt.data-00000-of-00001", "manifest.json"} < names
    assert pathlib.Path(before[-1]).name.startswith(".partial-")
    assert flushed[len(before) :] == [f"{tmp_path}/run/checkpoints"]
