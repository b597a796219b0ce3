"""Skeletons: their joints and bones, which joints two of them share, and which can be derived from others.

A recipe names its skeleton: a file in `configs/skeletons/`, or the path of another such file. It is a JSON object with
the skeleton's `name`, the names of its `joints` in storage order, and its `bones`, [child, parent] by name. The first
joint is the root, `Hip`. Names such as LHip and RHip, L and R before an upper-case letter, are joints of the person's
left and right. A joint may have several names, as Human3.6M's Neck/Nose.
"""

import dataclasses
import itertools
import os
import pathlib
import re

import numpy as np

from pose_tf import files
from pose_tf.errors import UserError

FOLDER = pathlib.Path(__file__).parent / "configs" / "skeletons"
ROOT = "Hip"
MOST_JOINTS = 256
ENDS = ("Head", "LFoot", "RFoot")
"""The ends of a body. The box around the joints of a skeleton that lacks one of them is smaller than the person's."""
SIDED = re.compile("[LR](?=[A-Z])")
"""Beginning of the name of a left or right joint."""
NAME = re.compile(r"[A-Za-z][\w.-]*")
MARKS = re.compile(r"(?<![A-Za-z])(?i:left|right)|Left|Right|LEFT|RIGHT|^[LRlr][_.-]")
"""Other ways to say left or right in the name of a joint."""


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

    def __str__(self):
        return f"{self.name} ({len(self.joints)} joints)"

    def index(self, joint: str) -> int:
        """Position of a joint by its name."""
        return self.joints.index(joint)

    def find(self, name: str) -> int | None:
        """Position of the joint that has a name, possibly as one of two, such as Neck in Neck/Nose; or None."""
        names = set(name.split("/"))
        return next((i for i, joint in enumerate(self.joints) if names & set(joint.split("/"))), None)

    def missing(self, *names: str) -> tuple[str, ...]:
        """Those of some names that no joint has."""
        return tuple(name for name in names if self.find(name) is None)

    def path(self, joint: int) -> list[int]:
        """The joints from the root to a joint, both included."""
        parents, path = dict(self.bones), [joint]
        while path[-1] in parents:
            path.append(parents[path[-1]])
        return path[::-1]

    def below(self, *names: str) -> np.ndarray:
        """Whether each joint is one of some joints or hangs from one: bool [J]. Names of no joint do not count."""
        tops = {self.find(name) for name in names}
        return np.array([bool(tops & set(self.path(joint))) for joint in range(len(self.joints))])

    def side(self, joint: int) -> str:
        """L or R for a left or right joint, otherwise an empty text."""
        return _side(self.joints[joint])

    @property
    def left_right(self) -> tuple[tuple[int, int], ...]:
        """(left, right) index pairs."""
        return tuple((i, j) for i, j in enumerate(_counterparts(self.joints)) if self.side(i) == "L")

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
        return tuple((i, j) for i, j in enumerate(self.mirror_bones) if self.side(self.bones[i][0]) == "L" and i != j)

    @property
    def mirror_bones(self) -> tuple[int, ...]:
        """Permutation of the bones that swaps left and right, as `mirror` does with the joints."""
        mirror = self.mirror
        return tuple(self.bones.index(tuple(mirror[joint] for joint in bone)) for bone in self.bones)

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

    def convert(self, pose: np.ndarray, other: "Skeleton", derive: tuple[str, ...] = tuple(DERIVED)) -> np.ndarray:
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

    def weights(self, other: "Skeleton") -> np.ndarray:
        """How the joints of another skeleton follow from those of this one, by name or as `DERIVED` says.

        Returns:
            float32 [other's J, J]: a pose of the other skeleton is this times a pose [J, D]. Each row has the sum 1, or
            0 for a joint that is neither found nor derived.
        """
        return np.nan_to_num(self.convert(np.eye(len(self.joints), dtype=np.float32), other))

    def check_converts_to(self, other: "Skeleton", source: str, may_lack: bool = False) -> None:
        """Checks that every joint of another skeleton is found in this one or can be derived, each in its own place.

        Args:
            other: the skeleton to convert to.
            source: what has the joints of this skeleton, for the message.
            may_lack: whether joints may be missing.

        Raises:
            UserError: names the joints that are not, or two that are the same joint here.
        """
        weights = self.weights(other)
        lacking = [joint for joint, row in zip(other.joints, weights) if not row.any()]
        if lacking and not may_lack:
            raise UserError(
                f"{source} lacks {', '.join(lacking)} of the skeleton {other}, and has no joints that they can be "
                "derived from; use data with these joints, or another skeleton"
            )
        taken = {}
        for joint, row in zip(other.joints, weights):
            first = taken.setdefault(row.tobytes(), joint)
            if row.any() and first != joint:
                raise UserError(
                    f"{source} has one joint, {self.joints[row.argmax()]}, for {first} and {joint} of the skeleton "
                    f"{other}; use data with both, or another skeleton"
                )

    def difference(self, other: "Skeleton") -> str:
        """The first joint or bone in which this skeleton and another one differ, whose order of bones does not matter;
        empty if there is none."""
        for number, (own, joint) in enumerate(itertools.zip_longest(self.joints, other.joints, fillvalue="missing")):
            if own != joint:
                return f"joint {number} was {own}, now it is {joint}"
        parents, others = dict(self.bones), dict(other.bones)
        for child, name in enumerate(self.joints):
            if parents.get(child) != others.get(child):
                was, now = (self.joints[by[child]] if child in by else "nothing" for by in (parents, others))
                return f"{name} hung from {was}, now from {now}"
        return ""

    def to_config(self) -> dict:
        """The skeleton's entry in the configuration of a Keras object; none for Human3.6M's, so that files of poses of
        17 joints are as before other skeletons were known."""
        return {} if self == H36M else {"skeleton": self.to_json()}

    @classmethod
    def from_config(cls, value: "Skeleton | dict") -> "Skeleton":
        """The skeleton that a Keras object was given: itself, or its `to_json`, as Keras restores it."""
        return cls.from_json(value, "skeleton") if isinstance(value, dict) else value

    def to_card(self) -> dict:
        """The skeleton's entries in a model's card: its joints and bones, and its name unless it is Human3.6M's."""
        named = {} if self == H36M else {"skeleton": self.name}
        return named | {"joints": list(self.joints), "bones": [list(bone) for bone in self.bones]}

    def to_json(self) -> dict:
        """The content of the skeleton's file."""
        bones = [[self.joints[child], self.joints[parent]] for child, parent in self.bones]
        return {"name": self.name, "joints": list(self.joints), "bones": bones}

    @classmethod
    def from_json(cls, values, source: str) -> "Skeleton":
        """Inverse of `to_json`.

        Args:
            values: the content of a file.
            source: name of the file in messages.

        Raises:
            UserError: names the file, the key and what is wrong with its value.
        """
        if not isinstance(values, dict):
            raise UserError(f"{source} is not a skeleton: it must be an object with name, joints and bones")
        for key in ("name", "joints", "bones"):
            if key not in values:
                raise UserError(f"{source} has no '{key}'")
        if unknown := sorted(values.keys() - {"name", "joints", "bones"}):
            raise UserError(f"{source}: '{unknown[0]}' is not a key of skeletons, which have name, joints and bones")
        name, joints, bones = values["name"], values["joints"], values["bones"]
        if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
            raise UserError(f"{source}: 'name' is {name!r}; it must have letters, digits, '_', '-' and '.'")
        check_names(joints, f"{source}: 'joints'")
        _check_sides(joints, f"{source}: 'joints'")
        return cls(name, tuple(joints), _read_bones(joints, bones, f"{source}: 'bones'"))


