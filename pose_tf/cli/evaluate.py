"""Measures trained models on labeled data: prints a table and writes a JSON report.

    pose-tf evaluate --data_dir=DATA --detector=runs/detector --lifter=runs/lifter --subjects=8 --output=report.json
    pose-tf evaluate --poses=POSES.npz --lifter=runs/lifter
    pose-tf evaluate --data_dir=DATA --source=mpii --detector=runs/detector --held_out

The first form evaluates the whole pipeline and, for comparison, the lifter on true 2D joints; the second evaluates the
lifter alone, on detected 2D joints, too, if the file was written by --detections; the third a detector on photographs
with 2D joints. --occluders=occluders.npz, a file of pose-tf
build-occluders, pastes objects over the images first.
All errors of 3D joints are in mm: MPJPE with the hips aligned, PA-MPJPE after Procrustes alignment.
"""

from absl import flags

from pose_tf.choices import ALIGNMENTS, METHODS
from pose_tf.cli import _flags, start_tensorflow
from pose_tf.errors import UserError

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


def main():
    if (_POSES.value is None) == (_DATA_DIR.value is None):
        raise UserError("give one of --data_dir and --poses")
    if _DATA_DIR.value and not _DETECTOR.value:
        raise UserError("--detector is missing; to evaluate a lifter alone, give --poses instead of --data_dir")
    if _POSES.value and _SOURCE.present:
        raise UserError("--source is about the records of --data_dir")
    if _HELD_OUT.value and (_POSES.value or _SUBJECTS.value):
        raise UserError("--held_out selects subjects of --data_dir; give no --poses and no --subjects")
    on_photos = bool(_DATA_DIR.value) and _SOURCE.value == "mpii"
    if on_photos:
        for flag in (_LIFTER, _SUBJECTS, _OCCLUDERS):
            if flag.value is not None:
                raise UserError(f"--{flag.name} does not apply to --source=mpii, whose photographs have only 2D joints")
    elif not _LIFTER.value:
        raise UserError("--lifter is missing; see --help")
    try:
        subjects = None if _SUBJECTS.value is None else [int(subject) for subject in _SUBJECTS.value]
    except ValueError:
        raise UserError(f"--subjects={','.join(_SUBJECTS.value)} is not a list of numbers") from None
    if _POSES.value:
        for flag in (_DETECTOR, _DETECTIONS, _PREVIEW, _OCCLUDERS, _DECODING, _BETA, _ALIGNMENT):
            if flag.value is not None:
                raise UserError(f"--{flag.name} needs images: give --data_dir and --detector")
    start_tensorflow()
    from pose_tf import files, images
    from pose_tf.data import detections, fingerprint, poses
    from pose_tf.data.occluders import OccluderBank
    from pose_tf.evaluation import evaluator
    from pose_tf.evaluation.loading import load_detector, load_estimator
    from pose_tf.evaluation.report import format_report, preview
    from pose_tf.starter import run_dir
    from pose_tf.workdir import Workdir

    decoding = {"method": _DECODING.value, "beta": _BETA.value, "alignment": _ALIGNMENT.value}
    decoding = {name: value for name, value in decoding.items() if value is not None}
    stages = (("detector", _DETECTOR.value), ("lifter", _LIFTER.value))
    workdirs = [Workdir(run_dir(path, stage)) for stage, path in stages if path]
    for workdir in workdirs:
        workdir.data()  # reports damage before the work starts
    if _POSES.value:
        samples = poses.read_pose_file(_POSES.value)
        samples = samples if subjects is None else samples.select(subjects)
        report = evaluator.evaluate_poses(workdirs[-1], samples, _FLIP_TEST.value)
        data = fingerprint.of_arrays(_POSES.value)
    elif on_photos:
        detect = load_detector(_DETECTOR.value, _FLIP_TEST.value, **decoding)
        report, arrays = evaluator.evaluate_photos(detect, _DATA_DIR.value, _BATCH_SIZE.value, _HELD_OUT.value)
        data = fingerprint.of_records(_DATA_DIR.value, "mpii")
    else:
        estimator = load_estimator(_DETECTOR.value, _LIFTER.value, _FLIP_TEST.value, **decoding)
        if _HELD_OUT.value:
            subjects = list(workdirs[0].config().get("data", {}).get("validation_subjects", ()))
            if not subjects:
                raise UserError(f"--held_out: the training of {_DETECTOR.value} held out no subject; give --subjects")
        occluders = OccluderBank.load(_OCCLUDERS.value) if _OCCLUDERS.value else None
        report, arrays = evaluator.evaluate_images(estimator, _DATA_DIR.value, subjects, _BATCH_SIZE.value, occluders)
        data = fingerprint.of_records(_DATA_DIR.value)
    if _PREVIEW.value:
        images.write_png(_PREVIEW.value, preview(arrays))
    report |= evaluator.seen_in_training(workdirs, report.get("subjects"), data, _HELD_OUT.value)
    print(format_report(report))
    if _OUTPUT.value:
        files.write_json(_OUTPUT.value, report)
        print(f"report {_OUTPUT.value}")
    if _DETECTIONS.value:
        truth = {key.removeprefix("true_"): values for key, values in arrays.items() if key.startswith("true_")}
        detections.write_detections(_DETECTIONS.value, truth, arrays["pose2d"], arrays["confidence"])
        print(f"detections {_DETECTIONS.value}")
    if _PREVIEW.value:
        print(f"preview {_PREVIEW.value}")
