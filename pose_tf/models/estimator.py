"""The complete model, from the crop of a person to 2D and 3D joints."""

import dataclasses

import numpy as np
import tensorflow as tf

from pose_tf import geometry
from pose_tf.geometry import CROP_SIZE
from pose_tf.images import IMAGENET_MEAN
from pose_tf.models.decoding import Decoding
from pose_tf.models.features import sample_features, with_features
from pose_tf.models.statistics import PoseStatistics
from pose_tf.skeleton import H36M, Skeleton

IMAGENET_STD = (0.229, 0.224, 0.225)
CONFIDENCE_RADIUS_PX = 16.0
DECODING = Decoding()


def normalize_images(images):
    """uint8 or float [B, H, W, 3] in 0…255 -> float32, ImageNet-normalized."""
    images = tf.cast(images, tf.float32) / 255
    return (images - tf.constant(IMAGENET_MEAN)) / tf.constant(IMAGENET_STD)


def normalize_pose2d(pose2d):
    """Crop pixels -> lifter inputs: x / 128 − 1."""
    return pose2d / (CROP_SIZE / 2) - 1


def detect(detector, images, flip_test: bool = False, decoding: Decoding = DECODING, skeleton: Skeleton = H36M):
    """Detects the 2D joints in crops.

    Args:
        detector: maps normalized images to heatmap logits.
        images: uint8 [B, 256, 256, 3] RGB.
        flip_test: average the heatmaps with those of the mirrored images.
        decoding: method that turns heatmaps into coordinates.
        skeleton: of the joints; the flip test needs it.

    Returns:
        pose2d float32 [B, J, 2] crop pixels, confidence float32 [B, J] in 0…1.
    """
    images = normalize_images(images)
    heatmaps = detector(images, training=False)
    mirrored = detector(images[:, :, ::-1], training=False) if flip_test else None
    return find_joints(heatmaps, mirrored, decoding, skeleton)


def find_joints(heatmaps, mirrored=None, decoding: Decoding = DECODING, skeleton: Skeleton = H36M):
    """Joints and their confidences from heatmaps.

    Args:
        heatmaps: float32 [B, H, W, J] logits.
        mirrored: those of the mirrored images, to average with; None: do not.
        decoding, skeleton: see `detect`.

    Returns:
        See `detect`.
    """
    if mirrored is not None:
        mirrored = mirrored[:, :, ::-1]
        if decoding.alignment == "corner":  # pixel 4i is 255 - 4i in the mirror, nearest to cell 64 - i
            mirrored = tf.concat([mirrored[:, :, :1], mirrored[:, :, :-1]], axis=2)
        heatmaps = (heatmaps + tf.gather(mirrored, skeleton.mirror, axis=-1)) / 2
    pose2d = decoding(heatmaps)
    if decoding.takes_argmax:  # these heatmaps are trained to be 1 at the joint
        return pose2d, tf.clip_by_value(tf.reduce_max(heatmaps, axis=[1, 2]), 0.0, 1.0)
    beta = decoding.confidence_beta or decoding.beta
    return pose2d, heatmap_confidence(beta * heatmaps, decoding.to_cells(pose2d, heatmaps))


def sees_images(lifter) -> bool:
    """Whether a lifter has image features as inputs, so that it lifts only in images."""
    return bool(getattr(lifter, "features", 0))


def lifter_inputs(lifter, pose2d, confidence=None, maps=None):
    """The inputs of a lifter, as its constructor's arguments say: normalized joints, confidences, features.

    Args:
        lifter: the network.
        pose2d: float32 [B, J, 2] crop pixels.
        confidence: float32 [B, J]; None for joints that are known: 1.
        maps: feature maps of the images, see `sample_features`; only for lifters with features.
    """
    joints = normalize_pose2d(pose2d)
    if getattr(lifter, "confidence", False):
        confidence = tf.ones_like(joints[..., 0]) if confidence is None else confidence
        joints = tf.concat([joints, confidence[..., None]], axis=-1)
    return [joints, sample_features(maps, pose2d)] if sees_images(lifter) else joints


