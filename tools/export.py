"""Writes trained models as a SavedModel that TF Serving can load.

    python tools/export.py --detector=runs/detector --lifter=runs/lifter --output_dir=model

Versions count up: model/1, then model/2. The SavedModel takes image files or pixels and gives 2D joints in pixels and
3D joints in mm; no code of this project is needed to run it.
"""

import _checkout  # noqa: F401
from absl import flags

from pose_tf import cli

_DETECTOR = flags.DEFINE_string("detector", None, "Workdir of a detector's training.")
_LIFTER = flags.DEFINE_string("lifter", None, "Workdir of a lifter's training.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "TF Serving model directory.")
_FLIP_TEST = flags.DEFINE_bool("flip_test", None, "Average with the mirror image; by default as the recipes say.")
flags.mark_flags_as_required(["detector", "lifter", "output_dir"])


def main():
    from pose_tf.serving.export import export
    from pose_tf.training.evaluator import load_estimator

    estimator = load_estimator(_DETECTOR.value, _LIFTER.value, _FLIP_TEST.value)
    print(f"SavedModel {export(estimator, _OUTPUT_DIR.value)}")


if __name__ == "__main__":
    cli.run(main)
