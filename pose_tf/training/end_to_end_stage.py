"""Training both stages at once: images to 2D joints to 3D joints, through the soft-argmax."""

import numpy as np
import tensorflow as tf

from pose_tf import geometry, metrics, viz
from pose_tf.data.poses import check_in_front
from pose_tf.errors import UserError
from pose_tf.models.estimator import PoseEstimator, find_joints, lifter_inputs, normalize_images
from pose_tf.models.features import feature_channels
from pose_tf.models.networks import make_network
from pose_tf.models.statistics import PoseStatistics, in_frame
from pose_tf.starter import run_dir
from pose_tf.training.detector_stage import DetectorStage
from pose_tf.training.lifter_stage import lifter_loss_names, lifter_losses
from pose_tf.training.stage import SHEET_SAMPLES
from pose_tf.workdir import Workdir


class EndToEndStage(DetectorStage):
    """Images to 2D joints to 3D joints (direction 4 of the paper's section 5).

    The lifter's loss reaches the detector through the coordinates of the soft-argmax. Confidences and image features
    (direction 2) are inputs of the lifter if the recipe says so; through the features, too, the loss reaches the
    detector. Photographs without 3D poses train the detector only.

    Args:
        config: the recipe.
        data_dir: directory of records.
        statistics: those of a run that is resumed; None for a new run, which has those of the lifter that it starts
            from, else those of its training poses.

    Raises:
        UserError: no data, damaged data, or a lifter to start from that has no statistics.
    """

    validation_metric = "mpjpe"
    labels = ("pose2d_crop", "pose3d")

    def __init__(self, config, data_dir: str | None, statistics: PoseStatistics | None = None):
        if not config.train_detector and not config.init_from and statistics is None:
            raise UserError("config.train_detector is False, but config.init_from names no detector")
        super().__init__(config, data_dir)
        lifter = config.lifter.to_dict()
        lifter["features"] = feature_channels(self.detector) if lifter["features"] else 0
        self.h36m = next(part for part in self.data.parts if part.source.has_pose3d)
        self._check_batch()
        self.statistics = statistics or self._initial_statistics()
        self.model = PoseEstimator(
            self.detector,
            make_network(lifter, self.skeleton),
            self.statistics,
            flip_detector=config.flip_test,
            flip_lifter=config.flip_test,
            decoding=self.decoding,
            skeleton=self.skeleton,
        )
        self.model.build_from_config(None)
        self.detector.trainable = config.train_detector
        own = self.loss_names if config.train_detector else ["pixel_error"]
        own = [name for name in own if name != "loss"]
        self.loss_names = [*own, *lifter_loss_names(config.bones)]

    def _check_batch(self):
        """Batch normalization in the lifter needs at least two samples with 3D poses."""
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        each = self.h36m.batch_size // (replicas if self.config.batch_norm == "replica" else 1)
        if each < 2 and self.config.batch_norm != "frozen":
            raise UserError(
                f"config.data.mix makes {self.h36m.batch_size} of the {self.batch_size} samples in a batch h36, but "
                "one pose has no variance for batch normalization in the lifter; raise config.data.mix.h36 or "
                "config.data.batch_size"
            )

    def _initial_statistics(self):
        path, frame = self.config.lifter_init_from, self.config.get("frame", "camera")
        if frame != "camera":
            check_in_front(self.h36m.training)
        if not path:
            training = self.h36m.training
            return PoseStatistics.of(training.pose3d, training.crop_margin(), frame)
        try:
            workdir = Workdir(run_dir(path, "lifter"))
            statistics, skeleton = workdir.statistics(), workdir.skeleton()
        except UserError as error:
            raise UserError(
                f"config.lifter_init_from={path} must be the workdir of a lifter's run, or of one that trained both "
                f"stages: {error}"
            ) from None
        if skeleton.joints != self.skeleton.joints:
            raise UserError(
                f"config.skeleton is {self.skeleton}, but the lifter of config.lifter_init_from has the joints of "
                f"{skeleton}; a lifter can only start from one with the same joints"
            )
        if statistics.frame != frame:
            raise UserError(
                f"config.frame is '{frame}', but the lifter of config.lifter_init_from has poses in the frame "
                f"'{statistics.frame}'; set config.frame = {statistics.frame}"
            )
        return statistics

    def networks(self) -> dict[str, tf.keras.Model]:
        """See `Stage.networks`."""
        return {"init_from": self.detector, "lifter_init_from": self.model.lifter}

    def augment(self, batch, seed, progress=1.0):
        """Images and pose2d as for `DetectorStage`, and pose3d float32 [B, J, 3] mm, relative to the hip, in the
        recipe's frame."""
        pose3d = geometry.hip_relative(in_frame(batch["pose3d"], self.statistics.frame))
        return super().augment(batch | {"pose3d": pose3d}, seed, progress)

    def losses(self, augmented) -> dict[str, tf.Tensor]:
        """See `DetectorStage.losses` and `lifter_losses`; "loss" is the weighted sum of all, each float32 [B]."""
        images, pose2d, pose3d = augmented
        trained = self.config.train_detector
        heatmaps, *maps = tf.nest.flatten(self.model.network(normalize_images(images), training=trained))
        values = self.losses_2d(heatmaps, pose2d)
        if not trained:
            values = {"pixel_error": values["pixel_error"], "loss": tf.zeros_like(values["loss"])}

        # Only samples with 3D poses go through the lifter: the first ones of a batch. Their losses are scaled so that
        # means over the batch are means over these samples.
        samples = tf.shape(images)[0]
        lifted_samples = samples * self.h36m.batch_size // self.batch_size
        heatmaps, pose3d, *maps = (values[:lifted_samples] for values in (heatmaps, pose3d, *maps))
        found, confidence = find_joints(heatmaps, decoding=self.decoding)
        inputs = lifter_inputs(self.model.lifter, found, tf.stop_gradient(confidence), maps)
        standardized = self.model.lifter(inputs, training=True)
        options = (self.config.lifter_loss, self.config.bones.to_dict(), self.skeleton)
        lifted = lifter_losses(standardized, pose3d, self.statistics, *options)
        others = [[0, samples - lifted_samples]]
        scale = tf.cast(samples, tf.float32) / tf.cast(lifted_samples, tf.float32)
        lifted = {name: tf.pad(value * scale, others) for name, value in lifted.items()}
        return values | lifted | {"loss": values["loss"] + self.config.lifter_factor * lifted["loss"]}

    def validate(self, interrupted=lambda: False) -> dict[str, float] | None:
        """See `Stage.validate`. Errors of 3D joints, and of 2D joints as for `DetectorStage`."""
        errors = super().validate(interrupted)
        if errors is None:
            return None
        of_3d = {f"{self.h36m.source.name}/{name}": name for name in metrics.POSE3D_METRICS}
        return {of_3d.get(name, name): error for name, error in errors.items()}

    def measure(self, source, batch):
        """See `DetectorStage.measure`."""
        found = self._estimate(batch["image"])
        measured = [self.measured_2d(batch, found["pose2d"])]
        if source.has_pose3d:
            target = in_frame(batch["pose3d"], self.statistics.frame)
            measured.append((metrics.POSE3D_METRICS, target, found["pose3d"], None))
        return measured

    @tf.function(reduce_retracing=True)
    def _estimate(self, images):
        return self.model.call(images)

    def validation_sheet(self) -> np.ndarray:
        """A sheet of validation images with predicted and true joints in 2D and 3D, uint8 [H, W, 3]."""
        batch, found = self._shown()
        target = in_frame(batch["pose3d"], self.statistics.frame)
        rows = zip(batch["image"], found["pose2d"], found["pose3d"], batch["pose2d_crop"], target)
        return viz.grid(
            [viz.panel(*(value.numpy() for value in row), skeleton=self.skeleton) for row in rows], columns=1
        )

    def poses(self) -> np.ndarray:
        """Some predicted validation poses, float32 [N, J, 3] mm."""
        return self._shown()[1]["pose3d"].numpy()

    def _shown(self):
        batch = next(iter(self.validation_images[self.h36m.source.name]))
        batch = {key: values[:SHEET_SAMPLES] for key, values in batch.items()}
        return batch, self._estimate(batch["image"])
