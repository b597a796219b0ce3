"""Finds the people in photos and videos and estimates their poses.

    pose-tf predict photo.jpg
    pose-tf predict --model=model --input=walk.mp4 --output_dir=poses
    pose-tf predict --input=FOLDER --boxes=boxes.csv
    pose-tf predict --input=-

Without --model, which names an exported model (a directory, a .tflite or an .onnx file), the command uses the starter,
the model that comes with the package, in int8. For NAME.jpg or NAME.mp4, it writes to the output directory

    NAME.png, NAME.mp4     the photo or video with skeletons; videos as H.264, with sound
    NAME.views.png         the same with 3D poses from three sides beside it
    NAME.html              an interactive page: rotate the 3D poses, play the video
    NAME.json, .csv, .npz  2D joints in pixels of the photo, 3D joints in mm relative to the hip, confidence, and where
                           the hip is in front of the camera

and, with --outputs=coco, NAME.coco.json in COCO's results format: an entry for each person, whose image_id is the
number that is the photo's name, or else the name; in a video, the number of the frame, from 0.

In a folder, the command skips hidden files and the results of earlier runs. It replaces no files except earlier
results, so you can write results beside the photos.

A network finds the people, if LiteRT is installed: pip install ai-edge-litert. Otherwise OpenCV finds people who stand
or walk and are visible as a whole. You can also give boxes.
Only models in a directory need TensorFlow.
Where people are follows from their 2D joints, their size and the camera: --intrinsics, --fov, or the focal length in
EXIF data; otherwise a guess. --height=1.78 fixes the size.
In a video, people are tracked, and times are the time stamps of the file. A camera runs until Ctrl-C.
"""

from absl import flags

from pose_tf.cli import _photos, start_tensorflow
from pose_tf.keras_version import has_tensorflow

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "Model directory, .tflite or .onnx file that pose-tf export wrote; default: the starter, which comes with the "
    "package.",
)
flags.adopt_module_key_flags(_photos)


def main():
    _photos.require_input()
    from pose_tf import model_files

    if _MODEL.value is not None and model_files.ending(_MODEL.value) is None and has_tensorflow():
        start_tensorflow()
    from pose_tf.errors import argument
    from pose_tf.predict.backends import open_exported
    from pose_tf.predict.media import InputError
    from pose_tf.predict.model import PoseModel, load
    from pose_tf.predict.predictor import predict

    options = _photos.options()
    with argument("--model"):
        model = load() if _MODEL.value is None else PoseModel(open_exported(_MODEL.value))
    with argument("--input", InputError):
        predict(model, _photos.INPUT.value, options)
