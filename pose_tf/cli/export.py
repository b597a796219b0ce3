"""Exports trained models: as a SavedModel that TF Serving can load, and as files for LiteRT and ONNX Runtime.

    pose-tf export --detector=runs/detector --lifter=runs/lifter --output_dir=model
    pose-tf export --detector=runs/detector --lifter=runs/lifter --output_dir=model --precision=bfloat16
    pose-tf export --detector=starter --lifter=starter --output_dir=model --format=litert,onnx --data_dir=DATA

SavedModels are in versions that count up: model/1, then model/2. They take image files or pixels and return 2D joints
in pixels and 3D joints in mm. They run without this package. Their directory assets.extra/ holds model_card.json and
warm-up requests for TF Serving.

--format=litert writes model/model_float32.tflite, model_float16.tflite and model_int8.tflite, --format=onnx writes
model/model_float32.onnx, and replaces earlier ones. These files take crops of 256x256 pixels, and hold the card, too.
Integers replace the detector's floats by their ranges in real crops, which --data_dir provides. Each file is compared
with the SavedModel, on other crops of --data_dir or on rendered people, and is not written if its poses are too far
off. pose-tf predict reads all formats.
"""

import json

from absl import flags

from pose_tf.choices import EXPORTS, PRECISIONS
from pose_tf.cli import _flags, start_tensorflow
from pose_tf.errors import UserError, argument

_DETECTOR = _flags.detector()
_LIFTER = _flags.lifter()
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Directory of the models; TF Serving's model directory.")
_FORMAT = flags.DEFINE_list("format", ["saved_model"], f"Formats, of {', '.join(EXPORTS)}.")
_PRECISION = flags.DEFINE_list(
    "precision",
    None,
    "Precisions of the detector: float32 or bfloat16 of a SavedModel; float32, float16 and int8 in LiteRT; float32 in "
    "ONNX. Default: float32 of a SavedModel, and all of the others.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Directory with h36/* or mpii/* records, for the crops that int8 and the comparison need."
)
_NUM_CROPS = flags.DEFINE_integer(
    "num_crops", 200, "Crops of --data_dir for int8, and as many others for the comparison.", lower_bound=1
)
_FLIP_TEST = _flags.flip_test()
_REPORT = flags.DEFINE_string("report", None, "JSON report of pose-tf evaluate, to add to the model card.")
flags.mark_flags_as_required(["detector", "lifter", "output_dir"])

RENDERED_CROPS = 16


def main():
    precisions = _precisions(_FORMAT.value, _PRECISION.value)
    if "int8" in precisions.get("litert", ()) and _DATA_DIR.value is None:
        raise UserError(
            "int8 needs crops of people like those that the model will see: give --data_dir, or "
            "--precision=float32,float16"
        )
    start_tensorflow()
    from pose_tf.evaluation.loading import load_estimator
    from pose_tf.export.model_card import describe_runs
    from pose_tf.export.saved_model import export

    estimator = load_estimator(_DETECTOR.value, _LIFTER.value, _FLIP_TEST.value)
    card = describe_runs(_DETECTOR.value, _LIFTER.value)
    if _REPORT.value:
        card["evaluation"] = _totals(_REPORT.value)
    for precision in precisions.pop("saved_model", ()):
        with argument("--output_dir"):
            print(f"SavedModel {export(estimator, _OUTPUT_DIR.value, precision, card)}")
    if precisions:
        _export_files(estimator, precisions, card)


def _precisions(formats, given):
    """The precisions to write by format.

    Raises:
        UserError: an unknown format or precision, a format with none of the given precisions, or the reverse.
    """
    for name in formats:
        if name not in EXPORTS:
            raise UserError(f"--format={name} is unknown; it can be {', '.join(EXPORTS)}")
    of_formats = ", and ".join(f"{', '.join(EXPORTS[name])} in {name}" for name in formats)
    for precision in given or ():
        if not any(precision in EXPORTS[name] for name in formats):
            raise UserError(f"--precision={precision} does not exist in --format={','.join(formats)}: {of_formats}")
    if given is None:
        return {name: EXPORTS[name] if name != "saved_model" else PRECISIONS[:1] for name in formats}
    chosen = {name: [precision for precision in EXPORTS[name] if precision in given] for name in formats}
    for name, precisions in chosen.items():
        if not precisions:
            raise UserError(f"--precision={','.join(given)} has none that --format={name} has: {of_formats}")
    return chosen


def _export_files(estimator, precisions, card):
    from pose_tf.export import comparison, examples
    from pose_tf.export.one_file import OneFileExporter

    if _DATA_DIR.value is None:
        compared, representative = examples.rendered(RENDERED_CROPS, estimator.skeleton), None
    else:
        found = examples.read(_DATA_DIR.value, 2 * _NUM_CROPS.value, estimator.skeleton)
        compared, representative = found[1::2], found[::2].images
    exporter = OneFileExporter(estimator, compared, representative, card)
    for format, of_format in precisions.items():
        for precision in of_format:
            path, figures = exporter.export(_OUTPUT_DIR.value, format, precision)
            print(f"{path}: {comparison.describe(figures)}")


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
