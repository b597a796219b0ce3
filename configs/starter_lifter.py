"""The lifter of the starter: for people in any posture, seen from anywhere, with the errors of the starter's detector.

Differs:    from feed_forward_recomposed: 512 units; people lean toward and away from the camera and are turned in the
            image, because photographed people are not always upright, and cameras look down less steeply; the 2D joints
            have noise and, with augment.errors, the detector's errors; batches of 256, Adam 2e-3, 30 epochs; other
            people are held out.
Run:        pose-tf train --config=starter_lifter --config.data.poses=POSES.npz --config.augment.errors=detections.npz
                --workdir=runs/starter_lifter
"""

from pose_tf.configs import feed_forward_recomposed


def get_config():
    config = feed_forward_recomposed.get_config()
    config.model.units = 512
    config.data.batch_size = 256
    config.data.validation_subjects = (9, 10, 11)  # of the CMU motion capture database
    config.augment.tilt = 10.0
    config.augment.tilt_mean = -10.0  # the cameras of the poses look down by 13 degrees, those of photographs by less
    config.augment.roll = 20.0
    config.augment.noise_px = 2.0
    config.optimizer.learning_rate = 2e-3
    config.train.epochs = 30.0
    config.train.validate_every_epochs = 5.0
    return config
