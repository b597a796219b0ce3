"""Metrics of poses: one number per sample, and streaming means of them."""

import functools
from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf

from pose_tf import geometry
from pose_tf.skeleton import H36M, Skeleton

PCK_THRESHOLD_MM = 150.0
PCK_ALPHA, PCKH_ALPHA = 0.2, 0.5
SEGMENTS = {"pck2d": ("LShoulder", "RHip"), "pckh": ("Head", "Neck")}
"""Names of the two joints whose distance a 2D metric measures by. A pose that lacks a label of one is not measured."""


def segment(name: str, skeleton: Skeleton = H36M) -> tuple[int, int]:
    """The two joints of the metric `name` in `SEGMENTS`."""
    return tuple(skeleton.find(joint) for joint in SEGMENTS[name])


def can_measure(name: str, skeleton: Skeleton) -> bool:
    """Whether a skeleton has the joints that a metric needs."""
    if name == "bone_symmetry_error":
        return bool(skeleton.bone_pairs)
    return not skeleton.missing(*SEGMENTS.get(name, ()))


def measurable(names: Iterable[str], skeleton: Skeleton) -> tuple[str, ...]:
    """Those of some metrics that a skeleton can measure, see `can_measure`."""
    return tuple(name for name in names if can_measure(name, skeleton))


def metric_of(name: str, skeleton: Skeleton) -> Callable:
    """A metric by name, a key of `POSE3D_METRICS` or `POSE2D_METRICS`, for poses of a skeleton."""
    function = (POSE3D_METRICS | POSE2D_METRICS)[name]
    return functools.partial(function, skeleton=skeleton) if name in OF_SKELETON else function


def joint_errors(predicted, target):
    """Distance of each joint from the truth; gradient 0 at distance 0. [..., J, D] twice -> [..., J], same unit."""
    squared = tf.reduce_sum((predicted - target) ** 2, axis=-1)
    exact = squared == 0
    return tf.where(exact, tf.zeros_like(squared), tf.sqrt(tf.where(exact, tf.ones_like(squared), squared)))


def mpjpe_per_joint(predicted, target):
    """Joint errors after moving both hips to the origin. [..., J, 3] twice -> [..., J], same unit."""
    return joint_errors(geometry.hip_relative(predicted), geometry.hip_relative(target))


def mpjpe(predicted, target):
    """Mean per-joint position error after moving both hips to the origin.

    Args:
        predicted: float [..., J, 3], any length unit.
        target: float [..., J, 3], same unit; joint 0 is the hip.

    Returns:
        float [...], same unit: one error per pose.
    """
    return tf.reduce_mean(mpjpe_per_joint(predicted, target), axis=-1)


def pa_mpjpe_per_joint(predicted, target):
    """Joint errors after Procrustes alignment. [..., J, 3] twice -> [..., J], same unit."""
    return joint_errors(geometry.procrustes_align(predicted, target), target)


def pa_mpjpe(predicted, target):
    """Mean per-joint error after Procrustes alignment (rotation without reflection, scale, translation).

    Args:
        predicted: float [..., J, 3], any length unit.
        target: float [..., J, 3], same unit.

    Returns:
        float [...], same unit: one error per pose.
    """
    return tf.reduce_mean(pa_mpjpe_per_joint(predicted, target), axis=-1)


def n_mpjpe(predicted, target):
    """MPJPE after scaling the hip-relative prediction by the best factor (Rhodin et al., CVPR 2018).

    Args:
        predicted: float [..., J, 3], any length unit.
        target: float [..., J, 3], same unit; joint 0 is the hip.

    Returns:
        float [...], same unit: one error per pose.
    """
    predicted, target = geometry.hip_relative(predicted), geometry.hip_relative(target)
    energy = tf.reduce_sum(predicted**2, axis=[-2, -1])
    scale = tf.math.divide_no_nan(tf.reduce_sum(predicted * target, axis=[-2, -1]), energy)
    return mpjpe(scale[..., None, None] * predicted, target)


def pck3d(predicted, target, threshold: float = PCK_THRESHOLD_MM, joints: Sequence[int] | None = None):
    """Share of joints within `threshold` of the truth, hips aligned (Mehta et al., 3DV 2017).

    Args:
        predicted: float [..., J, 3] mm.
        target: float [..., J, 3] mm; joint 0 is the hip.
        threshold: in mm.
        joints: indices of the joints that count; None for all.

    Returns:
        float [...] in 0…1.
    """
    errors = _some(mpjpe_per_joint(predicted, target), joints)
    return tf.reduce_mean(tf.cast(errors <= threshold, errors.dtype), axis=-1)


def auc3d(predicted, target, joints: Sequence[int] | None = None):
    """Mean of `pck3d` over the thresholds 0, 5, … 150 mm (Mehta et al., 3DV 2017). Arguments and result as there."""
    errors = _some(mpjpe_per_joint(predicted, target), joints)
    thresholds = tf.range(0.0, PCK_THRESHOLD_MM + 1, 5.0)
    correct = errors[..., None] <= tf.cast(thresholds, errors.dtype)
    return tf.reduce_mean(tf.cast(correct, errors.dtype), axis=[-2, -1])


def _some(values, joints):
    return values if joints is None else tf.gather(values, joints, axis=-1)


def bone_lengths(pose3d, skeleton: Skeleton = H36M):
    """Lengths of the bones of a skeleton; gradient 0 at length 0. [..., J, 3] -> [..., J − 1], same unit."""
    vectors = geometry.bone_vectors(pose3d, skeleton.bones)
    return joint_errors(vectors, tf.zeros_like(vectors))


