"""A detector for a machine without a GPU: HRNet-W16, from random weights to a useful network in 45 minutes on 2 cores.

Differs from the paper: Adam 1e-3 with warm-up and cosine decay; the cross-entropy to a Gaussian beside the integral
loss, which tells where the mass of the softmax belongs; four fifths of the steps on images of half the size, which
cost a third; mirror images, slight rotation and scale; bfloat16.
Run:        python tools/train.py --config=configs/hrnet_w16_cpu.py --data_dir=DATA --workdir=runs/hrnet_w16
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
    config.model.downsample = 1  # 2 makes training and prediction four times faster, and coarser

    config.data = ml_collections.ConfigDict()
    config.data.batch_size = 16  # of all replicas together
    config.data.validation_subjects = (8,)
    config.data.validation_samples = 128

    config.augment = ml_collections.ConfigDict()
    config.augment.flip = 0.5  # probability of a mirror image
    config.augment.rotation = 10.0  # up to this many degrees
    config.augment.scale = 0.05  # up to this relative change

    config.loss = ml_collections.ConfigDict()
    config.loss.integral = 0.0  # equation 3 of the paper
    config.loss.integral_l1 = 0.02
    config.loss.heatmap = 0.0
    config.loss.distribution = 1.0
    config.heatmap_sigma = 2.0  # of the targets of the last two, in cells

    config.optimizer = ml_collections.ConfigDict()
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 1e-4
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 100
    config.optimizer.final_fraction = 0.01
    config.optimizer.clip_norm = 0.0

    config.train = ml_collections.ConfigDict()
    config.train.epochs = 12.0
    config.train.half_size_until = 0.8  # share of the steps that see 128x128 images
    config.train.report_every_steps = 20
    config.train.validate_every_epochs = 3.0
    config.train.checkpoint_every_minutes = 5.0
    return config
