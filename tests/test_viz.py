"""Tests of the drawings: right colors in the right places, shapes of sheets, and bad input."""

import numpy as np
import pytest

from pose_tf import geometry, viz
from pose_tf.predict.results import Person
from pose_tf.skeleton import H36M

BLACK = np.zeros((256, 256, 3), np.uint8)


@pytest.fixture
def pose2d():
    """A person with spread limbs who faces the camera: the person's right is on the left of the image."""
    x = [128, 108, 104, 100, 148, 152, 156, 128, 128, 128, 128, 158, 188, 218, 98, 68, 38]
    y = [130, 130, 180, 230, 130, 180, 230, 105, 80, 60, 30, 80, 80, 80, 80, 80, 80]
    return np.stack([x, y], -1).astype(np.float32)


@pytest.fixture
def pose3d(pose2d):
    return np.concatenate([(pose2d - 128) * 8, np.zeros((17, 1))], -1) + [300, 100, 4000]


def middle(points, child):
    (parent,) = [parent for joint, parent in H36M.bones if joint == child]
    return tuple(np.round((points[child] + points[parent]) / 2).astype(int)[::-1])


@pytest.mark.parametrize(
    "joint, color",
    [("RKnee", (255, 140, 30)), ("RWrist", (255, 140, 30)), ("LFoot", (60, 150, 255)), ("LElbow", (60, 150, 255))]
    + [(joint, (225, 225, 225)) for joint in ("Spine", "Head")],
)
def test_bones_have_the_color_of_their_side(pose2d, joint, color):
    picture = viz.draw_pose2d(BLACK, pose2d)
    assert tuple(picture[middle(pose2d, H36M.index(joint))]) == color


def test_a_given_color_is_used_for_the_whole_skeleton(pose2d):
    picture = viz.draw_pose2d(BLACK, pose2d, color=(10, 200, 30))
    assert all(tuple(picture[middle(pose2d, child)]) == (10, 200, 30) for child, _ in H36M.bones)
    assert (picture[..., 0] <= 10).all() and (picture[..., 2] <= 30).all()


def test_every_joint_has_a_dot_at_its_pixel(pose2d):
    picture = viz.draw_pose2d(BLACK, pose2d)
    for x, y in pose2d.astype(int):
        assert tuple(picture[y, x]) == (255, 255, 255)


def test_drawing_leaves_the_image_alone(pose2d, rng):
    image = rng.integers(0, 255, (256, 256, 3), np.uint8)
    before = image.copy()
    picture = viz.draw_pose2d(image, pose2d)
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(picture[240:], image[240:])
    np.testing.assert_array_equal(viz.draw_pose2d(image[:, ::-1], pose2d)[240:], image[240:, ::-1])


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e9, 1e30])
def test_wild_joints_do_not_stop_the_drawing(pose2d, pose3d, bad):
    pose2d[3], pose3d[3] = bad, bad
    assert viz.draw_pose2d(BLACK, pose2d).shape == (256, 256, 3)
    assert viz.draw_pose3d(pose3d).shape == (256, 256, 3)


def center_of(picture, color):
    rows, columns = np.nonzero((picture == color).all(-1))
    return columns.mean(), rows.mean()


def test_the_front_view_is_what_the_camera_saw(pose3d):
    picture = viz.draw_pose3d(pose3d, size=200)
    assert (picture.shape, picture.dtype) == ((200, 200, 3), np.uint8)
    assert center_of(picture, viz.RIGHT)[0] < 90 and center_of(picture, viz.LEFT)[0] > 110
    assert center_of(picture, viz.MIDDLE)[1] < 100


def test_the_back_view_swaps_the_sides(pose3d):
    picture = viz.draw_pose3d(pose3d, azimuth_deg=180)
    assert center_of(picture, viz.RIGHT)[0] > 140 and center_of(picture, viz.LEFT)[0] < 116


def test_seen_from_the_cameras_right_what_is_far_lies_on_the_right(pose3d):
    pose3d[[14, 15, 16], 2] += 500
    picture = viz.draw_pose3d(pose3d, azimuth_deg=90)
    assert center_of(picture, viz.RIGHT)[0] > center_of(picture, viz.LEFT)[0] + 20


def test_position_of_the_person_does_not_matter(pose3d):
    np.testing.assert_array_equal(viz.draw_pose3d(pose3d), viz.draw_pose3d(pose3d + [500, -300, 1000]))
    np.testing.assert_array_equal(viz.draw_pose3d(pose3d, pose3d + 100), viz.draw_pose3d(pose3d, pose3d))


def green(picture):
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return (green > red + 50) & (green > blue + 50)


