"""Makes new 2D-3D pose pairs from old ones: other views, other bodies, and limbs of other people."""

import math

import numpy as np
import tensorflow as tf

from pose_tf import geometry
from pose_tf.data.detections import DetectorErrors
from pose_tf.skeleton import H36M, Skeleton

RECOMPOSED_BY = ("LHip", "RHip", "Thorax", "LFoot", "RFoot")
"""Joints that recomposing needs, for headings and for the direction of gravity."""
SHOULDERS = ("LShoulder", "RShoulder")
"""The joints from which arms hang, for swaps of arms."""


class _Bones:
    """What recomposing knows of the bones of a skeleton.

    Attributes:
        to_bones, to_pose: pose [J, 3] -> bone vectors [J − 1, 3], and back to a pose with the hip at the origin.
        upper: bool [J − 1]: bones above the hip.
        arms: bool [J − 1] of each arm: bones below the shoulder.
        across: float32 [J − 1]: the sum of the bones with these factors leads from the right hip to the left.
        mirror: the bone on the other side.
        pairs: numbers that bones of both sides share.
    """

    def __init__(self, skeleton: Skeleton):
        children, joints = [child for child, _ in skeleton.bones], len(skeleton.joints)
        self.to_bones = np.zeros((joints - 1, joints), np.float32)
        for bone, (child, parent) in enumerate(skeleton.bones):
            self.to_bones[bone, child], self.to_bones[bone, parent] = 1, -1
        fixed = np.vstack([self.to_bones, np.eye(1, joints)])
        self.to_pose = np.linalg.pinv(fixed)[:, :-1].astype(np.float32)
        self.upper = ~skeleton.below("LHip", "RHip")[children]
        self.arms = []
        for shoulder in SHOULDERS:
            below = skeleton.below(shoulder)
            below[[joint for joint in [skeleton.find(shoulder)] if joint is not None]] = False
            self.arms.append(below[children])
        paths = [set(skeleton.path(skeleton.find(hip))) for hip in ("LHip", "RHip")]
        self.across = np.float32([(child in paths[0]) - float(child in paths[1]) for child in children])
        self.mirror = np.array(skeleton.mirror_bones)
        self.pairs = np.minimum(np.arange(joints - 1), self.mirror)


