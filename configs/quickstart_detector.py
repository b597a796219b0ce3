"""The quickstart's detector: HRNet-W16 at a quarter of the resolution, a few minutes on 2 cores with the sample data.

Differs from the paper: images are averaged to 64x64 first; Adam 2e-3 with warm-up and cosine decay; the cross-entropy
to a Gaussian beside the integral loss; mirror images; bfloat16.
Run:        tools/quickstart.sh
"""

import ml_collections


def get_config():
    config = ml_collections.ConfigDict()
    config.stage = "detector"
    config.seed = 0
    config.strategy = "auto"
    config.precision = "mixed_bfloat16"
    config.flip_test = False  # average with the mirror image when predicting, at twice the cost

    config.model = ml_collections.ConfigDict()
    config.model.name = "hrnet"
    config.model.width = 16
    config.model.downsample = 4  # 2 makes training and prediction four times faster, and coarser

    config.data = ml_collections.ConfigDict()
    config.data.batch_size = 32  # of all replicas together
    config.data.validation_subjects = (8,)
    config.data.validation_samples = 100

    config.augment = ml_collections.ConfigDict()
    config.augment.flip = 0.5  # probability of a mirror image
    config.augment.rotation = 0.0  # up to this many degrees
    config.augment.scale = 0.0  # up to this relative change

    config.loss = ml_collections.ConfigDict()
    config.loss.integral = 0.0  # equation 3 of the paper
    config.loss.integral_l1 = 0.02
    config.loss.heatmap = 0.0
    config.loss.distribution = 1.0
    config.heatmap_sigma = 1.0  # of the targets of the last two, in cells

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = 2e-3
    config.optimizer.weight_decay = 1e-4
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 30
    config.optimizer.final_fraction = 0.01
    config.optimizer.clip_norm = 0.0

    config.train = ml_collections.ConfigDict()
    config.train.epochs = 16.0
    config.train.half_size_until = 0.0  # share of the steps that see images of half the size
    config.train.report_every_steps = 25
    config.train.validate_every_epochs = 8.0
    config.train.checkpoint_every_minutes = 5.0
    return config
