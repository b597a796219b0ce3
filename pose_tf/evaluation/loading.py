"""Loading trained stages from their runs."""

import os

from pose_tf.errors import UserError
from pose_tf.models.decoding import Decoding
from pose_tf.models.estimator import PoseEstimator, detect
from pose_tf.starter import run_dir
from pose_tf.workdir import Workdir


def load_detector(workdir: str, flip_test: bool | None = None, **decoding):
    """A trained detector as a function like `PoseEstimator.detect`. Arguments and errors as for `load_estimator`."""
    directory = Workdir(run_dir(workdir, "detector"))
    model, config = directory.load_best("detector"), directory.config()
    flip_test = config.flip_test if flip_test is None else flip_test
    skeleton = directory.skeleton()
    return lambda images: detect(model, images, flip_test, _decoding(config, decoding), skeleton)


def load_estimator(detector: str, lifter: str, flip_test: bool | None = None, **decoding) -> PoseEstimator:
    """Joins two trained stages.

    Args:
        detector: workdir of a detector or of a run that trained both stages, or `starter`.
        lifter: the same for the lifter. A lifter that sees the image belongs to the detector that it was trained with.
        flip_test: average with the mirror image; None for the setting of each recipe.
        decoding: attributes of `Decoding` that differ from the detector's recipe.

    Raises:
        UserError: a directory is not the workdir of a run of the expected stage, or is damaged, or the lifter sees the
            features of another detector, or the stages have different joints.
    """
    detector_dir, lifter_dir = Workdir(run_dir(detector, "detector")), Workdir(run_dir(lifter, "lifter"))
    detector_model, lifter_model = detector_dir.load_best("detector"), lifter_dir.load_best("lifter")
    if lifter_model.features and os.path.realpath(detector_dir.path) != os.path.realpath(lifter_dir.path):
        raise UserError(
            f"the lifter of {lifter} sees the features of the detector that it was trained with: give {lifter} as the "
            f"detector, too, instead of {detector}"
        )
    of_detector, of_lifter = detector_dir.skeleton(), lifter_dir.skeleton()
    if of_detector.joints != of_lifter.joints:
        raise UserError(
            f"the detector of {detector} has the joints of {of_detector}, but the lifter of {lifter} those of "
            f"{of_lifter}; give two runs with the same config.skeleton"
        )
    return PoseEstimator(
        detector_model,
        lifter_model,
        lifter_dir.statistics(),
        flip_detector=detector_dir.config().flip_test if flip_test is None else flip_test,
        flip_lifter=lifter_dir.config().flip_test if flip_test is None else flip_test,
        decoding=_decoding(detector_dir.config(), decoding),
        skeleton=of_lifter,
    )


def _decoding(config, changes):
    """The decoding of a detector's recipe, with other values for some attributes."""
    return Decoding(**{**config.get("decoding", {}), **changes})
