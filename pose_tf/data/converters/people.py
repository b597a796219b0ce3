"""People whose joints are labeled, in photographs and in frames of videos, and their records."""

import collections
import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
import tensorflow as tf

from pose_tf import images
from pose_tf.cropping import square_crop
from pose_tf.data.detections import named_joints
from pose_tf.geometry import BODY_OVER_JOINTS, DEFAULT_MARGIN, Crop
from pose_tf.skeleton import Skeleton

JPEG_QUALITY = 95


class LeftOut(Exception):
    """A person who cannot be used. Its text is the reason, in the same words for all people whom it concerns."""


def check_joints(pose2d: np.ndarray, min_joints: int) -> None:
    """Leaves out people with fewer labeled joints: float [J, 2], NaN without a label."""
    if np.isfinite(pose2d).all(axis=-1).sum() < min_joints:
        raise LeftOut(f"with fewer than {min_joints} joints")


def check_size(side: float, min_side: float) -> None:
    """Leaves out people whose longest side is shorter, in px."""
    if side < min_side:
        raise LeftOut(f"smaller than {min_side:g} px")


@dataclasses.dataclass(frozen=True)
class Photo:
    """A person in a photograph, with 2D joints.

    Attributes:
        path: of the image.
        box: float [4] px: x, y, width, height, measured from the image's outer edge.
        pose2d: float32 [J, 2] px of the image; NaN for joints without a label.
        size: (width, height) px that the labels give for the image; None where they do not.
    """

    path: str
    box: np.ndarray
    pose2d: np.ndarray
    size: tuple[int, int] | None = None

    kind = "mpii"
    frame = None

    def sample(self, image: np.ndarray) -> dict:
        """The record.

        Args:
            image: uint8 [H, W, 3].

        Raises:
            LeftOut: the image has another size than the labels say.
        """
        if self.size and image.shape[1::-1] != tuple(self.size):
            raise LeftOut("image of another size than its labels say")
        crop = Crop.around(np.float32(self.box), np.float32(DEFAULT_MARGIN))
        labeled = np.isfinite(self.pose2d).all(axis=-1)
        return {
            "image": images.encode(cut(image, crop), ".jpg", cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY),
            "pose2d": np.where(labeled[:, None], crop.to_crop(self.pose2d), 0),
            "visibility": labeled[None].astype(np.int64),
        }


@dataclasses.dataclass(frozen=True)
class Clip:
    """The frames of one camera that show one person, with 2D and 3D joints.

    Attributes:
        paths: of each frame's image, or of the video that has all of them.
        frame: int [T]: number of each frame in the records; in a video, numbers count from 0.
        pose2d: float32 [T, J, 2] px of the image.
        pose3d: float32 [T, J, 3] mm, in the frame of the camera, absolute.
        body2d: float32 [T, 17, 2] px of the image: Human3.6M's joints. The crop shows them and those of `pose2d`.
        intrinsics: float32 [4] px: fx, cx, fy, cy.
        pose3d_univ, intrinsics_univ: the same, scaled to the universal skeleton; None: as `pose3d` and `intrinsics`.
        subject, action, subaction, camera: numbers; −1 where unknown.
    """

    paths: Sequence[str] | str
    frame: np.ndarray
    pose2d: np.ndarray
    pose3d: np.ndarray
    body2d: np.ndarray
    intrinsics: np.ndarray
    subject: int
    camera: int
    action: int = -1
    subaction: int = -1
    pose3d_univ: np.ndarray | None = None
    intrinsics_univ: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.frame)

    def crop(self, frames=slice(None)) -> Crop:
        """The squares around the body in some frames, by index."""
        joints = np.concatenate([self.body2d[frames], self.pose2d[frames]], axis=-2)
        return Crop.around(joints_box(joints), np.float32(DEFAULT_MARGIN))

    def person(self, index: int) -> "Captured":
        """The person in one of the frames."""
        return Captured(self, index)


