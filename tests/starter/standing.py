"""A person for tests of labels."""

import numpy as np

from pose_tf.starter.labels import JOINTS, LANDMARKS

NAMES = list(LANDMARKS)
STANDING = np.float32(
    [(55, 100), (52, 150), (53, 200), (75, 100), (78, 150), (77, 200)]
    + [(82, 40), (90, 70), (95, 95), (48, 40), (40, 70), (35, 95)]
)
"""A person who faces the camera: the joints of LANDMARKS in px of an image."""
MIRRORED = [NAMES.index({"L": "R", "R": "L"}[name[0]] + name[1:]) for name in NAMES]


def whole_pose(joints):
    pose = np.zeros((17, 2), np.float32)
    pose[JOINTS] = joints
    return pose


def rotated(joints, degrees, scale=1.0):
    angle = np.deg2rad(degrees)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (joints - (65, 100)) @ turn.T + (128, 128)
