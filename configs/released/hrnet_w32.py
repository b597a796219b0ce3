"""The detector as the paper's released code trains it: HRNet-W32 on heatmaps.

Reproduces: train_2d_hrnet.py of the authors' repository (A-3D-Human-Pose-Estimation-Pipeline): squared error to a
            blurred cell of unit norm, Adam with an L2 penalty of 0.05 on all weights, 1e-5 and a tenth after each of 3
            epochs, batch 16, from ImageNet weights.
Published:  PA-MPJPE 58.59 mm with the feed-forward lifter, on Human3.6M.
Differs:    from hrnet_w32 (the paper) in the loss, the argmax instead of the expectation, the penalty on the loss
            of all weights instead of decoupled decay of kernels, the schedule, 1 to 7 occluders, and jitter of the hue.
            From the released code: occluders and colors are new in every step and off in validation; one subject is
            held out instead of a tenth of the frames; joints outside the image do not count, where the released code
            leaves out the image.
Run:        pose-tf import-torch --arch=hrnet_w32 --checkpoint=hrnet_w32-36af842e.pth --workdir=runs/imagenet
            pose-tf train --config=released/hrnet_w32 --config.init_from=runs/imagenet \\
                --data_dir=DATA --workdir=runs/released_hrnet_w32
"""

from pose_tf.configs import base


def get_config():
    config = base.detector()
    config.occlusion.max_count = 7
    config.color.hue = 0.2
    config.loss.integral = 0.0
    config.loss.released_heatmap = 1.0
    config.decoding.method = "unshifted_argmax"
    config.optimizer.weight_decay_form = "coupled"
    config.optimizer.decay_biases = True
    config.optimizer.schedule = "step"
    return config
