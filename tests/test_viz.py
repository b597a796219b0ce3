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


def person(number, x, y, size, root=(0, 0, 4000), pose3d=None):
    """A person who fills a square, with joints on its diagonal, whose hip is at `root` in space."""
    steps = np.linspace(0, size, 17)
    pose2d = np.stack([x + steps, y + steps], axis=1)
    pose3d = np.stack([steps, 10 * steps, -steps], axis=1) if pose3d is None else pose3d
    return Person(np.float32([x, y, size, size]), pose2d, pose3d, np.ones(17), number, np.float32(root))


def test_people_are_drawn_where_they_are_even_in_wide_pictures():
    image = np.zeros((120, 12_000, 3), np.uint8)
    drawn = viz.draw_people(image, [person(1, 10, 10, 100), person(2, 11_000, 10, 100)])
    assert not image.any()
    columns = np.flatnonzero(drawn.any(axis=(0, 2)))
    assert 0 < columns[0] < 20 and 11_090 < columns[-1] < 11_130
    assert not drawn[:, 200:10_900].any()
    for x in (10, 11_000):
        assert drawn[55:65, x + 45 : x + 55].max() > 200  # the middle of the skeleton


@pytest.mark.parametrize(
    ("count", "most_rows", "rows"),
    [(0, 4, 1), (1, 4, 1), (2, 4, 3), (3, 4, 4), (9, 4, 4), (9, 2, 2), (2, 1, 1), (1, 1, 1)],
)
def test_views_stand_beside_the_picture_in_a_row_for_all_and_a_row_for_each(count, most_rows, rows):
    image = np.full((100, 200, 3), 90, np.uint8)
    places = [(2000 * number, 0, 4000) for number in range(count)]
    people = [person(number, 15 * number, 20, 60, place) for number, place in enumerate(places, 1)]
    sheet = viz.side_by_side(image, people, size=64, most_rows=most_rows)
    assert sheet.shape == (64 * rows, 128 * rows + (3 * 64 if count else 0), 3)
    views = [sheet[64 * row : 64 * row + 64, 128 * rows :].tobytes() for row in range(rows)]
    assert len(set(views[1:])) <= 1  # the same pose
    if count > 1 and rows > 1:
        assert views[0] != views[1]
    if count:
        alone = viz.side_by_side(image, people[:1], size=64)[:, 128:].tobytes()
        assert (views[0] == alone) == (count == 1) and set(views[1:]) <= {alone}


def test_four_rows_are_the_default():
    image = np.full((100, 200, 3), 90, np.uint8)
    people = [person(number, 0, 0, 60) for number in range(1, 7)]
    np.testing.assert_array_equal(
        viz.side_by_side(image, people, size=32), viz.side_by_side(image, people, size=32, most_rows=4)
    )


def posed(*heights):
    """People who stand upright, with the feet 1000 mm under the hip and the head 750 over it, times their height."""
    poses = np.zeros([len(heights), 17, 3])
    poses[:, [3, 6], 1], poses[:, 10, 1] = 1000, -750
    poses[:, [1, 2, 3, 14, 15, 16], 0], poses[:, [4, 5, 6, 11, 12, 13], 0] = -300, 300
    return poses * np.float64(heights)[:, None, None]


def test_people_stand_on_one_floor_around_the_middle_of_all():
    """The middle is that of the outermost people: x from -1000 to 3000 and z from 3000 to 6000."""
    roots = [[-1000, 50, 3000], [3000, -400, 6000], [2500, 900, 5500], [2500, 0, 5400]]
    placed = viz.place_on_floor(posed(1, 0.5, 1, 1) + 70, roots)  # relative to the hip wherever that is
    assert placed.shape == (4, 17, 3)
    np.testing.assert_allclose(
        placed[:, 0], [[-2000, -1000, -1500], [2000, -500, 1500], [1500, -1000, 1000], [1500, -1000, 900]]
    )
    np.testing.assert_allclose(placed[:2, 3], [[-2300, 0, -1500], [1850, 0, 1500]])
    np.testing.assert_allclose(placed[:2, 10], [[-2000, -1750, -1500], [2000, -875, 1500]])
    np.testing.assert_allclose(placed[..., 1].max(axis=1), 0)


def test_people_whose_place_is_not_known_are_in_the_middle_of_the_floor():
    nowhere = [np.nan, np.nan, np.nan]
    placed = viz.place_on_floor(posed(1, 1, 2), [[-1000, 0, 3000], nowhere, [1000, 0, 5000]])
    np.testing.assert_allclose(placed[:, 0], [[-1000, -1000, -1000], [0, -1000, 0], [1000, -2000, 1000]])
    for roots in ([nowhere] * 2, [[700, 100, 4000], nowhere]):
        np.testing.assert_allclose(viz.place_on_floor(posed(1, 2), roots)[:, 0], [[0, -1000, 0], [0, -2000, 0]])


def test_a_single_person_is_in_the_middle_of_the_floor_and_the_pose_is_left_alone():
    poses, roots = posed(1), np.float32([[700, 100, 4000]])
    (placed,) = viz.place_on_floor(poses, roots)
    np.testing.assert_allclose(placed, posed(1)[0] - [0, 1000, 0])
    np.testing.assert_array_equal(poses, posed(1))
    np.testing.assert_array_equal(roots, [[700, 100, 4000]])


BONES = (viz.RIGHT, viz.LEFT, viz.MIDDLE)


def drawn(picture, colors=BONES):
    """Rows and columns of pixels that have exactly one of the colors."""
    return np.nonzero(np.any([(picture == color).all(-1) for color in colors], axis=0))


