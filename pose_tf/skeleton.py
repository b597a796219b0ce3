"""Skeletons: their joints and bones, which joints two of them share, and which can be derived from others."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Derived:
    """A joint in the middle of two others.

    Attributes:
        between: the names of the two.
        error_mm: mean distance from the measured joint in the CMU Graphics Lab's motion capture (45,763 poses); in
            crops of people, a body is some 8 mm a pixel.
    """

    between: tuple[str, str]
    error_mm: float


DERIVED = {
    "Hip": Derived(("LHip", "RHip"), 0.0),
    "Thorax": Derived(("LShoulder", "RShoulder"), 32.3),
    "Spine": Derived(("Hip", "Thorax"), 29.4),
}
"""Joints by name that can be derived from their neighbors where a data set does not have them."""


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """A named set of joints.

    Attributes:
        name: for messages.
        joints: joint names in storage order. Left and right are the person's.
        bones: (child, parent) indices; one entry per bone.
    """

    name: str
    joints: tuple[str, ...]
    bones: tuple[tuple[int, int], ...]

    def index(self, joint: str) -> int:
        """Position of a joint by its name."""
        return self.joints.index(joint)

    @property
    def left_right(self) -> tuple[tuple[int, int], ...]:
        """(left, right) index pairs."""
        pairs = ((name, "R" + name[1:]) for name in self.joints if name.startswith("L"))
        return tuple((self.index(left), self.index(right)) for left, right in pairs)

    @property
    def mirror(self) -> tuple[int, ...]:
        """Permutation that swaps left and right: joint i of a mirrored image is joint mirror[i] of the original."""
        permutation = list(range(len(self.joints)))
        for left, right in self.left_right:
            permutation[left], permutation[right] = right, left
        return tuple(permutation)

    @property
    def bone_pairs(self) -> tuple[tuple[int, int], ...]:
        """(left, right) indices of bones that mirror each other."""
        mirrored = [tuple(self.mirror[joint] for joint in bone) for bone in self.bones]
        indices = [self.bones.index(bone) for bone in mirrored]
        return tuple((i, j) for i, j in enumerate(indices) if self.joints[self.bones[i][0]].startswith("L") and i != j)

    def shared_with(self, other: "Skeleton") -> tuple[tuple[int, int], ...]:
        """(own index, other's index) of every joint that both skeletons have.

        Joints match by name. A joint with two names, such as Human3.6M's Neck/Nose, matches either.
        """
        return tuple(
            (i, j)
            for i, own in enumerate(self.joints)
            for j, name in enumerate(other.joints)
            if set(own.split("/")) & set(name.split("/"))
        )

    def convert(self, pose: np.ndarray, other: "Skeleton", derive: tuple[str, ...] = ("Hip", "Thorax")) -> np.ndarray:
        """A pose in the joints of another skeleton.

        Args:
            pose: float [..., J, D]; NaN for unknown joints.
            other: the skeleton to convert to.
            derive: keys of `DERIVED`: joints to derive if this skeleton lacks them.

        Returns:
            float [..., other's J, D]; NaN for joints that are unknown, or that this skeleton lacks.
        """
        known = {name: pose[..., i, :] for i, joint in enumerate(self.joints) for name in joint.split("/")}
        for name in derive:
            one, two = DERIVED[name].between
            if name not in known and one in known and two in known:
                known[name] = (known[one] + known[two]) / 2
        unknown = np.full_like(pose[..., 0, :], np.nan)
        found = [next((known[name] for name in joint.split("/") if name in known), unknown) for joint in other.joints]
        return np.stack(found, axis=-2)


H36M = Skeleton(
    "Human3.6M",
    (
        "Hip", "RHip", "RKnee", "RFoot", "LHip", "LKnee", "LFoot", "Spine", "Thorax", "Neck/Nose", "Head",
        "LShoulder", "LElbow", "LWrist", "RShoulder", "RElbow", "RWrist",
    ),
    (
        (1, 0), (2, 1), (3, 2), (4, 0), (5, 4), (6, 5), (7, 0), (8, 7), (9, 8), (10, 9),
        (11, 8), (12, 11), (13, 12), (14, 8), (15, 14), (16, 15),
    ),
)  # fmt: skip

# Ankles, pelvis and the top of the head have Human3.6M's names.
MPII = Skeleton(
    "MPII",
    (
        "RFoot", "RKnee", "RHip", "LHip", "LKnee", "LFoot", "Hip", "Thorax", "Neck", "Head",
        "RWrist", "RElbow", "RShoulder", "LShoulder", "LElbow", "LWrist",
    ),
    (
        (0, 1), (1, 2), (2, 6), (3, 6), (4, 3), (5, 4), (7, 6), (8, 7), (9, 8),
        (10, 11), (11, 12), (12, 7), (13, 7), (14, 13), (15, 14),
    ),
)  # fmt: skip

COCO = Skeleton(
    "COCO",
    (
        "Nose", "LEye", "REye", "LEar", "REar", "LShoulder", "RShoulder", "LElbow", "RElbow", "LWrist", "RWrist",
        "LHip", "RHip", "LKnee", "RKnee", "LFoot", "RFoot",
    ),
    (
        (1, 0), (2, 0), (3, 1), (4, 2), (5, 6), (7, 5), (8, 6), (9, 7), (10, 8), (11, 5), (12, 6), (12, 11),
        (13, 11), (14, 12), (15, 13), (16, 14),
    ),
)  # fmt: skip

LSP = Skeleton(
    "LSP",  # its neck is the base of the neck
    (
        "RFoot", "RKnee", "RHip", "LHip", "LKnee", "LFoot", "RWrist", "RElbow", "RShoulder", "LShoulder", "LElbow",
        "LWrist", "Thorax", "Head",
    ),
    (
        (0, 1), (1, 2), (4, 3), (5, 4), (6, 7), (7, 8), (10, 9), (11, 10), (2, 12), (3, 12), (8, 12), (9, 12), (13, 12),
    ),
)  # fmt: skip

H36M_32 = Skeleton(
    "Human3.6M, 32 joints",
    (
        "Hip", "RHip", "RKnee", "RFoot", "RToes", "RToesEnd", "LHip", "LKnee", "LFoot", "LToes", "LToesEnd",
        "SpineBase", "Spine", "Thorax", "Neck/Nose", "Head", "LClavicle", "LShoulder", "LElbow", "LWrist", "LThumb",
        "LThumbEnd", "LHand", "LHandEnd", "RClavicle", "RShoulder", "RElbow", "RWrist", "RThumb", "RThumbEnd", "RHand",
        "RHandEnd",
    ),
    (
        (1, 0), (2, 1), (3, 2), (4, 3), (5, 4), (6, 0), (7, 6), (8, 7), (9, 8), (10, 9), (11, 0), (12, 11), (13, 12),
        (14, 13), (15, 14), (16, 13), (17, 16), (18, 17), (19, 18), (20, 19), (21, 20), (22, 19), (23, 22), (24, 13),
        (25, 24), (26, 25), (27, 26), (28, 27), (29, 28), (30, 27), (31, 30),
    ),
)  # fmt: skip

MPI_INF_3DHP = Skeleton(
    "MPI-INF-3DHP",
    (
        "Spine3", "Spine4", "Spine2", "Spine", "Hip", "Thorax", "Neck/Nose", "Head", "LClavicle", "LShoulder", "LElbow",
        "LWrist", "LHand", "RClavicle", "RShoulder", "RElbow", "RWrist", "RHand", "LHip", "LKnee", "LFoot", "LInstep",
        "LToes", "RHip", "RKnee", "RFoot", "RInstep", "RToes",
    ),
    (
        (0, 2), (1, 0), (2, 3), (3, 4), (5, 1), (6, 5), (7, 6), (8, 5), (9, 8), (10, 9), (11, 10), (12, 11), (13, 5),
        (14, 13), (15, 14), (16, 15), (17, 16), (18, 4), (19, 18), (20, 19), (21, 20), (22, 21), (23, 4), (24, 23),
        (25, 24), (26, 25), (27, 26),
    ),
)  # fmt: skip

ACTIONS = {
    2: "Directions", 3: "Discussion", 4: "Eating", 5: "Greeting", 6: "Phoning", 7: "Posing", 8: "Purchases",
    9: "Sitting", 10: "Sitting Down", 11: "Smoking", 12: "Taking Photo", 13: "Waiting", 14: "Walking",
    15: "Walking Dog", 16: "Walk Together",
}  # fmt: skip
"""Human3.6M's action names by the number in the records."""