def _side(name):
    """L or R for the name of a left or right joint, otherwise an empty text."""
    return name[0] if SIDED.match(name) else ""


def _swapped(joint):
    """The name of the joint on the other side of the body; of several names, each is swapped."""
    return "/".join({"L": "R", "R": "L"}.get(_side(name), name[0]) + name[1:] for name in joint.split("/"))


def _counterparts(joints):
    """For each joint the position of that on the other side of the body, or in the middle its own; None if there is
    none. Several names may be in any order."""
    places = {frozenset(joint.split("/")): i for i, joint in enumerate(joints)}
    return [places.get(frozenset(_swapped(joint).split("/"))) for joint in joints]


def check_names(joints, key: str) -> None:
    """Checks that joints have different names.

    Args:
        joints: their list.
        key: name of the list in messages.

    Raises:
        UserError: they are not such names, or two joints share one.
    """
    if not isinstance(joints, list) or not 2 <= len(joints) <= MOST_JOINTS:
        raise UserError(f"{key} must be a list of 2 to {MOST_JOINTS} names")
    owners = {}
    for joint in joints:
        if not isinstance(joint, str) or not all(NAME.fullmatch(name) for name in joint.split("/")):
            raise UserError(
                f"{key} has {joint!r}, which is no name: a letter from A to Z, then letters, digits, '_', '-' and '.'"
            )
        for name in joint.split("/"):
            if name in owners:
                where = f"{joint} twice" if owners[name] == joint else f"the name {name} in {owners[name]} and {joint}"
                raise UserError(f"{key} has {where}; the names of joints must differ")
            owners[name] = joint


