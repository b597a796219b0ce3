"""Tests of loading .keras files: ours load, nothing in others is executed, and damage gives one sentence."""

import io
import json
import os
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf

from pose_tf.errors import UserError
from pose_tf.models import EfficientNetLite, FeedForward, HRNet, PoseEstimator, SemGCN, load_keras
from pose_tf.models.decoding import Decoding
from pose_tf.models.features import feature_channels
from pose_tf.models.statistics import PoseStatistics

MODELS = {
    "hrnet": lambda: HRNet(4, stem=4, modules=(1, 1, 1), blocks=1, downsample=2),
    "efficientnet_lite": lambda: EfficientNetLite(0, scale=0.625, pyramid=(8, 8, 8, 8)),
    "feed_forward": lambda: FeedForward(units=8, share_blocks=True, num_blocks=0),
    "sem_gcn": lambda: SemGCN(
        16, channels=8, edges=[(i, i + 1) for i in range(15)], groups=[[i, i + 1] for i in range(0, 16, 2)]
    ),
}


def estimator():
    """Both stages, with a lifter that takes confidences and sees the image."""
    detector = MODELS["hrnet"]()
    lifter = FeedForward(units=8, num_blocks=1, confidence=True, features=feature_channels(detector))
    statistics = PoseStatistics(np.zeros((17, 3), np.float32), np.full((17, 3), 100, np.float32), 1.5)
    model = PoseEstimator(detector, lifter, statistics, flip_lifter=True, decoding=Decoding(beta=3.0))
    model.build_from_config(None)
    return model


MODELS["estimator"] = estimator


