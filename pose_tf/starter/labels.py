"""A second opinion about the joint labels of photographs, that of BlazePose, and what follows for the labels."""

import os

import cv2
import numpy as np
import tensorflow as tf
import tqdm
from ai_edge_litert.interpreter import Interpreter

from pose_tf import skeleton
from pose_tf.cropping import square_crop
from pose_tf.data import records
from pose_tf.errors import UserError
from pose_tf.geometry import Crop
from pose_tf.images import IMAGENET_MEAN
from pose_tf.model_files import threads

LANDMARKS = {
    "RHip": 24, "RKnee": 26, "RFoot": 28, "LHip": 23, "LKnee": 25, "LFoot": 27,
    "LShoulder": 11, "LElbow": 13, "LWrist": 15, "RShoulder": 12, "RElbow": 14, "RWrist": 16,
}  # fmt: skip
"""Numbers of BlazePose's landmarks (Bazarevsky et al., 2020) of the joints that it shares with Human3.6M."""
JOINTS = [skeleton.H36M.index(name) for name in LANDMARKS]
MPII_JOINTS = [skeleton.MPII.index(name) for name in LANDMARKS]
HIPS, SHOULDERS = ([list(LANDMARKS).index(side + part) for side in "LR"] for part in ("Hip", "Shoulder"))
"""Positions in `JOINTS`."""
NEAR = 0.25
"""Joints that are no farther apart agree. The unit is the torso, from the left shoulder to the right hip."""
VISIBLE = 0.8
MARGIN = 1.1
"""Side of BlazePose's square over the diameter of the circle around the hip that contains these joints."""
BATCH_SIZE = 32
OUTCOMES = ("averaged", "swapped", "kept", "replaced", "dropped", "added", "unlabeled")
"""What can happen to a label, see `merge`."""


def upright(pose2d: np.ndarray, size: int) -> np.ndarray:
    """The square around a person that is turned so that the shoulders are above the hips.

    Args:
        pose2d: float [17, 2] px.
        size: side of the square in its own pixels.

    Returns:
        float [2, 3]: maps x, y, 1 in the square to px of the image.
    """
    joints = pose2d[JOINTS]
    hip = joints[HIPS].mean(axis=0)
    up = joints[SHOULDERS].mean(axis=0) - hip
    side = 2 * MARGIN * np.linalg.norm(joints - hip, axis=1).max()
    up = np.array([0, -1]) if np.linalg.norm(up) <= 0.05 * side else up / np.linalg.norm(up)
    turn = np.array([[-up[1], -up[0]], [up[0], -up[1]]]) * max(side, 1) / size
    return np.column_stack([turn, hip - turn @ np.full(2, (size - 1) / 2)])


