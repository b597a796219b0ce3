"""Estimates the pose of the person in an image, or in every image of a folder, with an exported model.

    python tools/predict.py --model=model --input=photo.jpg --output_dir=poses
    python tools/predict.py --model=model --input=street.jpg --box=310,80,140,390 --output_dir=poses

For each image the output directory receives NAME.png (the skeleton on the image, and the 3D pose from three sides)
and NAME.json (2D joints in pixels, 3D joints in mm relative to the hip, confidence). Without --box the image should be
a crop of one person.
"""

import _checkout  # noqa: F401
from absl import flags

from pose_tf import cli
from pose_tf.errors import UserError

_MODEL = flags.DEFINE_string("model", None, "Directory written by tools/export.py.")
_INPUT = flags.DEFINE_string("input", None, "An image or a folder of images.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Where results go.")
_BOX = flags.DEFINE_list("box", None, "The person's box in the image: x,y,width,height in pixels.")
flags.mark_flags_as_required(["model", "input", "output_dir"])


def main():
    from pose_tf.serving import predictor

    box = _parse_box(_BOX.value) if _BOX.value else None
    paths = predictor.find_images(_INPUT.value)
    pictures = predictor.predict_files(predictor.load_model(_MODEL.value), paths, _OUTPUT_DIR.value, box)
    print("\n".join(f"picture {path}" for path in pictures))


def _parse_box(values):
    try:
        x, y, width, height = (float(value) for value in values)
    except ValueError:
        raise UserError(f"--box={','.join(values)} is not x,y,width,height") from None
    if not (width > 0 and height > 0):
        raise UserError(f"--box={','.join(values)} has no area")
    return x, y, width, height


if __name__ == "__main__":
    cli.run(main)
