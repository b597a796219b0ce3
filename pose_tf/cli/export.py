"""Exports trained models as a SavedModel that TF Serving can load.

    pose-tf export --detector=runs/detector --lifter=runs/lifter --output_dir=model
    pose-tf export --detector=runs/detector --lifter=runs/lifter --output_dir=model --precision=bfloat16

Versions count up: model/1, then model/2. The SavedModel takes image files or pixels and returns 2D joints in pixels and
3D joints in mm. It runs without this package. Its directory assets.extra/ holds model_card.json and warm-up requests
for TF Serving.
"""

import json

from absl import flags

from pose_tf.choices import PRECISIONS
from pose_tf.cli import _flags, start_tensorflow
from pose_tf.errors import UserError, argument

_DETECTOR = _flags.detector()
_LIFTER = _flags.lifter()
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "TF Serving model directory.")
_FLIP_TEST = _flags.flip_test()
_PRECISION = flags.DEFINE_enum("precision", "float32", PRECISIONS, "Precision of the exported detector.")
_REPORT = flags.DEFINE_string("report", None, "JSON report of pose-tf evaluate, to add to the model card.")
flags.mark_flags_as_required(["detector", "lifter", "output_dir"])


def main():
    start_tensorflow()
    from pose_tf.evaluation.loading import load_estimator
    from pose_tf.export.model_card import describe_runs
    from pose_tf.export.saved_model import export

    estimator = load_estimator(_DETECTOR.value, _LIFTER.value, _FLIP_TEST.value)
    card = describe_runs(_DETECTOR.value, _LIFTER.value)
    if _REPORT.value:
        card["evaluation"] = _totals(_REPORT.value)
    with argument("--output_dir"):
        path = export(estimator, _OUTPUT_DIR.value, _PRECISION.value, card)
    print(f"SavedModel {path}")


def _totals(path):
    """The part of an evaluation report that is not broken down by action or joint."""
    try:
        with open(path) as file:
            report = json.load(file)
        return {
            "samples": report["samples"],
            **{key: report[key] for key in ("subjects", "trained_on", "selected_on") if key in report},
            **{name: part["total"] for name, part in report.items() if isinstance(part, dict) and "total" in part},
        }
    except OSError as error:
        raise UserError(f"--report={path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"--report={path} is not a report of pose-tf evaluate") from None
