"""Exports self-contained SavedModels, which run without this package: image decoding, cropping and both stages."""

import errno
import os
import re

import tensorflow as tf

from pose_tf import files
from pose_tf.errors import UserError, reason
from pose_tf.export.model_card import describe
from pose_tf.export.signatures import make_signatures
from pose_tf.export.warmup import write_warmup_requests
from pose_tf.models import PoseEstimator


def export(estimator: PoseEstimator, output_dir: str, precision: str = "float32", card: dict | None = None) -> str:
    """Writes the next version of a TF Serving model directory.

    Signatures, each with the outputs `pose2d` [N, J, 2] (pixels of the upright image), `pose3d` [N, J, 3] (mm,
    relative to the hip, camera frame) and `confidence` [N, J]:

        serving_default   image_bytes string [N]: JPEG, PNG or BMP of one person's crop, any size
        images            images uint8 [N, 256, 256, 3] RGB
        image_and_box     image_bytes string [N]; box float32 [N, 4]: x, y, width, height of the person in pixels
        image_box_and_camera   also intrinsics float32 [N, 4]: fx, cx, fy, cy in pixels; pose3d is in the frame of this
                          camera, and the further output `root3d` [N, 3] (mm) is where the hip is
        people            image uint8 [H, W, 3] RGB; box float32 [N, 4] of the N people in it
        lift              pose2d float32 [N, J, 2] crop pixels; the only output is pose3d

    A model whose lifter sees the image has no `lift`. `people` is for programs that load the model. The others also
    work on a server that batches requests. Beside the model, `assets.extra/` holds `model_card.json` and
    `tf_serving_warmup_requests`, requests to these signatures that TF Serving replays before it accepts others.

    Images are turned upright as their EXIF data says; joints and boxes refer to the upright image. Invalid inputs raise
    INVALID_ARGUMENT with a reason: see `crops.py`.

    Args:
        estimator: the model to export.
        output_dir: model directory M; versions are M/1, M/2, …
        precision: `float32` or `bfloat16`: precision of the detector. The lifter stays in float32.
        card: additional entries of the model card.

    Returns:
        Path of the new version. It appears complete or not at all, and never replaces another export.

    Raises:
        UserError: the directory cannot be written, or unknown precision.
    """
    signatures = make_signatures(estimator, precision)
    while True:
        version = 1 + max(_versions(output_dir), default=0)
        path = os.path.join(output_dir, str(version))
        try:
            with files.completing_directory(path) as temporary:
                tf.saved_model.save(tf.Module(), temporary, signatures=signatures)
                extra = os.path.join(temporary, "assets.extra")
                os.makedirs(extra)
                write_warmup_requests(
                    os.path.join(extra, "tf_serving_warmup_requests"),
                    os.path.basename(output_dir),
                    signatures,
                    len(estimator.skeleton.joints),
                )
                about = describe(estimator) | {"precision": precision, "version": version} | (card or {})
                files.write_json(os.path.join(extra, "model_card.json"), about)
            return path
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY) and os.path.isdir(path):
                continue  # another export has completed this version
            raise UserError(f"{output_dir} cannot be written: {error.strerror or error}") from None
        except tf.errors.OpError as error:
            raise UserError(f"{output_dir} cannot be written: {reason(error)}") from None


def _versions(output_dir):
    if not os.path.isdir(output_dir):
        return []
    return [int(name) for name in os.listdir(output_dir) if re.fullmatch("[0-9]+", name)]
