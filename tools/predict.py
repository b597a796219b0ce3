"""Finds the people in photos and videos and estimates their poses, with an exported model.

    python tools/predict.py --model=model --input=photo.jpg --output_dir=poses
    python tools/predict.py --model=model --input=FOLDER --boxes=boxes.csv --output_dir=poses
    python tools/predict.py --model=model --input=walk.mp4 --output_dir=poses
    python tools/predict.py --model=model --input=- --output_dir=poses

For NAME.jpg or NAME.mp4, the output directory receives

    NAME.png, NAME.mp4     the photo or video with everyone's skeleton
    NAME.views.png         beside it, the 3D poses from three sides
    NAME.html              a page for the browser: the poses can be turned and played
    NAME.json, .csv, .npz  2D joints in pixels of the photo, 3D joints in mm relative to the hip, confidence

Of a folder, hidden files and results of earlier runs are left out. Results replace nothing but earlier results: they
may lie beside the photos.

People are found by OpenCV's pedestrian detector, which sees those who stand or walk, whole, and not too small; others
need a box. In a video people are followed, and times are the file's own time stamps. A camera is read until Ctrl-C.
"""

import _checkout  # noqa: F401
import _pictures
from absl import flags

from pose_tf import cli

_MODEL = flags.DEFINE_string("model", None, "Directory written by tools/export.py.")
flags.mark_flag_as_required("model")
flags.adopt_module_key_flags(_pictures)


def main():
    from pose_tf.errors import argument
    from pose_tf.predict.backends import SavedModel
    from pose_tf.predict.model import PoseModel
    from pose_tf.predict.predictor import predict

    options = _pictures.options()
    with argument("--model"):
        model = PoseModel(SavedModel(_MODEL.value))
    predict(model, _pictures.INPUT.value, options)


if __name__ == "__main__":
    cli.run(main)