def lift(
    lifter,
    statistics: PoseStatistics,
    pose2d,
    flip_test: bool = False,
    *,
    confidence=None,
    maps=None,
    mirrored_maps=None,
    skeleton: Skeleton = H36M,
):
    """Estimates 3D joints from 2D joints.

    Args:
        lifter: maps normalized 2D joints to standardized 3D joints.
        statistics: statistics of the lifter's training poses.
        pose2d: float32 [B, J, 2] crop pixels.
        flip_test: average the 3D pose with that of the mirrored 2D pose.
        confidence, maps: see `lifter_inputs`.
        mirrored_maps: `maps` of the mirrored images; only for lifters with features, with `flip_test`.
        skeleton: of the joints; the flip test needs it.

    Returns:
        float32 [B, J, 3] mm, relative to the hip.
    """
    standardized = lifter(lifter_inputs(lifter, pose2d, confidence, maps), training=False)
    pose3d = geometry.hip_relative(statistics.restore(standardized))
    if flip_test:
        mirror = skeleton.mirror
        if confidence is not None:
            confidence = tf.gather(confidence, mirror, axis=-1)
        mirrored = geometry.mirror_pose(pose2d, mirror, CROP_SIZE)
        mirrored = lift(lifter, statistics, mirrored, confidence=confidence, maps=mirrored_maps)
        pose3d = (pose3d + geometry.mirror_pose(mirrored, mirror)) / 2
    return pose3d


def estimate(network, lifter, statistics, images, flip_detector, flip_lifter, decoding, pose2d=None, skeleton=H36M):
    """Estimates 2D and 3D joints in crops. Arguments and result as for `PoseEstimator`, except for these.

    Args:
        network: the detector; with a lifter that has features, `with_features` of it.
        pose2d: float32 [B, J, 2] crop pixels: known joints, whose pose is to be returned as `lifted`, too.
    """
    images = normalize_images(images)

    def look(images):
        heatmaps, *maps = tf.nest.flatten(network(images, training=False))
        return heatmaps, maps

    heatmaps, maps = look(images)
    mirrored = mirrored_maps = None
    if flip_detector or (flip_lifter and sees_images(lifter)):
        mirrored, mirrored_maps = look(images[:, :, ::-1])
    found, confidence = find_joints(heatmaps, mirrored if flip_detector else None, decoding, skeleton)

    def lift_here(pose2d, confidence=None):
        return lift(
            lifter,
            statistics,
            pose2d,
            flip_lifter,
            confidence=confidence,
            maps=maps,
            mirrored_maps=mirrored_maps,
            skeleton=skeleton,
        )

    poses = {"pose2d": found, "pose3d": lift_here(found, confidence), "confidence": confidence}
    return poses if pose2d is None else poses | {"lifted": lift_here(pose2d)}


