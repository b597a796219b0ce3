"""The model card, which describes an exported model."""

import tensorflow as tf

import pose_tf
from pose_tf.geometry import CROP_SIZE

_OF_FRAME = {"camera": "", "sight": "; z is the line of sight to the hip"}


def describe(estimator) -> dict:
    """The part of the model card that any estimator has: joints, units, conventions and options."""
    skeleton = estimator.skeleton
    lifts = {} if estimator.sees_images else {"pose2d": f"x, y in pixels of a {CROP_SIZE}x{CROP_SIZE} crop"}
    return {
        "pose_tf": pose_tf.__version__,
        "tensorflow": tf.__version__,
        **skeleton.to_card(),
        "mirror": list(skeleton.mirror),
        "inputs": {
            "image_bytes": "JPEG, PNG or BMP of one person, any size; turned upright as its EXIF data says",
            "images": f"uint8 RGB, {CROP_SIZE}x{CROP_SIZE}",
            "image": "uint8 RGB, any size, upright",
            "box": "x, y, width, height of the person in pixels of the upright image",
            "intrinsics": "focal lengths and principal point fx, cx, fy, cy in pixels of the upright image",
            **lifts,
        },
        "outputs": {
            "pose2d": "x right, y down, in pixels of the upright image; pixel centers at integers",
            "pose3d": "x right, y down, z away from the camera, in mm relative to the hip"
            + _OF_FRAME[estimator.statistics.frame],
            "confidence": "0 to 1 for each joint",
            "root3d": "position of the hip in mm in the frame of the camera; pose3d beside it is in this frame, too",
        },
        "crop_margin": estimator.statistics.margin,
        "frame": estimator.statistics.frame,
        "flip_test": {"detector": estimator.flip_detector, "lifter": estimator.flip_lifter},
        "parameters": {"detector": estimator.detector.count_params(), "lifter": estimator.lifter.count_params()},
    }


def describe_runs(detector: str, lifter: str) -> dict:
    """The entries of the model card about two runs: their recipes and errors. If one of them is the starter's, or has
    started from it, also the starter's data and its terms.

    Args:
        detector: workdir of a detector or of a run that trained both stages, or `starter`.
        lifter: the same for the lifter.
    """
    from pose_tf import starter
    from pose_tf.training.trainer import STAGES
    from pose_tf.workdir import Workdir

    card = {"training": {}, "validation_errors": {}}
    for stage, path in (("detector", detector), ("lifter", lifter)):
        workdir = Workdir(starter.run_dir(path, stage))
        config = workdir.config()
        of_starter = workdir.path == starter.folder(stage)
        card["training"][stage] = config.to_dict()
        card["validation_errors"][stage] = (
            starter.card()["validation_errors"][stage]
            if of_starter
            else workdir.best_errors(STAGES[config.stage].validation_metric)
        )
        if of_starter or starter.NAME in (config.get("init_from"), config.get("lifter_init_from")):
            card["starter"] = starter.origin()
    return card
