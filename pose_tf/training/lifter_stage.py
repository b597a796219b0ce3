"""Training a lifter: 2D joints to 3D joints."""

import numpy as np
import tensorflow as tf

from pose_tf import geometry, losses, metrics, viz
from pose_tf.augment import PoseAugmenter
from pose_tf.data import pipeline
from pose_tf.data.detections import read_errors
from pose_tf.data.pipeline import Share
from pose_tf.data.poses import check_in_front, read_pose_file
from pose_tf.data.record_index import index_records
from pose_tf.errors import UserError
from pose_tf.models.estimator import lift, lifter_inputs
from pose_tf.models.networks import make_network
from pose_tf.models.statistics import PoseStatistics, in_frame
from pose_tf.skeleton import H36M, Skeleton
from pose_tf.training.recipe import skeleton_of
from pose_tf.training.stage import SHEET_SAMPLES, Stage, mean_errors
from pose_tf.training.strategy import batch_sizes, worker_0_first

VALIDATION_BATCH = 1024
VALIDATION_SEED = (0, 0)  # of the errors of 2D joints, so that all validations have the same


class LifterStage(Stage):
    """2D joints to 3D joints. Joints outside the crop count like all others, since their coordinates are known.

    Raises:
        UserError: no data, or damaged data.
    """

    validation_metric = "mpjpe"

    def __init__(self, config, data_dir: str | None):
        strategy = tf.distribute.get_strategy()
        self.skeleton = skeleton_of(config)
        if config.data.poses:
            poses = read_pose_file(config.data.poses, self.skeleton)
        elif data_dir:
            with worker_0_first(strategy):
                poses = index_records(data_dir, config.data.on_damage).poses.in_joints(self.skeleton)
        else:
            raise UserError("no training data: give data_dir or config.data.poses")
        self.config = config
        self.loss_names = lifter_loss_names(config.get("bones"))
        self.training, self.validation = poses.split(config.data.validation_subjects)
        self.num_samples = len(self.training)
        self.shown = np.linspace(0, len(self.validation) - 1, SHEET_SAMPLES).astype(int)
        self.batch_size, _ = batch_sizes(config.data, strategy)
        frame = config.get("frame", "camera")
        if frame != "camera":
            check_in_front(poses)
        self.statistics = PoseStatistics.of(self.training.pose3d, self.training.crop_margin(), frame)
        self.model = make_network(config.model.to_dict(), self.skeleton)
        options = config.augment.to_dict()
        errors = options.pop("errors", "")
        options["errors"] = read_errors(errors, self.skeleton) if errors else None
        self.augmenter = PoseAugmenter(self.training.pose3d, self.training.subject, **options, skeleton=self.skeleton)

    def training_batches(self, start_step: int, share: Share, job: str = "") -> tf.data.Dataset:
        """Dataset of {"pose2d_crop": float32 [B, J, 2] px, "pose3d": float32 [B, J, 3] mm, absolute}."""
        return pipeline.lifter_batches(
            self.training, self.batch_size, seed=self.config.seed, start_step=start_step, share=share
        )

    def augment(self, batch, seed, progress=1.0):
        """pose2d float32 [B, J, 2] crop px, confidence [B, J], and pose3d float32 [B, J, 3] mm, absolute, in the
        recipe's frame."""
        pose2d, confidence, pose3d = self.augmenter(batch["pose2d_crop"], batch["pose3d"], seed)
        return pose2d, confidence, in_frame(pose3d, self.statistics.frame)

    def losses(self, augmented) -> dict[str, tf.Tensor]:
        """See `lifter_losses`."""
        pose2d, confidence, target = augmented
        standardized = self.model(lifter_inputs(self.model, pose2d, confidence), training=True)
        options = (self.config.loss, self.config.get("bones"), self.skeleton)
        return lifter_losses(standardized, target, self.statistics, *options)

    def validate(self, interrupted=lambda: False) -> dict[str, float] | None:
        """See `Stage.validate`. Errors in mm, or as shares of joints and thresholds. With `config.augment.errors`, the
        2D joints have a detector's errors, the same in every validation."""

        def measure(start):
            part = slice(start, start + VALIDATION_BATCH)
            predicted = self._lift(*self._validation_joints(part))
            target = in_frame(self.validation.pose3d[part], self.statistics.frame)
            return [(metrics.POSE3D_METRICS, target, predicted, None)]

        return mean_errors(range(0, len(self.validation), VALIDATION_BATCH), measure, interrupted, self.skeleton)

    def _validation_joints(self, part):
        """2D joints of some validation poses, and their confidences."""
        return self.augmenter.add_errors(self.validation.pose2d_crop[part], VALIDATION_SEED)

    @tf.function(reduce_retracing=True)
    def _lift(self, pose2d, confidence):
        flip_test = self.config.flip_test
        return lift(self.model, self.statistics, pose2d, flip_test, confidence=confidence, skeleton=self.skeleton)

    def training_sheet(self) -> np.ndarray:
        """A sheet of training poses, uint8 [H, W, 3]."""
        batch = next(iter(self.training_batches(0, Share())))
        pose2d, _, pose3d = self.augment(batch, [self.config.seed, 0])
        shown = (values[:SHEET_SAMPLES].numpy() for values in (pose2d, pose3d))
        return viz.sheet_3d(*shown, skeleton=self.skeleton)

    def validation_sheet(self) -> np.ndarray:
        """A sheet of predicted and true validation poses, uint8 [H, W, 3]."""
        shown = self.shown
        target = np.asarray(in_frame(self.validation.pose3d[shown], self.statistics.frame))
        pose2d = np.asarray(self._validation_joints(shown)[0])
        return viz.sheet_3d(pose2d, self.poses(), target, skeleton=self.skeleton)

    def poses(self) -> np.ndarray:
        """Some predicted validation poses, float32 [N, J, 3] mm."""
        return self._lift(*self._validation_joints(self.shown)).numpy()


def lifter_loss_names(bones) -> list[str]:
    """Keys of the result of `lifter_losses`."""
    return ["loss", "mpjpe", *(f"bone_{name}" for name, factor in (bones or {}).items() if factor)]


def lifter_losses(
    standardized, target, statistics: PoseStatistics, loss: str, bones=None, skeleton: Skeleton = H36M
) -> dict[str, tf.Tensor]:
    """Losses of predicted 3D poses.

    Args:
        standardized: float32 [B, J, 3]: output of the lifter.
        target: float32 [B, J, 3] mm, absolute or relative to the hip.
        statistics: mean and standard deviation of the training poses.
        loss: `squared` or `distance`.
        bones: {name of `losses.bone_losses`: factor}, or None.
        skeleton: of the poses.

    Returns:
        {"loss": the weighted sum, in units of the training poses' standard deviation, "mpjpe": mm, "bone_NAME": each
        loss of bones with a factor above 0}, each float32 [B].
    """
    target = geometry.hip_relative(target)
    pose3d = statistics.restore(standardized)
    unit = float(np.mean(statistics.std))
    if loss == "squared":
        total = losses.pose3d_loss(standardized, statistics.standardize(target))
    else:
        total = losses.pose3d_distance_loss(geometry.hip_relative(pose3d), target) / unit
    values = {"mpjpe": metrics.mpjpe(pose3d, target)}
    factors = {name: factor for name, factor in (bones or {}).items() if factor}
    if factors:
        terms = losses.bone_losses(pose3d, target, unit, skeleton)
        for name, factor in factors.items():
            values[f"bone_{name}"] = terms[name]
            total += factor * terms[name]
    return {"loss": total, **values}
