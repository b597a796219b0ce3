"""Estimates the poses in photos and videos as tools/predict.py does, with a model that TF Serving serves.

    python tools/serving_client.py --server=localhost:8500 --input=photo.jpg --output_dir=poses
    python tools/serving_client.py --server=http://localhost:8501 --input=FOLDER --boxes=boxes.csv --output_dir=poses

HOST:PORT is asked over gRPC, http://HOST:PORT over REST. People are found here, and their surroundings sent, many in a
request; a server that is not available is asked again. For the results see tools/predict.py.
"""

import _checkout  # noqa: F401
import _pictures
from absl import flags

from pose_tf import cli

_SERVER = flags.DEFINE_string("server", None, "HOST:PORT of gRPC, or http://HOST:PORT of REST.")
_MODEL_NAME = flags.DEFINE_string("model_name", "pose", "Of the model on the server.")
_TIMEOUT_S = flags.DEFINE_float("timeout_s", 10.0, "Deadline of a request in seconds.", lower_bound=0.001)
_ATTEMPTS = flags.DEFINE_integer("attempts", 5, "How often a server that is not available is asked.", lower_bound=1)
flags.mark_flag_as_required("server")
flags.adopt_module_key_flags(_pictures)


def main():
    from pose_tf.errors import argument
    from pose_tf.predict.model import PoseModel
    from pose_tf.predict.predictor import predict
    from pose_tf.serving.client import Client, ServerError

    options = _pictures.options()
    with (
        argument("--server", ServerError),
        Client(_SERVER.value, _MODEL_NAME.value, _TIMEOUT_S.value, _ATTEMPTS.value) as client,
    ):
        predict(PoseModel(client), _pictures.INPUT.value, options)


if __name__ == "__main__":
    cli.run(main)
