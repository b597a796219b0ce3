"""Tests of models in one file: equal to the SavedModel in either runtime, small, described, never there if wrong."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.export.comparison import Limits
from pose_tf.export.examples import Examples
from pose_tf.export.one_file import OneFileExporter
from pose_tf.geometry import UNLABELED_PX
from pose_tf.models import EfficientNetLite, FeedForward, PoseEstimator
from tests.export.models import coarse_noise, set_random_weights

NAMES = ("model_float32.tflite", "model_float16.tflite", "model_int8.tflite", "model_float32.onnx")
INTEGERS = {"CONV_2D", "DEPTHWISE_CONV_2D", "RESIZE_NEAREST_NEIGHBOR"}
FLOATS = {"RESIZE_BILINEAR", "SUM", "EXP", "FULLY_CONNECTED", "DIV"}


def by_name(paths):
    return {path.name: path for path in paths}


@pytest.fixture(scope="module")
def expected(exported, images):
    return tf.saved_model.load(exported).signatures["images"](images=tf.constant(images))


@pytest.mark.parametrize(("name", "px", "mm"), [(NAMES[0], 0.01, 0.1), (NAMES[3], 0.01, 0.1), (NAMES[1], 1, 5)])
def test_files_equal_the_saved_model_in_their_runtime(exported_files, images, expected, name, px, mm):
    path = by_name(exported_files)[name]
    if path.suffix == ".tflite":
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(str(path))  # as another program opens it, with its card
        run = interpreter.get_signature_runner("images")
        found = [run(images=images[i : i + 1]) for i in range(3)]
        found = {key: np.concatenate([one[key] for one in found]) for key in found[0]}
    else:
        onnxruntime = pytest.importorskip("onnxruntime")
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert [(one.name, one.type, one.shape) for one in session.get_inputs()] == [
            ("images", "tensor(uint8)", ["N", 256, 256, 3])
        ]
        names = [one.name for one in session.get_outputs()]
        found = dict(zip(names, session.run(None, {"images": images})))
    assert found.keys() == {"pose2d", "pose3d", "confidence"}
    np.testing.assert_allclose(found["pose2d"], expected["pose2d"], atol=px)
    np.testing.assert_allclose(found["pose3d"], expected["pose3d"], atol=mm)
    np.testing.assert_allclose(found["confidence"], expected["confidence"], atol=0.01)
    assert np.ptp(found["pose2d"], axis=0).max() > 2 * px  # images differ


def test_the_operations_of_onnx_are_those_of_its_standard(exported_files):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(by_name(exported_files)["model_float32.onnx"])
    assert [(one.domain, one.version) for one in model.opset_import if one.domain in ("", "ai.onnx")] == [("", 17)]
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    modes = {a.s for node in model.graph.node for a in node.attribute if a.name == "coordinate_transformation_mode"}
    assert modes <= {b"asymmetric", b"half_pixel"}
    # OpenVINO takes an Unsqueeze of no axes for one of axis 0, and then refuses the file.
    empty = {tensor.name for tensor in model.graph.initializer if 0 in tensor.dims}
    assert not [node.name for node in model.graph.node if node.op_type == "Unsqueeze" and node.input[1] in empty]


def operations(path):
    """(operation, type of its first output, name of this output) of a .tflite file."""
    interpreter = tf.lite.Interpreter(
        str(path),
        experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    outputs = ((op["op_name"], tensors[op["outputs"][0]]) for op in interpreter._get_ops_details())
    return [(name, np.dtype(tensor["dtype"]).name, tensor["name"]) for name, tensor in outputs]


@pytest.fixture(scope="module")
def small(estimator, tmp_path_factory):
    """Paths and figures of a small EfficientNet-Lite in LiteRT, by precision."""
    pytest.importorskip("ai_edge_litert")
    detector = EfficientNetLite(scale=0.5, pyramid=(8, 8, 12, 16))
    set_random_weights(detector, np.random.default_rng(0))
    model = PoseEstimator(detector, FeedForward(units=8), estimator.statistics)
    noise = coarse_noise(6)
    loose = dict.fromkeys(("float32", "float16", "int8"), Limits(20, 200, 100))
    exporter = OneFileExporter(model, Examples(noise[:3], unlabeled(3), "noise"), noise[3:], limits=loose)
    folder = str(tmp_path_factory.mktemp("small"))
    return {precision: exporter.export(folder, "litert", precision) for precision in loose}


def unlabeled(count):
    return np.full((count, 17, 2), UNLABELED_PX, np.float32)


def test_integers_end_before_the_heatmaps(small):
    found = operations(small["int8"][0])
    of_convolutions = [(kind, "/final_layer/" in name) for op, kind, name in found if op in INTEGERS]
    assert of_convolutions.count(("int8", False)) == len(of_convolutions) - 1 > 50
    assert ("float32", True) in of_convolutions
    assert {kind for op, kind, _ in found if op in FLOATS} == {"float32"}
    assert {op for op, *_ in found} >= FLOATS
    assert "int8" not in {kind for _, kind, _ in operations(small["float32"][0])}


def test_integers_compute_the_mirrored_image_too(estimator, exported_files):
    found = operations(by_name(exported_files)["model_int8.tflite"])
    convolutions = [kind for op, kind, _ in found if op == "CONV_2D"]
    layers = 1 + sum(isinstance(layer, tf.keras.layers.Conv2D) for layer in estimator.detector.layers[:-1])
    assert (convolutions.count("int8"), convolutions.count("float32")) == (2 * (layers - 1), 2)


def test_int8_is_near_and_smaller(small):
    sizes = {precision: os.path.getsize(path) for precision, (path, _) in small.items()}
    assert sizes["int8"] < 0.4 * sizes["float32"] and sizes["float16"] < 0.6 * sizes["float32"]
    figures = {precision: figures["pose2d_px"] for precision, (_, figures) in small.items()}
    assert figures["float32"] < 0.01 < figures["int8"] < 5
    assert figures["float32"] < figures["float16"] < figures["int8"]


def test_the_card_describes_the_file_and_the_comparison(exported_files):
    with zipfile.ZipFile(by_name(exported_files)["model_int8.tflite"]) as archive:
        card = json.loads(archive.read("model_card.json"))
    assert (card["format"], card["precision"], card["data"]) == ("litert", "int8", "none")
    assert card["inputs"].keys() == {"images"} and card["outputs"].keys() == {"pose2d", "pose3d", "confidence"}
    assert "pixels of the 256x256 crop" in card["outputs"]["pose2d"]
    assert card["joints"][0] == "Hip" and card["crop_margin"] == 1.25
    figures = card["compared_with_saved_model"]
    assert figures["crops"] == 3 and figures["of"] == "noise"
    assert figures["pose2d_px_median"] > 0 and figures["pose2d_px"] < 5


def test_a_file_that_is_too_far_off_is_not_left_behind(estimator, images, tmp_path):
    limits = {"float32": Limits(1e-9, 1e-9, 1)}
    exporter = OneFileExporter(estimator, Examples(images, unlabeled(3), "noise"), limits=limits)
    sentence = (
        f"^{tmp_path}/model_float32.tflite is not written: its 2D joints are 0.00 px from those of the SavedModel"
    )
    with pytest.raises(UserError, match=sentence):
        exporter.export(str(tmp_path), "litert", "float32")
    assert os.listdir(tmp_path) == []


def test_an_earlier_file_is_replaced(estimator, images, tmp_path):
    (tmp_path / "model_float32.tflite").write_text("of before")
    exporter = OneFileExporter(estimator, Examples(images, unlabeled(3), "noise"))
    path, _ = exporter.export(str(tmp_path), "litert", "float32")
    assert os.listdir(tmp_path) == ["model_float32.tflite"] and os.path.getsize(path) > 10_000


ALONE = """
import sys
import numpy as np
from pose_tf import model_files
card, run = model_files.read(sys.argv[1])
found = run(np.load(sys.argv[2]))
assert "tensorflow" not in sys.modules
np.savez(sys.argv[3], **found)
"""


@pytest.mark.parametrize("name", [NAMES[0], NAMES[3]])
def test_a_process_without_tensorflow_gets_the_same(exported_files, images, expected, name, tmp_path):
    np.save(tmp_path / "images.npy", images)
    path = by_name(exported_files)[name]
    command = [sys.executable, "-c", ALONE, path, tmp_path / "images.npy", tmp_path / "found.npz"]
    done = subprocess.run(command, cwd=os.getcwd(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(tmp_path / "found.npz") as found:
        np.testing.assert_allclose(found["pose2d"], expected["pose2d"], atol=0.01)
