"""SemGCN for people and motions that it has not seen.

Differs:    from the paper: every training pose is recomposed (another heading, another body, limbs of other samples);
            poses are in the frame of the line of sight; the loss is the mean distance of the joints, not its square;
            batches of 64; Adam 4e-3 with warm-up, cosine decay and clipped gradients, no weight decay; predictions are
            averaged with the mirror image's.
Run:        pose-tf train --config=sem_gcn_recomposed --data_dir=DATA --workdir=runs/lifter
            or on poses alone: --config.data.poses=POSES.npz --config.data.validation_subjects="(9,10,11)"
"""

from pose_tf.configs import base


def get_config():
    config = base.lifter("sem_gcn")
    config.flip_test = True
    config.frame = "sight"
    config.data.batch_size = 64
    config.augment.recompose = True
    config.augment.upper_body_swap = 0.5
    config.augment.arm_swap = 0.3
    config.augment.bone_length_noise = 0.05
    config.loss = "distance"
    config.optimizer.learning_rate = 4e-3
    config.optimizer.weight_decay = 0.0
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 300
    config.optimizer.final_fraction = 0.0
    config.optimizer.clip_norm = 1.0
    return config
