"""Measures trained models on labeled data: prints a table and writes a JSON report.

    pose-tf evaluate --data_dir=DATA --detector=runs/detector --lifter=runs/lifter --subjects=8 --output=report.json
    pose-tf evaluate --poses=POSES.npz --lifter=runs/lifter
    pose-tf evaluate --data_dir=DATA --source=mpii --detector=runs/detector --held_out
    pose-tf evaluate --protocol=h36m_1 --data_dir=DATA --detector=runs/detector --lifter=runs/lifter --format=latex
    pose-tf evaluate --protocol=coco --annotations=person_keypoints_val2017.json --images=val2017 --detector=starter

The first form evaluates the whole pipeline and, for comparison, the lifter on true 2D joints; the second evaluates the
lifter alone, on detected 2D joints, too, if the file was written by --detections; the third a detector on photographs
with 2D joints. --occluders=occluders.npz, a file of pose-tf
build-occluders, pastes objects over the images first.
All errors of 3D joints are in mm: MPJPE with the hips aligned, PA-MPJPE after Procrustes alignment.

--protocol prints the table of a published protocol, which chooses the subjects and the kind of records: h36m_1, h36m_2,
mpi_inf_3dhp, pckh, lsp or coco. coco needs: pip install 'pose_tf[coco]'. --format prints that table, or the usual
report, in Markdown, LaTeX or JSON, and nothing else to standard output.
"""

import sys

from absl import flags

