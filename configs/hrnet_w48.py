"""The paper's detector with more channels: HRNet-W48 with the integral loss.

Reproduces: section 4 of the paper, first stage (Adam 1e-5, weight decay 0.05); 3 epochs, batch 16 and the strengths of
            the color changes come from the released code.
Published:  nothing on Human3.6M; on COCO, W48 gains 1.4 AP over W32 (75.8 against 74.4).
Differs:    from hrnet_w32 in the width alone, and from the paper as hrnet_w32 does.
Run:        pose-tf train --config=hrnet_w48 --data_dir=DATA --workdir=runs/hrnet_w48
"""

from pose_tf.configs import base


def get_config():
    config = base.detector()
    config.model.width = 48
    return config
