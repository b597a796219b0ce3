"""One sample of the synthetic data set: a labeled image of a person, made without any download."""

import numpy as np

from pose_tf.geometry import CROP_SIZE, Crop, project
from pose_tf.synthetic.anatomy import make_body
from pose_tf.synthetic.camera import INTRINSICS, View, make_camera
from pose_tf.synthetic.kinematics import make_figure
from pose_tf.synthetic.render import render
from pose_tf.synthetic.vectors import rotation_matrix

SUBJECTS_TRAIN = (1, 5, 6, 7, 8)
HEADING_SPREAD_DEG = 40.0


def pose_sample(seed: int, index: int, subject: int) -> dict[str, np.ndarray | int | float]:
    """`render_sample` without its image, in a tenth of the time."""
    return _compose(np.random.default_rng([seed, index]), index, subject)[0]


def render_sample(seed: int, index: int, subject: int) -> dict[str, np.ndarray | int | float]:
    """One labeled image of a procedural person, with the keys of a Human3.6M record.

    This is a pure function: the same arguments give the same bytes in any process (another type of processor may round
    a few pixels to the neighboring gray level).

    Args:
        seed: seed of the data set, >= 0.
        index: number of the sample, >= 0; also its `framd_id`.
        subject: number of the person, >= 0; determines the proportions of the body.

    Returns:
        image uint8 [256, 256, 3] RGB; offset float32 [2] px and scale float, with
        pose2d_crop = (pose2d - offset) * scale; pose2d_crop, pose2d float32 [17, 2] px; pose3d
        float32 [17, 3] mm in the camera frame (x right, y down, z away); pose3d_univ, the same
        array, because a procedural person needs no other canonical camera; intrinsics and
        intrinsics_univ float32 [1, 4], fx, cx, fy, cy of the 1000 x 1000 image; ints framd_id,
        camera (1 to 4), subject, action (2 to 16) and subaction (1 or 2).
    """
    sample, _ = render_sample_with_mask(seed, index, subject)
    return sample


def render_sample_with_mask(
    seed: int, index: int, subject: int
) -> tuple[dict[str, np.ndarray | int | float], np.ndarray]:
    """`render_sample`, and the pixels that show the person: bool [256, 256]."""
    rng = np.random.default_rng([seed, index])
    labels, figure, body, view = _compose(rng, index, subject)
    image, mask = render(rng, figure, body, view)
    return {"image": image, **labels}, mask


def _compose(rng: np.random.Generator, index: int, subject: int):
    """Labels of a random sample, and the figure, body and view to render."""
    body = make_body(rng, subject)
    action, subaction = int(rng.integers(2, 17)), int(rng.integers(1, 3))
    camera = int(rng.integers(4))
    figure = make_figure(rng, action, body)
    # 180 degrees faces the camera. Most people do, so that a network learns left and right in a few minutes.
    heading = rotation_matrix(z=rng.normal(180, HEADING_SPREAD_DEG))
    figure = figure.moved(heading, np.zeros(3))
    rotation, translation = make_camera(rng, figure, INTRINSICS[camera])
    figure = figure.moved(rotation, translation)

    pose3d = figure.joints.astype(np.float32)
    intrinsics = INTRINSICS[camera].astype(np.float64)
    pose2d = project(pose3d.astype(np.float64), intrinsics)
    low, high = pose2d.min(axis=0), pose2d.max(axis=0)
    scale = rng.uniform(0.74, 0.86) * CROP_SIZE / (high - low).max()
    offset = (low + high) / 2 - (CROP_SIZE - 1) / 2 / scale
    crop = Crop.from_offset_scale(offset, scale)
    fx, cx, fy, cy = intrinsics
    ((crop_cx, crop_cy),) = crop.to_crop(np.array([[cx, cy]]))
    view = View(
        intrinsics=(fx * scale, crop_cx, fy * scale, crop_cy),
        up=rotation[:, 2],
        floor=translation,
    )
    labels = {
        "offset": offset.astype(np.float32),
        "scale": float(np.float32(scale)),
        "pose2d_crop": crop.to_crop(pose2d).astype(np.float32),
        "pose2d": pose2d.astype(np.float32),
        "pose3d": pose3d,
        "pose3d_univ": pose3d.copy(),
        "intrinsics": INTRINSICS[camera][None].copy(),
        "intrinsics_univ": INTRINSICS[camera][None].copy(),
        "framd_id": int(index),
        "camera": camera + 1,
        "subject": int(subject),
        "action": action,
        "subaction": subaction,
    }
    return labels, figure, body, view
