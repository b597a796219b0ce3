"""The two stages of training: what each reads, what it minimises, and how it is judged."""

import numpy as np
import tensorflow as tf

from pose_tf import geometry, losses, metrics, viz
from pose_tf.augment import ColorJitter, GeometricAugmenter, OcclusionAugmenter, PoseAugmenter
from pose_tf.data import pipeline
from pose_tf.data.pipeline import Share
from pose_tf.data.poses import index_records, read_pose_file
from pose_tf.errors import UserError
from pose_tf.models import FeedForward, HRNet, SemGCN
from pose_tf.models.decoding import Decoding
from pose_tf.models.estimator import (
    detect,
    lift,
    normalize_images,
    normalize_pose2d,
)
from pose_tf.models.statistics import PoseStatistics
from pose_tf.training.strategy import batch_sizes, first_worker_first

PICTURES = 8


def make_stage(config, data_dir: str | None, workdir):
    """The stage that a recipe trains. Call it under the strategy's scope.

    Raises:
        UserError: no such stage or model, or no data.
    """
    stages = {"detector": DetectorStage, "lifter": LifterStage}
    if config.stage not in stages:
        raise UserError(f"config.stage is '{config.stage}'; it can be {' or '.join(stages)}")
    return stages[config.stage](config, data_dir, workdir)


