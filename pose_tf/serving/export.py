"""SavedModels that need nothing of this package: decoding, cropping, both stages and all units are in the graph."""

import os
import shutil

import tensorflow as tf

from pose_tf import files
from pose_tf.errors import UserError, reason
from pose_tf.models import PoseEstimator
from pose_tf.models.estimator import CROP_SIZE, detect
from pose_tf.serving.crops import CROP_SPEC, crop_box, crop_to_sent_image, crop_whole, not_empty
from pose_tf.serving.extras import describe, write_warmup_requests
from pose_tf.serving.inference import fold_batch_norm, freeze


def export(estimator: PoseEstimator, output_dir: str, precision: str = "float32", card: dict | None = None) -> str:
    """Writes the next version of a TF Serving model directory.

    Signatures, each with the outputs `pose2d` [N, 17, 2] (pixels of the image that was sent), `pose3d` [N, 17, 3]
    (mm, relative to the hip, camera frame) and, where there is an image, `confidence` [N, 17]:

        serving_default   image_bytes string [N]: JPEG, PNG or BMP of one person's crop, any size
        images            images uint8 [N, 256, 256, 3] RGB
        image_and_box     image_bytes string [N]; box float32 [N, 4]: x, y, width, height of the person in pixels
        lift              pose2d float32 [N, 17, 2] crop pixels; outputs pose3d alone

    Beside the model, `assets.extra/` holds `tf_serving_warmup_requests`, a request to each signature that TF Serving
    replays before it takes others, and `model_card.json`.

    What cannot be estimated is an INVALID_ARGUMENT that says why: see `crops.py`.

    Args:
        estimator: what to export.
        output_dir: M; versions are M/1, M/2, …
        precision: `float32` or `bfloat16`, of the detector; the lifter stays in float32.
        card: what the model card says beside what the estimator knows of itself.

    Returns:
        Path of the version written. It appears complete or not at all.

    Raises:
        UserError: the directory cannot be written, or an unknown precision.
    """
    version = 1 + max(_versions(output_dir), default=0)
    path = os.path.join(output_dir, str(version))
    signatures = _signatures(estimator, fold_batch_norm(estimator.detector, precision))
    temporary = os.path.join(output_dir, f".partial-{version}")
    try:
        tf.saved_model.save(tf.Module(), temporary, signatures=signatures)
        extra = os.path.join(temporary, "assets.extra")
        os.makedirs(extra)
        write_warmup_requests(os.path.join(extra, "tf_serving_warmup_requests"), os.path.basename(output_dir))
        about = describe(estimator) | {"precision": precision, "version": version} | (card or {})
        files.write_json(os.path.join(extra, "model_card.json"), about)
        os.rename(temporary, path)
    except OSError as error:
        raise UserError(f"--output_dir={output_dir} cannot be written: {error.strerror or error}") from None
    except tf.errors.OpError as error:
        raise UserError(f"--output_dir={output_dir} cannot be written: {reason(error)}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def _versions(output_dir):
    if not os.path.isdir(output_dir):
        return []
    return [int(name) for name in os.listdir(output_dir) if name.isdigit()]


def _signatures(estimator, detector):
    joints = len(estimator.statistics.mean)
    images_spec = tf.TensorSpec([None, CROP_SIZE, CROP_SIZE, 3], tf.uint8, "images")
    pose2d_spec = tf.TensorSpec([None, joints, 2], tf.float32, "pose2d")
    find_joints = freeze(
        lambda images: detect(detector, images, estimator.flip_detector, estimator.decoding), images_spec
    )
    lift_joints = freeze(estimator.lift, pose2d_spec)

    def estimate(images):
        pose2d, confidence = find_joints(not_empty(images))
        return {"pose2d": pose2d, "pose3d": lift_joints(pose2d), "confidence": confidence}

    images = tf.function(estimate, input_signature=[images_spec])

    @tf.function(input_signature=[pose2d_spec])
    def lift(pose2d):
        return {"pose3d": lift_joints(tf.debugging.check_numerics(not_empty(pose2d), "pose2d"))}

    def estimate_crops(crops, corner, side):
        poses = estimate(crops)
        poses["pose2d"] = crop_to_sent_image(poses["pose2d"], corner, side)
        return poses

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serving_default(image_bytes):
        return estimate_crops(*tf.map_fn(crop_whole, image_bytes, fn_output_signature=CROP_SPEC))

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "image_bytes"), tf.TensorSpec([None, 4], tf.float32, "box")]
    )
    def image_and_box(image_bytes, box):
        crops = tf.map_fn(
            lambda pair: crop_box(*pair, estimator.statistics.margin), (image_bytes, box), fn_output_signature=CROP_SPEC
        )
        return estimate_crops(*crops)

    return {"serving_default": serving_default, "images": images, "image_and_box": image_and_box, "lift": lift}
