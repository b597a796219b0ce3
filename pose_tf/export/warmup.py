"""Warm-up requests, which TF Serving replays when it loads an exported model."""

from collections.abc import Iterable

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from pose_tf import images
from pose_tf.geometry import CROP_SIZE
from pose_tf.skeleton import H36M

BATCH_SIZES = (1, 8)  # of the warm-up requests


def write_warmup_requests(
    path: str, model_name: str, signatures: Iterable[str], num_joints: int = len(H36M.joints)
) -> None:
    """Writes warm-up requests in the format of `assets.extra/tf_serving_warmup_requests`.

    It writes none for `people`: a server that batches requests concatenates all inputs along their first dimension,
    which is the image's height here. TF Serving does not load a model if a warm-up request fails.

    Args:
        path: file to write, TFRecords of `PredictionLog`.
        model_name: name of the model in the requests, which the server ignores.
        signatures: names of the model's signatures.
        num_joints: number of its joints.
    """
    gray = np.full((CROP_SIZE, CROP_SIZE, 3), 128, np.uint8)
    encoded = images.encode(gray, ".jpg")
    inputs = {
        "serving_default": {"image_bytes": encoded},
        "images": {"images": gray},
        "image_and_box": {"image_bytes": encoded, "box": np.float32([64, 32, 128, 192])},
        "image_box_and_camera": {
            "image_bytes": encoded,
            "box": np.float32([64, 32, 128, 192]),
            "intrinsics": np.float32([256, 127.5, 256, 127.5]),
        },
        "lift": {"pose2d": np.full((num_joints, 2), 128, np.float32)},
    }
    inputs = {signature: values for signature, values in inputs.items() if signature in signatures}
    with tf.io.TFRecordWriter(path) as writer:
        for size in BATCH_SIZES:
            for signature, values in inputs.items():
                request = predict_pb2.PredictRequest()
                request.model_spec.name = model_name
                request.model_spec.signature_name = signature
                for key, value in values.items():
                    request.inputs[key].CopyFrom(tf.make_tensor_proto(np.stack([value] * size)))
                log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                writer.write(log.SerializeToString())
