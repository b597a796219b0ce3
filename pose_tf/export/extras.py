"""What lies beside an exported model: requests to warm it up, and a card that describes it."""

import cv2
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

import pose_tf
from pose_tf import skeleton
from pose_tf.models.estimator import CROP_SIZE

BATCH_SIZES = (1, 8)  # of the warm-up requests


def write_warmup_requests(path: str, model_name: str) -> None:
    """Writes requests to the signatures that TF Serving serves, as it reads them from
    `assets.extra/tf_serving_warmup_requests`.

    `people` has none: a server that batches requests joins all inputs along their first dimension, which is not the
    number of people in an image. A warm-up request that fails would keep the model from being loaded.

    Args:
        path: of the file, TFRecords of `PredictionLog`.
        model_name: that the server gives the model; it ignores it.
    """
    grey = np.full((CROP_SIZE, CROP_SIZE, 3), 128, np.uint8)
    encoded = cv2.imencode(".jpg", grey)[1].tobytes()
    inputs = {
        "serving_default": {"image_bytes": encoded},
        "images": {"images": grey},
        "image_and_box": {"image_bytes": encoded, "box": np.float32([64, 32, 128, 192])},
        "lift": {"pose2d": np.full((len(skeleton.H36M.joints), 2), 128, np.float32)},
    }
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


def describe(estimator) -> dict:
    """What a model card says of any estimator: joints, units, conventions, and how it computes."""
    return {
        "pose_tf": pose_tf.__version__,
        "tensorflow": tf.__version__,
        "joints": list(skeleton.H36M.joints),
        "bones": [list(bone) for bone in skeleton.H36M.bones],
        "mirror": list(skeleton.H36M.mirror),
        "inputs": {
            "image_bytes": "JPEG, PNG or BMP of one person, any size; turned upright as its EXIF data says",
            "images": f"uint8 RGB, {CROP_SIZE}x{CROP_SIZE}",
            "image": "uint8 RGB, any size, upright",
            "box": "x, y, width, height of the person in pixels of the upright image",
            "pose2d": f"x, y in pixels of a {CROP_SIZE}x{CROP_SIZE} crop",
        },
        "outputs": {
            "pose2d": "x right, y down, in pixels of the upright image; pixel centers at integers",
            "pose3d": "x right, y down, z away from the camera, in mm relative to the hip",
            "confidence": "0 to 1 for each joint",
        },
        "crop_margin": estimator.statistics.margin,
        "flip_test": {"detector": estimator.flip_detector, "lifter": estimator.flip_lifter},
        "parameters": {"detector": estimator.detector.count_params(), "lifter": estimator.lifter.count_params()},
    }
