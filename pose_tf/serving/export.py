"""SavedModels that need nothing of this package: decoding, cropping, both stages and all units are in the graph."""

import os
import shutil

import tensorflow as tf

from pose_tf import files
from pose_tf.errors import UserError
from pose_tf.models import PoseEstimator
from pose_tf.models.estimator import CROP_SIZE, detect
from pose_tf.serving.extras import describe, write_warmup_requests
from pose_tf.serving.inference import fold_batch_norm, freeze

BOX_MARGIN = 1.2
"""Side of the square crop over the longest side of the person's box. Training crops leave as much room."""


def export(estimator: PoseEstimator, output_dir: str, precision: str = "float32", card: dict | None = None) -> str:
    """Writes the next version of a TF Serving model directory.

    Signatures, each with the outputs `pose2d` [N, 17, 2] (pixels of the image that was sent), `pose3d` [N, 17, 3]
    (mm, relative to the hip, camera frame) and, where there is an image, `confidence` [N, 17]:

        serving_default   image_bytes string [N]: JPEG, PNG, BMP or GIF of one person's crop, any size
        images            images uint8 [N, 256, 256, 3] RGB
        image_and_box     image_bytes string [N]; box float32 [N, 4]: x, y, width, height of the person in pixels
        lift              pose2d float32 [N, 17, 2] crop pixels; outputs pose3d alone

    Beside the model, `assets.extra/` holds `tf_serving_warmup_requests`, a request to each signature that TF Serving
    replays before it takes others, and `model_card.json`.

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
        raise UserError(f"--output_dir={output_dir} cannot be written: {error.message}") from None
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
        pose2d, confidence = find_joints(images)
        return {"pose2d": pose2d, "pose3d": lift_joints(pose2d), "confidence": confidence}

    images = tf.function(estimate, input_signature=[images_spec])

    @tf.function(input_signature=[pose2d_spec])
    def lift(pose2d):
        return {"pose3d": lift_joints(pose2d)}

    def estimate_crops(crops, corner, side):
        poses = estimate(crops)
        poses["pose2d"] = crop_to_sent_image(poses["pose2d"], corner, side)
        return poses

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])
    def serving_default(image_bytes):
        def crop(data):
            image = decode(data)
            height, width = tf.unstack(tf.cast(tf.shape(image)[:2], tf.float32))
            side = tf.maximum(height, width)
            corner = tf.stack([(width - side) / 2, (height - side) / 2])
            return square_crop(image, corner, side), corner, side

        return estimate_crops(*tf.map_fn(crop, image_bytes, fn_output_signature=CROP_SIGNATURE))

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.string, "image_bytes"), tf.TensorSpec([None, 4], tf.float32, "box")]
    )
    def image_and_box(image_bytes, box):
        def crop(data_and_box):
            data, (x, y, width, height) = data_and_box[0], tf.unstack(data_and_box[1])
            side = BOX_MARGIN * tf.maximum(width, height)
            corner = tf.stack([x + (width - side) / 2, y + (height - side) / 2])
            return square_crop(decode(data), corner, side), corner, side

        return estimate_crops(*tf.map_fn(crop, (image_bytes, box), fn_output_signature=CROP_SIGNATURE))

    return {"serving_default": serving_default, "images": images, "image_and_box": image_and_box, "lift": lift}


CROP_SIGNATURE = (
    tf.TensorSpec([CROP_SIZE, CROP_SIZE, 3], tf.uint8),
    tf.TensorSpec([2], tf.float32),
    tf.TensorSpec([], tf.float32),
)


def decode(data):
    """JPEG, PNG, BMP or the first frame of a GIF -> uint8 [H, W, 3]."""
    return tf.ensure_shape(tf.io.decode_image(data, channels=3, expand_animations=False), [None, None, 3])


def square_crop(image, corner, side):
    """Cuts a square out of an image and brings it to 256x256, smoothly and to a fraction of a pixel.

    Args:
        image: uint8 [H, W, 3].
        corner: float32 [2]: x, y of the square's upper left corner; pixel i of the image spans i … i + 1.
        side: float32, of the square in pixels.

    Returns:
        uint8 [256, 256, 3]; what lies outside of the image is black.
    """
    scale = CROP_SIZE / side
    crop = tf.raw_ops.ScaleAndTranslate(
        images=tf.cast(image[None], tf.float32),
        size=[CROP_SIZE, CROP_SIZE],
        scale=tf.stack([scale, scale]),
        translation=-corner[::-1] * scale,
        kernel_type="triangle",
        antialias=True,
    )[0]
    return tf.cast(tf.round(tf.clip_by_value(crop, 0, 255)), tf.uint8)


def crop_to_sent_image(pose2d, corner, side):
    """Crop pixels -> pixels of the image that `square_crop` cut. [N, J, 2], [N, 2], [N] -> [N, J, 2]."""
    return (pose2d + 0.5) * (side / CROP_SIZE)[:, None, None] + corner[:, None] - 0.5
