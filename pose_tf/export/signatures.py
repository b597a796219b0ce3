"""The signatures of exported models as functions, from images, files or pixels to poses."""

from collections.abc import Callable

import tensorflow as tf

from pose_tf.export.crops import (
    crop_all,
    crop_box,
    crop_people,
    crop_whole,
    not_empty,
    refuse_unless,
)
from pose_tf.export.inference import fold_batch_norm, freeze
from pose_tf.geometry import CROP_SIZE, Crop, hip_position, to_camera
from pose_tf.models import PoseEstimator
from pose_tf.models.estimator import detect
from pose_tf.models.estimator import estimate as run
from pose_tf.models.features import with_features


def make_signatures(estimator: PoseEstimator, precision: str = "float32") -> dict[str, Callable]:
    """Makes the signatures that `export` writes. Each takes tensors by input name and returns tensors by output name.

    A model whose lifter sees the image has no signature `lift`.

    Args:
        estimator: the model. Its networks are copied for inference.
        precision: `float32` or `bfloat16`: precision of the detector.

    Raises:
        UserError: unknown precision.
    """
    skeleton = estimator.skeleton
    images_spec = tf.TensorSpec([None, CROP_SIZE, CROP_SIZE, 3], tf.uint8, "images")
    pose2d_spec = tf.TensorSpec([None, len(estimator.statistics.mean), 2], tf.float32, "pose2d")
    confidence_spec = tf.TensorSpec(pose2d_spec.shape[:2], tf.float32, "confidence")
    detector = with_features(estimator.detector) if estimator.sees_images else estimator.detector
    network = fold_batch_norm(detector, precision)
    options = (estimator.flip_detector, estimator.flip_lifter, estimator.decoding)
    if estimator.sees_images:
        find_poses = freeze(
            lambda images: run(network, estimator.lifter, estimator.statistics, images, *options, skeleton=skeleton),
            images_spec,
        )
    else:  # both stages apart, so that the signatures share one copy of the lifter's weights
        find_joints = freeze(
            lambda images: detect(network, images, estimator.flip_detector, estimator.decoding, skeleton), images_spec
        )
        lift_joints = freeze(estimator.lift, pose2d_spec, confidence_spec)

        def find_poses(images):
            pose2d, confidence = find_joints(images)
            return {"pose2d": pose2d, "pose3d": lift_joints(pose2d, confidence), "confidence": confidence}

    margin = estimator.statistics.margin
    bytes_spec = tf.TensorSpec([None], tf.string, "image_bytes")
    box_spec = tf.TensorSpec([None, 4], tf.float32, "box")

    def estimate(images):
        return find_poses(not_empty(images))

    images = tf.function(estimate, input_signature=[images_spec])

    def estimate_crops(crops, corner, side):
        poses = estimate(crops)
        poses["pose2d"] = Crop(corner, side).to_image(poses["pose2d"])
        return poses

    @tf.function(input_signature=[bytes_spec])
    def serving_default(image_bytes):
        return estimate_crops(*crop_all(crop_whole, image_bytes))

    @tf.function(input_signature=[bytes_spec, box_spec])
    def image_and_box(image_bytes, box):
        images, boxes = tf.size(image_bytes), tf.shape(box)[0]
        sentence = "image_bytes holds {} images and box {} boxes; send one box with each image"
        with tf.control_dependencies([refuse_unless(images == boxes, sentence, images, boxes)]):
            box = tf.identity(box)
        return estimate_crops(*crop_all(lambda data, one: crop_box(data, one, margin), image_bytes, box))

    @tf.function(input_signature=[bytes_spec, box_spec, tf.TensorSpec([None, 4], tf.float32, "intrinsics")])
    def image_box_and_camera(image_bytes, box, intrinsics):
        boxes, cameras = tf.shape(box)[0], tf.shape(intrinsics)[0]
        sentence = "box holds {} boxes and intrinsics {} cameras; send one camera with each box"
        possible = tf.reduce_all(tf.math.is_finite(intrinsics)) & tf.reduce_all(intrinsics[:, 0::2] > 0)
        with tf.control_dependencies(
            [
                refuse_unless(boxes == cameras, sentence, boxes, cameras),
                refuse_unless(possible, "intrinsics are not fx, cx, fy, cy with focal lengths above 0: {}", intrinsics),
            ]
        ):
            intrinsics = tf.identity(intrinsics)
        poses = image_and_box(image_bytes, box)
        pose3d = to_camera(poses["pose3d"], poses["pose2d"], intrinsics, estimator.statistics.frame)
        root3d = hip_position(pose3d, poses["pose2d"], intrinsics, poses["confidence"])
        return poses | {"pose3d": pose3d, "root3d": root3d}

    @tf.function(input_signature=[tf.TensorSpec([None, None, 3], tf.uint8, "image"), box_spec])
    def people(image, box):
        return estimate_crops(*crop_people(image, box, margin))

    signatures = {
        "serving_default": serving_default,
        "images": images,
        "image_and_box": image_and_box,
        "image_box_and_camera": image_box_and_camera,
        "people": people,
    }
    if not estimator.sees_images:

        @tf.function(input_signature=[pose2d_spec])
        def lift(pose2d):
            pose2d = tf.debugging.check_numerics(not_empty(pose2d), "pose2d")
            return {"pose3d": lift_joints(pose2d, tf.ones_like(pose2d[..., 0]))}

        signatures["lift"] = lift
    return signatures
