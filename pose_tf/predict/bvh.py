"""BVH files: bones of constant length, turned from a rest pose."""

import dataclasses

import numpy as np

from pose_tf import files, skeleton
from pose_tf.predict.motion import NAMES, Motion

H36M = skeleton.H36M
CHILDREN = {joint: [child for child, parent in H36M.bones if parent == joint] for joint in range(len(H36M.joints))}
HIP, THORAX = H36M.index("Hip"), H36M.index("Thorax")
REST = {
    joint: np.array(direction, float)
    for direction, joints in (
        ((1, 0, 0), ("LHip", "LShoulder", "LElbow", "LWrist")),
        ((-1, 0, 0), ("RHip", "RShoulder", "RElbow", "RWrist")),
        ((0, -1, 0), ("LKnee", "LFoot", "RKnee", "RFoot")),
        ((0, 1, 0), ("Spine", "Thorax", "Neck/Nose", "Head")),
    )
    for joint in map(H36M.index, joints)
}
"""Directions of the bones that lead to each joint in the rest pose: a person with arms spread who faces +z."""
AXES = {HIP: ("RHip", "LHip", "Hip", "Spine"), THORAX: ("RShoulder", "LShoulder", "Spine", "Thorax")}
"""Joints with several bones: their x axis points from the first joint to the second, and y roughly from the third to
the fourth."""
HELPERS = {
    H36M.index(joint): name
    for joint, name in {
        "RHip": "RHipJoint", "LHip": "LHipJoint", "Spine": "LowerBack", "Neck/Nose": "NeckBase",
        "LShoulder": "LClavicle", "RShoulder": "RClavicle",
    }.items()
}  # fmt: skip
"""Nodes at hip and thorax that turn one bone each, as in the files of CMU's motion capture."""
METERS = 1e-3
LEAST_MM = 1e-3  # shorter bones have no direction


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """A node of the skeleton in a file.

    Attributes:
        name: its name.
        parent: number of its parent, which comes before it; None for the root.
        offset: float64 [3] mm from the parent in the rest pose.
        rotation: float64 [T, 3, 3] relative to the parent; None for the end of a bone that nothing follows.
    """

    name: str
    parent: int | None
    offset: np.ndarray
    rotation: np.ndarray | None


def solve(motion: Motion) -> tuple[list[Node], np.ndarray]:
    """Turns a skeleton of constant bone lengths from its rest pose into a motion.

    Every bone turns by the smallest rotation that brings it from its direction in the parent's frame to that of the
    motion, so bones do not twist. Hip and thorax have the orientation of the hips and of the shoulders.

    Args:
        motion: the motion.

    Returns:
        The nodes, and the positions of the joints [T, 17, 3] mm: those of the motion, but with the same lengths of
        bones in all frames, which are medians over the motion and over left and right.
    """
    joints, count = motion.joints, len(motion.joints)
    bones = {child: joints[:, child] - joints[:, parent] for child, parent in H36M.bones}
    lengths = {child: np.median(np.linalg.norm(bone, axis=-1)) for child, bone in bones.items()}
    nodes, turned, positions = [], [], np.zeros_like(joints)

    def add(name, parent, offset, rotation):
        """Adds a node with a rotation in the frame of the file; returns its number."""
        before = np.tile(np.eye(3), (count, 1, 1)) if parent is None else turned[parent]
        local = None if rotation is None else np.swapaxes(before, -1, -2) @ rotation
        nodes.append(Node(name, parent, offset, local))
        turned.append(before if rotation is None else rotation)
        return len(nodes) - 1

    def swing(node, child):
        """The orientation of a node that brings the bone to a child from its direction in this node's frame."""
        frame = turned[node] if node is not None else np.tile(np.eye(3), (count, 1, 1))
        return _swing(np.einsum("tij,j->ti", frame, REST[child]), bones[child]) @ frame

    def descend(joint, node, offset):
        """Adds a joint after a node, and all that follows it."""
        if joint in AXES:
            rotation = orientation(joints, joint)
        else:
            rotation = swing(node, CHILDREN[joint][0]) if CHILDREN[joint] else None
        number = add(NAMES[joint], node, offset, rotation)
        for child in CHILDREN[joint]:
            length = (lengths[child] + lengths[H36M.mirror[child]]) / 2
            after = number
            if joint in AXES:
                after = add(HELPERS[child], number, np.zeros(3), swing(number, child))
            positions[:, child] = positions[:, joint] + length * np.einsum("tij,j->ti", turned[after], REST[child])
            descend(child, after, length * REST[child])

    positions[:, HIP] = joints[:, HIP]
    descend(HIP, None, np.zeros(3))
    return nodes, positions


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)


