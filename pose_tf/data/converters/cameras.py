"""Cameras from points whose positions in space and in the image are known."""

import dataclasses

import numpy as np

from pose_tf import geometry
from pose_tf.errors import UserError

EXACT_POINTS, DETECTED_POINTS = 4000, 40_000
"""Joints that determine a camera to about 1 mm if they are exact, and if a detector has found them."""
MOST_STEPS = 200
"""Steps of the fit; true joints take about 20."""
TOLERANCE_PX = 5.0
"""Largest median distance between projections and 2D joints. The distortion of Human3.6M's lenses is about 1 px."""
TYPICAL_ERROR_PX = 2.0
"""Errors of detected joints up to about this count fully in the fit; larger ones less."""


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera with Human3.6M's lens model.

    Attributes:
        intrinsics: float64 [4] px: fx, cx, fy, cy.
        rotation: float64 [3, 3], from the world to the camera's frame: x right, y down, z away.
        translation: float64 [3], in the unit of the world.
        lens: float64 [5]: radial k1, k2, k3 and tangential p1, p2.
    """

    intrinsics: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray
    lens: np.ndarray

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        """World -> camera: float [..., 3] in and out."""
        return points @ self.rotation.T + self.translation

    def project(self, points: np.ndarray) -> np.ndarray:
        """World -> image: float [..., 3] -> [..., 2] px."""
        points = self.to_camera(points)
        x = points[..., :2] / points[..., 2:]
        k1, k2, k3, p1, p2 = self.lens
        r2 = np.sum(x**2, axis=-1, keepdims=True)
        factor = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + p1 * x[..., 1:] + p2 * x[..., :1]
        return self.intrinsics[0::2] * (x * factor + np.array([p2, p1]) * r2) + self.intrinsics[1::2]


def fit_intrinsics(pose3d: np.ndarray, pose2d: np.ndarray) -> np.ndarray:
    """Focal lengths and principal point by least squares, from joints in the camera's frame [..., 3] and in pixels
    [..., 2]: float32 [4], fx, cx, fy, cy."""
    points, pixels = np.float64(pose3d).reshape(-1, 3), np.float64(pose2d).reshape(-1, 2)
    found = []
    for axis in (0, 1):
        factors = np.stack([points[:, axis] / points[:, 2], np.ones(len(points))], axis=-1)
        found += np.linalg.lstsq(factors, pixels[:, axis], rcond=None)[0].tolist()
    return np.float32(found)


def fit_camera(world: np.ndarray, pixels: np.ndarray, what: str, points: int = EXACT_POINTS) -> Camera:
    """Finds a camera from joints in the world and in its images.

    The direct linear transform gives a start, from which a robust least-squares fit also finds the lens's distortion.
    Detected joints may take the place of true ones if they are right most of the time.

    Args:
        world: float [N, 3], in any unit.
        pixels: float [N, 2].
        what: for error messages.
        points: number of joints to use, drawn at random; detected joints need DETECTED_POINTS.

    Raises:
        UserError: SciPy is not installed, or no camera explains the pixels.
    """
    try:
        import scipy.optimize
        from scipy.spatial.transform import Rotation
    except ImportError:
        raise UserError("finding cameras needs SciPy: pip install 'pose_tf[convert]'") from None
    # At random: equal steps can always meet the same joint.
    chosen = np.sort(np.random.default_rng(0).permutation(len(world))[:points])
    world, pixels = np.float64(world[chosen]), np.float64(pixels[chosen])
    if len(world) < 12:
        raise UserError(f"{what}: {len(world)} joints are too few to find the camera")
    unit = np.linalg.norm(world - world.mean(axis=0), axis=-1).mean() or 1.0
    try:
        start = _direct_linear_transform(world / unit, pixels)
        turn = Rotation.from_matrix(start.rotation).as_rotvec()
    except (np.linalg.LinAlgError, ValueError):
        raise UserError(f"{what}: no camera explains where the joints are in the image") from None

    def camera(values):
        focal, center, lens, turn, translation = np.split(values, [2, 4, 9, 12])
        intrinsics = np.stack([focal, center], axis=-1).ravel()
        return Camera(intrinsics, Rotation.from_rotvec(turn).as_matrix(), translation, lens)

    def errors(values):
        found = (camera(values).project(world / unit) - pixels).ravel()
        return np.nan_to_num(found, nan=1e6, posinf=1e6, neginf=-1e6)

    guess = np.concatenate(
        [
            start.intrinsics[0::2],
            start.intrinsics[1::2],
            start.lens,
            turn,
            start.translation,
        ]
    )
    fit = scipy.optimize.least_squares(
        errors, guess, x_scale="jac", loss="soft_l1", f_scale=TYPICAL_ERROR_PX, max_nfev=MOST_STEPS
    )
    found = dataclasses.replace(camera(fit.x), translation=unit * camera(fit.x).translation)
    if not (found.to_camera(world)[:, 2] > 0).all() or (found.intrinsics[0::2] <= 0).any():
        raise UserError(f"{what}: no camera explains where the joints are in the image")
    return found


def _direct_linear_transform(world, pixels):
    """The camera without distortion that explains the points best in the algebraic sense (Hartley and Zisserman,
    Multiple View Geometry, algorithm 7.1)."""
    center, size = pixels.mean(axis=0), pixels.std() or 1.0
    middle = world.mean(axis=0)
    x, y = ((pixels - center) / size).T
    points = np.concatenate([world - middle, np.ones((len(world), 1))], axis=-1)
    zeros = np.zeros_like(points)
    rows = np.concatenate(
        [
            np.concatenate([points, zeros, -x[:, None] * points], axis=-1),
            np.concatenate([zeros, points, -y[:, None] * points], axis=-1),
        ]
    )
    matrix = np.linalg.svd(rows.T @ rows)[2][-1].reshape(3, 4)
    matrix = np.array([[size, 0, center[0]], [0, size, center[1]], [0, 0, 1]]) @ matrix
    length = np.linalg.norm(matrix[2, :3])
    if not length > 0:
        raise np.linalg.LinAlgError("all points are in one place")
    matrix /= length
    if np.median(points @ matrix[2]) < 0:  # the people are in front of the camera
        matrix = -matrix
    # The matrix is K·[R | t'] with K upper triangular: RQ decomposition, by QR of the reversed transpose.
    q, r = np.linalg.qr(matrix[::-1, :3].T)
    upper, rotation = r.T[::-1, ::-1], q.T[::-1]
    signs = np.sign(np.diag(upper))
    upper, rotation = upper * signs, signs[:, None] * rotation
    if np.linalg.det(rotation) < 0:
        rotation = -rotation  # a mirrored world; the fit cannot explain it, and says so
    translation = np.linalg.solve(upper, matrix[:, 3]) - rotation @ middle
    upper = upper / upper[2, 2]
    return Camera(np.array([upper[0, 0], upper[0, 2], upper[1, 1], upper[1, 2]]), rotation, translation, np.zeros(5))


def reprojection_error(camera: Camera, world: np.ndarray, pixels: np.ndarray) -> float:
    """Median distance in px."""
    return float(np.median(np.linalg.norm(camera.project(world) - pixels, axis=-1)))


def check_projection(
    pose3d: np.ndarray, pose2d: np.ndarray, intrinsics: np.ndarray, what: str, tolerance: float
) -> None:
    """Checks that joints in the camera's frame project to the joints in the image.

    Raises:
        UserError: the median distance is above the tolerance in px.
    """
    error = np.median(np.linalg.norm(geometry.project(pose3d, intrinsics) - pose2d, axis=-1))
    if not error <= tolerance:
        raise UserError(f"{what}: its 3D joints project {error:.3g} px from its 2D joints in the median")
