"""Tests of exported models: equal to the Keras models, free of variables and of this package, never incomplete."""

import os
import pathlib
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import pose_tf
from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.export.saved_model import export
from pose_tf.models import EfficientNetLite, FeedForward, PoseEstimator
from tests.export.memory import memory_of_request, reports_memory
from tests.export.models import read_card, set_random_weights


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_exported_efficientnet_lite_is_loaded_and_equals_the_keras_model(estimator, images, precision, tmp_path):
    detector = EfficientNetLite(scale=0.5, pyramid=(8, 8, 12, 16))
    set_random_weights(detector, np.random.default_rng(0))
    small = PoseEstimator(detector, FeedForward(units=8), estimator.statistics, flip_detector=True)
    export(small, str(tmp_path / "model"), precision)
    found, expected = pose_tf.load(str(tmp_path / "model")).crops(images), small(images)
    tolerance = 0.01 if precision == "float32" else 0.2
    np.testing.assert_allclose(found["pose2d"], expected["pose2d"], atol=tolerance)
    assert np.ptp(found["pose2d"], axis=0).max() > 2 * tolerance  # images differ


def test_the_exported_model_equals_the_keras_models(estimator, exported, images):
    expected = estimator(images)
    found = tf.saved_model.load(exported).signatures["images"](images=tf.constant(images))
    np.testing.assert_allclose(found["pose2d"], expected["pose2d"], atol=0.01)
    np.testing.assert_allclose(found["pose3d"], expected["pose3d"], atol=0.1)
    np.testing.assert_allclose(found["confidence"], expected["confidence"], atol=1e-3)
    assert [name for name, _ in tf.train.list_variables(f"{exported}/variables/variables")] == [
        "_CHECKPOINTABLE_OBJECT_GRAPH"
    ]


def test_bfloat16_differs_little_and_the_lifter_stays_in_float32(estimator, exported, images, tmp_path):
    path = export(estimator, str(tmp_path / "model"), "bfloat16")
    expected = estimator(images)
    signatures = tf.saved_model.load(path).signatures
    found = signatures["images"](images=tf.constant(images))
    in_float32 = tf.saved_model.load(exported).signatures["lift"](pose2d=found["pose2d"])["pose3d"]
    np.testing.assert_array_equal(signatures["lift"](pose2d=found["pose2d"])["pose3d"], in_float32)
    np.testing.assert_allclose(found["pose3d"], in_float32, atol=1e-2)
    difference = np.abs(found["pose2d"] - expected["pose2d"])
    assert 1e-4 < difference.max() < 2
    assert read_card(path)["precision"] == "bfloat16"


ALONE = """
import json, sys
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
found = model.signatures["serving_default"](image_bytes=tf.constant([open(sys.argv[2], "rb").read()]))
assert not [name for name in sys.modules if name.startswith(("pose_tf", "tensorflow_addons"))]
np.savez(sys.argv[3], **{key: value.numpy() for key, value in found.items()})
"""


