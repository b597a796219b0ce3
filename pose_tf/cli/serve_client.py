"""Estimates the poses in photos and videos with a model on TF Serving.

    pose-tf serve-client --server=localhost:8500 --input=photo.jpg --output_dir=poses
    pose-tf serve-client --server=http://localhost:8501 --input=FOLDER --boxes=boxes.csv --output_dir=poses

HOST:PORT selects gRPC, http://HOST:PORT selects REST. The command finds the people and sends the image region around
each, many per request. It retries if the server is not available. pose-tf predict --help describes the results.
"""

from absl import flags

from pose_tf.cli import _photos, start_tensorflow

_SERVER = flags.DEFINE_string("server", None, "HOST:PORT for gRPC, or http://HOST:PORT for REST.")
_MODEL_NAME = flags.DEFINE_string("model_name", "pose", "Name of the model on the server.")
_TIMEOUT_S = flags.DEFINE_float("timeout_s", 10.0, "Deadline of a request in seconds.", lower_bound=0.001)
_ATTEMPTS = flags.DEFINE_integer("attempts", 5, "Number of attempts if the server is not available.", lower_bound=1)
_SKELETON = flags.DEFINE_string(
    "skeleton", "h36m", "Joints of the model, which a server does not name: a name such as h36m_16, or a JSON file."
)
flags.mark_flag_as_required("server")
flags.adopt_module_key_flags(_photos)


def main():
    _photos.require_input()
    start_tensorflow()
    from pose_tf.errors import argument
    from pose_tf.predict.media import InputError
    from pose_tf.predict.model import PoseModel
    from pose_tf.predict.predictor import predict
    from pose_tf.serving.client import Client, ServerError
    from pose_tf.skeleton import find_skeleton

    options = _photos.options()
    skeleton = find_skeleton(_SKELETON.value, "--skeleton")
    with (
        argument("--server", ServerError),
        argument("--input", InputError),
        Client(_SERVER.value, _MODEL_NAME.value, _TIMEOUT_S.value, _ATTEMPTS.value, skeleton) as client,
    ):
        predict(PoseModel(client), _photos.INPUT.value, options)