class DetectorStage:
    """Images to 2D joints.

    Joints outside the crop have no cell of the heatmap, so they carry no weight in losses and metrics.
    """

    validation_metric = "pixel_error"
    statistics = None

    def __init__(self, config, data_dir, workdir):
        if not data_dir:
            raise UserError("--data_dir is missing: a detector trains on images")
        options = config.model.to_dict()
        if (name := options.pop("name")) != "hrnet":
            raise UserError(f"config.model.name is '{name}'; a detector can be hrnet")
        self.config = config
        strategy = tf.distribute.get_strategy()
        with first_worker_first(strategy):
            self.index = index_records(data_dir, workdir.path, config.data.on_damage)
        self.shards = self.index.shards
        training, validation = self.index.poses.split(config.data.validation_subjects)
        self.subjects = np.unique(training.subject)
        held_out = np.unique(validation.subject)
        if not np.any(geometry.inside_crop(validation.pose2d)):
            raise UserError(f"{data_dir}: no joint of subject {', '.join(map(str, held_out))} lies in its crop")
        self.num_samples = len(training)
        self.batch_size, _ = batch_sizes(config.data, strategy)
        self.loss_names = [name for name, factor in config.loss.items() if factor] + ["loss", "pixel_error"]
        self.counters = ["skipped_records"] if config.data.on_damage == "skip" else []
        self.decoding = Decoding(**config.decoding.to_dict())
        if self.decoding.takes_argmax and {"integral", "integral_l1"} & set(self.loss_names):
            raise UserError(
                f"config.decoding.method is '{self.decoding.method}', which config.loss.integral and integral_l1 "
                "cannot train"
            )
        self.model = HRNet(**options)
        self.geometry = GeometricAugmenter(**config.augment.to_dict())
        self.color = ColorJitter(**config.color.to_dict())
        self.occlusion = _make_occlusion(config.occlusion)
        every = -(-len(validation) // config.data.validation_samples)
        self.validation_images = pipeline.labelled_images(
            self.index, held_out, self.batch_size, every, config.data.on_damage
        ).cache()

    def training_batches(self, start_step: int, share: Share, job: str = "") -> tf.data.Dataset:
        """Endless batches of some replicas from a step on; `job` names the run for a tf.data service."""
        return pipeline.detector_batches(
            self.index,
            self.subjects,
            self.batch_size,
            seed=self.config.seed,
            start_step=start_step,
            share=share,
            on_damage=self.config.data.on_damage,
            service=self.config.data.service,
            job=job,
        )

    def augment(self, batch, seed, progress=1.0):
        """What the network sees of a replica's batch.

        Args:
            batch: {"image": uint8 [B, 256, 256, 3], "pose2d_crop": float32 [B, 17, 2] px}.
            seed: int [2] for stateless randomness.
            progress: float scalar in 0…1: the share of the training that is done.

        Returns:
            Images float32 [B, 256, 256, 3] in 0…255, or [B, 128, 128, 3] until `config.train.half_size_until`, and
            pose2d of the same shape, crop px.
        """
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
        images, pose2d = self.geometry(batch["image"], batch["pose2d_crop"], seeds[0])
        if self.occlusion:
            images = self.occlusion(images, training=True, seed=seeds[1])
        images = self.color(tf.cast(images, tf.float32), training=True, seed=seeds[2])
        if self.config.train.half_size_until:  # not in `losses`: XLA compiles these once for each size
            half_size = progress < self.config.train.half_size_until
            images = tf.cond(half_size, lambda: tf.nn.avg_pool2d(images, 2, 2, "VALID"), lambda: images)
        return images, pose2d

    def losses(self, augmented) -> dict[str, tf.Tensor]:
        """Losses of one replica's batch.

        Args:
            augmented: what `augment` returns.

        Returns:
            {"loss": what is minimised, "pixel_error": px, …}, each float32 [B].
        """
        images, target = augmented
        weights = geometry.inside_crop(target)
        heatmaps = self.model(normalize_images(images), training=True)
        pose2d, cells = self.decoding(heatmaps), self.decoding.to_cells(target, heatmaps)
        terms = {
            "integral": lambda: losses.integral_loss(pose2d, target, weights),
            "integral_l1": lambda: losses.integral_l1_loss(pose2d, target, weights),
            "heatmap": lambda: losses.heatmap_loss(heatmaps, cells, weights, self.config.heatmap_sigma),
            "released_heatmap": lambda: losses.released_heatmap_loss(heatmaps, cells, weights),
            "distribution": lambda: losses.distribution_loss(heatmaps, cells, weights, self.config.heatmap_sigma),
        }
        values = {name: terms[name]() for name in self.loss_names if name in terms}
        values["loss"] = tf.add_n([self.config.loss[name] * value for name, value in values.items()])
        values["pixel_error"] = metrics.pixel_error(pose2d, target, weights)
        return values

    def validate(self, interrupted=lambda: False) -> dict[str, float] | None:
        """Errors on (a regular sample of) the validation subjects; None as soon as `interrupted()` is true."""
        means = {name: metrics.PoseMetric(name) for name in metrics.POSE2D_METRICS}
        for batch in self.validation_images:
            if interrupted():
                return None
            pose2d, _ = self._detect(batch["image"])
            inside = geometry.inside_crop(batch["pose2d_crop"])
            for metric in means.values():
                metric.update_state(batch["pose2d_crop"], pose2d, joint_weights=inside)
        return {name: float(metric.result()) for name, metric in means.items()}

    @tf.function(reduce_retracing=True)
    def _detect(self, images):
        return detect(self.model, images, self.config.flip_test, self.decoding)

    def augmented_pictures(self) -> np.ndarray:
        """A sheet of training images and joints as the network sees them first, uint8 [H, W, 3]."""
        batch = next(iter(self.training_batches(0, Share(), "pictures")))
        images, pose2d = self.augment(batch, [self.config.seed, 0])
        return viz.sheet_2d(np.uint8(images[:PICTURES]), pose2d[:PICTURES].numpy())

    def pictures(self) -> np.ndarray:
        """A sheet of validation images with predicted and true joints, uint8 [H, W, 3]."""
        batch = next(iter(self.validation_images))
        images, target = batch["image"][:PICTURES], batch["pose2d_crop"][:PICTURES]
        pose2d, _ = self._detect(batch["image"])
        return viz.sheet_2d(images.numpy(), pose2d[:PICTURES].numpy(), target.numpy())

    def poses(self) -> None:
        """A detector predicts no 3D poses."""


def _make_occlusion(options):
    if not options.probability:
        return None
    try:
        return OcclusionAugmenter(**options.to_dict())
    except UserError as error:
        raise UserError(f"config.occlusion.bank: {error}; --config.occlusion.probability=0.0 trains without") from None


class LifterStage:
    """2D joints to 3D joints. Joints outside the crop are kept: their coordinates say where they are."""

    validation_metric = "mpjpe"
    loss_names = ("loss", "mpjpe")
    counters = ()
    shards = ()  # all poses are in memory

    def __init__(self, config, data_dir, workdir):
        models = {"feed_forward": FeedForward, "sem_gcn": SemGCN}
        options = config.model.to_dict()
        name = options.pop("name")
        if name not in models:
            raise UserError(f"config.model.name is '{name}'; a lifter can be {' or '.join(models)}")
        strategy = tf.distribute.get_strategy()
        if config.data.poses:
            poses = read_pose_file(config.data.poses)
        elif data_dir:
            with first_worker_first(strategy):
                poses = index_records(data_dir, workdir.path, config.data.on_damage).poses
        else:
            raise UserError("neither --data_dir nor --config.data.poses says what to train on")
        self.config = config
        self.training, self.validation = poses.split(config.data.validation_subjects)
        self.num_samples = len(self.training)
        self.shown = np.linspace(0, len(self.validation) - 1, PICTURES).astype(int)
        self.batch_size, _ = batch_sizes(config.data, strategy)
        self.statistics = PoseStatistics.of(self.training.pose3d, self.training.pose2d)
        self.model = models[name](**options)
        self.augmenter = PoseAugmenter(self.training.pose3d, self.training.subject, **config.augment.to_dict())
        if config.loss not in ("squared", "distance"):
            raise UserError(f"config.loss is '{config.loss}'; it can be squared or distance")

    def training_batches(self, start_step: int, share: Share, job: str = "") -> tf.data.Dataset:
        """Endless batches of some replicas from a step on."""
        del job  # poses are in memory
        return pipeline.lifter_batches(
            self.training, self.batch_size, seed=self.config.seed, start_step=start_step, share=share
        )

    def augment(self, batch, seed, progress=1.0):
        """What the network sees of a replica's batch.

        Args:
            batch: {"pose2d_crop": float32 [B, 17, 2] px, "pose3d": float32 [B, 17, 3] mm, absolute}.
            seed: int [2] for stateless randomness.
            progress: not used.

        Returns:
            pose2d and pose3d of the same shapes.
        """
        del progress
        return self.augmenter(batch["pose2d_crop"], batch["pose3d"], seed)

    def losses(self, augmented) -> dict[str, tf.Tensor]:
        """Losses of one replica's batch.

        Args:
            augmented: what `augment` returns.

        Returns:
            {"loss": in units of the poses' standard deviation, "mpjpe": mm}, each float32 [B].
        """
        pose2d, target = augmented
        target = geometry.hip_relative(target)
        standardized = self.model(normalize_pose2d(pose2d), training=True)
        pose3d = self.statistics.restore(standardized)
        if self.config.loss == "squared":
            loss = losses.pose3d_loss(standardized, self.statistics.standardize(target))
        else:
            loss = losses.pose3d_distance_loss(geometry.hip_relative(pose3d), target) / np.mean(self.statistics.std)
        return {"loss": loss, "mpjpe": metrics.mpjpe(pose3d, target)}

    def validate(self, interrupted=lambda: False) -> dict[str, float] | None:
        """Errors on the validation subjects; None as soon as `interrupted()` is true."""
        means = {name: metrics.PoseMetric(name) for name in metrics.POSE3D_METRICS}
        for start in range(0, len(self.validation), 1024):
            if interrupted():
                return None
            part = slice(start, start + 1024)
            pose3d = self._lift(self.validation.pose2d[part])
            for metric in means.values():
                metric.update_state(self.validation.pose3d[part], pose3d)
        return {name: float(metric.result()) for name, metric in means.items()}

    @tf.function(reduce_retracing=True)
    def _lift(self, pose2d):
        return lift(self.model, self.statistics, pose2d, self.config.flip_test)

    def augmented_pictures(self) -> np.ndarray:
        """A sheet of training poses as the network sees them first, uint8 [H, W, 3]."""
        batch = next(iter(self.training_batches(0, Share())))
        pose2d, pose3d = self.augment(batch, [self.config.seed, 0])
        return viz.sheet_3d(pose2d[:PICTURES].numpy(), pose3d[:PICTURES].numpy())

    def pictures(self) -> np.ndarray:
        """A sheet of validation poses, predicted and true, uint8 [H, W, 3]."""
        shown = self.shown
        return viz.sheet_3d(self.validation.pose2d[shown], self.poses(), self.validation.pose3d[shown])

    def poses(self) -> np.ndarray:
        """Some predicted validation poses, float32 [N, 17, 3] mm."""
        return self._lift(self.validation.pose2d[self.shown]).numpy()