def scene(*roots, heights, view, size=256):
    """The view of this number in the first row beside a picture."""
    people = [
        person(number, 0, 0, 60, root, pose) for number, (root, pose) in enumerate(zip(roots, posed(*heights)), start=1)
    ]
    sheet = viz.side_by_side(np.zeros((100, 100, 3), np.uint8), people, size)
    return sheet[:size, -3 * size :][:, view * size : (view + 1) * size]


def extent(picture, left, right):
    """Colors of the bones in these columns, and their first and last row."""
    part = picture[:, left:right]
    rows, columns = drawn(part)
    return {tuple(color) for color in part[rows, columns].tolist()}, rows.min(), rows.max()


def test_the_first_row_shows_people_beside_each_other_as_they_stand():
    picture = scene((-1500, 0, 4000), (1500, 0, 4000), heights=(1, 0.5), view=0)
    first, second = extent(picture, 0, 100), extent(picture, 156, 256)
    assert first[0] == second[0] == set(BONES)
    assert not len(drawn(picture[:, 100:156])[0])
    assert abs(first[2] - second[2]) <= 1  # feet on the same floor
    assert (first[2] - first[1]) / (second[2] - second[1]) == pytest.approx(2, rel=0.1)
    swapped = scene((1500, 900, 4000), (-1500, -900, 4000), heights=(0.5, 1), view=0)  # the vertical does not count
    np.testing.assert_array_equal(picture, swapped)


def test_the_first_row_shows_who_is_farther_away():
    near, far = (0, 0, 4000), (0, 0, 7000)
    front, side = (scene(near, far, heights=(1, 0.5), view=view) for view in (0, 2))
    columns = drawn(front)[1]
    assert columns.min() > 100 and columns.max() < 156
    first, second = extent(side, 0, 100), extent(side, 156, 256)  # from the camera's left, what is far is on the left
    assert first[1] > second[1] + 50 and abs(first[2] - second[2]) <= 3
    assert not len(drawn(side[:, 100:156])[0])
    left, right = (scene(near, (x, 0, 7000), heights=(1, 1), view=0) for x in (-3000, 3000))
    for picture, feet in ((left, slice(None)), (right, slice(None, None, -1))):  # far is higher up from the front
        picture = picture[:, feet]
        assert extent(picture, 0, 100)[2] < extent(picture, 156, 256)[2] - 20


@pytest.mark.parametrize("distance", [0, 1500, 20_000])
def test_everyone_fits_into_the_first_row(distance):
    for root in ((distance, 0, 4000), (0, 0, 4000 + distance), (-distance, 0, 4000 + distance)):
        for view in range(3):
            rows, columns = drawn(scene((0, 0, 4000), root, heights=(1, 1.2), view=view))
            assert min(rows.min(), columns.min()) > 1 and max(rows.max(), columns.max()) < 254


def test_people_stand_in_front_of_those_who_are_farther_away():
    """The left leg of the near person covers the right leg of the far one, in whichever order they come."""
    near, far = (-300, 0, 3000), (300, 0, 4000)
    pictures = [scene(near, far, heights=(1, 1), view=0), scene(far, near, heights=(1, 1), view=0)]
    np.testing.assert_array_equal(*pictures)
    assert (
        (drawn(pictures[0][:, 120:136], [viz.LEFT])[0]).size > 2 * drawn(pictures[0][:, 120:136], [viz.RIGHT])[0].size
    )


def test_one_person_stands_on_the_middle_of_the_floor_at_a_known_scale():
    """256 px show 2300 mm: 1750 mm, seen from 12 degrees above, are 190.5 px, in the middle of the picture."""
    picture = viz.draw_pose3d(posed(1)[0])
    rows, columns = drawn(picture)
    assert [rows.min(), rows.max()] == pytest.approx([127.5 - 95.3, 127.5 + 95.3], abs=2)
    assert [columns.min(), columns.max()] == pytest.approx([127.5 - 33.4, 127.5 + 33.4], abs=2)
    floor = (picture[:, :80] != viz.BACKGROUND).any(-1)
    assert np.flatnonzero(floor.any(axis=1))[0] == pytest.approx(127.5 + 95.3 - 23.1, abs=2)  # 1000 mm behind the feet
    assert floor[222].sum() > 60 or floor[223].sum() > 60  # the line under the feet


@pytest.mark.parametrize("azimuth", [0, 60, -90])
@pytest.mark.parametrize("scale", [0.2, 1, 1.5, 3])
def test_a_pose_of_any_size_fits_into_its_picture(pose3d, azimuth, scale):
    wide = pose3d.copy()
    wide[13] += [600, -500, 700]
    rows, columns = drawn(viz.draw_pose3d(scale * wide, azimuth_deg=azimuth))
    assert min(rows.min(), columns.min()) > 1 and max(rows.max(), columns.max()) < 254


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_wild_joints_do_not_stop_the_drawing_of_several(pose3d, bad):
    wild = pose3d.copy()
    wild[3] = bad
    people = [person(number, 0, 0, 60, pose3d=pose) for number, pose in enumerate((pose3d, wild), start=1)]
    assert viz.side_by_side(BLACK, people, size=64).shape == (192, 384, 3)


@pytest.mark.parametrize("z", [1e7, 1e12])
def test_the_floor_has_few_lines_at_any_distance(z, monkeypatch):
    lines, draw = [], viz._line
    monkeypatch.setattr(viz, "_line", lambda *arguments: lines.append(1) or draw(*arguments))
    people = [person(number, 0, 0, 60, root) for number, root in enumerate([(0, 0, 4000), (0, 0, z)], start=1)]
    viz.side_by_side(BLACK, people, size=64, most_rows=1)
    assert len(lines) < 500
