"""Both stages at once: EfficientNet-Lite0, and SemGCN with the detector's features, for a machine without a GPU.

Differs:    from the paper, which trains the stages separately. EfficientNet-Lite0 on images of 224 px with the losses
            of the starter's detector; SemGCN without non-local layers has the confidences and image features of the
            joints as further inputs, and the mean distance of the joints as its loss; Adam 3e-4 with warm-up and cosine
            decay, weight decay 0.02, and a moving average of the weights; mirror images, rotation and scale; no
            occlusion. Start from both stages, trained separately (init_from, lifter_init_from): docs/accuracy.md.
Run:        pose-tf train --config=end_to_end --data_dir=DATA --workdir=runs/both
                --config.init_from=runs/detector --config.lifter_init_from=runs/lifter
"""

from pose_tf.configs import base


def get_config():
    config = base.end_to_end("efficientnet_lite0", "sem_gcn")
    config.flip_test = True
    config.model.scale = 0.875
    config.lifter.non_local = False
    config.lifter_loss = "distance"
    config.lifter_factor = 5.0
    config.data.batch_size = 32
    config.data.validation_samples = 256
    config.augment.flip = 0.5
    config.augment.rotation = 20.0
    config.augment.scale = 0.15
    config.augment.shift = 0.04
    config.occlusion.probability = 0.0
    config.color.brightness = 0.3
    config.color.contrast = 0.3
    config.color.saturation = 0.3
    config.loss.integral = 0.0
    config.loss.integral_l1 = 0.02
    config.loss.distribution = 1.0
    config.decoding.beta = 3.0
    config.decoding.confidence_beta = 2.0
    config.optimizer.learning_rate = 3e-4
    config.optimizer.weight_decay = 0.02
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup_steps = 50
    config.optimizer.final_fraction = 0.01
    config.optimizer.clip_norm = 10.0
    config.optimizer.ema = 0.998
    config.train.epochs = 8.0
    config.train.report_every_steps = 50
    config.train.validate_every_epochs = 2.0
    config.train.checkpoint_every_minutes = 5.0
    return config
