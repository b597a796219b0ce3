"""The graph-convolutional lifter as the paper's released code trains it.

Reproduces: train_3d_semgcn.py of the authors' repository (A-3D-Human-Pose-Estimation-Pipeline): no non-local layers;
            raw pixels in; AdamW 5e-4, weight decay 0.05 on all weights, 20 epochs, batch 16.
Published:  PA-MPJPE 62.29 mm with HRNet-W32, on Human3.6M.
Differs:    from sem_gcn (the paper) in the missing non-local layers, the raw pixels, and the decay of biases and batch
            normalization.
            From the released code: one subject is held out instead of a tenth of the frames; batch normalization stays
            in training mode after the first validation.
Run:        pose-tf train --config=released/sem_gcn --data_dir=DATA --workdir=runs/released
"""

from pose_tf.configs import base


def get_config():
    config = base.lifter("sem_gcn")
    config.model.raw_pixels = True
    config.model.non_local = False
    config.optimizer.decay_biases = True
    return config