@tf.keras.utils.register_keras_serializable("pose_tf")
class PoseEstimator(tf.keras.Model):
    """Estimates 2D joints from the crop of a person, and 3D joints from the 2D joints.

    Args:
        detector: maps normalized images to heatmap logits, such as `HRNet`.
        lifter: maps normalized 2D joints to standardized 3D joints, such as `FeedForward`.
        statistics: mean and standard deviation of the lifter's training poses.
        flip_detector: average the heatmaps with those of the mirrored image.
        flip_lifter: average the 3D pose with that of the mirrored 2D pose.
        decoding: method that turns heatmaps into 2D joints.
        skeleton: of the poses of both networks, or its `to_json`.

    Call arguments:
        images: uint8 [B, 256, 256, 3] RGB.

    Returns:
        {"pose2d": float32 [B, J, 2] crop pixels, "pose3d": float32 [B, J, 3] mm, relative to the hip, in the camera
        frame, "confidence": float32 [B, J] in 0…1: share of the heatmap's mass within 16 px of the joint, or the
        height of the heatmap's peak if `decoding` takes the argmax}.
    """

    def __init__(
        self,
        detector,
        lifter,
        statistics: PoseStatistics,
        flip_detector: bool = False,
        flip_lifter: bool = False,
        decoding: Decoding = DECODING,
        skeleton: Skeleton | dict = H36M,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.skeleton = Skeleton.from_config(skeleton)
        self.detector = detector
        self.lifter = lifter
        self.statistics = statistics
        self.flip_detector = flip_detector
        self.flip_lifter = flip_lifter
        self.decoding = decoding
        network = with_features(detector) if self.sees_images else detector
        self.network = lambda *args, **kwargs: network(*args, **kwargs)  # Keras would save a model's weights twice

    @property
    def sees_images(self) -> bool:
        """See the function of this name."""
        return sees_images(self.lifter)

    def call(self, images, pose2d=None):
        """See `estimate`."""
        options = (self.flip_detector, self.flip_lifter, self.decoding)
        return estimate(self.network, self.lifter, self.statistics, images, *options, pose2d, self.skeleton)

    def detect(self, images):
        """uint8 [B, 256, 256, 3] -> pose2d float32 [B, J, 2] crop pixels, confidence float32 [B, J]."""
        return detect(self.detector, images, self.flip_detector, self.decoding, self.skeleton)

    def lift(self, pose2d, confidence=None):
        """float32 [B, J, 2] crop pixels and, if the lifter takes them, confidences [B, J] -> float32 [B, J, 3] mm,
        relative to the hip. `call` takes 2D joints, too.

        Raises:
            ValueError: the lifter sees the image.
        """
        if self.sees_images:
            raise ValueError("the lifter sees the image, so that 2D joints alone are not enough; use call")
        return lift(
            self.lifter, self.statistics, pose2d, self.flip_lifter, confidence=confidence, skeleton=self.skeleton
        )

    def get_config(self):
        return {
            "name": self.name,
            "detector": tf.keras.utils.serialize_keras_object(self.detector),
            "lifter": tf.keras.utils.serialize_keras_object(self.lifter),
            "statistics": self.statistics.to_json(),
            "flip_detector": self.flip_detector,
            "flip_lifter": self.flip_lifter,
            "decoding": dataclasses.asdict(self.decoding),
            **self.skeleton.to_config(),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("detector", "lifter"):
            config[key] = tf.keras.utils.deserialize_keras_object(config[key], custom_objects)
        return cls.from_parts(**config)

    @classmethod
    def from_parts(cls, *, statistics: dict, decoding: dict, **options) -> "PoseEstimator":
        """An estimator from the entries of `get_config`, with networks in place of their descriptions."""
        return cls(statistics=PoseStatistics.from_json(statistics), decoding=Decoding(**decoding), **options)

    def build_from_config(self, config):
        del config
        self(np.zeros((1, CROP_SIZE, CROP_SIZE, 3), np.uint8))


def heatmap_confidence(heatmaps, cells):
    """Share of each heatmap's softmax mass within 16 px of the joint.

    Args:
        heatmaps: float32 [B, H, W, J] logits.
        cells: float32 [B, J, 2]: the joint's x, y in cells.

    Returns:
        float32 [B, J] in 0…1.
    """
    shape = tf.shape(heatmaps)
    radius = CONFIDENCE_RADIUS_PX / CROP_SIZE * tf.cast(shape[1], tf.float32)
    dy = tf.range(shape[1], dtype=tf.float32)[None, :, None] - cells[:, None, :, 1]
    dx = tf.range(shape[2], dtype=tf.float32)[None, :, None] - cells[:, None, :, 0]
    near = dy[:, :, None] ** 2 + dx[:, None] ** 2 <= radius**2
    weights = tf.exp(heatmaps - tf.reduce_max(heatmaps, axis=[1, 2], keepdims=True))
    return tf.reduce_sum(tf.where(near, weights, 0.0), axis=[1, 2]) / tf.reduce_sum(weights, axis=[1, 2])
