"""Exports trained models: as a SavedModel for TF Serving, as files for LiteRT and ONNX Runtime, and as a page.

    pose-tf export --detector=runs/detector --lifter=runs/lifter --output_dir=model
    pose-tf export --detector=runs/detector --lifter=runs/lifter --output_dir=model --precision=bfloat16
    pose-tf export --detector=starter --lifter=starter --output_dir=model --format=litert,onnx --data_dir=DATA
    pose-tf export --detector=starter --lifter=starter --output_dir=model --format=web

SavedModels are in versions that count up: model/1, then model/2. They take image files or pixels and return 2D joints
in pixels and 3D joints in mm. They run without this package. Their directory assets.extra/ holds model_card.json and
warm-up requests for TF Serving.

--format=litert writes model/model_float32.tflite, model_float16.tflite and model_int8.tflite, --format=onnx writes
model/model_float32.onnx, and replaces earlier ones. These files take crops of 256x256 pixels, and hold the card, too.
Integers replace the detector's floats by their ranges in real crops, which --data_dir provides. Each file is compared
with the SavedModel, on other crops of --data_dir or on rendered people, and is not written if its poses are too far
off. pose-tf predict reads these formats.

--format=web writes model/web, a page that estimates poses in the browser: in photos and in the camera's picture. Any
server that delivers files can serve it: python -m http.server --directory model/web. Its model is in int8 if --data_dir
is given, else in float16. The page needs LiteRT for the web, which is downloaded from npm once, or found in a folder
where npm has installed it (--litert_js).
"""

import json
import os
import sys

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
    "ONNX; int8, float16 or float32 of a page. Default: float32 of a SavedModel; int8 of a page with --data_dir, else "
    "float16; and all of the others.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Directory with h36/* or mpii/* records, for the crops that int8 and the comparison need."
)
_NUM_CROPS = flags.DEFINE_integer(
    "num_crops", 200, "Crops of --data_dir for int8, and as many others for the comparison.", lower_bound=1
)
_LITERT_JS = flags.DEFINE_string(
    "litert_js", None, "node_modules folder with LiteRT for the web, for --format=web. Default: downloaded from npm."
)
_FLIP_TEST = _flags.flip_test()
_REPORT = flags.DEFINE_string("report", None, "JSON report of pose-tf evaluate, to add to the model card.")
flags.mark_flags_as_required(["detector", "lifter", "output_dir"])

RENDERED_CROPS = 16


def main():
    precisions = _precisions(_FORMAT.value, _PRECISION.value)
    if "int8" in [*precisions.get("litert", ()), *precisions.get("web", ())] and _DATA_DIR.value is None:
        raise UserError(
            "int8 needs crops of people like those that the model will see: give --data_dir, or "
            "--precision=float32,float16"
        )
    runtime = _runtime_of_page() if "web" in precisions else None
    start_tensorflow()
    from pose_tf.evaluation.loading import load_estimator
    from pose_tf.export.model_card import describe_runs
    from pose_tf.export.saved_model import export
    from pose_tf.predict.backends import REACH, reach_of
    from pose_tf.web import page

    estimator = load_estimator(_DETECTOR.value, _LIFTER.value, _FLIP_TEST.value)
    if "web" in precisions:
        page.check_joints(estimator.skeleton)
    if reach_of({"crop_margin": estimator.statistics.margin}) > REACH:
        print(
            f"warning: the model's crops are {estimator.statistics.margin:.2g} times as large as the boxes of people, "
            f"but pose-tf serve-client sends no more than {2 * REACH:g} times as much to a server",
            file=sys.stderr,
        )
    card = describe_runs(_DETECTOR.value, _LIFTER.value)
    if _REPORT.value:
        card["evaluation"] = _totals(_REPORT.value)
    for precision in precisions.pop("saved_model", ()):
        with argument("--output_dir"):
            print(f"SavedModel {export(estimator, _OUTPUT_DIR.value, precision, card)}")
    if precisions:
        _export_files(estimator, precisions, card, runtime)


def _runtime_of_page():
    """The files of LiteRT for the web, before the time that the rest takes."""
    from pose_tf.web import runtime

    if _LITERT_JS.value is None:
        return runtime.read()
    with argument("--litert_js"):
        return runtime.read(_LITERT_JS.value)


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
        page = EXPORTS["web"][0 if _DATA_DIR.value else 1 :]
        few = {"saved_model": PRECISIONS[:1], "web": page[:1]}
        return {name: few.get(name, EXPORTS[name]) for name in formats}
    chosen = {name: [precision for precision in EXPORTS[name] if precision in given] for name in formats}
    if "web" in chosen:
        chosen["web"] = chosen["web"][:1]
    for name, precisions in chosen.items():
        if not precisions:
            raise UserError(f"--precision={','.join(given)} has none that --format={name} has: {of_formats}")
    return chosen


def _export_files(estimator, precisions, card, runtime):
    from pose_tf.export import comparison, examples
    from pose_tf.export.one_file import OneFileExporter

    if _DATA_DIR.value is None:
        compared, representative = examples.rendered(RENDERED_CROPS, estimator.skeleton), None
    else:
        found = examples.read(_DATA_DIR.value, 2 * _NUM_CROPS.value, estimator.skeleton)
        compared, representative = found[1::2], found[::2].images
    exporter = OneFileExporter(estimator, compared, representative, card)
    written = {}
    for format in ("litert", "onnx"):
        for precision in precisions.get(format, ()):
            path, figures = exporter.export(_OUTPUT_DIR.value, format, precision)
            print(f"{path}: {comparison.describe(figures)}")
            written[format, precision] = path
    if runtime is not None:
        _export_page(exporter, precisions["web"][0], written, runtime)


def _export_page(exporter, precision, written, runtime):
    from pose_tf.export import comparison
    from pose_tf.web import page

    folder = os.path.join(_OUTPUT_DIR.value, "web")
    model = written.get(("litert", precision))
    if model is None:
        model, figures = exporter.export(folder, "litert", precision)
        print(f"{model}: {comparison.describe(figures)}")
    print(f"page {page.write(folder, model, runtime)}")


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
