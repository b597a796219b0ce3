"""Tests of the warm-up requests: the model answers them, and they are all that a server has to warm up."""

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from pose_tf.export.warmup import write_warmup_requests


def read(path):
    return tf.data.TFRecordDataset(path).as_numpy_iterator()


def test_the_warm_up_requests_are_ones_that_the_model_answers(exported):
    signatures = tf.saved_model.load(exported).signatures
    seen = []
    for data in read(f"{exported}/assets.extra/tf_serving_warmup_requests"):
        request = prediction_log_pb2.PredictionLog.FromString(data).predict_log.request
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        outputs = signatures[request.model_spec.signature_name](**inputs)
        finite = {name: np.isfinite(value).all() for name, value in outputs.items()}
        finite.pop("root3d", None)  # the untrained model's poses may be nowhere in front of the camera
        assert all(finite.values())
        seen.append((request.model_spec.signature_name, len(outputs["pose3d"])))
    served = set(signatures) - {"people"}  # its inputs differ in their first dimension, along which servers batch
    assert sorted(seen) == sorted((name, size) for name in served for size in (1, 8))


def test_requests_are_the_same_example_repeated_to_the_size_of_the_batch(tmp_path):
    write_warmup_requests(
        f"{tmp_path}/requests", "pose", ["serving_default", "images", "image_and_box", "lift", "people"]
    )
    logs = [prediction_log_pb2.PredictionLog.FromString(data) for data in read(f"{tmp_path}/requests")]
    requests = [log.predict_log.request for log in logs]
    assert {request.model_spec.name for request in requests} == {"pose"}
    by_size = [{}, {}]
    for number, request in enumerate(requests):
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        assert {len(value) for value in inputs.values()} == {(1, 8)[number // 4]}
        by_size[number // 4][request.model_spec.signature_name] = inputs
    one, eight = by_size
    assert set(one) == set(eight) == {"serving_default", "images", "image_and_box", "lift"}
    for signature, inputs in eight.items():
        for key, value in inputs.items():
            np.testing.assert_array_equal(value, np.repeat(one[signature][key], 8, axis=0))
    write_warmup_requests(f"{tmp_path}/fewer", "pose", ["images"])
    assert len(list(read(f"{tmp_path}/fewer"))) == 2
    image = tf.io.decode_jpeg(one["serving_default"]["image_bytes"][0])
    assert image.shape == (256, 256, 3)
    assert one["lift"]["pose2d"].shape == (1, 17, 2)
