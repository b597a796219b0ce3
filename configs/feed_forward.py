"""The paper's feed-forward lifter.

Reproduces: section 4 of the paper, second stage (AdamW 5e-4, weight decay 0.05, squared error; 20 epochs and batch 16
            as in the released code), trained on true 2D joints. The network's input is pixels / 128 - 1.
Published:  PA-MPJPE 58.59 mm behind HRNet-W32 on Human3.6M. This recipe has not been run on Human3.6M yet.
Differs:    from PyTorch's AdamW, which also decays biases and batch normalization (decay_biases = True).
Run:        pose-tf train --config=feed_forward --data_dir=DATA --workdir=runs/feed_forward
"""

from pose_tf.configs import base


def get_config():
    return base.lifter()
