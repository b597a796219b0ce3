"""Training losses: one number per sample, which the trainer averages over the global batch."""

import tensorflow as tf

from pose_tf import geometry
from pose_tf.metrics import bone_length_error, bone_symmetry_error, mean_over_joints
from pose_tf.skeleton import H36M, Skeleton


def integral_loss(pose2d, target, weights):
    """Squared distance of the soft-argmax coordinates (equation 3 of the paper).

    Args:
        pose2d: float32 [B, J, 2] crop pixels.
        target: float32 [B, J, 2] crop pixels.
        weights: float32 [B, J]: 0 leaves a joint out.

    Returns:
        float32 [B] px².
    """
    return mean_over_joints(tf.reduce_sum((pose2d - target) ** 2, axis=-1), weights)


def integral_l1_loss(pose2d, target, weights):
    """Absolute distance of the soft-argmax coordinates (Sun et al., ECCV 2018). As `integral_loss`, in px."""
    return mean_over_joints(tf.reduce_sum(tf.abs(pose2d - target), axis=-1), weights)


def _gaussian_logits(cells, heatmaps, sigma):
    """Logarithms of unnormalized Gaussians along the columns [B, W, J] and the rows [B, H, J] of heatmaps."""

    def profile(size, center):
        distance = tf.range(size, dtype=tf.float32)[None, :, None] - center[:, None, :]
        return -0.5 * (distance / sigma) ** 2

    return profile(tf.shape(heatmaps)[2], cells[..., 0]), profile(tf.shape(heatmaps)[1], cells[..., 1])


def heatmap_loss(heatmaps, cells, weights, sigma=2.0):
    """Squared error to a Gaussian of height 1 around each joint (Sun et al., CVPR 2019, section 3).

    Args:
        heatmaps: float32 [B, H, W, J].
        cells: float32 [B, J, 2]: true x, y in cells.
        weights: float32 [B, J].
        sigma: standard deviation of the Gaussian in cells (2 in Sun et al., CVPR 2019, section 4.1).

    Returns:
        float32 [B]: mean over cells, then joints.
    """
    columns, rows = _gaussian_logits(cells, heatmaps, sigma)
    error = heatmaps - tf.exp(rows[:, :, None] + columns[:, None])
    return mean_over_joints(tf.reduce_mean(error**2, axis=[1, 2]), weights)


def released_heatmap_loss(heatmaps, cells, weights):
    """Squared error to the target of the paper's released code.

    The target is 1 in the joint's cell, blurred by a Gaussian of standard deviation 1 over 3x3 cells, with L2 norm 1.

    Args:
        heatmaps: float32 [B, H, W, J].
        cells: float32 [B, J, 2]: true x, y in cells of 4 px; the first pixel of cell i is at i − 0.375.
        weights: float32 [B, J].

    Returns:
        float32 [B]: half the mean over cells, then the mean over joints.
    """
    logits = _gaussian_logits(tf.floor(cells + 0.375), heatmaps, sigma=1.0)
    columns, rows = (tf.where(profile >= -0.5, tf.exp(profile), 0.0) for profile in logits)  # up to the next cell
    columns, rows = tf.math.l2_normalize(columns, axis=1), tf.math.l2_normalize(rows, axis=1)
    error = heatmaps - rows[:, :, None] * columns[:, None]
    return mean_over_joints(tf.reduce_mean(error**2, axis=[1, 2]) / 2, weights)


def distribution_loss(heatmaps, cells, weights, sigma=2.0):
    """Cross-entropy between the softmax of a heatmap and a Gaussian around the joint.

    The regularizer of Nibali et al., 2018 (arXiv:1801.07372), as a cross-entropy. It determines where the mass of the
    softmax lies; the coordinate alone does not.

    Args:
        heatmaps: float32 [B, H, W, J] logits.
        cells: float32 [B, J, 2]: true x, y in cells.
        weights: float32 [B, J].
        sigma: standard deviation of the Gaussian in cells (2 in Sun et al., CVPR 2019, section 4.1).

    Returns:
        float32 [B] nats.
    """
    columns, rows = _gaussian_logits(cells, heatmaps, sigma)
    columns, rows = tf.nn.softmax(columns, axis=1), tf.nn.softmax(rows, axis=1)
    expected_logit = tf.einsum("bhwj,bhj,bwj->bj", heatmaps, rows, columns)
    return mean_over_joints(tf.reduce_logsumexp(heatmaps, axis=[1, 2]) - expected_logit, weights)


def pose3d_loss(pose3d, target):
    """Squared distance of 3D joints (equation 4 of the paper). [B, J, 3] twice, in any unit -> [B], in unit²."""
    return tf.reduce_mean(tf.reduce_sum((pose3d - target) ** 2, axis=-1), axis=-1)


def pose3d_distance_loss(pose3d, target):
    """Mean distance of the joints: MPJPE as a loss, smooth at 0. [B, J, 3] twice -> [B], same unit."""
    squared = tf.reduce_sum((pose3d - target) ** 2, axis=-1)
    return tf.reduce_mean(tf.sqrt(squared + 1e-3), axis=-1)


def bone_direction_loss(pose3d, target, skeleton: Skeleton = H36M):
    """1 minus the cosine of the angle between predicted and true bones, averaged. [B, J, 3] twice -> [B], 0 to 2.

    With true bone lengths, this is the squared distance of the bones of Sun et al. (ICCV 2017) over twice their squared
    length. A bone of less than 1 mm has less of a direction: its loss is 1 at length 0.
    """
    pose3d, target = (geometry.bone_vectors(pose, skeleton.bones) for pose in (pose3d, target))
    pose3d, target = (tf.math.l2_normalize(bones, axis=-1, epsilon=1.0) for bones in (pose3d, target))
    return tf.reduce_mean(1 - tf.reduce_sum(pose3d * target, axis=-1), axis=-1)


def bone_losses(pose3d, target, unit: float, skeleton: Skeleton = H36M) -> dict[str, tf.Tensor]:
    """The losses of bones (the paper's section 5, direction 1) by the names of their factors in recipes.

    Args:
        pose3d, target: float32 [B, J, 3] mm.
        unit: mm; lengths are divided by it.
        skeleton: of both poses.

    Returns:
        {"length": predicted against true lengths, "symmetry": left against right lengths, if the skeleton has bones on
        both sides, "direction": see `bone_direction_loss`}, each float32 [B].
    """
    terms = {
        "length": bone_length_error(pose3d, target, skeleton) / unit,
        "direction": bone_direction_loss(pose3d, target, skeleton),
    }
    return terms | ({"symmetry": bone_symmetry_error(pose3d, skeleton=skeleton) / unit} if skeleton.bone_pairs else {})
