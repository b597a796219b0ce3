"""Tests of people in videos: when they are searched for, from when to when they are there, and their smoothed poses."""

import cv2
import numpy as np
import pytest

from pose_tf.predict.camera import CameraOptions
from pose_tf.predict.media import MediaError
from pose_tf.predict.model import PoseModel
from pose_tf.predict.people import GivenBoxes
from pose_tf.predict.predictor import Options, predict
from pose_tf.predict.video import PeopleInVideo, estimate_frames
from pose_tf.predict.video_files import Video
from pose_tf.synthetic.sample import render_sample
from tests.predict.marks import MARKS, joints, marked
from tests.predict.matroska import BURST, write_matroska


def test_people_are_searched_for_by_the_clock_of_the_video(tmp_path, monkeypatch):
    searches = []
    monkeypatch.setattr(
        "pose_tf.predict.finders.find_people",
        lambda image, score: searches.append(1) or (np.zeros((0, 4), np.float32), np.zeros(0, np.float32)),
    )
    write_matroska(tmp_path / "a.mkv", BURST, [marked(200, 100)] * 41)
    predict(MARKS, f"{tmp_path}/a.mkv", Options(f"{tmp_path}/out", outputs=("json",)))
    assert len(searches) == 4 + 21  # at 0, 0.2, 0.367 and 0.567 s, and at every frame that is 0.184 s after another


def test_a_recording_without_a_duration_is_not_called_damaged(tmp_path, caplog):
    write_matroska(tmp_path / "a.mkv", BURST, [marked(200, 100)] * 41)
    predict(MARKS, f"{tmp_path}/a.mkv", Options(f"{tmp_path}/out", GivenBoxes("whole"), outputs=("json",)))
    assert "damaged" not in caplog.text


def test_a_person_is_there_from_the_first_frame_to_the_last_that_was_found(tmp_path, pedestrian_hog):
    """This holds although confirmation and time-out of a track take a while."""
    person = render_sample(0, 54, 9)["image"]
    writer = cv2.VideoWriter(f"{tmp_path}/a.avi", cv2.VideoWriter_fourcc(*"FFV1"), 15, (700, 300))
    for i in range(40):
        image = np.full((300, 700, 3), 128, np.uint8)
        if 5 <= i < 25:
            image[20:276, 40 + 5 * i : 296 + 5 * i] = person[..., ::-1]
        writer.write(image)
    writer.release()
    predict(MARKS, f"{tmp_path}/a.avi", Options(f"{tmp_path}/out", outputs=("npz",)))
    with np.load(f"{tmp_path}/out/a.npz") as found:
        assert set(found["person"]) == {1}
        first, last = found["frame"][0], found["frame"][-1]
        assert 5 <= first <= 8 and 21 <= last <= 25  # a search every third frame
        np.testing.assert_array_equal(found["frame"], np.arange(first, last + 1))


def test_smoothing_takes_the_trembling_out(video, tmp_path):
    for name, smooth in (("raw", False), ("smooth", True)):
        options = Options(f"{tmp_path}/{name}", GivenBoxes("30,20,60,60"), outputs=("json",), smooth=smooth)
        predict(MARKS, video, options)
    raw, smooth = (joints(f"{tmp_path}/{name}/walk.json") for name in ("raw", "smooth"))
    assert smooth[5:, 1].std() < 0.8 * raw[5:, 1].std()
    assert np.abs(smooth - raw)[:, 0].max() < 8


def one_euro(path, times, size):
    """The one-euro filter of points [N, 2] px, by the formulas of Casiez et al. (CHI 2012), with the video's settings.

    Cutoffs are 1 Hz for the speed and 1 Hz + 10 per (size of the box)/s for the points.
    """
    place, speed = path[0] / size, np.zeros(2)
    smoothed = [place]
    for point, step in zip(path[1:] / size, np.diff(times), strict=True):
        speed = speed + ((point - place) / step - speed) / (1 + 1 / (2 * np.pi * step))
        place = place + (point - place) / (1 + 1 / (2 * np.pi * (1 + 10 * np.hypot(*speed)) * step))
        smoothed.append(place)
    return size * np.array(smoothed)


def there_and_back(path, times, size):
    """The mean of filtering forward and then backward, and of filtering backward and then forward."""
    times, back = np.array(times), -np.array(times)[::-1]
    forward_first = one_euro(one_euro(path, times, size)[::-1], back, size)[::-1]
    backward_first = one_euro(one_euro(path[::-1], back, size)[::-1], times, size)
    return (forward_first + backward_first) / 2


