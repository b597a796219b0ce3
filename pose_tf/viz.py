"""Drawings of poses: skeletons on images, 3D poses from any side, and sheets of both.

Colors: the person's right side is orange, the left side is blue, the middle is light gray. True poses are thin and
green. All drawings are uint8 RGB arrays [H, W, 3].
"""

import cv2
import numpy as np

from pose_tf import geometry, images
from pose_tf.geometry import hip_relative
from pose_tf.skeleton import ACTIONS, H36M, Skeleton

RIGHT, LEFT, MIDDLE, TRUTH = (255, 140, 30), (60, 150, 255), (225, 225, 225), (60, 210, 80)
BACKGROUND, FLOOR = (32, 34, 40), (72, 76, 86)
TILE = 256
VIEW_SPAN_MM = 2300.0
VIEWS_DEG = (0, 60, -90)  # azimuths: from the camera, and from two sides
WIDEST = 4  # largest aspect ratio of an image beside 3D views
VIEW_ELEVATION_DEG = 12.0
SUBPIXEL_BITS = 4
MOST_PX = 1 << 20  # largest coordinate that OpenCV can draw
BAR_RADIUS_M = 0.025


def draw_pose2d(
    image: np.ndarray, pose2d: np.ndarray, color=None, thickness: int = 2, skeleton: Skeleton = H36M
) -> np.ndarray:
    """Draws a skeleton on a copy of an image.

    Args:
        image: uint8 [H, W, 3].
        pose2d: float [J, 2] px of that image; joints that are NaN are not drawn.
        color: RGB color of the whole skeleton; by default the colors of the sides.
        thickness: thickness of the bones in px.
        skeleton: of the pose.
    """
    image = np.ascontiguousarray(image).copy()
    points, known = _subpixel(pose2d), np.isfinite(pose2d).all(axis=-1)
    for child, parent in skeleton.bones:
        if known[child] and known[parent]:
            _line(image, points[child], points[parent], color or _side(child, skeleton), thickness)
    for point in (point for point, drawn in zip(points, known) if drawn):
        cv2.circle(
            image,
            point,
            (thickness + 1) << (SUBPIXEL_BITS - 1),
            color or (255, 255, 255),
            -1,
            cv2.LINE_AA,
            SUBPIXEL_BITS,
        )
    return image


def only_labeled(pose2d_crop: np.ndarray) -> np.ndarray:
    """Joints for `draw_pose2d`: NaN where they are not labeled. float [..., J, 2] crop px in and out."""
    return np.where(geometry.labeled(pose2d_crop).numpy()[..., None] > 0, pose2d_crop, np.nan)


