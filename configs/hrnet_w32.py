"""The paper's detector: HRNet-W32 with the integral loss.

Reproduces: section 4 of the paper, first stage (Adam 1e-5, weight decay 0.05); 3 epochs, batch 16 and the strengths of
            the color changes come from the released code.
Published:  PA-MPJPE 58.59 mm with the feed-forward lifter, from pretrained weights, on Human3.6M. This recipe has not
            been run on Human3.6M yet.
Differs:    from the paper's training in PyTorch, as far as it is known: weight decay is decoupled, where PyTorch's Adam
            couples it (config.optimizer.weight_decay_form = "coupled"); biases and batch normalization do not decay,
            where PyTorch decays all (decay_biases = True); and it starts from random weights, unless
            config.init_from names imported ones (docs/training.md). Occluders are new in every step; the
            paper pasted them once.
Run:        pose-tf train --config=hrnet_w32 --data_dir=DATA --workdir=runs/hrnet_w32
"""

from pose_tf.configs import base


def get_config():
    return base.detector()
