"""The camera of a photo or a video, and where in front of it people are."""

import dataclasses
import io
import os

import numpy as np
import PIL.Image

from pose_tf import geometry
from pose_tf.errors import UserError
from pose_tf.geometry import to_camera
from pose_tf.skeleton import H36M, Skeleton

GUESSED_FOV_DEG = 55.0
"""Angle that the longer side of an image covers if nothing is known: between a phone's main camera (about 70) and a
camera with a normal lens (40)."""
DIAGONAL_35MM = np.hypot(36.0, 24.0)  # mm, of a frame of 35 mm film
EXIF_IFD, FOCAL_LENGTH_35MM = 0x8769, 0xA405
ANKLE_MM = 80.0
"""Height of the ankle joints above the ground, with shoes."""
MEASURED = ("Head", "LFoot", "RFoot")
"""Joints between which the height of a body is measured, along its bones."""


@dataclasses.dataclass(frozen=True)
class Camera:
    """Intrinsic parameters of a camera, without lens distortion.

    Attributes:
        intrinsics: (fx, cx, fy, cy) in pixels of the upright image.
        origin: where they come from: "given", "exif" or "guess".
    """

    intrinsics: tuple[float, float, float, float]
    origin: str


@dataclasses.dataclass(frozen=True)
class CameraOptions:
    """What the user knows about the camera and the people.

    Attributes:
        intrinsics: (fx, cx, fy, cy) in pixels of the upright image.
        fov: angle in degrees that the longer side of the image covers.
        height: height of the people in meters; it fixes the scale of their poses.

    Raises:
        UserError: both intrinsics and fov are given, or a value is impossible.
    """

    intrinsics: tuple[float, float, float, float] | None = None
    fov: float | None = None
    height: float | None = None

    def __post_init__(self):
        try:
            for value in (self.fov, self.height):
                float(value or 1)
            np.asarray(self.intrinsics or (), np.float64)
        except (TypeError, ValueError):
            raise UserError("intrinsics, fov and height must be numbers") from None
        if self.intrinsics is not None and self.fov is not None:
            raise UserError("give one of intrinsics and fov")
        if self.intrinsics is not None:
            values = np.asarray(self.intrinsics, np.float64)
            if values.shape != (4,) or not np.isfinite(values).all() or not (values[[0, 2]] > 0).all():
                raise UserError("intrinsics must be fx,cx,fy,cy in pixels, with focal lengths above 0")
        if self.fov is not None and not 1 <= self.fov <= 170:
            raise UserError(f"fov is {self.fov:g}; it must be an angle of 1 to 170 degrees")
        if self.height is not None and not 0.3 <= self.height <= 3:
            raise UserError(f"height is {self.height:g}; it must be 0.3 to 3 meters")

    def camera(self, width: int, height: int, focal_35mm: float | None = None) -> Camera:
        """The camera of an image.

        Args:
            width, height: of the upright image in pixels.
            focal_35mm: focal length of the same diagonal angle on 35 mm film, in mm, as EXIF data have it.
        """
        if self.intrinsics is not None:
            return Camera(tuple(map(float, self.intrinsics)), "given")
        if self.fov is None and focal_35mm:
            focal, origin = focal_35mm / DIAGONAL_35MM * np.hypot(width, height), "exif"
        else:
            fov = np.radians(self.fov or GUESSED_FOV_DEG)
            focal, origin = max(width, height) / 2 / np.tan(fov / 2), "guess" if self.fov is None else "given"
        return Camera((float(focal), (width - 1) / 2, float(focal), (height - 1) / 2), origin)


def read_focal_35mm(source: str | os.PathLike | bytes) -> float | None:
    """The focal length in mm on 35 mm film that a photo's EXIF data have; None if they lack it."""
    try:
        with PIL.Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as photo:
            focal = float(photo.getexif().get_ifd(EXIF_IFD).get(FOCAL_LENGTH_35MM, 0))
    except Exception:  # EXIF data of others are damaged in many ways, and a guess is better than no pose
        return None
    return focal if 1 <= focal <= 5000 else None


def put_in_space(
    pose2d: np.ndarray,
    pose3d: np.ndarray,
    confidence: np.ndarray,
    camera: Camera,
    frame: str,
    height: float | None,
    skeleton: Skeleton = H36M,
) -> tuple[np.ndarray, np.ndarray]:
    """Brings a pose to the camera's frame, and finds where it is.

    Args:
        pose2d: float32 [J, 2] px of the image.
        pose3d: float32 [J, 3] mm, relative to the hip, as the model predicts it.
        confidence: float32 [J].
        camera: the camera of the image.
        frame: the model's frame, one of `pose_tf.geometry.FRAMES`.
        height: see `CameraOptions`.
        skeleton: of the pose.

    Returns:
        The pose in mm relative to the hip, in the camera's frame, and the position of the hip, float32 [3] mm.

    Raises:
        UserError: the height is given, but the skeleton has no head or no feet.
    """
    pose2d, pose3d, confidence = map(np.float32, (pose2d, pose3d, confidence))
    intrinsics = np.float32(camera.intrinsics)
    pose3d = to_camera(pose3d, pose2d, intrinsics, frame)
    if height is not None:
        pose3d = pose3d * np.float32((1000 * height - ANKLE_MM) / (body_height(pose3d, skeleton) - ANKLE_MM))
    return pose3d, geometry.hip_position(pose3d, pose2d, intrinsics, confidence)


def body_height(pose3d: np.ndarray, skeleton: Skeleton = H36M) -> float:
    """How tall the person is when upright, in mm: from the head along the spine and the longer leg to the ground.

    Args:
        pose3d: float [J, 3] mm.
        skeleton: of the pose.

    Raises:
        UserError: the skeleton has no head or no feet.
    """

    def length(joints):
        return float(np.linalg.norm(np.diff(pose3d[joints], axis=0), axis=-1).sum())

    check_height(skeleton)
    spine, *legs = (skeleton.path(skeleton.find(joint)) for joint in MEASURED)
    return max(length(spine) + max(length(leg[1:]) for leg in legs), 1.0) + ANKLE_MM


def check_height(skeleton: Skeleton) -> None:
    """Raises UserError if a skeleton lacks the joints between which the height is measured."""
    if missing := skeleton.missing(*MEASURED):
        raise UserError(
            f"the height of people cannot be used: the model's skeleton {skeleton} lacks {', '.join(missing)}"
        )
