"""Tests of cameras that are found from joints, against cameras written down here."""

import numpy as np
import pytest

from pose_tf.data.converters import cameras
from pose_tf.errors import UserError
from tests.data.converters.layouts import KEPT_OF_32, LENSES, people_in_world, pinhole, project_to_2d, to_cameras


@pytest.mark.parametrize("number", range(4))
def test_the_camera_model_is_that_of_videopose3d(rng, number):
    center, focal, k, p, _ = LENSES[number]
    points = rng.normal(0, [0.8, 0.8, 0.3], (50, 3)) + [0, 0, 4]
    intrinsics = np.array([focal[0], center[0], focal[1], center[1]])
    lens = np.array([*k, p[1], p[0]])  # the second tangential coefficient comes first there
    camera = cameras.Camera(intrinsics, np.eye(3), np.zeros(3), lens)
    np.testing.assert_allclose(camera.project(points), project_to_2d(points, LENSES[number]), atol=1e-4)


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("unit", [1.0, 1000.0, 0.01])
def test_a_camera_is_found_from_true_joints(rng, number, unit):
    world = np.float64(people_in_world(rng, 30)[:, KEPT_OF_32])
    view = to_cameras(world)[number]
    pixels = project_to_2d(view, LENSES[number])
    camera = cameras.fit_camera(unit * world.reshape(-1, 3), pixels.reshape(-1, 2), "S1")
    np.testing.assert_allclose(camera.to_camera(unit * world) / unit, view, atol=1e-4)
    np.testing.assert_allclose(camera.project(unit * world), pixels, atol=1e-3)
    center, focal, k, p, _ = LENSES[number]
    np.testing.assert_allclose(camera.intrinsics, [focal[0], center[0], focal[1], center[1]], atol=0.02)
    np.testing.assert_allclose(camera.lens[3:], [p[1], p[0]], atol=1e-4)
    np.testing.assert_allclose(camera.lens[:1], k[:1], atol=2e-3)


@pytest.mark.parametrize("frames", [3999, 4100])
def test_noise_matters_little_whatever_the_number_of_frames(rng, frames):
    world = np.float64(people_in_world(rng, frames)[:, KEPT_OF_32])
    view = to_cameras(world)[0]
    pixels = project_to_2d(view, LENSES[0]) + rng.normal(0, 3, (frames, 17, 2))
    camera = cameras.fit_camera(world.reshape(-1, 3), pixels.reshape(-1, 2), "S1")
    found = camera.to_camera(world)
    difference = (found - found[:, :1]) - (view - view[:, :1])
    assert np.linalg.norm(difference, axis=-1).mean() < 0.015


@pytest.mark.parametrize(
    "change",
    [
        lambda world, pixels: (world[:11], pixels[:11]),
        lambda world, pixels: (world * [1, 1, 0], pixels),
        lambda world, pixels: (np.zeros_like(world), pixels),
        lambda world, pixels: (world, np.zeros_like(pixels)),
        lambda world, pixels: (world * [-1, 1, 1], pixels),
    ],
    ids=["few joints", "flat people", "one place", "one pixel", "a mirrored world"],
)
def test_what_no_camera_explains_is_refused(rng, change):
    world = np.float64(people_in_world(rng, 6)[:, KEPT_OF_32])
    pixels = project_to_2d(to_cameras(world)[0], LENSES[0])
    world, pixels = change(world.reshape(-1, 3), pixels.reshape(-1, 2))
    with pytest.raises(UserError, match="^S1 camera 0: "):
        cameras.fit_camera(world, pixels, "S1 camera 0")


def test_intrinsics_are_found(rng):
    points = rng.normal(0, [500, 700, 300], (6, 17, 3)) + [0, 0, 4000]
    expected = (1145.0, 512.5, 1143.8, 515.5)
    found = cameras.fit_intrinsics(points, pinhole(points, expected))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    cameras.check_projection(points, pinhole(points, expected), found, "S1", 0.1)
    with pytest.raises(UserError, match="S1: its 3D joints project .* px from its 2D joints in the median"):
        cameras.check_projection(points, pinhole(points, expected) + 5, found, "S1", 5.0)
