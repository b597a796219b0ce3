"""Joint angles of a motion, in degrees."""

import csv

import numpy as np

from pose_tf import files, skeleton
from pose_tf.predict.bvh import HIP, THORAX, orientation
from pose_tf.predict.motion import Motion

H36M = skeleton.H36M
DEFINITIONS = {
    "pelvis_tilt": "pelvis about its left-right axis; forward is above 0",
    "pelvis_list": "pelvis about its back-front axis; right side up is above 0",
    "pelvis_rotation": "pelvis about the vertical; 0: faces the camera, left turn above 0",
    "trunk_flexion": "angle of the thorax about the left-right axis of the pelvis; forward bending is above 0",
    "trunk_bending": "angle of the thorax about the back-front axis of the pelvis; to the right is above 0",
    "trunk_rotation": "angle of the thorax about the long axis of the pelvis; to the left is above 0",
    "hip_flexion": "angle of the thigh from the long axis of the pelvis in its sagittal plane; forward is above 0",
    "hip_abduction": "angle of the thigh away from the sagittal plane of the pelvis; outward is above 0",
    "knee_flexion": "180 degrees minus the angle between thigh and shank; 0: straight",
    "shoulder_elevation": "angle between the upper arm and the downward long axis of the thorax; 0: hanging",
    "shoulder_plane": "plane of elevation about the long axis of the thorax; 0: abduction, 90: forward flexion",
    "elbow_flexion": "180 degrees minus the angle between upper arm and forearm; 0: straight",
}
"""Names of the angles, and what they are. Names, and the plane of elevation, are those of the ISB (Wu et al., Journal
of Biomechanics 2002 and 2005); signs are as said here. Axial rotations of limbs cannot be seen in joints alone. The
thorax has the long axis from the spine to the thorax, and the left-right axis of the shoulders."""


def joint_angles(motion: Motion) -> dict[str, np.ndarray]:
    """Angles in degrees by name, float64 [T] each; those of limbs begin with left_ and right_. See `DEFINITIONS`."""
    joints = {name: motion.joints[:, i] for i, name in enumerate(H36M.joints)}
    pelvis, thorax = (orientation(motion.joints, joint) for joint in (HIP, THORAX))
    found = {}
    left, up, front = np.moveaxis(pelvis, -1, 0)  # each [T, 3]
    found["pelvis_tilt"] = -np.degrees(np.arcsin(np.clip(front[:, 1], -1, 1)))
    found["pelvis_list"] = -np.degrees(np.arcsin(np.clip(left[:, 1], -1, 1)))
    found["pelvis_rotation"] = np.degrees(np.unwrap(np.arctan2(front[:, 0], front[:, 2])))
    trunk = np.swapaxes(pelvis, -1, -2) @ thorax
    found["trunk_flexion"] = np.degrees(np.arctan2(trunk[:, 2, 1], trunk[:, 1, 1]))
    found["trunk_bending"] = -np.degrees(np.arcsin(np.clip(trunk[:, 0, 1], -1, 1)))
    found["trunk_rotation"] = np.degrees(np.arctan2(trunk[:, 2, 0] * -1, trunk[:, 0, 0]))
    for side, name, outward in (("L", "left", 1.0), ("R", "right", -1.0)):
        thigh = joints[f"{side}Knee"] - joints[f"{side}Hip"]
        shank = joints[f"{side}Foot"] - joints[f"{side}Knee"]
        arm = joints[f"{side}Elbow"] - joints[f"{side}Shoulder"]
        forearm = joints[f"{side}Wrist"] - joints[f"{side}Elbow"]
        x, y, z = _in(pelvis, thigh)
        found[f"{name}_hip_flexion"] = np.degrees(np.arctan2(z, -y))
        found[f"{name}_hip_abduction"] = np.degrees(np.arcsin(np.clip(outward * x / _norm(thigh), -1, 1)))
        found[f"{name}_knee_flexion"] = _between(thigh, shank)
        x, y, z = _in(thorax, arm)
        found[f"{name}_shoulder_elevation"] = np.degrees(np.arccos(np.clip(-y / _norm(arm), -1, 1)))
        found[f"{name}_shoulder_plane"] = np.degrees(np.arctan2(z, outward * x))
        found[f"{name}_elbow_flexion"] = _between(arm, forearm)
    return found


def write_angles(path: str, motion: Motion) -> None:
    """Writes a CSV file: frame, time in seconds, and each angle in degrees; empty where a joint is not seen."""
    angles = joint_angles(motion)
    with files.replacing(path) as temporary, open(temporary, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["frame", "time_s", *(f"{name}_deg" for name in angles)])
        first = round(motion.start * motion.fps)
        for i, known in enumerate(motion.known.all(axis=-1)):
            cells = [f"{values[i]:.2f}" if known else "" for values in angles.values()]
            table.writerow([first + i, f"{motion.start + i / motion.fps:.4f}", *cells])


def _norm(vectors):
    return np.maximum(np.linalg.norm(vectors, axis=-1), 1e-9)


def _in(frame, vectors):
    """Coordinates of vectors [T, 3] along the axes of frames [T, 3, 3]: left, up, front."""
    return np.einsum("tij,ti->jt", frame, vectors)


def _between(one, other):
    """Angle between two bones in degrees; 0: in one line."""
    cosine = np.sum(one * other, axis=-1) / (_norm(one) * _norm(other))
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))
