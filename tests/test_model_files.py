"""Tests of model files: the card is where other programs find it, and nothing damaged or foreign is opened."""

import io
import json
import zipfile

import numpy as np
import pytest

from pose_tf.errors import UserError
from pose_tf.model_files import LiteRT, OnnxRuntime, ending, read

CARD = {"joints": ["Hip", "Fuß"], "long": "x" * 300}


def test_the_card_of_a_tflite_file_is_an_archive_behind_the_model():
    content = LiteRT.attach(b"TFL3 model", CARD)
    assert content.startswith(b"TFL3 model")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == ["model_card.json"]
        card = json.loads(archive.read("model_card.json"))
    assert card == LiteRT.card(content) and CARD.items() <= card.items()
    assert card["model_bytes"] == 10


def test_the_card_of_an_onnx_file_is_its_metadata():
    onnx = pytest.importorskip("onnx")
    model = onnx.ModelProto(ir_version=8, producer_name="a")
    content = OnnxRuntime.attach(model.SerializeToString(), CARD)
    found = onnx.ModelProto.FromString(content)
    assert (found.ir_version, found.producer_name) == (8, "a")
    ((key, text),) = ((entry.key, entry.value) for entry in found.metadata_props)
    assert key == "model_card" and json.loads(text) == OnnxRuntime.card(content)
    assert CARD.items() <= json.loads(text).items()


def test_the_ending_of_a_name_tells_these_files_from_others():
    assert [ending(name) for name in ("a/m.tflite", "M.ONNX", "model/1", "localhost:8500", "m.pb")] == [
        *(".tflite", ".onnx", None, None, None)
    ]


@pytest.fixture(scope="module", params=[".tflite", ".onnx"])
def path(request, exported_files):
    return next(path for path in exported_files if path.suffix == request.param)


DAMAGE = {
    "empty": lambda data: b"",
    "cut in half": lambda data: data[: len(data) // 2],
    "without its end": lambda data: data[:-20],
    "another byte in the model": lambda data: data[:5000] + bytes([data[5000] ^ 4]) + data[5001:],
    "another byte in the card": lambda data: data[:-400] + bytes([data[-400] ^ 129]) + data[-399:],
    "text": lambda data: b"not a model\n" * 100,
    "an archive": lambda data: zipped("model_card.json", b"[]"),
}


def zipped(name, text):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, text)
    return content.getvalue()


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_refused_in_one_sentence(path, damage, tmp_path):
    bad = tmp_path / f"bad{path.suffix}"
    bad.write_bytes(DAMAGE[damage](path.read_bytes()))
    with pytest.raises(UserError) as caught:
        read(str(bad))
    assert str(caught.value).startswith(f"{bad} is damaged") and "\n" not in str(caught.value)


def test_a_sound_card_behind_something_else_does_not_help(path, tmp_path):
    """The checksum finds damage, not malice; what is no model is refused by the runtime."""
    runtime = LiteRT if path.suffix == ".tflite" else OnnxRuntime
    bad = tmp_path / f"bad{path.suffix}"
    bad.write_bytes(runtime.attach(bytes(range(256)) * 10, CARD))
    with pytest.raises(UserError, match=f"^{bad} cannot be used: (LiteRT|ONNX Runtime) refuses it "):
        read(str(bad))


@pytest.mark.parametrize("joints", [["Hip", "Head"], None, 17])
def test_a_card_that_does_not_name_the_joints_of_the_model_is_refused(path, joints, tmp_path):
    runtime, content = (LiteRT if path.suffix == ".tflite" else OnnxRuntime), path.read_bytes()
    card = runtime.card(content)
    model, card = content[: card["model_bytes"]], {key: value for key, value in card.items() if key != "joints"}
    bad = tmp_path / f"bad{path.suffix}"
    bad.write_bytes(runtime.attach(model, card | ({"joints": joints} if joints else {})))
    number = 2 if isinstance(joints, list) else 0
    with pytest.raises(UserError) as caught:
        read(str(bad))
    assert str(caught.value) == (
        f"{bad} is damaged: its model has poses of 17 joints, but its card names {number}; export the model again"
    )


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=f"^{tmp_path}/m.onnx cannot be read: No such file"):
        read(f"{tmp_path}/m.onnx")


def test_an_onnx_file_cannot_read_other_files(tmp_path):
    """Its weights may be in other files, by their paths."""
    onnx = pytest.importorskip("onnx")
    weights = onnx.numpy_helper.from_array(np.zeros(3, np.float32), "w")
    onnx.external_data_helper.set_external_data(weights, "/etc/passwd")
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    graph = onnx.helper.make_graph([], "g", [], [], [weights])
    (tmp_path / "m.onnx").write_bytes(OnnxRuntime.attach(onnx.helper.make_model(graph).SerializeToString(), CARD))
    with pytest.raises(UserError, match="m.onnx cannot be used: its weights are in other files"):
        read(f"{tmp_path}/m.onnx")


def test_a_file_of_impossible_size_is_not_read(path, tmp_path):
    with open(tmp_path / f"m{path.suffix}", "wb") as file:
        file.truncate(1 << 33)  # a hole
    with pytest.raises(UserError, match="too large for a model: more than 1,073,741,824 bytes"):
        read(f"{tmp_path}/m{path.suffix}")
