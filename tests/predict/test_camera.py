"""Tests of cameras and of where people are in front of them: known projections, EXIF data, impossible values."""

import io

import numpy as np
import PIL.Image
import pytest

from pose_tf.errors import UserError
from pose_tf.predict.camera import CameraOptions, body_height, put_in_space, read_focal_35mm
from pose_tf.predict.model import PoseModel
from pose_tf.synthetic.sample import pose_sample

INTRINSICS = (1150.0, 512.0, 1140.0, 500.0)


@pytest.fixture
def pose3d():
    """A person two meters to the left, float64 [17, 3] mm, absolute."""
    return np.float64(pose_sample(0, 1, 8)["pose3d"]) + [-2000, 0, 0]


def projected(pose3d):
    return pose3d[:, :2] / pose3d[:, 2:] * [1150, 1140] + [512, 500]


def test_a_field_of_view_covers_the_longer_side():
    """90 degrees: the focal length is half of the longer side."""
    for width, height in ((640, 480), (480, 640)):
        camera = CameraOptions(fov=90).camera(width, height)
        np.testing.assert_allclose(camera.intrinsics, [320, (width - 1) / 2, 320, (height - 1) / 2])
        assert camera.origin == "given"
    guess = CameraOptions().camera(640, 480)
    assert guess.origin == "guess" and guess.intrinsics[0] == pytest.approx(320 / np.tan(np.radians(27.5)))
    given = CameraOptions(INTRINSICS).camera(640, 480, 26.0)
    assert (given.intrinsics, given.origin) == (INTRINSICS, "given")


def test_exif_data_have_the_focal_length_on_film():
    """26 mm on a diagonal of 43.27 mm; of 4000x3000 px, the diagonal has 5000."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0xA405] = 26
    file = io.BytesIO()
    PIL.Image.new("RGB", (64, 48)).save(file, "JPEG", exif=exif)
    assert read_focal_35mm(file.getvalue()) == 26
    camera = CameraOptions().camera(3000, 4000, 26)
    assert camera.origin == "exif"
    np.testing.assert_allclose(camera.intrinsics, [26 / 43.2666 * 5000, 1499.5, 26 / 43.2666 * 5000, 1999.5], rtol=1e-5)
    assert CameraOptions(fov=90).camera(3000, 4000, 26).intrinsics[0] == pytest.approx(2000)
    bare = io.BytesIO()
    PIL.Image.new("RGB", (64, 48)).save(bare, "PNG")
    for data in (bare.getvalue(), b"no image", b""):
        assert read_focal_35mm(data) is None


@pytest.mark.parametrize("frame", ["camera", "sight"])
def test_an_exact_pose_is_put_where_it_was(pose3d, frame):
    relative = pose3d - pose3d[0]
    if frame == "sight":  # as seen by a camera that looks at the hip: a turn about the vertical axis, then up or down
        z = pose3d[0] / np.linalg.norm(pose3d[0])
        x = np.cross([0, 1, 0], z) / np.linalg.norm(np.cross([0, 1, 0], z))
        relative = relative @ np.stack([x, np.cross(z, x), z]).T
    camera = CameraOptions(INTRINSICS).camera(1024, 1000)
    found, root = put_in_space(projected(pose3d), relative, np.ones(17), camera, frame, None)
    np.testing.assert_allclose(root, pose3d[0], rtol=1e-4)
    np.testing.assert_allclose(found, pose3d - pose3d[0], atol=0.2)


def test_joints_of_low_confidence_hardly_count(pose3d):
    pixels, camera = projected(pose3d), CameraOptions(INTRINSICS).camera(1024, 1000)
    pixels[5] += [200, -150]
    confidence = np.ones(17)
    _, wrong = put_in_space(pixels, pose3d - pose3d[0], confidence, camera, "camera", None)
    confidence[5] = 0.001
    _, right = put_in_space(pixels, pose3d - pose3d[0], confidence, camera, "camera", None)
    assert abs(wrong[2] / pose3d[0, 2] - 1) > 0.02 > 10 * abs(right[2] / pose3d[0, 2] - 1)


def test_a_height_fixes_scale_and_distance(pose3d):
    """A pose of half the size would be at half the distance; the height brings both back."""
    height = body_height(pose3d) / 1000
    camera = CameraOptions(INTRINSICS).camera(1024, 1000)
    half = (pose3d - pose3d[0]) / 2
    _, near = put_in_space(projected(pose3d), half, np.ones(17), camera, "camera", None)
    np.testing.assert_allclose(near, pose3d[0] / 2, rtol=1e-3)
    given = (height - 0.08) / 2 * 2 + 0.08  # what is above the ankles scales, and the ankles' height does not
    found, root = put_in_space(projected(pose3d), pose3d - pose3d[0], np.ones(17), camera, "camera", given)
    np.testing.assert_allclose(root, pose3d[0], rtol=1e-4)
    _, tall = put_in_space(projected(pose3d), pose3d - pose3d[0], np.ones(17), camera, "camera", 1.1 * height)
    scale = (1100 * height - 80) / (1000 * height - 80)
    np.testing.assert_allclose(tall, scale * pose3d[0], rtol=1e-3)


def test_the_height_of_a_body_by_hand():
    """Standing: ankles 400 below knees, knees 400 below hips, head 700 above the hip, ankles 80 above the ground."""
    pose3d = np.zeros((17, 3))
    for knee, ankle in ((2, 3), (5, 6)):
        pose3d[knee, 1], pose3d[ankle, 1] = 400, 800
    pose3d[[7, 8, 9, 10], 1] = -200, -450, -550, -700
    assert body_height(pose3d) == pytest.approx(700 + 800 + 80)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"intrinsics": INTRINSICS, "fov": 50}, "give one of intrinsics and fov"),
        ({"intrinsics": (1, 2, 3)}, "intrinsics must be fx,cx,fy,cy in pixels"),
        ({"intrinsics": (0, 2, 3, 4)}, "with focal lengths above 0"),
        ({"intrinsics": (1, np.nan, 3, 4)}, "intrinsics must be"),
        ({"fov": 0}, "fov is 0; it must be an angle of 1 to 170 degrees"),
        ({"fov": np.nan}, "fov is nan"),
        ({"height": 178}, "height is 178; it must be 0.3 to 3 meters"),
    ],
)
def test_impossible_values_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        CameraOptions(**options)


def test_all_people_of_an_image_are_in_one_space(pose3d):
    """Two people, one 1 m to the right of and 2 m behind the other, by a model whose poses are exact."""

    class Exact:
        card, takes_pixels, takes_cameras = {"frame": "camera"}, True, True

        def predict(self, signature, inputs):
            people = [pose3d, pose3d + [1000, 0, 2000]]
            return {
                "pose2d": np.float32([projected(person) for person in people]),
                "pose3d": np.float32([person - person[0] for person in people]),
                "confidence": np.ones((2, 17), np.float32),
            }

    image, boxes = np.zeros((1000, 1024, 3), np.uint8), [[10, 10, 50, 50], [60, 60, 50, 50]]
    one, other = PoseModel(Exact()).people(image, boxes, camera=CameraOptions(INTRINSICS))
    np.testing.assert_allclose(other.root3d - one.root3d, [1000, 0, 2000], atol=2)
    np.testing.assert_allclose(one.root3d + one.pose3d, pose3d, atol=2)
