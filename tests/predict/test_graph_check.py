"""Tests that only SavedModels without side effects are loaded."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from pose_tf.errors import UserError
from pose_tf.predict.tensorflow_backends import SavedModel

SIGNATURE = [tf.TensorSpec([None], tf.string, "image_bytes"), tf.TensorSpec([None, 4], tf.float32, "box")]


def save(path, action=lambda box: box, module=None):
    """Writes a model whose `pose2d` is `action(box)`."""

    @tf.function(input_signature=SIGNATURE)
    def estimate(image_bytes, box):
        return {"pose2d": action(box)}

    tf.saved_model.save(module or tf.Module(), str(path), signatures={"image_and_box": estimate})


def refusal(path):
    """The error message."""
    with pytest.raises(UserError) as error:
        SavedModel(str(path))
    assert str(error.value).startswith(str(path))
    return str(error.value)


@pytest.mark.parametrize("folder", ["model", "model[1]", "back\\slash", "a*b?", os.fsdecode(b"not\xff utf-8")])
def test_a_model_that_computes_is_loaded_from_a_directory_of_any_name(tmp_path, folder):
    save(tmp_path / "saved", lambda box: 2 * box + 1)
    path = os.path.join(tmp_path, folder)
    os.makedirs(path)
    shutil.move(tmp_path / "saved", os.path.join(path, "3"))
    poses = SavedModel(path).predict("image_and_box", {"image_bytes": [b""], "box": np.float32([[1, 2, 3, 4]])})
    np.testing.assert_array_equal(poses["pose2d"], [[3, 5, 7, 9]])


def after(operation):
    def action(box):
        with tf.control_dependencies([operation]):
            return tf.identity(box)

    return action


def attacks(made):
    def write(box):
        return after(tf.io.write_file(made, "x"))(box)

    def branch(box):
        return tf.cond(tf.reduce_sum(box) > 0, lambda: write(box), lambda: box)

    def loop(box):
        return tf.while_loop(lambda _: True, lambda b: [write(b)], [box], maximum_iterations=1)[0]

    def read(box):
        return box + tf.cast(tf.strings.length(tf.io.read_file("/etc/passwd")), tf.float32)

    def find(box):
        return box + tf.cast(tf.size(tf.io.matching_files("/*")), tf.float32)

    def python(box):
        return tf.numpy_function(lambda b: b, [box], tf.float32)

    def checkpoint(box):
        names = tf.constant(["x"])
        tf.raw_ops.SaveV2(prefix=made, tensor_names=names, shape_and_slices=[""], tensors=[box])
        return box

    def restore(box):
        return (
            box + tf.raw_ops.RestoreV2(prefix=made, tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32])[0]
        )

    def show(box):
        tf.print("file", output_stream=f"file://{made}")
        return box

    return {
        "WriteFile": [write, branch, loop],
        "ReadFile": [read],
        "MatchingFiles": [find],
        "PyFunc": [python],
        "SaveV2": [checkpoint],
        "RestoreV2": [restore],
        "PrintV2": [show],
    }


@pytest.mark.parametrize(
    "operation, number",
    [(operation, i) for operation, actions in attacks("").items() for i in range(len(actions))],
)
def test_a_graph_that_does_more_is_refused_and_does_not_run(tmp_path, operation, number):
    save(tmp_path / "model", attacks(str(tmp_path / "made"))[operation][number])
    assert f"the operation {operation}" in refusal(tmp_path / "model")
    assert os.listdir(tmp_path) == ["model"]


def test_the_operations_that_restore_a_model_cannot_be_called(tmp_path):
    save(tmp_path / "model", lambda box: box * 2)
    file = tmp_path / "model" / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    library = model.meta_graphs[0].graph_def.library
    (saving,) = (f.signature.name for f in library.function if "SaveV2" in {node.op for node in f.node_def})
    (wrapper,) = (f for f in library.function if "signature_wrapper" in f.signature.name)
    (call,) = (node for node in wrapper.node_def if node.op.endswith("PartitionedCall"))
    call.attr["f"].func.name = saving
    file.write_bytes(model.SerializeToString())
    assert "the operation MergeV2Checkpoints" in refusal(tmp_path / "model")


def test_what_runs_while_a_model_is_loaded_is_refused(tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\n")
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(
            str(tmp_path / "names.txt"),
            *(tf.string, tf.lookup.TextFileIndex.WHOLE_LINE),
            *(tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER),
        ),
        -1,
    )
    save(tmp_path / "model", module=module)
    assert "is refused: pose-tf export did not write it" in refusal(tmp_path / "model")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_constant_that_is_not_finite_is_refused(tmp_path, value):
    save(tmp_path / "model", lambda box: box + tf.constant([1.0, 2.0, 3.0, value], name="kernel"))
    assert "/kernel' are not finite" in refusal(tmp_path / "model").replace("'kernel", "/kernel")


def test_a_model_of_another_kind_is_named(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    assert "image_and_box" in refusal(tmp_path / "empty")
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(2,))])
    tf.saved_model.save(model, str(tmp_path / "keras"))
    assert "is refused: pose-tf export did not write it" in refusal(tmp_path / "keras")


def test_any_damage_is_harmless_or_one_sentence(tmp_path, rng):
    save(tmp_path / "model", lambda box: 2 * box + 1)
    refused = 0
    for name in ("saved_model.pb", "variables/variables.index"):
        file = tmp_path / "model" / name
        content = file.read_bytes()
        for i in range(30):
            position = rng.integers(len(content))
            damaged = bytearray(content)
            damaged[position] ^= rng.integers(1, 256)
            file.write_bytes(damaged[:position] if i % 3 == 0 else damaged)
            try:
                SavedModel(str(tmp_path / "model"))
            except UserError as error:
                assert str(error).startswith(f"{tmp_path}/model")
                refused += 1
        file.write_bytes(content)
    assert refused > 10
