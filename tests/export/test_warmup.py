"""Tests of the warm-up requests: the model answers them, and they are all that a server has to warm up."""

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2


def test_the_warm_up_requests_are_ones_that_the_model_answers(exported):
    signatures = tf.saved_model.load(exported).signatures
    seen = []
    for data in tf.data.TFRecordDataset(f"{exported}/assets.extra/tf_serving_warmup_requests").as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(data).predict_log.request
        inputs = {key: tf.constant(tf.make_ndarray(value)) for key, value in request.inputs.items()}
        outputs = signatures[request.model_spec.signature_name](**inputs)
        assert all(np.isfinite(value).all() for value in outputs.values())
        seen.append((request.model_spec.signature_name, len(outputs["pose3d"])))
    served = set(signatures) - {"people"}  # its inputs differ in their first dimension, along which servers batch
    assert sorted(seen) == sorted((name, size) for name in served for size in (1, 8))