@dataclasses.dataclass(frozen=True)
class Captured:
    """A person in one frame of a clip."""

    clip: Clip
    index: int

    kind = "h36"

    @property
    def path(self) -> str:
        """Of the image or the video."""
        return self.clip.paths if isinstance(self.clip.paths, str) else self.clip.paths[self.index]

    @property
    def frame(self) -> int | None:
        """The number of the frame in the video; None for an image."""
        return int(self.clip.frame[self.index]) if isinstance(self.clip.paths, str) else None

    def sample(self, image: np.ndarray) -> dict:
        """The record. `image` is uint8 [H, W, 3]."""
        clip, pose2d, crop = self.clip, self.clip.pose2d[self.index], self.clip.crop(self.index)
        offset, scale = crop.to_offset_scale()
        pose3d_univ = clip.pose3d if clip.pose3d_univ is None else clip.pose3d_univ
        intrinsics_univ = clip.intrinsics if clip.intrinsics_univ is None else clip.intrinsics_univ
        return {
            "image": cut(image, crop),
            "offset": offset,
            "scale": scale,
            "intrinsics": clip.intrinsics[None],
            "intrinsics_univ": intrinsics_univ[None],
            "camera": clip.camera,
            "subject": clip.subject,
            "action": clip.action,
            "subaction": clip.subaction,
            "pose2d_crop": crop.to_crop(pose2d),
            "pose2d": pose2d,
            "pose3d": clip.pose3d[self.index],
            "pose3d_univ": pose3d_univ[self.index],
            "framd_id": int(clip.frame[self.index]),
        }


class Frames(Sequence):
    """The people in all frames of some clips, one clip after the other."""

    def __init__(self, clips: Sequence[Clip]):
        self.clips = clips
        self._ends = np.cumsum([len(clip) for clip in clips])

    @property
    def has_videos(self) -> bool:
        """Whether some frames are in videos, which are read from the beginning to the end."""
        return any(isinstance(clip.paths, str) for clip in self.clips)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> Captured:
        number = int(np.searchsorted(self._ends, index, side="right"))
        clip = self.clips[number]
        return clip.person(int(index) - int(self._ends[number]) + len(clip))


def cut(image: np.ndarray, crop: Crop) -> np.ndarray:
    """`square_crop` of NumPy arrays: uint8 [H, W, 3] -> [256, 256, 3]."""
    return square_crop(image, Crop(tf.constant(crop.corner), tf.constant(crop.side))).numpy()  # NumPy 1 would widen


def joints_box(pose2d) -> np.ndarray:
    """The box around a body, from its joints: float [..., J, 2] px, NaN where unknown -> float32 [..., 4]."""
    low, high = np.nanmin(pose2d, axis=-2), np.nanmax(pose2d, axis=-2)
    extent = BODY_OVER_JOINTS * np.maximum(high - low, 1.0)
    return np.float32(np.concatenate([(low + high + 1 - extent) / 2, extent], axis=-1))


def pose_arrays(
    clips: Sequence[Clip], skeleton: Skeleton, detected: Sequence[np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """The arrays of a pose file, see `read_pose_file`. With `intrinsics`, `offset`, `scale`, `camera`, `clip` and
    `frame`, the poses can be brought back into their images.

    Args:
        clips: the poses; paths do not matter.
        skeleton: of the poses.
        detected: float32 [T, J, 2] px of each clip: what a detector finds.
    """
    arrays = collections.defaultdict(list)
    for number, clip in enumerate(clips):
        crop = clip.crop()
        offset, scale = crop.to_offset_scale()
        arrays["pose2d_crop"].append(crop.to_crop(clip.pose2d))
        arrays["pose3d"].append(clip.pose3d)
        arrays["intrinsics"].append(np.broadcast_to(clip.intrinsics, (len(clip), 4)))
        arrays["offset"].append(offset)
        arrays["scale"].append(scale)
        for key in ("subject", "action", "subaction", "camera"):
            arrays[key].append(np.full(len(clip), getattr(clip, key)))
        arrays["clip"].append(np.full(len(clip), number))
        arrays["frame"].append(clip.frame)
        if detected:
            arrays["detected"].append(crop.to_crop(detected[number]))
            arrays["confidence"].append(np.ones(detected[number].shape[:2], np.float32))
    return {key: np.concatenate(parts) for key, parts in arrays.items()} | named_joints(skeleton)


def read_image(path: str) -> np.ndarray:
    """Reads an image as its labels mean it: without turning it as its EXIF data say. uint8 [H, W, 3] RGB.

    Raises:
        LeftOut: it is missing or damaged.
    """
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise LeftOut("image missing") from None
    except (OSError, ValueError):  # the latter from names that no file can have
        raise LeftOut("image unreadable") from None
    try:
        return tf.io.decode_image(data, channels=3, expand_animations=False).numpy()
    except (tf.errors.InvalidArgumentError, ValueError):
        raise LeftOut("image damaged") from None
