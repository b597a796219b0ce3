"""The paper's graph-convolutional lifter: SemGCN with non-local layers.

Reproduces: section 4 of the paper, second stage (AdamW 5e-4, weight decay 0.05, squared error; 20 epochs and batch 16
            as in the released code, which has no non-local layers), trained on true 2D joints.
Published:  PA-MPJPE 62.29 mm behind HRNet-W32 on Human3.6M. This recipe has not been run on Human3.6M yet.
Differs:    from PyTorch's AdamW, which also decays biases and batch normalization (decay_biases = True).
Run:        pose-tf train --config=sem_gcn --data_dir=DATA --workdir=runs/sem_gcn
"""

from pose_tf.configs import base


def get_config():
    return base.lifter("sem_gcn")