@pytest.fixture(scope="module")
def lifter(tmp_path_factory):
    """Bytes of a lifter's file."""
    path = tmp_path_factory.mktemp("model") / "lifter.keras"
    FeedForward(units=8, num_blocks=1).save(path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "best.keras"


def parts(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def refusal(path):
    """The error message."""
    with pytest.raises(UserError) as error:
        load_keras(str(path))
    message = str(error.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back(path, name):
    model = MODELS[name]()
    for number, weight in enumerate(model.weights):
        weight.assign(tf.random.stateless_normal(weight.shape, [0, number]))
    model.save(path)
    again = load_keras(str(path))
    assert type(again) is type(model)
    assert again.get_config() == model.get_config()
    for ours, theirs in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("folder", ["run[x]", "back\\slash", "a*b?", os.fsdecode(b"not\xff utf-8")])
def test_the_name_of_the_directory_does_not_matter(tmp_path, lifter, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "best.keras").write_bytes(lifter)
    assert load_keras(os.path.join(tmp_path, folder, "best.keras")).name == "feed_forward"


# ----------------------------------------------------------------------------------------- what would run code


class Runs(tf.keras.layers.Layer):
    """Creates a file when it is called."""

    def call(self, x):
        open(self.name, "w").close()
        return x


def with_lambda(target):
    made = str(target)
    inputs = tf.keras.Input((2,))
    return tf.keras.Model(inputs, tf.keras.layers.Lambda(lambda x: (open(made, "w").close(), x)[1])(inputs))


@pytest.mark.parametrize("form", ["keras", "h5", "tf"])
def test_a_lambda_does_not_run(path, tmp_path, form):
    made = tmp_path / "made"
    model = with_lambda(made)
    made.unlink()
    source = tmp_path / {"keras": "source.keras", "h5": "source.h5", "tf": "source"}[form]
    model.save(source, save_format=form)
    made.unlink(missing_ok=True)
    os.rename(source, path)
    message = refusal(path)
    assert (
        "holds a Functional; it can be EfficientNetLite, FeedForward, HRNet, SemGCN" in message
        or "cannot be loaded" in message
    )
    assert not made.exists()


@pytest.mark.parametrize(
    "config",
    [
        {"module": "os", "class_name": "system", "registered_name": None, "config": "touch made"},
        {"module": "builtins", "class_name": "function", "config": "exec", "registered_name": "function"},
        {"module": "os", "class_name": "system", "registered_name": "pose_tf>system", "config": {"command": "x"}},
        {"class_name": "__lambda__", "config": {"value": "x"}},
        {"registered_name": "pose_tf>PoseEstimator", "class_name": "PoseEstimator", "config": {}},
        {"registered_name": ["pose_tf>FeedForward"], "config": {}},
        {"registered_name": "pose_tf>FeedForward", "config": []},
        {"registered_name": "pose_tf>FeedForward", "config": {"units": {"class_name": "Lambda"}}},
        {"registered_name": "pose_tf>FeedForward", "config": {"units": 8, "dtype": {"module": "os"}}},
        {"registered_name": "pose_tf>FeedForward", "config": {"units": 8, "size": 3}},
        {"registered_name": "pose_tf>FeedForward", "config": {"units": "8"}},
        {"registered_name": "pose_tf>FeedForward", "config": {"units": 0}},
        {"registered_name": "pose_tf>FeedForward", "config": {"units": -64}},
        {"registered_name": "pose_tf>FeedForward", "config": {"units": 10**9}},
        {"registered_name": "pose_tf>FeedForward", "config": {"units": 8, "num_blocks": 10**9}},
        {"registered_name": "pose_tf>FeedForward", "config": {"units": 8, "num_blocks": 2}},
        {"registered_name": "pose_tf>HRNet", "config": {"width": 10**6}},
        {"registered_name": "pose_tf>EfficientNetLite", "config": {"variant": 9}},
        {"registered_name": "pose_tf>EfficientNetLite", "config": {"scale": 1e6}},
        {"registered_name": "pose_tf>EfficientNetLite", "config": {"pyramid": [64] * 40}},
        {"registered_name": "pose_tf>EfficientNetLite", "config": {"pyramid": [10**6] * 4}},
        {"registered_name": "pose_tf>SemGCN", "config": {"channels": 8, "edges": [[0, 99]]}},
        [],
        3,
        None,
        "x",
    ],
    ids=str,
)
def test_another_configuration_is_refused(path, lifter, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(path, parts(lifter) | {"config.json": json.dumps(config)})
    refusal(path)
    assert os.listdir(tmp_path) == ["best.keras"]


def test_pickled_weights_are_not_read(path, lifter):
    members = parts(lifter)
    members["model.weights.npz"] = members.pop("model.weights.h5")
    write(path, members)
    assert "has no model.weights.h5" in refusal(path)


def hdf5(lifter, change):
    file = io.BytesIO(parts(lifter)["model.weights.h5"])
    with h5py.File(file, "r+") as content:
        change(content)
    return file.getvalue()


def external_link(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.ExternalLink("/etc/other.h5", "/x")


def soft_link(file):
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.SoftLink("/layers/dense_1/vars/0")


def external_storage(file):
    del file["layers/dense/vars/1"]
    file.create_dataset("layers/dense/vars/1", (8,), "<f4", external=[("/etc/passwd", 0, 32)])


def virtual(file):
    del file["layers/dense/vars/1"]
    layout = h5py.VirtualLayout((8,), "<f4")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (8,))
    file.create_virtual_dataset("layers/dense/vars/1", layout)


def sparse(file):
    file.create_dataset("more", (2**40,), "<f4", chunks=(1024,))


def compressed(file):
    file.create_dataset("more", data=np.zeros(2**20, np.float32), compression="gzip")


def text(file):
    file["more"] = "text"


def lacking(file):
    del file["layers/dense/vars/0"]


def reshaped(file):
    values = file["layers/dense/vars/0"][:]
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = values.T.copy()


def surplus(file):
    file["layers/more/vars/0"] = np.zeros(3, np.float32)


@pytest.mark.parametrize(
    "change, words",
    [
        (external_link, "layers/dense/vars/0 is a link"),
        (soft_link, "layers/dense/vars/0 is a link"),
        (external_storage, "the numbers of layers/dense/vars/1 are not in the file"),
        (virtual, "the numbers of layers/dense/vars/1 are not in the file"),
        (sparse, "the numbers of more are not in the file"),
        (compressed, "the numbers of more are not in the file"),
        (text, "more"),
        (lacking, "is damaged: it has"),
        (reshaped, "shape"),
        (surplus, "is damaged: it has"),
    ],
)
def test_weights_that_are_not_plain_numbers_of_the_model_are_refused(path, lifter, change, words):
    write(path, parts(lifter) | {"model.weights.h5": hdf5(lifter, change)})
    assert words in refusal(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_named(path, value):
    model = FeedForward(units=8)
    bias = model.get_layer("block1.2.linear").bias
    bias.assign(tf.tensor_scatter_nd_update(bias, [[3]], [value]))
    model.save(path)
    assert f"'{bias.name}' are not finite" in refusal(path)


# ------------------------------------------------------------------------------------------------------ damage


def test_a_bomb_is_refused(path, lifter):
    write(path, parts(lifter) | {"config.json": b" " * 10_000_000}, zipfile.ZIP_DEFLATED)
    assert "is compressed" in refusal(path)


def test_names_that_leave_the_directory_are_not_written(path, tmp_path, lifter):
    write(path, parts(lifter) | {"../../made": b"", "/tmp/made": b"", "assets/../../made": b""})
    assert load_keras(str(path)).name == "feed_forward"
    assert os.listdir(tmp_path) == ["best.keras"]


def test_a_missing_file_and_a_directory_are_named(path):
    assert refusal(path).endswith("does not exist")
    path.mkdir()
    assert "cannot be loaded" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x89HDF\r\n\x1a\n" + b"\0" * 2000, b"text"], ids=str)
def test_a_file_of_another_format_is_named(path, content):
    path.write_bytes(content)
    assert "it is not a zip archive" in refusal(path)


def test_any_damage_is_harmless_or_one_sentence(path, lifter):
    path.write_bytes(lifter)
    whole = load_keras(str(path)).get_weights()
    rng = np.random.default_rng(0)
    weights = lifter.index(b"\x89HDF")
    directory = lifter.index(b"PK\x01\x02")
    regions = [range(weights), range(directory, len(lifter)), range(weights, weights + 3000), range(weights, directory)]
    refused = 0
    for region in regions:
        for position in rng.choice(region, 25):
            damaged = bytearray(lifter)
            damaged[position] ^= rng.integers(1, 256)
            path.write_bytes(damaged)
            try:
                model = load_keras(str(path))
            except UserError as error:
                assert str(path) in str(error)
                refused += 1
            else:
                for ours, theirs in zip(model.get_weights(), whole, strict=True):
                    np.testing.assert_array_equal(ours, theirs)
    assert refused > 50
    for size in rng.integers(len(lifter), size=8):
        path.write_bytes(lifter[:size])
        refusal(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"statistics": None},
        {"statistics": {"mean_mm": [[0, 0, "x"]], "std_mm": [[1, 1, 1]]}},
        {"decoding": {"method": "exec"}},
        {"decoding": {"beta": "3"}},
        {"decoding": {"size": 3}},
        {"lifter": None},
        {"lifter": {"registered_name": "pose_tf>HRNet", "config": {"width": 4}}},
        {"lifter": {"module": "os", "class_name": "system", "registered_name": None, "config": "touch made"}},
        {"detector": {"registered_name": "pose_tf>PoseEstimator", "config": {}}},
        {"more": 3},
    ],
    ids=str,
)
def test_a_damaged_estimator_is_refused_in_one_sentence(path, tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    estimator().save(path)
    members = parts(path.read_bytes())
    config = json.loads(members["config.json"])
    config["config"] |= changes
    write(path, members | {"config.json": json.dumps(config).encode()})
    refusal(path)
    assert os.listdir(tmp_path) == ["best.keras"]
