"""Tests of `pose-tf build-occluders`."""

import cv2

from pose_tf.data.occluders import OccluderBank
from tests.data.voc_images import write_image


def test_occluders_are_cut_out_saved_and_drawn(run_tool, fails, tmp_path):
    write_image(tmp_path / "voc", "a", [(10, 20, 70, 60, "chair", 0, 0), (80, 20, 150, 110, "person", 0, 0)])
    write_image(tmp_path / "voc", "b", [(0, 0, 80, 120, "car", 0, 0)])
    (tmp_path / "voc" / "JPEGImages" / "b.jpg").unlink()
    flags = (f"--voc_dir={tmp_path}/voc", f"--output={tmp_path}/bank.npz")
    done = run_tool("build_occluders", *flags, f"--preview={tmp_path}/bank.png")
    assert "1 objects in" in done.stdout
    assert "b.jpg cannot be read" in done.stdout
    assert [picture.shape for picture in OccluderBank.load(f"{tmp_path}/bank.npz").objects] == [(20, 30, 4)]
    assert cv2.imread(f"{tmp_path}/bank.png").shape == (256, 256, 3)
    assert "has no Annotations" in fails("build_occluders", f"--voc_dir={tmp_path}", f"--output={tmp_path}/none.npz")
    assert not (tmp_path / "none.npz").exists()


def test_the_occluders_need_one_source(fails, tmp_path):
    output = f"--output={tmp_path}/bank.npz"
    assert "give one of --voc_dir and --tfds" in fails("build_occluders", output)
    assert "give one of --voc_dir and --tfds" in fails("build_occluders", output, "--tfds", f"--voc_dir={tmp_path}")
    assert f"{tmp_path} has no VOCtrainval" in fails("build_occluders", output, "--tfds", f"--manual_dir={tmp_path}")
    assert not list(tmp_path.iterdir())