def _check_sides(joints, key):
    """Raises UserError if the first joint is not the root, or if it is not clear which joint is on the other side."""
    if ROOT not in joints[0].split("/"):
        raise UserError(f"{key} begins with {joints[0]}; the first joint must be the root, {ROOT}")
    names = [name for joint in joints for name in joint.split("/")]
    for name in names:
        if _says_side(name, names):
            raise UserError(
                f"{key} has {name}; the names of left and right joints must begin with L and R before an upper-case "
                "letter, such as LHip and RHip"
            )
    for joint, counterpart in zip(joints, _counterparts(joints)):
        sides = {_side(name) for name in joint.split("/")}
        if len(sides) > 1:
            raise UserError(f"{key} has {joint}; its names must all be left, all right, or neither")
        if counterpart is None:
            raise UserError(
                f"{key} has {joint}, but not {_swapped(joint)}; names that begin with L and R before an upper-case "
                "letter are left and right joints"
            )


def _says_side(name, names):
    """Whether a name says left or right in another way than LHip does: by a word, or because another name differs from
    it only in l and r."""
    if MARKS.search(name):
        return True
    if _side(name):
        return False
    lower, others = name.lower(), {name.lower() for name in names}
    swap = {"l": "r", "r": "l", "left": "right", "right": "left"}
    found = re.finditer("left|right|l|r", lower)
    return any(lower[: mark.start()] + swap[mark[0]] + lower[mark.end() :] in others for mark in found)


def _read_bones(joints, bones, key):
    """(child, parent) indices of bones by name. Raises UserError unless they are a symmetric tree over all joints."""
    if not isinstance(bones, list):
        raise UserError(f"{key} must be a list of [child, parent]")
    parents = {}
    for bone in bones:
        if not isinstance(bone, list) or len(bone) != 2 or not all(isinstance(joint, str) for joint in bone):
            raise UserError(f"{key} has {bone!r}; each bone must be [child, parent], names of two joints")
        child, parent = bone
        for joint in bone:
            if joint not in joints:
                raise UserError(f"{key} has {joint}, which is not one of the joints")
        if child in parents:
            raise UserError(f"{key} gives {child} two parents, {parents[child]} and {parent}")
        parents[child] = parent
    root = joints[0]
    if root in parents:
        raise UserError(f"{key} gives {root} the parent {parents[root]}, but {root} is the root")
    for joint in joints:
        if joint != root and joint not in parents:
            raise UserError(f"{key} gives {joint} no parent; bones must be a tree over all joints")
        seen = [joint]
        while seen[-1] != root:
            if (parent := parents.get(seen[-1])) is None:
                break  # reported with that joint
            if parent in seen:
                raise UserError(f"{key} has a circle through {joint}; bones must be a tree over all joints")
            seen.append(parent)
    swap = {joint: joints[place] for joint, place in zip(joints, _counterparts(joints))}
    for child, parent in parents.items():
        if parents[swap[child]] != swap[parent]:
            raise UserError(
                f"{key} has [{child}, {parent}], but [{swap[child]}, {parents[swap[child]]}]; left and right must have "
                "the same bones"
            )
    return tuple((joints.index(child), joints.index(parent)) for child, parent in bones)


def find_skeleton(name: str, key: str = "config.skeleton") -> Skeleton:
    """Reads a skeleton.

    Args:
        name: name of a file in `configs/skeletons/` without `.json`, or the path of such a file.
        key: what the name is called in messages.

    Raises:
        UserError: the file does not exist, or is not a skeleton.
    """
    names = _shipped()
    if not is_skeleton(name):
        fault = "is not a file" if os.path.exists(name) else "does not exist"
        raise UserError(f"{key}={name} {fault}; give a JSON file or one of the skeletons {', '.join(names)}")
    return read_skeleton(FOLDER / f"{name}.json" if name in names else name)


def is_skeleton(name: str) -> bool:
    """Whether a name or a path is that of a file that `find_skeleton` reads."""
    return name in _shipped() or os.path.isfile(name)


def _shipped():
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def read_skeleton(path: str | os.PathLike) -> Skeleton:
    """Reads a skeleton's file.

    Raises:
        UserError: it is missing or damaged, or not a skeleton.
    """
    return Skeleton.from_json(files.read_json(os.fspath(path), "a skeleton's file"), os.fspath(path))


H36M = Skeleton(
    "h36m",
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

LIMBS = tuple(side + part for side in "LR" for part in ("Hip", "Knee", "Foot", "Shoulder", "Elbow", "Wrist"))
"""The twelve joints of arms and legs."""


def limbs(skeleton: Skeleton = H36M) -> tuple[int, ...]:
    """The joints of arms and legs that a skeleton has, in its order."""
    return tuple(i for i, joint in enumerate(skeleton.joints) if not set(LIMBS).isdisjoint(joint.split("/")))
