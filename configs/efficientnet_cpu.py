"""EfficientNet-Lite0 from ImageNet weights, trained in 45 minutes on 2 cores with 3,200 images.

Differs:    from the starter's detector: Human3.6M's records only, no half bodies, and less rotation and scale, because
            these people are upright and whole; Adam 1e-3; fewer validation images.
Run:        in two parts, at 128 px and at 192 px: docs/accuracy.md has the commands.
"""

from pose_tf.configs import starter_detector


def get_config():
    config = starter_detector.get_config()
    config.data.mix.h36 = 1.0
    config.data.mix.mpii = 0.0
    config.data.validation_samples = 256
    config.augment.rotation = 20.0
    config.augment.scale = 0.15
    config.augment.half_body = 0.0
    config.optimizer.learning_rate = 1e-3
    return config