from pose_tf.choices import ALIGNMENTS, FORMATS, METHODS
from pose_tf.cli import _flags, start_tensorflow
from pose_tf.errors import UserError
from pose_tf.evaluation.protocols import PROTOCOLS

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory with h36/* or mpii/* records.")
_SOURCE = flags.DEFINE_enum("source", "h36", ["h36", "mpii"], "Records of --data_dir to evaluate on.")
_POSES = flags.DEFINE_string("poses", None, "An .npz with pose2d_crop, pose3d and subject, instead of --data_dir.")
_DETECTOR = _flags.detector()
_LIFTER = _flags.lifter()
_SUBJECTS = flags.DEFINE_list("subjects", None, "Numbers of the subjects to evaluate on; default: all.")
_HELD_OUT = flags.DEFINE_bool("held_out", False, "Evaluate on what the detector's recipe holds out for validation.")
_OCCLUDERS = flags.DEFINE_string("occluders", None, "Occluder bank; 1 to 8 objects are pasted over every image.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")
_DETECTIONS = flags.DEFINE_string(
    "detections", None, "An .npz to write: detected and true joints, for --poses and config.augment.errors."
)
_PREVIEW = flags.DEFINE_string("preview", None, "PNG to write, with predicted and true poses of some samples.")
_BATCH_SIZE = _flags.batch_size()
_FLIP_TEST = _flags.flip_test()
_DECODING = flags.DEFINE_enum(
    "decoding",
    None,
    METHODS,
    "Method that turns heatmaps into 2D joints; default: as in the recipe.",
)
_BETA = flags.DEFINE_float("beta", None, "Factor on heatmaps before the softmax; default: as in the recipe.")
_ALIGNMENT = flags.DEFINE_enum(
    "alignment",
    None,
    ALIGNMENTS,
    "Place of a heatmap cell: the middle of the pixels that it covers (half_pixel; cell i of HRNet at 4i + 1.5) or the "
    "first of them (corner; 4i); default: as in the recipe.",
)
_PROTOCOL = flags.DEFINE_enum("protocol", None, list(PROTOCOLS), "Published protocol, whose table is printed.")
_ANNOTATIONS = flags.DEFINE_string("annotations", None, "For --protocol=coco: file of COCO's keypoint annotations.")
_IMAGES = flags.DEFINE_string("images", None, "For --protocol=coco: directory of the images.")
_BOXES = flags.DEFINE_string(
    "boxes", None, "For --protocol=coco: detection results in COCO's format; default: the labeled boxes."
)
_COCO_RESULTS = flags.DEFINE_string(
    "coco_results", None, "For --protocol=coco: file to write, with the predictions in COCO's results format."
)
_FORMAT = flags.DEFINE_enum("format", "text", FORMATS, "Format of what is printed; json is the report of --output.")

_OF_COCO = (_ANNOTATIONS, _IMAGES, _BOXES, _COCO_RESULTS)
_CONFLICTS = {
    "h36": (_OF_COCO, "measures people with 3D joints"),
    "mpii": ((_POSES, _LIFTER, _SUBJECTS, _OCCLUDERS, *_OF_COCO), "measures photographs with 2D joints in --data_dir"),
    "coco": (
        (_DATA_DIR, _POSES, _LIFTER, _SUBJECTS, _HELD_OUT, _OCCLUDERS, _DETECTIONS, _PREVIEW),
        "measures people of --annotations and --images",
    ),
}
"""Flags that have no meaning for a protocol, by the kind of its data, and why."""


def main():
    protocol = PROTOCOLS.get(_PROTOCOL.value)
    _check_protocol(protocol)
    on_coco = protocol is not None and protocol.data == "coco"
    if not on_coco:
        _check_data(protocol)
    start_tensorflow()
    from pose_tf import coco_results, files, images
    from pose_tf.data import detections
    from pose_tf.evaluation.protocol_scores import check_joints
    from pose_tf.evaluation.report import format_report, preview

    decoding = {"method": _DECODING.value, "beta": _BETA.value, "alignment": _ALIGNMENT.value}
    decoding = {name: value for name, value in decoding.items() if value is not None}
    skeleton = _skeleton()
    if protocol:
        check_joints(protocol, skeleton)
    if on_coco:
        report, found = _evaluate_coco(decoding, skeleton)
    else:
        report, found = _evaluate_data(protocol, decoding, skeleton)
    if _PREVIEW.value:
        images.write_png(_PREVIEW.value, preview(found, skeleton))
    print(format_report(report, _FORMAT.value))
    if _OUTPUT.value:
        files.write_json(_OUTPUT.value, report)
        _tell(f"report {_OUTPUT.value}")
    if _DETECTIONS.value:
        truth = {key.removeprefix("true_"): values for key, values in found.items() if key.startswith("true_")}
        detections.write_detections(_DETECTIONS.value, truth, found["pose2d"], found["confidence"], skeleton)
        _tell(f"detections {_DETECTIONS.value}")
    if _PREVIEW.value:
        _tell(f"preview {_PREVIEW.value}")
    if _COCO_RESULTS.value:
        coco_results.write(_COCO_RESULTS.value, found)
        _tell(f"COCO results {_COCO_RESULTS.value}")


def _skeleton():
    """The skeleton of the run that is evaluated; if there are two, they have the same joints."""
    from pose_tf.starter import run_dir
    from pose_tf.workdir import Workdir

    path, stage = (_LIFTER.value, "lifter") if _LIFTER.value else (_DETECTOR.value, "detector")
    return Workdir(run_dir(path, stage)).skeleton()


def _tell(line):
    """Prints a line about a file where it does not get into a table that is redirected to another."""
    print(line, file=sys.stdout if _FORMAT.value == "text" else sys.stderr)


def _check_protocol(protocol):
    """Raises UserError for flags that do not go with the protocol."""
    if protocol is None:
        for flag in _OF_COCO:
            if flag.value is not None:
                raise UserError(f"--{flag.name} needs --protocol=coco")
        return
    conflicting, reason = _CONFLICTS[protocol.data]
    given = [f"--{flag.name}" for flag in conflicting if flag.value not in (None, False)]
    if _SOURCE.present and _SOURCE.value != protocol.data:
        given.append(f"--source={_SOURCE.value}")
    if not given and protocol.subjects:
        given = [f"--{flag.name}" for flag in (_SUBJECTS, _HELD_OUT) if flag.value]
        reason = f"measures the subjects {' and '.join(map(str, protocol.subjects))}"
    if given:
        raise UserError(f"{given[0]} does not apply to --protocol={protocol.name}, which {reason}")
    for flag in (_ANNOTATIONS, _IMAGES, _DETECTOR) if protocol.data == "coco" else ():
        if flag.value is None:
            raise UserError(f"--{flag.name} is missing: --protocol={protocol.name} {reason}")


def _on_photos(protocol):
    """Whether the records are photographs with 2D joints."""
    return bool(_DATA_DIR.value) and (protocol.data if protocol else _SOURCE.value) == "mpii"


def _check_data(protocol):
    """Raises UserError for flags about records and poses that do not go together."""
    if protocol and protocol.data == "mpii" and not _DATA_DIR.value:
        raise UserError(f"--data_dir is missing: --protocol={protocol.name} measures photographs with 2D joints")
    if (_POSES.value is None) == (_DATA_DIR.value is None):
        raise UserError("give one of --data_dir and --poses")
    if _DATA_DIR.value and not _DETECTOR.value:
        raise UserError("--detector is missing; to evaluate a lifter alone, give --poses instead of --data_dir")
    if _POSES.value and _SOURCE.present:
        raise UserError("--source is about the records of --data_dir")
    if _HELD_OUT.value and (_POSES.value or _SUBJECTS.value):
        raise UserError("--held_out selects subjects of --data_dir; give no --poses and no --subjects")
    if _on_photos(protocol):
        for flag in (_LIFTER, _SUBJECTS, _OCCLUDERS):
            if flag.value is not None:
                raise UserError(f"--{flag.name} does not apply to --source=mpii, whose photographs have only 2D joints")
    elif not _LIFTER.value:
        raise UserError("--lifter is missing; see --help")
    if _POSES.value:
        for flag in (_DETECTOR, _DETECTIONS, _PREVIEW, _OCCLUDERS, _DECODING, _BETA, _ALIGNMENT):
            if flag.value is not None:
                raise UserError(f"--{flag.name} needs images: give --data_dir and --detector")
    try:
        for subject in _SUBJECTS.value or ():
            int(subject)
    except ValueError:
        raise UserError(f"--subjects={','.join(_SUBJECTS.value)} is not a list of numbers") from None


def _evaluate_coco(decoding, skeleton):
    """The report on COCO's people, and what was predicted, as entries of --coco_results."""
    from pose_tf.evaluation import coco
    from pose_tf.evaluation.loading import load_detector

    coco.pycocotools()  # reports that it is missing before the work starts
    detect = load_detector(_DETECTOR.value, _FLIP_TEST.value, **decoding)
    return coco.evaluate(detect, _ANNOTATIONS.value, _IMAGES.value, _BOXES.value, _BATCH_SIZE.value, skeleton)


def _evaluate_data(protocol, decoding, skeleton):
    """The report on records or poses, and its arrays."""
    from pose_tf.data import fingerprint, poses
    from pose_tf.data.occluders import OccluderBank
    from pose_tf.evaluation import evaluator
    from pose_tf.evaluation.loading import load_detector, load_estimator
    from pose_tf.evaluation.protocol_scores import score
    from pose_tf.starter import run_dir
    from pose_tf.workdir import Workdir

    subjects = None if _SUBJECTS.value is None else [int(subject) for subject in _SUBJECTS.value]
    if protocol and protocol.subjects:
        subjects = list(protocol.subjects)
    stages = (("detector", _DETECTOR.value), ("lifter", _LIFTER.value))
    workdirs = [Workdir(run_dir(path, stage)) for stage, path in stages if path]
    for workdir in workdirs:
        workdir.data()  # reports damage before the work starts
    try:
        if _POSES.value:
            samples = poses.read_pose_file(_POSES.value, skeleton)
            samples = samples if subjects is None else samples.select(subjects)
            report, arrays = evaluator.evaluate_poses(workdirs[-1], samples, _FLIP_TEST.value)
            data = fingerprint.of_arrays(_POSES.value)
        elif _on_photos(protocol):
            detect = load_detector(_DETECTOR.value, _FLIP_TEST.value, **decoding)
            options = (_BATCH_SIZE.value, _HELD_OUT.value, skeleton)
            report, arrays = evaluator.evaluate_photos(detect, _DATA_DIR.value, *options)
            data = fingerprint.of_records(_DATA_DIR.value, "mpii")
        else:
            estimator = load_estimator(_DETECTOR.value, _LIFTER.value, _FLIP_TEST.value, **decoding)
            if _HELD_OUT.value:
                subjects = list(workdirs[0].config().get("data", {}).get("validation_subjects", ()))
                if not subjects:
                    raise UserError(
                        f"--held_out: the training of {_DETECTOR.value} held out no subject; give --subjects"
                    )
            occluders = OccluderBank.load(_OCCLUDERS.value) if _OCCLUDERS.value else None
            report, arrays = evaluator.evaluate_images(
                estimator, _DATA_DIR.value, subjects, _BATCH_SIZE.value, occluders
            )
            data = fingerprint.of_records(_DATA_DIR.value)
    except poses.MissingSubjects as error:
        if not protocol or not protocol.subjects:
            raise
        raise UserError(f"--protocol={protocol.name}: {error}") from None
    report |= evaluator.seen_in_training(workdirs, report.get("subjects"), data, _HELD_OUT.value)
    if protocol:
        notes = ["Objects were pasted over the images."] if _OCCLUDERS.value else []
        report["protocol"] = score(protocol, report, arrays, notes, skeleton)
    return report, arrays
