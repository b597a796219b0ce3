"""Estimates the poses of the test set and writes the course's submission file.

    pose-tf submit --detector=runs/detector --lifter=runs/lifter --records=DATA/test_set.tfrecords \\
        --output=submission.csv.gz

The file has one line per record, in record order: Id from 1 and 17 x 3 hip-relative coordinates in mm.
"""

from absl import flags

from pose_tf.cli import _flags, start_tensorflow
from pose_tf.errors import UserError

_DETECTOR = _flags.detector()
_LIFTER = _flags.lifter()
_RECORDS = flags.DEFINE_string("records", None, "The test set: a ZLIB TFRecord file of images.")
_OUTPUT = flags.DEFINE_string("output", "submission.csv.gz", "File to write: .csv.gz or .csv.")
_BATCH_SIZE = _flags.batch_size()
_FLIP_TEST = _flags.flip_test()
flags.mark_flags_as_required(["detector", "lifter", "records"])


def main():
    if not _OUTPUT.value.endswith((".csv", ".csv.gz")):
        raise UserError(f"--output={_OUTPUT.value} must end in .csv.gz or .csv")
    start_tensorflow()
    from pose_tf.data import pipeline, records
    from pose_tf.evaluation import evaluator
    from pose_tf.evaluation.loading import load_estimator
    from pose_tf.evaluation.submission import write_submission
    from pose_tf.geometry import Crop, to_camera
    from pose_tf.skeleton import H36M

    estimator = load_estimator(_DETECTOR.value, _LIFTER.value, _FLIP_TEST.value)
    if estimator.skeleton.joints != H36M.joints:
        raise UserError(
            f"a submission has the joints of {H36M}, but {_LIFTER.value} those of {estimator.skeleton}; train with "
            "config.skeleton = h36m"
        )
    frame = estimator.statistics.frame
    keys = ("image",) if frame == "camera" else ("image", "offset", "scale", "intrinsics")

    def estimate(images, offset=None, scale=None, intrinsics=None):
        poses = estimator.call(images)
        if frame != "camera":
            pose2d = Crop.from_offset_scale(offset, scale).to_image(poses["pose2d"])
            poses["pose3d"] = to_camera(poses["pose3d"], pose2d, intrinsics[:, 0], frame)
        return poses

    predicted = evaluator.estimate(estimate, pipeline.test_samples(_RECORDS.value, _BATCH_SIZE.value, keys))
    records.check_end(_RECORDS.value, records.H36M_TEST)
    if not predicted:
        raise UserError(f"{_RECORDS.value} holds no records")
    write_submission(_OUTPUT.value, predicted["pose3d"])
    print(f"{len(predicted['pose3d'])} poses in {_OUTPUT.value}")
