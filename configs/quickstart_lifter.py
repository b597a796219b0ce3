"""The quickstart's lifter: a feed-forward network on the sample's poses without images, under a minute on 2 cores.

Differs:    from the paper: noise on the 2D joints; the loss is the mean distance of the joints, not its square; no
            dropout, half the units; batches of 128; Adam 1e-3 with warm-up, cosine decay and clipped gradients, no
            weight decay; predictions are averaged with the mirror image's.
Run:        tools/quickstart.sh
"""

from pose_tf.configs import base


def get_config():
    config = base.lifter()
    config.flip_test = True
    config.model.units = 512
    config.model.dropout = 0.0
    config.data.batch_size = 128
    config.augment.noise_px = 3.0
    config.loss = "distance"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 0.0
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 50
    config.optimizer.final_fraction = 0.0
    config.optimizer.clip_norm = 1.0
    config.train.epochs = 18.0
    config.train.validate_every_epochs = 6.0
    return config