class BlazePose:
    """BlazePose's landmark model.

    Raises:
        UserError: the file is missing or holds another model.
    """

    def __init__(self, path: str):
        if not os.path.isfile(path):
            raise UserError(f"{path} does not exist")
        try:
            self._interpreter = Interpreter(path, num_threads=threads())
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{path} is not a model of TensorFlow Lite: {error}") from None
        (self._input,) = self._interpreter.get_input_details()
        outputs = [part for part in self._interpreter.get_output_details() if tuple(part["shape"]) == (1, 195)]
        if not outputs or len(self._input["shape"]) != 4:
            raise UserError(f"{path} is not BlazePose's landmark model, which has an output of shape (1, 195)")
        self._output = outputs[0]

    def __call__(self, image: np.ndarray, pose2d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The joints of a person.

        Args:
            image: uint8 [H, W, 3] RGB.
            pose2d: float [17, 2] px: a pose from which to take the square, roughly right.

        Returns:
            float [12, 2] px: the joints of `JOINTS`; and their visibility, float [12] in 0…1.
        """
        size = int(self._input["shape"][1])
        square = upright(pose2d, size)
        fill = tuple(np.multiply(255, IMAGENET_MEAN))
        pixels = cv2.warpAffine(
            image, square, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderValue=fill
        )
        self._interpreter.set_tensor(self._input["index"], np.float32(pixels[None]) / 255)
        self._interpreter.invoke()
        landmarks = self._interpreter.get_tensor(self._output["index"]).reshape(39, 5)[list(LANDMARKS.values())]
        return landmarks[:, :2] @ square[:, :2].T + square[:, 2], 1 / (1 + np.exp(-landmarks[:, 3]))


class Offsets:
    """Where labels have their joints relative to BlazePose's, whose hips, for example, are farther apart.

    The offset of each joint is a linear function of the pose, in coordinates of the body: its origin is the hip, up is
    the direction of the shoulders, and the farthest joint has the distance 1.

    Args:
        joints: float [N, 12, 2] px, BlazePose's.
        labels: float [N, 12, 2] px; NaN where there is none.
    """

    FAR = 0.2

    def __init__(self, joints: np.ndarray, labels: np.ndarray):
        origin, unit = self._frame(joints)
        poses = self._features(joints, origin, unit)
        offsets = _complex(labels - joints) / unit
        self._weights = np.zeros((poses.shape[1], 12), complex)
        for joint in range(12):
            near = np.abs(offsets[:, joint]) < self.FAR  # false for NaN
            x = poses[near]
            self._weights[:, joint] = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ offsets[near, joint])

    def __call__(self, joints: np.ndarray) -> np.ndarray:
        """BlazePose's joints moved to where labels have them: float [N, 12, 2] px in and out."""
        origin, unit = self._frame(joints)
        moved = _complex(joints) + self._features(joints, origin, unit) @ self._weights * unit
        return np.stack([moved.real, moved.imag], axis=-1)

    @staticmethod
    def _frame(joints):
        """Origin and unit of the coordinates of the body, complex [N, 1]."""
        points = _complex(joints)
        origin = points[:, HIPS].mean(axis=1, keepdims=True)
        up = points[:, SHOULDERS].mean(axis=1, keepdims=True) - origin
        size = np.abs(points - origin).max(axis=1, keepdims=True)
        return origin, size * up / np.maximum(np.abs(up), 1e-6)

    @staticmethod
    def _features(joints, origin, unit):
        points = (_complex(joints) - origin) / np.where(unit == 0, 1, unit)
        return np.concatenate([points.real, points.imag, np.ones((len(points), 1))], axis=1)


def _complex(points):
    return points[..., 0] + 1j * points[..., 1]


def merge(labels, detected, joints, visibility) -> tuple[np.ndarray, np.ndarray]:
    """Labels, corrected by two other opinions.

    Args:
        labels: float [N, 12, 2] px: the joints of `JOINTS`; NaN where there is no label.
        detected: float [N, 12, 2] px: the detector's.
        joints: float [N, 12, 2] px: BlazePose's, moved by `Offsets`.
        visibility: float [N, 12] in 0…1: BlazePose's.

    Returns:
        float [N, 12, 2] px, NaN where no label remains; and what happened to each label, int [N, 12]: a position in
        `OUTCOMES`.
    """
    torsos = [pose[:, SHOULDERS[0]] - pose[:, HIPS[1]] for pose in (joints, detected)]
    torso = np.linalg.norm(torsos, axis=-1).max(axis=0)
    other_side = [JOINTS.index(skeleton.H36M.mirror[joint]) for joint in JOINTS]
    swapped = labels[:, other_side]

    def agree(a, b):
        return np.linalg.norm(a - b, axis=-1) < NEAR * torso[:, None]  # false for NaN

    has_label, both = ~np.isnan(labels[..., 0]), agree(detected, joints)
    outcomes = {
        "averaged": (agree(labels, joints), (labels + joints) / 2),
        "swapped": (has_label & agree(swapped, joints), (swapped + joints) / 2),
        "kept": (agree(labels, detected) & ~both, labels),
        "replaced": (has_label & (both | (visibility > VISIBLE)), joints),
        "dropped": (has_label, np.nan),
        "added": (both, joints),
        "unlabeled": (np.ones_like(both), np.nan),
    }
    chosen = np.argmax([outcomes[name][0] for name in OUTCOMES], axis=0)  # the first that holds
    values = np.stack([np.broadcast_to(outcomes[name][1], labels.shape) for name in OUTCOMES])
    return np.take_along_axis(values, chosen[None, ..., None], axis=0)[0], chosen


def estimate_joints(shards: list[str], detect, blazepose: BlazePose) -> tuple:
    """What a detector and BlazePose make of labeled photographs.

    Args:
        shards: files of MPII records.
        detect: function like `PoseEstimator.detect`.
        blazepose: the second opinion.

    Returns:
        The labels (NaN where there is none), the detector's joints and BlazePose's, float [N, 12, 2] px of the
        photographs; BlazePose's visibility, float [N, 12]; and the number of records of each file.
    """
    detect, cut = tf.function(detect, reduce_retracing=True), tf.function(square_crop, reduce_retracing=True)
    rows, lengths = [], []

    def add(batch):
        images, crops, labels = zip(*batch)
        found, _ = detect(tf.stack([cut(image, crop) for image, crop in zip(images, crops)]))
        for image, crop, known, pose in zip(images, crops, labels, found.numpy()):
            pose = crop.to_image(pose).numpy()
            around = pose.copy()
            if not np.isnan(known[HIPS + SHOULDERS]).any():
                around[JOINTS] = np.where(np.isnan(known), pose[JOINTS], known)
            rows.append((known, pose[JOINTS], *blazepose(image.numpy(), around)))
            bar.update()

    with tqdm.tqdm(unit=" photographs", desc="opinions") as bar:
        for shard in shards:
            batch, start = [], len(rows)
            for sample in records.read(shard, records.MPII):
                image = tf.io.decode_jpeg(sample["image"], channels=3)
                crop = Crop.around(tf.constant([0, 0, *image.shape[1::-1]], tf.float32), 1.0)  # the whole image
                is_labeled = sample["visibility"].ravel()[MPII_JOINTS, None] > 0
                batch.append((image, crop, np.where(is_labeled, sample["pose2d"][MPII_JOINTS], np.nan)))
                if len(batch) == BATCH_SIZE:
                    add(batch)
                    batch = []
            if batch:
                add(batch)
            lengths.append(len(rows) - start)
    return (*(np.array(column) for column in zip(*rows)), lengths)


def relabeled(sample: dict, pose: np.ndarray) -> dict:
    """A sample of MPII with other labels of the joints of `JOINTS`: float [12, 2] px, NaN where there is none."""
    pose2d, visibility = sample["pose2d"].copy(), sample["visibility"].copy()
    is_labeled = ~np.isnan(pose[:, 0])
    pose2d[MPII_JOINTS], visibility[0, MPII_JOINTS] = np.where(is_labeled[:, None], pose, 0), is_labeled
    middle = skeleton.MPII.index("Hip")  # follows from the hips
    pose2d[middle], visibility[0, middle] = 0, 0
    return sample | {"pose2d": pose2d, "visibility": visibility}
