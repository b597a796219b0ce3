"""The feed-forward lifter as the paper's released code trains it.

Reproduces: train_3d_feed_forward.py of the authors' repository (A-3D-Human-Pose-Estimation-Pipeline): one linear layer
            and one batch normalization used four times (1.14 M parameters instead of 4.3 M); raw pixels in; AdamW
            5e-4, weight decay 0.05 on all weights, 20 epochs, batch 16.
Published:  PA-MPJPE 58.59 mm with HRNet-W32, on Human3.6M.
Differs:    from feed_forward (the paper) in the shared weights, the raw pixels, and the decay of biases and batch
            normalization.
            From the released code: one subject is held out instead of a tenth of the frames; batch normalization and
            dropout stay in training mode after the first validation.
Run:        pose-tf train --config=released/feed_forward --data_dir=DATA --workdir=runs/released
"""

from pose_tf.configs import base


def get_config():
    config = base.lifter()
    config.model.raw_pixels = True
    config.model.share_blocks = True
    config.optimizer.decay_biases = True
    return config
