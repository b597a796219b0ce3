"""The detector of the starter: EfficientNet-Lite0 from ImageNet weights, on photographs and rendered people.

Differs:    from the paper: the network, on images of 192 px; eight of ten samples are photographs with 2D joints; Adam
            with warm-up and cosine decay, and a moving average of the weights; the absolute distance of the soft-argmax
            and, above all, a cross-entropy to a Gaussian in place of the squared distance. People are rotated, scaled,
            shifted and cut in half, because photographed people are often not upright and not whole. No occlusion.
            beta: of two places where a joint may be, the coordinate is the likelier one, not their middle; the
            confidence comes from a lower one, at which it is about the probability that the joint is right.
Run:        in four parts, at 128 px, at 192 px, there on cleaned labels, and at 224 px, as it ships: docs/starter.md
            has the commands and what was tried.
"""

from pose_tf.configs import base


def get_config():
    config = base.detector("efficientnet_lite0")
    config.data.batch_size = 32
    config.data.mix.h36 = 0.2
    config.data.mix.mpii = 0.8
    config.data.validation_samples = 512
    config.augment.flip = 0.5
    config.augment.rotation = 50.0
    config.augment.scale = 0.25
    config.augment.shift = 0.04
    config.augment.half_body = 0.2
    config.occlusion.probability = 0.0
    config.color.brightness = 0.3
    config.color.contrast = 0.3
    config.color.saturation = 0.3
    config.loss.integral = 0.0
    config.loss.integral_l1 = 0.02
    config.loss.distribution = 1.0
    config.decoding.beta = 3.0
    config.decoding.confidence_beta = 2.0
    config.optimizer.learning_rate = 6e-4
    config.optimizer.weight_decay = 0.02
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 200
    config.optimizer.final_fraction = 0.01
    config.optimizer.ema = 0.998
    config.train.epochs = 7.0
    config.train.report_every_steps = 50
    config.train.validate_every_epochs = 1.0
    config.train.checkpoint_every_minutes = 5.0
    return config
