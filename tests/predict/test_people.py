"""Tests of boxes from users."""

import numpy as np
import pytest

from pose_tf.errors import UserError
from pose_tf.predict.media import MediaError
from pose_tf.predict.people import GivenBoxes, check_boxes, fitted, parse_box, read_boxes


def test_a_box_is_fitted_to_the_joints_that_are_seen(rng):
    pose2d = rng.uniform((30, 40), (69, 119), (17, 2))
    pose2d[:3] = [(29.5, 60), (50, 39.5), (69.5, 119.5)]
    confidence = np.full(17, 0.5)
    pose2d[3], confidence[3] = (500, 500), 0.2
    for box in ([20, 30, 60, 100], [25, 35, 60, 60], [0, 0, 100, 150]):
        np.testing.assert_allclose(fitted(np.float32(box), pose2d, confidence), [30, 40, 40, 80], atol=1e-5)
    confidence[:] = np.where(np.arange(17) < 6, 0.5, 0.1)
    assert fitted(np.float32([20, 30, 60, 100]), pose2d[:6], confidence[:6]) is None  # with the one far away
    assert fitted(np.float32([20, 30, 60, 100]), pose2d, np.where(np.arange(17) < 5, 0.5, 0.1)) is None  # too few


def test_a_box_is_not_fitted_to_another_person(rng):
    pose2d = rng.uniform((30, 40), (70, 120), (17, 2))
    assert fitted(np.float32([60, 40, 40, 80]), pose2d, np.ones(17)) is None
    assert fitted(np.float32([35, 40, 40, 80]), np.full((17, 2), 50.0), np.ones(17)) is None  # one point
    assert fitted(np.float32([45, 70, 15, 30]), pose2d, np.ones(17)) is None  # much larger


def test_a_box_is_four_numbers():
    np.testing.assert_array_equal(parse_box("-1,2.5,3e1,40"), [-1, 2.5, 30, 40])
    for text in ("", "1,2,3", "1,2,3,4,5", "a,b,c,d", "nan,0,5,5", "0,0,inf,5"):
        with pytest.raises(UserError, match=f"^{text} is not a box x,y,width,height$"):
            parse_box(text)
    for text in ("0,0,0,5", "0,0,5,-5", "0,0,0.5,5"):
        with pytest.raises(UserError, match=f"^{text} is smaller than a pixel$"):
            parse_box(text)


def test_boxes_are_read_from_a_table(tmp_path):
    (tmp_path / "boxes.csv").write_text("file,x,y,width,height\na.jpg,1,2,30,40\nb.jpg,5,6,7,8\na.jpg,9,9,9,9\n")
    boxes = read_boxes(f"{tmp_path}/boxes.csv")
    assert set(boxes) == {"a.jpg", "b.jpg"}
    np.testing.assert_array_equal(boxes["a.jpg"], [[1, 2, 30, 40], [9, 9, 9, 9]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "boxes.csv has no column file, x, y, width, height"),
        ("file,x,y,w,h\na,1,2,3,4\n", "boxes.csv has no column width, height"),
        ("file,x,y,width,height\na,1,2,3,4\nb,1,2,3\n", "boxes.csv line 3: 1,2,3,None is not a box"),
        ("file,x,y,width,height\na,1,2,0,4\n", "boxes.csv line 2: 1,2,0,4 is not a box"),
        ("\xff\xfe", "boxes.csv has no column"),
    ],
)
def test_a_wrong_table_is_told(tmp_path, text, words):
    (tmp_path / "boxes.csv").write_text(text)
    with pytest.raises(UserError, match=words):
        read_boxes(f"{tmp_path}/boxes.csv")


def test_a_missing_table_is_told(tmp_path):
    with pytest.raises(UserError, match=".*none.csv cannot be read: No such file"):
        read_boxes(f"{tmp_path}/none.csv")


def test_what_the_user_tells(tmp_path):
    (tmp_path / "boxes.csv").write_text("file,x,y,width,height\na.jpg,1,2,30,40\n")
    assert GivenBoxes()("photos/a.jpg", 64, 48) is None
    np.testing.assert_array_equal(GivenBoxes("1,2,3,4")("photos/a.jpg", 64, 48), [[1, 2, 3, 4]])
    np.testing.assert_array_equal(GivenBoxes("whole")("photos/a.jpg", 64, 48), [[0, 0, 64, 48]])
    told = GivenBoxes(path=f"{tmp_path}/boxes.csv")
    np.testing.assert_array_equal(told("photos/a.jpg", 64, 48), [[1, 2, 30, 40]])
    assert told("photos/b.jpg", 64, 48).shape == (0, 4)
    with pytest.raises(UserError, match="give one box or a file of boxes, not both"):
        GivenBoxes("1,2,3,4", f"{tmp_path}/boxes.csv")


def test_boxes_have_to_touch_the_image():
    check_boxes(np.float32([[-5, -5, 10, 10], [90, 40, 50, 50]]), 100, 50, "a.jpg")
    for box in ((100, 0, 5, 5), (-5, 0, 5, 5), (0, 50, 5, 5), (0, -9, 5, 9)):
        with pytest.raises(MediaError, match="a.jpg: the box .* is outside of its 100x50 pixels"):
            check_boxes(np.float32([box]), 100, 50, "a.jpg")
    with pytest.raises(MediaError, match="a.jpg: the box 0,0,1e.08,5 is too large"):
        check_boxes(np.float32([(0, 0, 1e8, 5)]), 100, 50, "a.jpg")
