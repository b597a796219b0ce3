"""Both stages at once: EfficientNet-Lite0, and SemGCN with the detector's features, for a machine without a GPU.

Differs:    from the paper, which trains the stages separately. EfficientNet-Lite0 on images of 224 px with the losses
            of the starter's detector; SemGCN has the confidences and image features of the joints as further inputs,
            poses in the frame of the line of sight, and the mean distance of the joints as its loss; Adam 3e-4 with
            warm-up and cosine decay, weight decay 0.02, and a moving average of the weights; mirror images, rotation
            and scale; no occlusion. Start from both stages, trained separately (init_from, lifter_init_from):
            docs/accuracy.md.
Run:        pose-tf train --config=end_to_end --data_dir=DATA --workdir=runs/both
                --config.init_from=runs/detector --config.lifter_init_from=runs/lifter
"""

from pose_tf.configs import base, efficientnet_cpu


def get_config():
    config = base.with_lifter(efficientnet_cpu.get_config(), "sem_gcn")
    config.flip_test = True
    config.model.scale = 0.875
    config.frame = "sight"
    config.lifter_loss = "distance"
    config.lifter_factor = 5.0
    config.optimizer.learning_rate = 3e-4
    config.optimizer.warmup_steps = 50
    config.optimizer.clip_norm = 10.0
    config.train.epochs = 8.0
    config.train.validate_every_epochs = 2.0
    return config
