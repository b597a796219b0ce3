"""Training a detector: images to 2D joints."""

import functools

import numpy as np
import tensorflow as tf

from pose_tf import geometry, losses, metrics, viz
from pose_tf.augment import ColorJitter, GeometricAugmenter, OcclusionAugmenter
from pose_tf.data.pipeline import Share
from pose_tf.data.sources import Source
from pose_tf.errors import UserError
from pose_tf.models.decoding import Decoding
from pose_tf.models.estimator import detect, normalize_images
from pose_tf.models.networks import make_network
from pose_tf.training.detector_data import DetectorData, index_sources
from pose_tf.training.recipe import skeleton_of
from pose_tf.training.stage import SHEET_SAMPLES, Stage, mean_errors
from pose_tf.training.strategy import batch_sizes, worker_0_first

TERMS = ("integral", "integral_l1", "heatmap", "released_heatmap", "distribution")
"""The losses of 2D joints, which `config.loss` weighs."""
METRIC = "pixel_error"
REPORTED = (METRIC, "pck2d")
"""The metrics of a validation."""


class DetectorStage(Stage):
    """Images to 2D joints.

    Joints outside the crop have no cell in the heatmap, so they carry no weight in losses and metrics. Neither do
    joints without a label.

    Raises:
        UserError: no data, or damaged data.
    """

    validation_metric = METRIC
    labels = ("pose2d_crop",)

    def __init__(self, config, data_dir: str | None):
        if not data_dir:
            raise UserError("data_dir is missing: a detector trains on a directory of records")
        self.config, self.skeleton = config, skeleton_of(config)
        strategy = tf.distribute.get_strategy()
        self.batch_size, _ = batch_sizes(config.data, strategy)
        with worker_0_first(strategy):
            indexes = index_sources(config, data_dir)
        replicas = strategy.num_replicas_in_sync
        self.data = DetectorData(config, indexes, self.batch_size, replicas, self.labels, self.skeleton)
        self.shards, self.num_samples = self.data.shards, self.data.num_samples
        self.loss_names = [name for name in TERMS if config.loss[name]] + ["loss", "pixel_error"]
        self.counters = ["skipped_records"] if config.data.on_damage == "skip" else []
        self.decoding = Decoding(**config.decoding.to_dict())
        self.model = self.detector = make_network(config.model.to_dict(), self.skeleton)
        self.geometry = GeometricAugmenter(**config.augment.to_dict(), skeleton=self.skeleton)
        self.color = ColorJitter(**config.color.to_dict())
        self.occlusion = _make_occlusion(config.occlusion)

    def training_batches(self, start_step: int, share: Share, job: str = "") -> tf.data.Dataset:
        """Dataset of {"image": uint8 [B, 256, 256, 3], "pose2d_crop": float32 [B, J, 2] px, "skipped": int64 [B]}."""
        return self.data.training_batches(start_step, share, job)

    def notes(self) -> list[str]:
        """See `DetectorData.notes`."""
        return self.data.notes()

    @functools.cached_property
    def validation_images(self) -> dict[str, tf.data.Dataset]:
        """See `DetectorData.validation_images`."""
        return self.data.validation_images(self.batch_size)

    def augment(self, batch, seed, progress=1.0):
        """See `Stage.augment`.

        Returns:
            Images float32 [B, 256, 256, 3] in 0…255, or [B, 128, 128, 3] until `config.train.half_size_until`, and
            pose2d float32 [B, J, 2] crop px.
        """
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 3))
        images, *poses = self.geometry(batch["image"], batch["pose2d_crop"], seeds[0], batch.get("pose3d"))
        if self.occlusion:
            images = self.occlusion(images, training=True, seed=seeds[1])
        images = self.color(tf.cast(images, tf.float32), training=True, seed=seeds[2])
        if self.config.train.half_size_until:  # not in `losses`: XLA compiles these once for each size
            half_size = progress < self.config.train.half_size_until
            images = tf.cond(half_size, lambda: tf.nn.avg_pool2d(images, 2, 2, "VALID"), lambda: images)
        return images, *poses

    def losses(self, augmented) -> dict[str, tf.Tensor]:
        """{"loss": the weighted sum, "pixel_error": px, and each loss with a factor above 0}, each float32 [B]."""
        images, target = augmented
        return self.losses_2d(self.model(normalize_images(images), training=True), target)

    def losses_2d(self, heatmaps, target) -> dict[str, tf.Tensor]:
        """See `losses`.

        Args:
            heatmaps: float32 [B, H, W, J]: output of the detector.
            target: float32 [B, J, 2] crop px.
        """
        weights = geometry.inside_crop(target)
        pose2d, cells = self.decoding(heatmaps), self.decoding.to_cells(target, heatmaps)
        terms = {
            "integral": lambda: losses.integral_loss(pose2d, target, weights),
            "integral_l1": lambda: losses.integral_l1_loss(pose2d, target, weights),
            "heatmap": lambda: losses.heatmap_loss(heatmaps, cells, weights, self.config.heatmap_sigma),
            "released_heatmap": lambda: losses.released_heatmap_loss(heatmaps, cells, weights),
            "distribution": lambda: losses.distribution_loss(heatmaps, cells, weights, self.config.heatmap_sigma),
        }
        values = {name: terms[name]() for name in TERMS if self.config.loss[name]}
        values["loss"] = tf.add_n([self.config.loss[name] * value for name, value in values.items()])
        values["pixel_error"] = metrics.pixel_error(pose2d, target, weights)
        return values

    def validate(self, interrupted=lambda: False) -> dict[str, float] | None:
        """See `Stage.validate`. Errors on `validation_images`, in px or as shares of joints.

        With several sources, each has errors of its own, such as `mpii/pixel_error`, and `pixel_error` is their mean,
        weighted as in a batch.
        """
        found, mean = {}, 0.0
        for part in self.data.parts:
            images = self.validation_images[part.source.name]
            errors = mean_errors(images, functools.partial(self.measure, part.source), interrupted, self.skeleton)
            if errors is not None and METRIC not in errors:
                raise UserError(f"no joint of the {part.source.name} images for validation is inside its crop")
            if errors is None or len(self.data.parts) == 1:
                return errors
            found |= {f"{part.source.name}/{name}": error for name, error in errors.items()}
            mean += part.batch_size / self.batch_size * errors[METRIC]
        return {METRIC: mean, **found}

    def measure(self, source: Source, batch) -> list[tuple]:
        """The poses of a validation batch and the metrics that measure them, see `mean_errors`."""
        return [self.measured_2d(batch, self._detect(batch["image"])[0])]

    def measured_2d(self, batch, pose2d) -> tuple:
        """See `measure`, for predicted 2D joints [B, J, 2]."""
        target = batch["pose2d_crop"]
        return REPORTED, target, pose2d, geometry.inside_crop(target)

    @tf.function(reduce_retracing=True)
    def _detect(self, images):
        return detect(self.detector, images, self.config.flip_test, self.decoding, self.skeleton)

    def training_sheet(self) -> np.ndarray:
        """A sheet of training images with their joints, uint8 [H, W, 3]."""
        batch = next(iter(self.training_batches(0, Share(), "pictures")))
        images, pose2d, *_ = self.augment(batch, [self.config.seed, 0])
        shown = np.unique(np.linspace(0, len(images) - 1, SHEET_SAMPLES).astype(int))  # of every source
        return viz.sheet_2d(np.uint8(images)[shown], viz.only_labeled(pose2d.numpy())[shown], skeleton=self.skeleton)

    def validation_sheet(self) -> np.ndarray:
        """A sheet of validation images with their predicted and true joints, uint8 [H, W, 3]."""
        each, tiles = SHEET_SAMPLES // len(self.data.parts), []
        for dataset in self.validation_images.values():
            batch = next(iter(dataset))
            pose2d, _ = self._detect(batch["image"])
            tiles.append(
                (
                    batch["image"][:each].numpy(),
                    pose2d[:each].numpy(),
                    viz.only_labeled(batch["pose2d_crop"].numpy())[:each],
                )
            )
        return viz.sheet_2d(*(np.concatenate(arrays) for arrays in zip(*tiles)), skeleton=self.skeleton)


def _make_occlusion(options):
    if not options.probability:
        return None
    try:
        return OcclusionAugmenter(**options.to_dict())
    except UserError as error:
        raise UserError(
            f"config.occlusion.bank: {error}; config.occlusion.probability = 0.0 disables occlusion"
        ) from None
