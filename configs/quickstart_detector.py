"""The quickstart's detector: a small HRNet-W16 at half the resolution, five minutes on 2 cores with the sample data.

Differs:    from the paper: half the channels before the branches, one exchange in each stage and half the residual
            units; images are averaged to 128x128 first; Adam 2e-3 with warm-up and cosine decay; the absolute distance
            of the soft-argmax in place of the squared one (integral_l1), and a cross-entropy to a Gaussian; mirror
            images, in training and when predicting; no occlusion and no changes of color; bfloat16; weight decay 1e-4.
Run:        tools/quickstart.sh
"""

from pose_tf.configs import base


def get_config():
    config = base.detector()
    config.precision = "mixed_bfloat16"
    config.flip_test = True
    config.model.width = 16
    config.model.stem = 32
    config.model.modules = (1, 1, 1)
    config.model.blocks = 2
    config.model.downsample = 2
    config.data.validation_samples = 100
    config.augment.flip = 0.5
    config.occlusion.probability = 0.0
    config.color.brightness = 0.0
    config.color.contrast = 0.0
    config.color.saturation = 0.0
    config.loss.integral = 0.0
    config.loss.integral_l1 = 0.05
    config.loss.distribution = 1.0
    config.heatmap_sigma = 1.0
    config.optimizer.learning_rate = 2e-3
    config.optimizer.weight_decay = 1e-4
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 50
    config.optimizer.final_fraction = 0.01
    config.train.epochs = 13.0
    config.train.steps_per_call = 5
    config.train.report_every_steps = 50
    config.train.validate_every_epochs = 6.5
    config.train.checkpoint_every_minutes = 5.0
    return config