def test_truth_is_drawn_green(pose3d):
    assert not green(viz.draw_pose3d(pose3d)).any()
    assert green(viz.draw_pose3d(pose3d, pose3d * [1.1, 1, 1])).sum() > 20


def test_panel_is_a_row_of_five_pictures(pose2d, pose3d):
    for truth in ((), (pose2d, pose3d)):
        row = viz.panel(BLACK, pose2d, pose3d, *truth)
        assert (row.shape, row.dtype) == ((256, 5 * 256, 3), np.uint8)
        np.testing.assert_array_equal(row[:, :256], BLACK)
        assert row[:, 256:512].any()
        assert green(row).any() == bool(truth)


def test_grid_fills_row_by_row_and_pads_with_background():
    tiles = [np.full((2, 3, 3), value, np.uint8) for value in range(5)]
    sheet = viz.grid(tiles, 3)
    assert sheet.shape == (4, 9, 3)
    np.testing.assert_array_equal(sheet[::2, ::3, 0], [[0, 1, 2], [3, 4, viz.BACKGROUND[0]]])
    assert tuple(sheet[3, 8]) == viz.BACKGROUND
    assert viz.grid(tiles[:2], 4).shape == (2, 6, 3)
    assert len(tiles) == 5


def test_sheets_have_a_tile_for_each_sample(pose2d, pose3d):
    poses2d, poses3d = np.stack([pose2d] * 3), np.stack([pose3d] * 3)
    sheet = viz.sheet_2d(np.stack([BLACK] * 3), poses2d, poses2d + 20, columns=2)
    assert sheet.shape == (512, 512, 3)
    assert all(green(tile).any() for tile in (sheet[:256, :256], sheet[:256, 256:], sheet[256:, :256]))
    assert viz.sheet_3d(poses2d, poses3d, poses3d).shape == (512, 2 * 3 * 256, 3)


def test_a_sheet_of_samples_has_a_labeled_skeleton_for_each(pose2d):
    sample = {"image": BLACK, "pose2d_crop": pose2d, "subject": np.int64(9), "action": np.int64(14)}
    sheet = viz.sheet_of_samples([sample] * 3, columns=2)
    assert sheet.shape == (512, 512, 3)
    for tile in (sheet[:256, :256], sheet[:256, 256:], sheet[256:, :256]):
        np.testing.assert_array_equal(tile[25:], viz.draw_pose2d(BLACK, pose2d)[25:])
        assert tile[:20, :100].max() > 200
    assert (sheet[256:, 256:] == viz.BACKGROUND).all()


def test_joints_that_are_not_labeled_are_not_drawn(pose2d):
    labeled = pose2d.copy()
    labeled[[6, 13]] = geometry.UNLABELED_PX
    expected = viz.draw_pose2d(BLACK, np.where(np.isin(np.arange(17), [6, 13])[:, None], np.nan, pose2d))
    np.testing.assert_array_equal(viz.draw_pose2d(BLACK, viz.only_labeled(labeled)), expected)
    assert (expected != viz.draw_pose2d(BLACK, pose2d)).any()


def person(number, x, y, size):
    """A person who fills a square, with joints on its diagonal."""
    steps = np.linspace(0, size, 17)
    pose2d = np.stack([x + steps, y + steps], axis=1)
    pose3d = np.stack([steps, 10 * steps, -steps], axis=1)
    return Person(np.float32([x, y, size, size]), pose2d, pose3d, np.ones(17), number, np.float32([0, 0, 4000]))


def test_people_are_drawn_where_they_are_even_in_wide_pictures():
    image = np.zeros((120, 12_000, 3), np.uint8)
    drawn = viz.draw_people(image, [person(1, 10, 10, 100), person(2, 11_000, 10, 100)])
    assert not image.any()
    columns = np.flatnonzero(drawn.any(axis=(0, 2)))
    assert 0 < columns[0] < 20 and 11_090 < columns[-1] < 11_130
    assert not drawn[:, 200:10_900].any()
    for x in (10, 11_000):
        assert drawn[55:65, x + 45 : x + 55].max() > 200  # the middle of the skeleton


@pytest.mark.parametrize(("count", "rows"), [(0, 1), (1, 1), (3, 3), (9, 4)])
def test_views_stand_beside_the_picture_a_row_for_each_of_the_first_people(count, rows):
    image = np.full((100, 200, 3), 90, np.uint8)
    people = [person(number, 15 * number, 20, 60) for number in range(1, count + 1)]
    sheet = viz.side_by_side(image, people, size=64)
    assert sheet.shape == (64 * rows, 128 * rows + (3 * 64 if count else 0), 3)
    assert len({sheet[64 * row : 64 * row + 64, 128 * rows :].tobytes() for row in range(rows)}) == 1  # the same pose