class PoseAugmenter:
    """Recomposes training poses and adds noise to their 2D joints.

    A recomposed person has the pose of a sample, possibly with limbs of other samples of the batch, the bone lengths of
    a random training subject, and a random heading. The camera sees it in perspective at the sample's position and
    crops it like the sample: with the same center and the same longest side of the 2D bounding box.

    Args:
        pose3d: float [N, J, 3] mm, absolute: the training poses, which give the direction of gravity and the bone
            lengths.
        subject: int [N].
        recompose: whether to recompose; without it, swaps, noise of bone lengths, tilt and roll have no effect. The
            skeleton must have the joints of `RECOMPOSED_BY`.
        upper_body_swap: probability that everything above the hip comes from another sample.
        arm_swap: probability, for each arm, that elbow and wrist come from another sample. The skeleton must have
            shoulders.
        bone_length_noise: standard deviation of the logarithm of each bone's length; left and right stay equal.
        noise_px: standard deviation of the noise added to each 2D coordinate.
        tilt: standard deviation in degrees of a turn of recomposed people about the camera's horizontal axis.
        tilt_mean: mean of these turns; above 0, heads come nearer, as if the camera looked down more steeply.
        roll: the same, after it, about the axis of the camera.
        errors: a detector's errors. Those of a random image, mirrored or not, are added to the 2D joints of each
            sample. None adds none.
        similar_errors: take them from one of this many images whose true joints are most like the sample's, because
            errors depend on the pose: crossed legs are mixed up. 0: from any image.
        skeleton: of the poses and the errors.
    """

    def __init__(
        self,
        pose3d: np.ndarray,
        subject: np.ndarray,
        recompose: bool,
        upper_body_swap: float,
        arm_swap: float,
        bone_length_noise: float,
        noise_px: float,
        tilt: float = 0.0,
        tilt_mean: float = 0.0,
        roll: float = 0.0,
        errors: DetectorErrors | None = None,
        similar_errors: int = 0,
        skeleton: Skeleton = H36M,
    ):
        # Arrays become constants of each replica's graph; tensors would be copied from the first device in every step.
        if recompose:
            self._frame = np.float32(_gravity_frame(pose3d, skeleton))
            self._bones = _Bones(skeleton)
            to_bones = self._bones.to_bones
            lengths = [
                np.linalg.norm(to_bones @ pose3d[subject == s], axis=-1).mean(axis=0) for s in np.unique(subject)
            ]
            self._bone_lengths = np.float32(np.stack(lengths))  # [subjects, bones] mm
        self._recompose = recompose
        self._upper_body_swap = upper_body_swap
        self._arm_swap = arm_swap
        self._bone_length_noise = bone_length_noise
        self._noise_px = noise_px
        self._tilt = math.radians(tilt)
        self._tilt_mean = math.radians(tilt_mean)
        self._roll = math.radians(roll)
        self._errors = None
        self._similar = similar_errors
        if errors is not None:
            mirror = skeleton.mirror
            self._errors = np.concatenate([errors.error, geometry.mirror_pose(errors.error, mirror)])
            self._confidence = np.concatenate([errors.confidence, errors.confidence[:, mirror]])
            pose2d = np.concatenate([errors.pose2d, geometry.mirror_pose(errors.pose2d, mirror, geometry.CROP_SIZE)])
            self._shapes = _shape_of(pose2d).numpy()

    def __call__(self, pose2d, pose3d, seed):
        """Augments a batch.

        Args:
            pose2d: float32 [B, J, 2] crop px.
            pose3d: float32 [B, J, 3] mm, absolute.
            seed: int [2], for stateless randomness.

        Returns:
            pose2d, the confidence of its joints float32 [B, J], which is 1 without `errors`, and pose3d; the position
            of the hip stays the same.
        """
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
        if self._recompose:
            root = pose3d[:, :1]
            pose3d = root + self._new_people(pose3d, seeds[0])
            rays = pose3d[..., :2] / pose3d[..., 2:]
            center, side = _box(rays)
            old_center, old_side = _box(pose2d)
            pose2d = (rays - center) * (old_side / side) + old_center
        if self._noise_px:
            pose2d += tf.random.stateless_normal(tf.shape(pose2d), seeds[1]) * self._noise_px
        return *self.add_errors(pose2d, seeds[2]), pose3d

    def add_errors(self, pose2d, seed):
        """Adds a detector's errors to 2D joints, float32 [B, J, 2] crop px: the joints, and their confidence [B, J],
        which is 1 without `errors`."""
        if self._errors is None:
            return pose2d, tf.ones_like(pose2d[..., 0])
        image = self._images_with_errors(pose2d, seed)
        return pose2d + tf.gather(self._errors, image), tf.gather(self._confidence, image)

    def _images_with_errors(self, pose2d, seed):
        """Numbers of the images whose errors the samples get, int32 [B]."""
        batch, images = tf.shape(pose2d)[0], len(self._errors)
        if not self._similar:
            return tf.random.stateless_uniform([batch], seed, 0, images, tf.int32)
        # Of |a − b|² = |a|² − 2ab + |b|², the first term is the same for all images.
        likeness = 2 * tf.matmul(_shape_of(pose2d), self._shapes, transpose_b=True) - np.sum(self._shapes**2, axis=-1)
        _, nearest = tf.math.top_k(likeness, min(self._similar, images), sorted=False)
        chosen = tf.random.stateless_uniform([batch], seed, 0, min(self._similar, images), tf.int32)
        return tf.gather(nearest, chosen, batch_dims=1)

    def _new_people(self, pose3d, seed):
        """Absolute poses [B, J, 3] -> recomposed poses [B, J, 3] with the hip at the origin."""
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 9))
        batch = tf.shape(pose3d)[0]

        def chance(i, probability):
            return tf.random.stateless_uniform([batch, 1, 1], seeds[i]) < probability

        known = self._bones
        bones = tf.matmul(tf.matmul(known.to_bones, pose3d), self._frame, transpose_b=True)  # right, depth, up
        hips = tf.reduce_sum(bones * known.across[:, None], axis=1)  # from the right hip to the left
        bones = _turn(bones, -tf.atan2(hips[:, 1], hips[:, 0]))  # everyone faces the same way
        # Batches are shuffled, so a neighbor is a random partner.
        bones = tf.where(chance(0, self._upper_body_swap) & known.upper[:, None], tf.roll(bones, 1, 0), bones)
        for i, arm in enumerate(known.arms):
            bones = tf.where(chance(1 + i, self._arm_swap) & arm[:, None], tf.roll(bones, 2 + i, 0), bones)

        body = tf.random.stateless_uniform([batch], seeds[3], 0, len(self._bone_lengths), tf.int32)
        noise = tf.random.stateless_normal([batch, len(known.mirror)], seeds[4]) * self._bone_length_noise
        lengths = tf.gather(self._bone_lengths, body) * tf.exp(tf.gather(noise, known.pairs, axis=1))
        bones *= (lengths / tf.maximum(tf.norm(bones, axis=-1), 1e-3))[..., None]

        mirrored = tf.gather(bones, known.mirror, axis=1) * [-1.0, 1.0, 1.0]
        bones = tf.where(chance(5, 0.5), mirrored, bones)
        bones = _turn(bones, tf.random.stateless_uniform([batch], seeds[6], maxval=2 * math.pi))
        pose3d = tf.matmul(known.to_pose, tf.matmul(bones, self._frame))
        if self._tilt or self._tilt_mean:
            angle = self._tilt_mean + tf.random.stateless_normal([batch], seeds[7]) * self._tilt
            pose3d = tf.roll(_turn(tf.roll(pose3d, -1, -1), angle), 1, -1)  # y, z, x and back
        if self._roll:
            pose3d = _turn(pose3d, tf.random.stateless_normal([batch], seeds[8]) * self._roll)
        return pose3d