def orientation(joints: np.ndarray, joint: int) -> np.ndarray:
    """Orientation of a joint of `AXES` in each frame: [T, 17, 3] mm -> [T, 3, 3], with its x, y and z axis as columns.

    A frame that does not determine it, because joints are in one place, has that of the frame before.
    """
    right, left, low, high = (joints[:, H36M.index(name)] for name in AXES[joint])
    x = _unit(left - right)
    across = np.cross(x, high - low)
    z = _unit(across)
    found = np.stack([x, np.cross(z, x), z], axis=-1)
    valid = (np.linalg.norm(left - right, axis=-1) > LEAST_MM) & (np.linalg.norm(across, axis=-1) > LEAST_MM)
    last = np.maximum.accumulate(np.where(valid, np.arange(len(joints)), -1))
    return np.where((last >= 0)[:, None, None], found[last], np.eye(3))


def _swing(one, other):
    """The smallest rotations [T, 3, 3] that bring directions [T, 3] to others."""
    one, other = _unit(one), _unit(other)
    axis, cosine = np.cross(one, other), np.sum(one * other, axis=-1)
    opposite = cosine < -1 + 1e-9
    if opposite.any():  # half a turn about any axis across
        across = np.cross(one, np.where(np.abs(one[:, :1]) < 0.9, [[1.0, 0, 0]], [[0, 1.0, 0]]))
        axis = np.where(opposite[:, None], _unit(across), axis)
    x, y, z = axis.T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape(-1, 3, 3)
    factor = np.where(opposite, 2.0, 1 / np.maximum(1 + cosine, 1e-9))
    linear = np.where(opposite, 0.0, 1.0)[:, None, None] * cross
    return np.eye(3) + linear + factor[:, None, None] * (cross @ cross)


def euler_zxy(rotations: np.ndarray) -> np.ndarray:
    """Angles about z, x and y in degrees such that R = Rz·Rx·Ry: [T, …, 3, 3] -> [T, …, 3].

    Of the two triples that give the same rotation, each frame has the one that is nearer to the frame before, so that
    curves are smooth except where x comes close to 90 degrees.
    """
    z = np.arctan2(-rotations[..., 0, 1], rotations[..., 1, 1])
    x = np.arcsin(np.clip(rotations[..., 2, 1], -1, 1))
    y = np.arctan2(-rotations[..., 2, 0], rotations[..., 2, 2])
    one = np.degrees(np.stack([z, x, y], axis=-1))
    other = one * [1, -1, 1] + 180
    found = one.copy()
    for t in range(1, len(found)):
        near = [angles[t] + 360 * np.round((found[t - 1] - angles[t]) / 360) for angles in (one, other)]
        steps = [np.abs(angles - found[t - 1]).sum(axis=-1, keepdims=True) for angles in near]
        found[t] = np.where(steps[0] <= steps[1], *near)
    return found


def write_bvh(path: str, motion: Motion) -> None:
    """Writes a BVH file: meters, y up, z toward the camera, rotations in the order ZXY.

    It begins with the video, so that the files of all people are in step. Before a person appears, the first pose
    stands still.
    """
    before = round(motion.start * motion.fps)
    joints = np.concatenate([motion.joints[:1].repeat(before, axis=0), motion.joints])
    nodes, positions = solve(dataclasses.replace(motion, joints=joints))
    lines, depth = ["HIERARCHY"], []
    for number, node in enumerate(nodes):
        while depth and depth[-1] != node.parent:
            depth.pop()
            lines.append("\t" * len(depth) + "}")
        indent = "\t" * len(depth)
        kind = f"ROOT {node.name}" if node.parent is None else f"JOINT {node.name}"
        lines += [indent + (kind if node.rotation is not None else "End Site"), indent + "{"]
        lines.append(f"{indent}\tOFFSET {_numbers(METERS * node.offset)}")
        if node.rotation is not None:
            places = "6 Xposition Yposition Zposition" if node.parent is None else "3"
            lines.append(f"{indent}\tCHANNELS {places} Zrotation Xrotation Yrotation")
        depth.append(number)
    lines += ["\t" * i + "}" for i in reversed(range(len(depth)))]
    angles = np.stack([euler_zxy(node.rotation) for node in nodes if node.rotation is not None], axis=1)
    lines += ["MOTION", f"Frames: {len(angles)}", f"Frame Time: {1 / motion.fps:.8f}"]
    for place, frame in zip(METERS * positions[:, HIP], angles):
        lines.append(_numbers([*place, *frame.ravel()]))
    with files.replacing(path) as temporary, open(temporary, "w") as file:
        file.write("\n".join(lines) + "\n")


def _numbers(values):
    return " ".join(f"{value:.6f}" for value in values)