def test_a_process_without_this_package_gets_the_same(exported, images, tmp_path):
    cv2.imwrite(f"{tmp_path}/image.png", images[0, :, :, ::-1])
    command = [sys.executable, "-I", "-c", ALONE, exported, f"{tmp_path}/image.png", f"{tmp_path}/found.npz"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = tf.saved_model.load(exported).signatures["images"](images=tf.constant(images[:1]))
    with np.load(tmp_path / "found.npz") as found:
        for key in ("pose2d", "pose3d", "confidence"):
            np.testing.assert_allclose(found[key], expected[key], atol=1e-3)


@reports_memory
@pytest.mark.parametrize(
    ("signature", "side", "count", "at_once", "kind", "bytes_per_sample"),
    [
        ("serving_default", 4096, 10, 4, np.uint8, 1),
        ("serving_default", 4104, 10, 1, np.uint8, 1),
        ("serving_default", 4096, 10, 4, np.uint16, 3),
        ("serving_default", 4104, 10, 1, np.uint16, 3),
        ("image_and_box", 4096, 10, 4, np.uint8, 1),
        ("image_and_box", 8192, 2, 1, np.uint16, 3),
    ],
)
def test_a_request_of_large_images_takes_no_more_memory_than_the_largest(
    exported, tmp_path, signature, side, count, at_once, kind, bytes_per_sample
):
    """Ten images, together 2.5 times the maximum size of one, or two of the maximum size.

    Four are decoded at once if none exceeds a quarter of the maximum, one at a time otherwise. Without such a bound,
    they take 600 MiB. Samples of 16 bits are in memory together with their upper 8 bits.
    """
    cv2.imwrite(f"{tmp_path}/image.png", np.zeros((side, side, 3), kind), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    data = (tmp_path / "image.png").read_bytes()
    image_mib = bytes_per_sample * 3 * side**2 / 2**20

    def request(count):
        box = {"box": np.float32([[0, 0, side, side]] * count)} if signature == "image_and_box" else {}
        return {"image_bytes": [data] * count} | box

    found = memory_of_request(exported, signature, request(1), request(count))
    assert found < at_once * image_mib + 160  # the network takes about 100
    assert found < 768  # MiB for each image beside the model, see tests/test_deployment.py


def test_versions_count_up_and_a_half_written_one_is_never_there(estimator, tmp_path, monkeypatch):
    for version in ("3", "1", ".partial-9", "notes"):
        (tmp_path / version).mkdir()
    assert export(estimator, str(tmp_path)) == f"{tmp_path}/4"

    def full(path, values):
        assert os.path.exists(os.path.dirname(path))
        raise UserError(f"{path} cannot be written: No space left on device")

    monkeypatch.setattr(files, "write_json", full)
    with pytest.raises(UserError, match="No space left on device"):
        export(estimator, str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [".partial-9", "1", "3", "4", "notes"]


def test_an_export_leaves_the_version_that_another_has_completed_meanwhile(estimator, tmp_path, monkeypatch):
    save, saved = tf.saved_model.save, []

    def save_late(module, path, **options):
        saved.append(path)
        save(module, path, **options)
        if len(saved) == 1:
            (tmp_path / "1").mkdir()
            (tmp_path / "1" / "saved_model.pb").write_text("of another")

    monkeypatch.setattr(tf.saved_model, "save", save_late)
    path = export(estimator, str(tmp_path))
    assert path == f"{tmp_path}/2"
    assert read_card(path)["version"] == 2
    assert (tmp_path / "1" / "saved_model.pb").read_text() == "of another"
    assert sorted(os.listdir(tmp_path)) == ["1", "2"]


def test_directories_that_are_no_versions_are_not_counted(estimator, tmp_path):
    for name in ("²", "1.5", "-3", "v7"):
        (tmp_path / name).mkdir()
    assert export(estimator, str(tmp_path)) == f"{tmp_path}/1"


def test_a_place_that_cannot_be_written_is_named(estimator, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"^{tmp_path}/file cannot be written: Not a directory"):
        export(estimator, f"{tmp_path}/file")


@pytest.fixture(scope="session")
def c_program(tmp_path_factory):
    """A C program that runs a model through the library on which TF Serving is built; the wheel contains it."""
    if not shutil.which("gcc"):
        pytest.skip("no gcc")
    package = pathlib.Path(tf.__file__).parent
    program = tmp_path_factory.mktemp("c") / "run_model"
    libraries = [str(package / name) for name in ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")]
    source = pathlib.Path(__file__).with_name("run_model.c")
    command = ["gcc", "-std=c11", "-Wall", "-Werror", f"-I{tf.sysconfig.get_include()}", str(source), *libraries]
    done = subprocess.run([*command, f"-Wl,-rpath,{package}", "-o", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


def test_a_c_program_gets_the_same_from_a_jpeg(c_program, exported, images, tmp_path):
    cv2.imwrite(f"{tmp_path}/image.jpg", images[0, :200, :, ::-1])
    signature = tf.saved_model.load(exported).signatures["serving_default"]
    expected = signature(image_bytes=tf.constant([(tmp_path / "image.jpg").read_bytes()]))
    with open(f"{exported}/saved_model.pb", "rb") as file:
        (graph,) = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
    described = graph.signature_def["serving_default"]
    names = [described.outputs[key].name for key in ("pose2d", "pose3d", "confidence")]
    arguments = [exported, f"{tmp_path}/image.jpg", described.inputs["image_bytes"].name.split(":")[0], *names]
    done = subprocess.run([c_program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [np.float32(line.split()) for line in done.stdout.splitlines()]
    for numbers, key in zip(found, ("pose2d", "pose3d", "confidence"), strict=True):
        np.testing.assert_allclose(numbers, np.ravel(expected[key]), atol=1e-3)

    (tmp_path / "notes.txt").write_text("not an image")
    arguments[1] = f"{tmp_path}/notes.txt"
    done = subprocess.run([c_program, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "error 3:" in done.stderr  # INVALID_ARGUMENT