def test_smoothing_goes_by_the_clock_of_the_video(tmp_path):
    """Between the frames of a burst, a pose keeps closer to the one before than between frames that are far apart."""
    images = [marked(200, 100, (40 + 3 * i, 50 + 8 * (-1) ** i)) for i in range(41)]
    write_matroska(tmp_path / "a.mkv", BURST, images)
    for name, smooth in (("raw", False), ("smooth", True)):
        options = Options(f"{tmp_path}/{name}", GivenBoxes("whole"), outputs=("json",), smooth=smooth)
        predict(MARKS, f"{tmp_path}/a.mkv", options)
    raw, smooth = (joints(f"{tmp_path}/{name}/a.json") for name in ("raw", "smooth"))
    np.testing.assert_allclose(smooth, there_and_back(raw, BURST, 200), atol=0.3)
    average, claimed = BURST[-1] / 40, 1 / Video(f"{tmp_path}/a.mkv").fps
    for step in (average, claimed):
        assert np.abs(smooth - there_and_back(raw, step * np.arange(41), 200)).max() > 2


def test_no_more_than_the_frames_that_are_asked_for(video, tmp_path):
    predict(MARKS, video, Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60"), max_frames=7))
    assert len(joints(f"{tmp_path}/out/walk.json")) == 7


def test_a_cut_video_is_reported(video, tmp_path, caplog):
    with open(video, "rb") as file:
        data = file.read()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    predict(MARKS, f"{tmp_path}/cut.avi", Options(f"{tmp_path}/out", GivenBoxes("30,20,60,60")))
    count = len(joints(f"{tmp_path}/out/cut.json"))
    assert 0 < count < 25
    assert f"cut.avi ends after {count} of 30 frames: it may be damaged" in caplog.text


CAMERA = CameraOptions().camera(200, 100)
BOXES = np.float32([[30, 20, 60, 60], [120, 10, 40, 40]])


def test_given_people_are_numbered_from_1_and_followed(video):
    followed = PeopleInVideo(Video(video), BOXES[:1], max_frames=10)
    np.testing.assert_allclose(followed.times, np.arange(10) / 10)
    assert followed.expected == 10
    for number, (time, image, boxes) in enumerate(followed):
        assert time == pytest.approx(number / 10)
        assert image.shape == (100, 200, 3)
        assert list(boxes) == [1]
        np.testing.assert_allclose(boxes[1], [30 + 2 * number, 20, 60, 60], atol=3)
    assert number == 9


def test_a_video_can_be_iterated_again(video):
    followed = PeopleInVideo(Video(video), BOXES[:1], max_frames=4)
    first, again = ([(time, image.mean(), *boxes) for time, image, boxes in followed] for _ in range(2))
    assert first == again and len(first) == 4


def test_progress_is_shown_for_both_passes(video):
    seen = []

    def progress(frames, total, desc):
        seen.append((desc, total))
        return frames

    list(PeopleInVideo(Video(video), BOXES, max_frames=5, progress=progress))
    assert seen == [("people", 5), ("poses", 5)]


def test_frames_have_the_poses_of_their_people(video):
    followed = PeopleInVideo(Video(video), BOXES[:1], max_frames=6)
    for number, (frame, image) in enumerate(estimate_frames(MARKS, followed, CAMERA, None, batch_size=2)):
        (person,) = frame.people
        assert (frame.time, person.number) == (pytest.approx(number / 10), 1)
        np.testing.assert_allclose(person.pose2d[0], [59.5 + 2 * number, 49.5 + (-1) ** number], atol=1e-3)
        assert image.shape == (100, 200, 3)
    assert number == 5


def test_boxes_are_those_of_the_joints_in_the_frame_before(video):
    class Spread:
        """Joints in a square of 40 px around the mark, which moves; some frames show few of them."""

        card, takes_pixels, takes_cameras, calls = {}, True, True, 0

        def predict(self, signature, inputs):
            number, self.calls = self.calls, self.calls + 1
            angle = np.arange(17) * np.pi / 2
            pose2d = np.stack([59.5 + 2 * number + 20 * np.cos(angle), 49.5 + 20 * np.sin(angle)], axis=-1)
            confidence = np.full((1, 17), 0.1 if number == 3 else 0.9, np.float32)
            return {"pose2d": np.float32([pose2d]), "pose3d": np.zeros((1, 17, 3)), "confidence": confidence}

    followed = PeopleInVideo(Video(video), BOXES[:1], max_frames=6)
    model = PoseModel(Spread())
    boxes = [frame.people[0].box for frame, _ in estimate_frames(model, followed, CAMERA, None, batch_size=2)]
    tracked = [[30 + 2 * number, 20, 60, 60] for number in range(6)]
    joints = [[40 + 2 * (number - 1), 30, 40, 40] for number in range(6)]
    np.testing.assert_allclose(boxes, [tracked[0], *joints[1:4], tracked[4], joints[5]], atol=3)


def test_a_video_without_a_frame_is_an_error(video, monkeypatch):
    opened = Video(video)
    monkeypatch.setattr(Video, "__iter__", lambda self: iter(()))
    with pytest.raises(MediaError, match="walk.avi has no frames that can be read"):
        list(estimate_frames(MARKS, PeopleInVideo(opened, BOXES), CAMERA, None, batch_size=2))