def draw_people(image: np.ndarray, people, skeleton: Skeleton = H36M) -> np.ndarray:
    """Draws all people on a copy of an image: boxes with numbers, and skeletons.

    Args:
        image: uint8 [H, W, 3].
        people: objects with `number`, `box` [4] px and `pose2d` [J, 2] px, such as `pose_tf.predict.results.Person`.
        skeleton: of the poses.
    """
    for person in people:
        thickness = int(np.clip(max(person.box[2:]) / 90, 1, 12))
        image = draw_pose2d(image, person.pose2d, thickness=thickness, skeleton=skeleton)
        corners = _subpixel(np.stack([person.box[:2], person.box[:2] + person.box[2:]]))
        cv2.rectangle(image, *corners, MIDDLE, max(thickness // 2, 1), cv2.LINE_AA, SUBPIXEL_BITS)
        place = np.maximum(np.round(person.box[:2]).astype(int) + 2 * thickness, 0) + (0, 10 * thickness)
        for color, width in ((BACKGROUND, 3 * thickness), (MIDDLE, thickness)):
            cv2.putText(
                image,
                str(person.number),
                place.tolist(),
                cv2.FONT_HERSHEY_SIMPLEX,
                0.4 * thickness,
                color,
                width,
                cv2.LINE_AA,
            )
    return image


def side_by_side(
    image: np.ndarray, people, size: int = 384, most_rows: int = 4, skeleton: Skeleton = H36M
) -> np.ndarray:
    """An image with its people drawn, beside rows of 3D poses from three sides.

    If there are several people, the first row shows all of them in one space. Each other row shows one person.

    Args:
        image: uint8 [H, W, 3].
        people: as for `draw_people`, with `pose3d` [J, 3] and `root3d` [3] mm.
        size: height of a row of 3D views in pixels.
        most_rows: maximum number of rows.
        skeleton: of the poses.

    Returns:
        uint8 [H', W', 3], where H' is `size` times the number of rows.
    """
    views = []
    if len(people) > 1:
        poses = place_on_floor([person.pose3d for person in people], [person.root3d for person in people])
        views.append([_draw_scene(poses, view, size, skeleton) for view in VIEWS_DEG])
    views += [[draw_pose3d(person.pose3d, None, view, size, skeleton) for view in VIEWS_DEG] for person in people]
    rows = [np.hstack(row) for row in views[:most_rows]]
    height = size * max(len(rows), 1)
    scale = min(height / image.shape[0], WIDEST * height / image.shape[1])
    drawn = images.resize(draw_people(image, people, skeleton), scale)
    drawn = cv2.copyMakeBorder(drawn, 0, height - len(drawn), 0, 0, cv2.BORDER_CONSTANT, value=BACKGROUND)
    return np.hstack([drawn, np.vstack(rows)]) if rows else drawn


def place_on_floor(poses, roots) -> np.ndarray:
    """Poses of several people in one space, where all stand on the same floor.

    Distances have much larger errors than poses. If they also moved people up and down, most would float or sink in.

    Args:
        poses: float [N, J, 3] mm, relative to the hip.
        roots: float [N, 3] mm: places of the hips in front of the camera. Those that are not known, NaN, are in the
            middle.

    Returns:
        float [N, J, 3] mm: the lowest joint of each pose is at y = 0, and the middle of all people at x = z = 0.
    """
    poses, ground = hip_relative(np.float64(poses)), np.float64(roots)[:, ::2]
    known = np.isfinite(ground).all(axis=-1)
    if known.any():
        ground = ground - (ground[known].min(axis=0) + ground[known].max(axis=0)) / 2
    ground = np.where(known[:, None], ground, 0)
    return poses + np.stack([ground[:, 0], -poses[..., 1].max(axis=-1), ground[:, 1]], axis=-1)[:, None]


def draw_pose3d(
    pose3d: np.ndarray,
    truth: np.ndarray | None = None,
    azimuth_deg: float = 0.0,
    size: int = TILE,
    skeleton: Skeleton = H36M,
) -> np.ndarray:
    """Draws a 3D pose over a floor grid, seen by a distant camera.

    Args:
        pose3d: float [J, 3] mm in the camera frame.
        truth: float [J, 3] mm, drawn thin and green; both are centered at the hip.
        azimuth_deg: direction of view. 0 is the camera's; positive moves the viewer to the camera's right.
        size: side of the square drawing in px.
        skeleton: of both poses.
    """
    (placed,) = place_on_floor([pose3d], np.zeros([1, 3]))
    if truth is not None:
        truth = hip_relative(np.float64(truth)) + placed[0]
    return _draw_scene(placed[None], azimuth_deg, size, skeleton, truth)


def _draw_scene(poses, azimuth_deg, size, skeleton, truth=None):
    """Draws poses, float [N, J, 3] mm, over a floor grid at y = 0, and a true one thin and green."""
    image = np.full((size, size, 3), BACKGROUND, np.uint8)
    known = poses[np.isfinite(poses).all(axis=-1)]
    reach, height = np.linalg.norm(known[:, ::2], axis=-1).max(initial=0), -known[:, 1].min(initial=0)
    span = max(VIEW_SPAN_MM, 2.3 * reach, height + 2 * reach * np.sin(np.deg2rad(VIEW_ELEVATION_DEG)))
    tile = 250 * 4 ** np.ceil(np.log(max(reach / 4000, 1)) / np.log(4))  # mm; at most 16 tiles to each side
    half = tile * max(np.ceil(reach / tile), 4) if len(poses) > 1 else 1000

    def look(points):
        return _look(points + (0, height / 2, 0), azimuth_deg, size / span, size)

    marks = np.linspace(-half, half, round(2 * half / tile) + 1)
    ends = np.array([[(m, 0, -half), (m, 0, half), (-half, 0, m), (half, 0, m)] for m in marks])
    grid, _ = look(ends.reshape(-1, 3))
    for start, end in grid.reshape(-1, 2, 2):
        _line(image, _subpixel(start), _subpixel(end), FLOOR, 1)
    bones = []
    for pose in poses:
        points, depth = look(pose)
        bones += [(-depth[[child, parent]].sum(), child, points[[child, parent]]) for child, parent in skeleton.bones]
    for _, child, ends in sorted(bones, key=lambda bone: bone[0]):  # far ones first
        _line(image, *_subpixel(ends), _side(child, skeleton), 3)
    if truth is not None:
        points, _ = look(truth)
        for child, parent in skeleton.bones:
            _line(image, _subpixel(points[child]), _subpixel(points[parent]), TRUTH, 1)
    return image


def panel(image: np.ndarray, pose2d, pose3d, true2d=None, true3d=None, skeleton: Skeleton = H36M) -> np.ndarray:
    """One sample in a row: the image, the image with its skeleton, and the 3D pose from the front and two sides.

    Args:
        image: uint8 [H, W, 3].
        pose2d: float [J, 2] px.
        pose3d: float [J, 3] mm.
        true2d: float [J, 2] px, or None.
        true3d: float [J, 3] mm, or None.
        skeleton: of the poses.
    """
    overlay = draw_pose2d(image, pose2d, skeleton=skeleton)
    if true2d is not None:
        overlay = draw_pose2d(overlay, true2d, TRUTH, 1, skeleton)
    views = [draw_pose3d(pose3d, true3d, azimuth, image.shape[0], skeleton) for azimuth in VIEWS_DEG]
    return np.hstack([image, overlay, *views])


def sheet_2d(
    images: np.ndarray,
    pose2d: np.ndarray,
    truth: np.ndarray | None = None,
    columns: int = 4,
    skeleton: Skeleton = H36M,
) -> np.ndarray:
    """A grid of images with predicted and, if given, true skeletons. uint8 [N, H, W, 3], float [N, J, 2] px."""
    tiles = [draw_pose2d(*pair, skeleton=skeleton) for pair in zip(images, pose2d)]
    if truth is not None:
        tiles = [draw_pose2d(tile, pose, TRUTH, 1, skeleton) for tile, pose in zip(tiles, truth)]
    return grid(tiles, columns)


def sheet_3d(
    pose2d: np.ndarray,
    pose3d: np.ndarray,
    truth: np.ndarray | None = None,
    columns: int = 2,
    skeleton: Skeleton = H36M,
) -> np.ndarray:
    """A grid of 2D poses and 3D poses (with the true ones, if given) from two sides. The leading dimension is N."""
    blank = np.full((TILE, TILE, 3), BACKGROUND, np.uint8)
    truth = [None] * len(pose3d) if truth is None else truth
    tiles = [
        np.hstack(
            [
                draw_pose2d(blank, p2, skeleton=skeleton),
                draw_pose3d(p3, t3, skeleton=skeleton),
                draw_pose3d(p3, t3, 90, skeleton=skeleton),
            ]
        )
        for p2, p3, t3 in zip(pose2d, pose3d, truth)
    ]
    return grid(tiles, columns)


def sheet_of_samples(samples, columns: int = 8) -> np.ndarray:
    """A grid of labeled samples: images with skeleton, and with subject number and name of the action if it is known.

    Args:
        samples: dicts with `image` uint8 [256, 256, 3], `pose2d_crop` float [J, 2] px, `subject` and `action`, which
            is −1 for photographs; and `skeleton`, unless it is Human3.6M's.
        columns: number of columns.
    """
    tiles = []
    for sample in samples:
        pose2d, skeleton = only_labeled(sample["pose2d_crop"]), sample.get("skeleton", H36M)
        tile = draw_pose2d(sample["image"], pose2d, skeleton=skeleton)
        action = int(sample["action"])
        label = f"S{int(sample['subject'])} {ACTIONS.get(action, '?')}" if action >= 0 else ""
        for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
            cv2.putText(tile, label, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, color, thickness, cv2.LINE_AA)
        tiles.append(tile)
    return grid(tiles, columns)


def mesh(pose3d: np.ndarray, skeleton: Skeleton = H36M) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A triangle mesh of 3D poses side by side. Every bone is a bar with four sides.

    Args:
        pose3d: float [N, J, 3] mm in the camera frame.
        skeleton: of the poses.

    Returns:
        vertices float32 [V, 3] in meters, x right, y up, z toward the viewer; colors uint8 [V, 3]; and faces int32
        [F, 3], indices of vertices.
    """
    vertices, colors, faces = [], [], []
    for place, pose in enumerate(pose3d):
        joints = hip_relative(pose) * (0.001, -0.001, -0.001) + (1.2 * place, 0, 0)
        for child, parent in skeleton.bones:
            along = joints[child] - joints[parent]
            across = np.cross(along, (0, 0, 1) if abs(along[2]) < np.linalg.norm(along) / 2 else (1, 0, 0))
            across *= BAR_RADIUS_M / max(np.linalg.norm(across), 1e-9)
            other = np.cross(along, across)
            other *= BAR_RADIUS_M / max(np.linalg.norm(other), 1e-9)
            first = len(vertices)
            vertices += [joints[end] + offset for end in (parent, child) for offset in (across, other, -across, -other)]
            colors += [_side(child, skeleton)] * 8
            for side in range(4):
                a, b = first + side, first + (side + 1) % 4
                faces += [(a, b, a + 4), (b, b + 4, a + 4)]
    return np.float32(vertices), np.uint8(colors), np.int32(faces)


def sheet_of_objects(objects, columns: int = 8, rows: int = 6) -> np.ndarray:
    """A grid of evenly chosen RGBA objects, uint8 [h, w, 4] each, on a checkered ground. Objects are not enlarged."""
    cells = np.indices((TILE, TILE)) // 16
    ground = np.where((cells.sum(axis=0) % 2)[..., None], np.uint8(110), np.uint8(150)) * np.ones(3, np.uint8)
    tiles = []
    for number in np.linspace(0, len(objects) - 1, min(len(objects), columns * rows)).astype(int):
        image = objects[number]
        scale = min(1.0, TILE / max(image.shape[:2]))
        if scale < 1:
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = ground.copy()
        height, width = image.shape[:2]
        part = tile[(TILE - height) // 2 :, (TILE - width) // 2 :][:height, :width]
        alpha = image[..., 3:] / 255
        part[:] = alpha * image[..., :3] + (1 - alpha) * part
        tiles.append(tile)
    return grid(tiles, columns)


def grid(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    """Arranges tiles of equal size in rows of `columns`. Background fills the rest of the last row."""
    tiles = list(tiles)
    columns = min(columns, len(tiles))
    tiles += [np.full_like(tiles[0], BACKGROUND)] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[row : row + columns]) for row in range(0, len(tiles), columns)])


def _side(joint, skeleton):
    return {"R": RIGHT, "L": LEFT}.get(skeleton.side(joint), MIDDLE)


def _subpixel(points):
    """Coordinates as fixed-point integers for OpenCV, clipped to the range that it can draw."""
    fixed = np.clip(np.nan_to_num(points), -MOST_PX, MOST_PX) * (1 << SUBPIXEL_BITS)
    return np.round(fixed).astype(int).tolist()


def _line(image, start, end, color, thickness):
    cv2.line(image, start, end, color, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def _look(points, azimuth_deg, scale, size):
    """Rotates points about the vertical, tilts them, and projects them orthographically.

    [N, 3] mm -> [N, 2] px of a square drawing with the origin in its middle, [N] depth in mm. `scale` is in px/mm.
    """
    a, e = np.deg2rad([azimuth_deg, VIEW_ELEVATION_DEG])
    x = points[:, 0] * np.cos(a) + points[:, 2] * np.sin(a)
    z = -points[:, 0] * np.sin(a) + points[:, 2] * np.cos(a)
    y = points[:, 1] * np.cos(e) - z * np.sin(e)
    return np.stack([x, y], axis=-1) * scale + (size - 1) / 2, z