def _gravity_frame(pose3d, skeleton):
    """Rows right, depth and up in the camera frame; up is where thoraxes lie above ankles on average. [3, 3]."""
    joint = skeleton.find
    up = pose3d[:, joint("Thorax")] - pose3d[:, [joint("LFoot"), joint("RFoot")]].mean(axis=1)
    up = (up / np.linalg.norm(up, axis=-1, keepdims=True)).mean(axis=0)
    up /= np.linalg.norm(up)
    right = np.cross(up, [0, 0, 1])
    right *= np.sign(right[0]) / np.linalg.norm(right)
    return np.stack([right, np.cross(up, right), up])


def _turn(vectors, angle):
    """Rotates [B, N, 3] about the third axis by [B] radians."""
    cos, sin = tf.cos(angle)[:, None], tf.sin(angle)[:, None]
    x, y, z = tf.unstack(vectors, axis=-1)
    return tf.stack([cos * x - sin * y, sin * x + cos * y, z], axis=-1)


def _shape_of(pose2d):
    """2D poses without position and size, which can be compared: [N, J, 2] px -> [N, 2·J]."""
    center, side = _box(pose2d)
    shape = (pose2d - center) / tf.maximum(side, 1.0)
    return tf.reshape(shape, [-1, shape.shape[-2] * 2])


def _box(points):
    """Center [B, 1, 2] and longest side [B, 1, 1] of the bounding box of points [B, N, 2]."""
    low, high = tf.reduce_min(points, axis=1, keepdims=True), tf.reduce_max(points, axis=1, keepdims=True)
    return (low + high) / 2, tf.reduce_max(high - low, axis=-1, keepdims=True)