def bone_length_error(predicted, target, skeleton: Skeleton = H36M):
    """Mean difference in length between predicted and true bones. [..., J, 3] twice -> [...], same unit."""
    lengths = bone_lengths(predicted, skeleton)
    return tf.reduce_mean(tf.abs(lengths - tf.cast(bone_lengths(target, skeleton), lengths.dtype)), axis=-1)


def bone_symmetry_error(predicted, target=None, skeleton: Skeleton = H36M):
    """Mean difference in length between the left and the right bones of the prediction, whatever the true pose.

    Args:
        predicted: float [..., J, 3], any length unit.
        target: ignored, so that all metrics of 3D poses are called alike.
        skeleton: of the pose; it must have bones on both sides.

    Returns:
        float [...], same unit: one error per pose.
    """
    del target
    lengths = bone_lengths(predicted, skeleton)
    left, right = zip(*skeleton.bone_pairs)
    return tf.reduce_mean(tf.abs(tf.gather(lengths, left, axis=-1) - tf.gather(lengths, right, axis=-1)), axis=-1)


def pixel_error(predicted, target, weights=None):
    """Mean distance of the joints in the image.

    Args:
        predicted: float [..., J, 2] px.
        target: float [..., J, 2] px.
        weights: float [..., J]: 0 leaves a joint out; None uses all joints.

    Returns:
        float [...] px; 0 if all joints are left out.
    """
    return mean_over_joints(joint_errors(predicted, target), weights)


def correct_joints(predicted, target, segment: tuple[int, int], alpha: float):
    """1 for joints within `alpha` times the length of a segment of the true joint, else 0 (Yang and Ramanan, 2013).

    Args:
        predicted: float [..., J, 2] px.
        target: float [..., J, 2] px.
        segment: indices of two joints; the length is that between them in `target`.
        alpha: factor on the length of the segment.

    Returns:
        float [..., J].
    """
    start, end = segment
    length = tf.norm(target[..., start, :] - target[..., end, :], axis=-1)
    return tf.cast(joint_errors(predicted, target) <= alpha * length[..., None], predicted.dtype)


def pck2d(predicted, target, weights=None, alpha: float = PCK_ALPHA, skeleton: Skeleton = H36M):
    """Share of joints within `alpha` of the torso, from the left shoulder to the right hip (Yang and Ramanan, PAMI
    2013), as papers on Leeds Sports Pose report it. Arguments as `pixel_error`."""
    return mean_over_joints(correct_joints(predicted, target, segment("pck2d", skeleton), alpha), weights)


def pckh(predicted, target, weights=None, alpha: float = PCKH_ALPHA, skeleton: Skeleton = H36M):
    """Share of joints within `alpha` of the head (Andriluka et al., CVPR 2014). Arguments as `pixel_error`.

    The head reaches from its top to the neck, as MPII labels it; Human3.6M's neck is closer to the face, so this metric
    is for photographs. MPII's own evaluation takes 0.6 times the diagonal of a rectangle around the head instead, which
    records do not contain.
    """
    return mean_over_joints(correct_joints(predicted, target, segment("pckh", skeleton), alpha), weights)


def mean_over_joints(values, weights=None):
    """Weighted mean over joints, 0 if all weights are 0. float [..., J], and weights [..., J] or None -> [...]."""
    if weights is None:
        return tf.reduce_mean(values, axis=-1)
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights, axis=-1), tf.reduce_sum(weights, axis=-1))


POSE3D_METRICS = {
    function.__name__: function
    for function in (mpjpe, pa_mpjpe, n_mpjpe, pck3d, auc3d, bone_length_error, bone_symmetry_error)
}
"""Metrics of 3D poses by name."""

POSE2D_METRICS = {function.__name__: function for function in (pixel_error, pck2d, pckh)}
"""Metrics of 2D poses by name."""

OF_SKELETON = ("bone_length_error", "bone_symmetry_error", "pck2d", "pckh")
"""Metrics that depend on which joints a pose has."""


@tf.keras.utils.register_keras_serializable("pose_tf")
class PoseMetric(tf.keras.metrics.Mean):
    """Streaming mean of one of the functions above over samples.

    Args:
        function: a key of `POSE3D_METRICS` or `POSE2D_METRICS`, for example `"pa_mpjpe"`.
        skeleton: of the poses, or its `to_json`.
    """

    def __init__(self, function: str, name: str | None = None, skeleton: Skeleton | dict = H36M, **kwargs):
        super().__init__(name=name or function, **kwargs)
        self.function = function
        self.skeleton = Skeleton.from_config(skeleton)

    def update_state(self, y_true, y_pred, sample_weight=None, joint_weights=None):
        """Adds poses to the mean.

        Args:
            y_true, y_pred: [..., J, D].
            sample_weight: [...], as in Keras.
            joint_weights: [..., J], for 2D metrics: 0 leaves a joint out. A sample whose weights are all 0 is left out,
                as is one that does not label the joints of the metric in `SEGMENTS`.
        """
        if joint_weights is None:
            return super().update_state(metric_of(self.function, self.skeleton)(y_pred, y_true), sample_weight)
        counts = tf.cast(tf.reduce_any(joint_weights > 0, axis=-1), tf.float32)
        for joint in segment(self.function, self.skeleton) if self.function in SEGMENTS else ():
            counts *= geometry.labeled(y_true[..., joint, :])
        sample_weight = counts if sample_weight is None else counts * sample_weight
        measure = metric_of(self.function, self.skeleton)
        return super().update_state(measure(y_pred, y_true, joint_weights), sample_weight)

    def get_config(self):
        return {**super().get_config(), "function": self.function, **self.skeleton.to_config()}
