"""Tests of the result page: its content, its safety, and its behavior in a browser."""

import base64
import dataclasses
import html.parser
import json

import cv2
import numpy as np
import pytest

from pose_tf.errors import UserError
from pose_tf.predict.camera import Camera, CameraOptions
from pose_tf.predict.page import write_page
from pose_tf.predict.results import Frame, Person, Poses
from pose_tf.predict.video_files import writing_video
from tests.predict import browser

CAMERA = CameraOptions().camera(400, 240)

JOINTS_2D = [[150, 120], [130, 120], [130, 160], [130, 200], [170, 120], [170, 160], [170, 200], [150, 95], [150, 70]]
JOINTS_2D += [[150, 60], [150, 40], [175, 70], [190, 95], [200, 115], [125, 70], [110, 95], [100, 115]]


NOWHERE = (np.nan, np.nan, np.nan)


def person(number=1, x=0.0, confidence=0.9, root=(0, 0, 4000)):
    """A person 160 px tall who faces the camera, with the hip at (150 + x, 120) in the image and at `root` in space."""
    pose2d = np.float32(JOINTS_2D) + np.float32([x, 0])
    pose3d = np.concatenate([(pose2d - pose2d[0]) * 10, np.zeros([17, 1])], -1)
    return Person(
        np.float32([100 + x, 40, 100, 160]),
        pose2d,
        pose3d,
        np.full(17, confidence, np.float32),
        number,
        np.float32(root),
    )


def photo(*people, source="photo.jpg"):
    return Poses(source, 400, 240, None, CAMERA, (Frame(0.0, people),))


def video(*frames, times=None, fps=25.0):
    """A video of these people in each frame, at a constant rate if no times are given."""
    times = times or [i / fps for i in range(len(frames))]
    frames = tuple(Frame(time, people) for time, people in zip(times, frames, strict=True))
    return Poses("videos/street.mp4", 400, 240, fps, CAMERA, frames)


def jpeg(red, green, blue):
    """An image of one color, half the size of the original."""
    return cv2.imencode(".jpg", np.full((120, 200, 3), (blue, green, red), np.uint8))[1].tobytes()


@pytest.fixture
def film(tmp_path):
    """Function that makes an MP4, half the size of the original: frame i has the gray level 10 + 35 i everywhere."""

    def call(times):
        with writing_video(f"{tmp_path}/film.mp4", 200, 120) as add:
            for number, time in enumerate(times):
                add(time, np.full((120, 200, 3), 10 + 35 * number, np.uint8))
        return (tmp_path / "film.mp4").read_bytes()

    return call


class Parser(html.parser.HTMLParser):
    """Collects elements as (tag, attributes, text at the start)."""

    def __init__(self, page):
        super().__init__()
        self.elements = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.append([tag, dict(attributes), ""])

    def handle_data(self, data):
        if self.elements and not self.elements[-1][2]:
            self.elements[-1][2] = data

    def find(self, tag, **attributes):
        return [(a, text) for name, a, text in self.elements if name == tag and attributes.items() <= a.items()]


@pytest.fixture
def write(tmp_path):
    """Function that writes a page and returns its elements and its data."""

    def call(poses, **media):
        write_page(f"{tmp_path}/page.html", poses, **media)
        page = Parser((tmp_path / "page.html").read_text("utf-8"))
        ((_, data),) = page.find("script", id="poses")
        return page, json.loads(data, parse_constant=pytest.fail)

    return call


def test_poses_and_the_video_are_all_in_the_page(write):
    frames = (
        [person()],
        [person(), person(7, x=100.26, confidence=0.256, root=(-1.4, 2.6, 3000))],
        [person(root=NOWHERE)],
    )
    _, data = write(video(*frames), video=b"\0video\xff")
    assert [data[key] for key in ("source", "width", "height", "fps")] == ["street.mp4", 400, 240, 25]
    assert data["joints"][:4] == ["Hip", "RHip", "RKnee", "RFoot"]
    assert data["bones"][:2] == [[1, 0], [2, 1]]
    assert data["colors"] == {"right": [255, 140, 30], "left": [60, 150, 255], "middle": [225, 225, 225]}
    assert [frame["time_s"] for frame in data["frames"]] == [0, 0.04, 0.08]
    assert [[one["person"] for one in frame["people"]] for frame in data["frames"]] == [[1], [1, 7], [1]]
    one = data["frames"][1]["people"][1]
    assert one["box_px"] == [200.3, 40, 100, 160]
    assert one["pose2d_px"][:3] == [[250.3, 120], [230.3, 120], [230.3, 160]]
    assert one["pose3d_mm"][13] == [500, -50, 0]
    assert one["confidence"] == [0.26] * 17
    assert one["root3d_mm"] == [-1, 3, 3000]
    assert data["frames"][2]["people"][0]["root3d_mm"] is None
    assert data["camera"]["from"] == "guess"
    assert base64.b64decode(data["video"], validate=True) == b"\0video\xff"
    assert data["photo"] == ""


def test_numbers_are_written_short(write, tmp_path):
    one = person()
    one.pose3d[:] = [-0.3, 1234.567, -200]
    write(photo(one))
    assert '"pose3d_mm":[[0,1235,-200],[0,1235,-200],' in (tmp_path / "page.html").read_text()


def test_a_photo_is_in_the_page_and_has_no_rate(write):
    image = jpeg(200, 0, 0)
    _, data = write(photo(person()), photo=image)
    assert data["fps"] is None
    assert len(data["frames"]) == 1
    assert base64.b64decode(data["photo"], validate=True) == image
    assert data["video"] == ""


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_left_out(write, bad):
    one = person()
    one.pose2d[3, 1] = one.pose3d[4, 2] = one.confidence[5] = bad
    _, data = write(photo(one))
    (one,) = data["frames"][0]["people"]
    assert [joint for joint in range(17) if one["pose2d_px"][joint] is None] == [3]
    assert [joint for joint in range(17) if one["pose3d_mm"][joint] is None] == [4]


HOSTILE = {
    "end of script": "<\\script><script>alert(1)<\u2215script>.jpg",
    "comment": "<!--<script>.jpg",
    "end of comment": "--><img src=x onerror=alert(1)>.jpg",
    "quotes": "\"'`&quot;\\.jpg",
    "line separators": "a\u2028b\u2029c\n.jpg",
    "placeholder": "{{poses}}.jpg",
    "not UTF-8": b"\xff.jpg".decode("utf-8", "surrogateescape"),
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_no_file_name_breaks_out(write, name):
    harmless, _ = write(photo(person()))
    page, data = write(photo(person(), source=f"some/folder/{name}"))
    assert data["source"] == name
    assert [element for element in page.elements if element[1].get("id") != "poses"] == [
        element for element in harmless.elements if element[1].get("id") != "poses"
    ]
    ((_, text),) = page.find("script", id="poses")
    assert not set("<\u2028\u2029\n") & set(text)


def test_the_page_needs_no_network(write, tmp_path):
    page, _ = write(photo(person()), photo=jpeg(0, 0, 0))
    text = (tmp_path / "page.html").read_text()
    assert not any(scheme in text for scheme in ("http:", "https:", "ws:", "wss:", "url(", "@import", "fetch("))
    for _, attributes, _ in page.elements:
        assert not {"src", "href", "srcset", "action", "data", "onload"} & attributes.keys()
    ((policy, _),) = page.find("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"] == (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
        "media-src blob:; base-uri 'none'; form-action 'none'"
    )


def test_a_page_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/page.html cannot be written"):
        write_page(f"{tmp_path}/file/page.html", photo(person()))


# Helpers for visitors. `pixels` counts the pixels of a canvas that have nearly the given color, on black; `picture` is
# the number of the frame of `film` that is seen under the skeletons, and `settled` waits until it no longer changes.
VISIT = """<script>
const tell = (seen) => {
  const {hidden, textContent} = document.querySelector("#problem");
  fetch("/seen", {method: "POST", body: JSON.stringify({seen, problem: hidden ? null : textContent})});
};
addEventListener("error", () => tell());
addEventListener("unhandledrejection", ({reason}) => reportError(reason));
</script>
<script>
const frames = async (count) => { while (count--) await new Promise(requestAnimationFrame); };
const press = async (key, options) => {
  document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, ...options}));
  await frames(3);
};
const choose = async (selector, value, kind = "change") => {
  document.querySelector(selector).value = value;
  document.querySelector(selector).dispatchEvent(new Event(kind));
  await frames(3);
};
const click = async (selector) => {
  document.querySelector(selector).click();
  await frames(3);
};
const point = async (kind, x, y, {canvas} = body) => {
  const {left, top} = canvas.getBoundingClientRect();
  canvas.setPointerCapture = () => {};  // the pointer is not real
  canvas.dispatchEvent(new PointerEvent(kind, {pointerId: 1, clientX: left + x, clientY: top + y}));
  await frames(3);
};
const pixels = (canvas, ...color) => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    count += color.every((value, j) => Math.abs(data[i + j] * data[i + 3] / 255 - value) < 25);
  }
  return count;
};
const copy = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
const picture = () => {
  copy.drawImage(film, 0, 0, 1, 1);
  return Math.round((copy.getImageData(0, 0, 1, 1).data[0] - 10) / 35);
};
const settled = async () => {
  while (film.seeking || film.readyState < 2) await frames(1);
  await frames(5);
};
const text = (selector) => document.querySelector(selector).textContent;
const joint = (row) => [...document.querySelectorAll("tbody tr")[row].cells].map((cell) => cell.textContent);
const isVisible = (selector) => document.querySelector(selector).checkVisibility();
const act = async () => { %s };
(async () => {
  await frames(5);
  body.canvas.toDataURL();  // the browser draws a canvas by other means, slightly differently, once it has been read
  redraw();
  await frames(5);
  if (document.querySelector("#problem").hidden) tell(await act());
  else tell();
})().catch(reportError);
</script>"""


@pytest.fixture
def visit(write, tmp_path):
    """Function that opens a page in a browser, runs JavaScript there and passes on its `return` value."""

    def call(javascript, poses, **media):
        write(poses, **media)
        page = (tmp_path / "page.html").read_text("utf-8") + VISIT % javascript
        page = page.replace("default-src 'none';", "default-src 'none'; connect-src 'self';")
        posted = browser.visit(page, f"{tmp_path}/profile")
        assert posted["problem"] is None, posted["problem"]
        return posted["seen"]

    return call


def test_a_browser_shows_a_photo(visit):
    seen = visit(
        """return {
            title: document.title, facts: text("#facts"), player: isVisible("#player"), chooser: isVisible("#person"),
            together: isVisible("#together"), film: isVisible("video"), unplayable: isVisible("#unplayable"),
            knee: joint(2), caption: text("caption"), nobody: isVisible("#nobody"), placing: text("#placing"),
            green: pixels(overlay.canvas, 0, 200, 0), width: document.documentElement.scrollWidth,
            colors: [overlay, body].map(({canvas}) => [pixels(canvas, 255, 140, 30), pixels(canvas, 60, 150, 255)]),
        };""",
        photo(person(), source="a & b.jpg"),
        photo=jpeg(0, 200, 0),
    )
    assert seen["title"] == "a & b.jpg"
    assert seen["facts"] == "400 × 240 pixels, 1 person"
    for part in ("player", "chooser", "together", "film", "unplayable", "nobody"):
        assert not seen[part], part
    assert seen["placing"] == "The pose is relative to the hip."
    assert seen["caption"] == "Person 1"
    assert seen["knee"] == ["RKnee", "130.0", "160.0", "−200", "400", "0", "0.90"]
    assert seen["green"] > 100_000
    assert min(sum(seen["colors"], [])) > 500
    assert seen["width"] <= 1200


TIMES = [0, 0.1, 0.15, 0.2, 0.25, 0.6, 0.8]
"""Seconds of frames at a rate that varies: 4 frames come in the first quarter, and one lasts for another third."""


def test_arrow_keys_and_the_slider_show_the_picture_of_the_frame(visit, film):
    frames = [[person()], [person(), person(7, x=100)], *[[person(7, x=90)]] * 5]
    seen = visit(
        """
        const slider = document.querySelector("#slider");
        const now = () => [picture(), text("#readout"), text("caption"), Number(slider.value)];
        await settled();
        const seen = [now()];
        const steps = [() => press("ArrowLeft"), () => press("ArrowRight"), ...[5, 6, 3, 4].map((number) =>
          () => choose("#slider", number, "input")), () => press("ArrowLeft")];
        for (const step of steps) {
          await step();
          await settled();
          seen.push(now());
        }
        await choose("#person", 7);
        await choose("#slider", 0, "input");
        await settled();
        return {seen: seen.concat([now()]), isPlaying: state.playing, player: isVisible("#player")};
        """,
        video(*frames, times=TIMES, fps=7.5),
        video=film(TIMES),
    )
    assert seen["seen"] == [
        [0, "0:00.00 / 0:00.93, frame 1 / 7", "Person 1 at 0:00.00", 0],
        [0, "0:00.00 / 0:00.93, frame 1 / 7", "Person 1 at 0:00.00", 0],
        [1, "0:00.10 / 0:00.93, frame 2 / 7", "Person 1 at 0:00.10", 1],
        [5, "0:00.60 / 0:00.93, frame 6 / 7", "Person 7 at 0:00.60", 5],
        [6, "0:00.80 / 0:00.93, frame 7 / 7", "Person 7 at 0:00.80", 6],
        [3, "0:00.20 / 0:00.93, frame 4 / 7", "Person 7 at 0:00.20", 3],
        [4, "0:00.25 / 0:00.93, frame 5 / 7", "Person 7 at 0:00.25", 4],
        [3, "0:00.20 / 0:00.93, frame 4 / 7", "Person 7 at 0:00.20", 3],
        [0, "0:00.00 / 0:00.93, frame 1 / 7", "Person 7 at 0:00.00: not in this frame", 0],
    ]
    assert seen["player"] and not seen["isPlaying"]


def test_the_last_frame_is_shown_however_short_it_is(visit, film):
    times = [0, 0.5, 1, 1.01]
    seen = visit(
        """
        const seen = [];
        for (const number of [3, 2, 3]) {
          await choose("#slider", number, "input");
          await settled();
          seen.push(picture());
        }
        return seen;
        """,
        video(*[[person()]] * 4, times=times, fps=3 / 1.01),
        video=film(times),
    )
    assert seen == [3, 2, 3]


def test_skeletons_follow_the_picture_of_a_playing_video_again_and_again(visit, film):
    """The browser shows frames up to 0.1 s early or late and leaves short ones out, and skeletons with them."""
    seen = visit(
        """
        const watch = async (seconds) => {  // numbers of the picture and of the skeleton, and the position in seconds
          const seen = [], end = performance.now() + 1000 * seconds;
          while (performance.now() < end) {
            await frames(1);
            seen.push([picture(), state.number, film.currentTime]);
          }
          return seen;
        };
        await choose("#slider", 4, "input");
        await settled();
        await press(" ");
        const seen = await watch(2.2), label = document.querySelector("#play").ariaLabel;
        await press(" ");
        await settled();
        return {seen, label, isPlaying: state.playing, paused: film.paused, last: await watch(0.2)};
        """,
        video(*[[person()]] * 7, times=TIMES, fps=7.5),
        video=film(TIMES),
    )
    pictures, numbers, times = np.transpose(seen["seen"])
    assert seen["label"] == "Pause"
    assert set(pictures) >= {4, 5}  # the long ones
    late = [at for at in range(len(numbers)) if numbers[at] not in pictures[max(at - 3, 0) : at + 2]]
    assert not late, (late, seen["seen"])
    assert np.mean(pictures == numbers) > 0.75
    assert {pictures[0], numbers[0]} <= {4, 5}
    assert 1 <= np.sum(np.diff(times) < 0) <= 3, "the video does not start again"
    assert np.max(np.diff(times)) < 0.4
    assert not seen["isPlaying"] and seen["paused"]
    assert len({tuple(moment) for moment in seen["last"]}) == 1


def test_a_video_plays_as_fast_as_chosen(visit, film):
    seen = visit(
        """
        const measure = async () => {  // seconds of the video per second
          await frames(10);
          const start = performance.now(), position = film.currentTime;
          await new Promise((resolve) => setTimeout(resolve, 600));
          return 1000 * (film.currentTime - position) / (performance.now() - start);
        };
        await settled();
        const rates = [];
        await choose("#speed", 0.25);
        await press(" ");
        rates.push(await measure());
        await choose("#speed", 1);
        rates.push(await measure());
        await choose("#speed", 0.5);
        rates.push(await measure());
        return {rates, isPlaying: state.playing};
        """,
        video(*[[person()]] * 7, times=range(7), fps=1.0),
        video=film(range(7)),
    )
    assert seen["rates"] == pytest.approx([0.25, 1, 0.5], rel=0.3)
    assert seen["isPlaying"]


def test_the_video_lies_under_the_skeletons(visit, film):
    seen = visit(
        """
        await settled();
        const box = (element) => Object.values(element.getBoundingClientRect().toJSON());
        const {left, top, width, height} = overlay.canvas.getBoundingClientRect();
        const {data} = overlay.canvas.getContext("2d").getImageData(2, 2, 1, 1);
        return {
            boxes: [box(film), box(overlay.canvas)], size: [film.videoWidth, film.videoHeight],
            above: document.elementFromPoint(left + width / 2, top + height / 2) === overlay.canvas,
            opacity: data[3], bones: pixels(overlay.canvas, 255, 140, 30), paused: film.paused,
            isPlaying: state.playing, film: isVisible("video"), unplayable: isVisible("#unplayable"),
        };
        """,
        video([person()], [person()]),
        video=film([0, 0.04]),
    )
    assert seen["boxes"][0] == seen["boxes"][1]
    assert seen["size"] == [200, 120]
    assert seen["above"] and seen["opacity"] == 0 and seen["bones"] > 500
    assert seen["paused"] and not seen["isPlaying"]
    assert seen["film"] and not seen["unplayable"]


@pytest.mark.parametrize("broken", [np.random.default_rng(0).bytes(5000), b""], ids=["random", "none"])
def test_without_a_video_that_plays_skeletons_go_on(visit, broken):
    seen = visit(
        """
        await frames(10);
        const shown = {unplayable: isVisible("#unplayable"), film: isVisible("video"), bones: []};
        const step = async (key) => {
          await press(key);
          shown.bones.push([state.number, Math.round(overlay.joints[0].x - first)]);
        };
        const first = overlay.joints[0].x;
        await step("ArrowRight");
        await step("ArrowRight");
        await step("ArrowLeft");
        const numbers = [], start = performance.now();
        await press(" ");
        while (performance.now() - start < 700) {
          await frames(1);
          numbers.push(state.number);
        }
        await press(" ");
        const {number} = state;
        await frames(10);
        return {...shown, numbers, stays: number === state.number, isPlaying: state.playing};
        """,
        video([person()], [person(x=50)], [person(x=100)], fps=10.0),
        video=broken,
    )
    assert seen["unplayable"] == bool(broken)
    assert not seen["film"]
    moves = {number: moved for number, moved in seen["bones"]}
    assert [number for number, _ in seen["bones"]] == [1, 2, 1]
    assert moves[2] == pytest.approx(2 * moves[1], abs=2) and moves[1] > 30
    changes = [number for before, number in zip(seen["numbers"], seen["numbers"][1:]) if number != before]
    assert set(changes) == {0, 1, 2}
    assert 4 <= len(changes) <= 8  # ten frames per second
    assert seen["stays"] and not seen["isPlaying"]


def test_the_timer_goes_as_fast_as_chosen(visit):
    seen = visit(
        """
        await choose("#speed", 0.25);
        await press(" ");
        const start = performance.now();
        while (performance.now() - start < 800) await frames(1);
        return state.clock / (performance.now() - start) * 1000;
        """,
        video([person()], [person()], fps=1.0),
    )
    assert seen == pytest.approx(0.25, rel=0.3)


# Where people are in the 3D view, seen from the front: x of the hip from the middle, height of the person, and y of the
# feet, in pixels; and all joints that are outside the view.
PLACES = """
const standing = async () => {
  change({azimuth: 0});
  await frames(3);
  const {clientWidth, clientHeight} = body.canvas, seen = {};
  for (const {person, joint, x, y} of body.joints) {
    const one = seen[person.number] ??= {top: Infinity, feet: -Infinity, outside: 0};
    if (joint === 0) one.x = x - clientWidth / 2;
    one.top = Math.min(one.top, y);
    one.feet = Math.max(one.feet, y);
    one.height = one.feet - one.top;
    one.outside += x < 0 || y < 0 || x > clientWidth || y > clientHeight;
  }
  return seen;
};
const pressed = () => document.querySelector("#together").ariaPressed;
"""


def test_people_stand_where_they_are(visit):
    """The person in the middle is twice as near to the left one as to the right one; the last two are farther away."""
    roots = (-1500, 0, 4000), (-500, 900, 4000), (1500, -900, 4000), (-1500, 0, 7000), (0, 0, 10_000)
    people = [person(number, x=10 * number, root=root) for number, root in enumerate(roots, 1)]
    seen = visit(
        PLACES + 'return [await standing(), pressed(), isVisible("#together"), text("#placing")];', photo(*people)
    )
    one, two, three, four, five = seen[0].values()
    assert three["x"] - one["x"] == pytest.approx(3 * (two["x"] - one["x"]))
    assert one["x"] == pytest.approx(-three["x"])
    assert one["x"] < four["x"] < -0.5 * three["x"] and five["x"] == pytest.approx(0)
    assert four["x"] * one["height"] == pytest.approx(one["x"] * four["height"], rel=0.03)  # both 1500 mm to the left
    assert one["feet"] == pytest.approx(two["feet"]) and one["feet"] == pytest.approx(three["feet"])
    assert one["feet"] > four["feet"] + 10 and four["feet"] > five["feet"] + 10
    assert one["height"] > 1.1 * four["height"] and four["height"] > 1.1 * five["height"]
    assert not any(each["outside"] for each in seen[0].values())
    assert seen[1:] == ["true", True, "Places on the floor are estimates for a guessed focal length."]


def test_the_button_puts_people_side_by_side_and_back_in_place(visit):
    people = person(1, root=(900, 0, 3000)), person(2, x=100, root=(-900, 0, 6000))
    seen = visit(
        PLACES
        + """
        const chooser = document.querySelector("#person");
        const now = async () => [await standing(), pressed(), text("#placing"), chooser.value];
        const seen = [await now()];
        await click("#together");
        seen.push(await now());
        await choose("#person", 2);
        seen.push(await now());
        await click("#together");  // from one person to all, in place
        seen.push(await now());
        await choose("#person", 1);
        seen.push(await now());
        await choose("#person", 0);
        seen.push(await now());
        return seen;
        """,
        photo(*people),
    )
    in_place, side_by_side, alone, again, other_alone, last = (places for places, *_ in seen)
    assert in_place["2"]["x"] < -50 and in_place["1"]["x"] > 50
    assert in_place["1"]["height"] > 1.2 * in_place["2"]["height"]
    assert side_by_side["1"]["x"] < -50 and side_by_side["1"]["x"] == pytest.approx(-side_by_side["2"]["x"])
    assert side_by_side["1"]["feet"] == pytest.approx(side_by_side["2"]["feet"])
    assert list(alone) == ["2"] and alone["2"]["x"] == pytest.approx(0)
    assert list(other_alone) == ["1"] and other_alone["1"] == pytest.approx(alone["2"])
    assert again == last == in_place
    assert [others for _, *others in seen] == [
        ["true", "Places on the floor are estimates for a guessed focal length.", "0"],
        ["false", "People are placed side by side.", "0"],
        ["false", "The pose is relative to the hip.", "2"],
        ["true", "Places on the floor are estimates for a guessed focal length.", "0"],
        ["false", "The pose is relative to the hip.", "1"],
        ["true", "Places on the floor are estimates for a guessed focal length.", "0"],
    ]


@pytest.mark.parametrize(("origin", "reason"), [("exif", " for the focal length in the photo"), ("given", "")])
def test_the_page_tells_how_places_were_estimated(visit, origin, reason):
    poses = dataclasses.replace(photo(person(1), person(2)), camera=Camera(CAMERA.intrinsics, origin))
    assert visit('return text("#placing");', poses) == f"Places on the floor are estimates{reason}."


def test_people_whose_place_is_not_known_stand_in_the_middle(visit):
    people = person(1, root=(-800, 0, 4000)), person(2, x=50, root=NOWHERE), person(3, x=100, root=(800, 0, 6000))
    seen = visit(PLACES + "return [await standing(), pressed()];", photo(*people))
    one, two, three = seen[0].values()
    assert one["x"] < -50 and two["x"] == pytest.approx(0) and three["x"] > 50
    assert one["feet"] > two["feet"] + 5 and two["feet"] > three["feet"] + 5
    assert one["height"] > two["height"] > three["height"]
    assert seen[1] == "true"


def test_without_two_known_places_people_stand_side_by_side(visit):
    people = person(1, root=NOWHERE), person(2, x=100, root=(800, 0, 6000))
    seen = visit(PLACES + 'return [await standing(), isVisible("#together"), text("#placing")];', photo(*people))
    assert seen[0]["1"]["x"] < -50 and seen[0]["1"]["x"] == pytest.approx(-seen[0]["2"]["x"])
    assert seen[0]["1"]["height"] == pytest.approx(seen[0]["2"]["height"])
    assert seen[1:] == [False, "People are placed side by side."]


def test_one_person_walks_across_the_view(visit):
    frames = [[person(root=(x, 0, 4000))] for x in (-1500, -750, 0, 1500)]
    seen = visit(
        PLACES
        + """
        const seen = [], walk = async () => {
          for (const number of [0, 1, 2, 3]) {
            await choose("#slider", number, "input");
            seen.push((await standing())[1]);
          }
        };
        await walk();
        await click("#together");
        await walk();
        return [seen, isVisible("#together"), isVisible("#person"), text("#placing")];
        """,
        video(*frames),
    )
    walked, stayed = seen[0][:4], seen[0][4:]
    left = walked[0]["x"]
    assert left < -50
    assert [place["x"] for place in walked] == pytest.approx([left, left / 2, 0, -left], abs=1e-6)
    assert len({place["feet"] for place in walked}) == 1 and not any(place["outside"] for place in walked)
    assert [place["x"] for place in stayed] == pytest.approx([0, 0, 0, 0], abs=1e-6)
    assert seen[1:] == [True, False, "The pose is relative to the hip."]


def test_dragging_turns_the_body_and_resetting_brings_it_back(visit):
    one = person()
    one.pose3d[6, 2] = -400  # the left foot is nearer than the rest
    seen = visit(
        """
        const looks = [], feet = [];
        const look = () => {
          looks.push(body.canvas.toDataURL());
          feet.push(body.joints.find(({joint}) => joint === 6).x);
        };
        look();
        await point("pointerdown", 5, 5);
        await point("pointermove", 65, 5);
        await point("pointerup", 65, 5);
        await point("pointermove", 5, 5);
        look();
        await point("dblclick", 5, 5);
        look();
        await press("ArrowRight", {shiftKey: true});
        look();
        await press("0");
        look();
        await press("+");
        look();
        return [looks.map((look) => looks.indexOf(look)), feet];
        """,
        photo(one),
    )
    assert seen[0] == [0, 1, 0, 3, 0, 5]
    assert seen[1][1] > seen[1][0] + 20  # near parts follow the pointer
    assert seen[1][3] > seen[1][0] + 5


def test_a_click_on_someone_shows_them_alone(visit):
    seen = visit(
        """
        const now = () => [body.joints.map(({person}) => person.number), document.querySelector("#person").value];
        const seen = [now(), text("caption")];
        const {x, y} = overlay.joints.find(({person, joint}) => person.number === 2 && joint === 9);
        await point("click", x + 5, y, overlay);
        seen.push(now(), text("caption"));
        await point("click", 2, 2, overlay);
        return seen.concat(now());
        """,
        photo(person(), person(2, x=100)),
    )
    assert seen == [[[1] * 17 + [2] * 17, "0"], "Person 1", [[2] * 17, "2"], "Person 2", [1] * 17 + [2] * 17, "0"]


def test_a_joint_under_the_pointer_is_told(visit):
    seen = visit(
        """
        const {x, y} = body.joints.find(({person, joint}) => person.number === 2 && joint === 16);
        await point("pointermove", x + 3, y);
        return [text("#body .tip"), isVisible("#body .tip"), isVisible("#overlay .tip"), text("tr.hovered th")];
        """,
        photo(person(2)),
    )
    assert seen == ["RWrist\n−500, −50, 0 mm\nconfidence 0.90", True, False, "RWrist"]


def test_unsure_joints_are_faint(visit):
    count = "return pixels(body.canvas, 255, 140, 30);"
    assert visit(count, photo(person(confidence=0.6))) > 500
    assert visit(count, photo(person(confidence=0.2))) == 0


def test_a_page_without_people_says_so(visit):
    seen = visit(
        'return [text("#nobody"), isVisible("#nobody"), isVisible("details"), isVisible("#overlay canvas")];', photo()
    )
    assert seen == ["no person found", True, False, True]


def test_wild_joints_do_not_stop_the_page(visit):
    one, other = person(), person(2, x=100)
    one.pose2d[:], one.pose3d[:], one.confidence[:], one.box[:] = np.nan, np.inf, np.nan, np.nan
    other.pose2d[3], other.pose3d[4] = 1e30, -1e30
    assert visit('return joint(3).concat(text("caption"));', photo(one, other)) == [
        "RFoot",
        *"––––––"[:5],
        "0.00",
        "Person 1",
    ]


def test_a_failure_is_shown(visit):
    with pytest.raises(AssertionError, match="This page failed: .*nonsense"):
        visit("nonsense();", photo(person()))


def test_someone_far_in_front_of_all_others_is_not_drawn_upside_down(visit):
    """One of 61 places is an outlier, 18 m nearer than the others: it would be behind the viewer."""
    frames = [[person(root=(0, 0, 20_000))] for _ in range(60)] + [[person(root=(0, 0, 2000))]]
    seen = visit(
        """
        await choose("#slider", 60, "input");
        const y = (wanted) => body.joints.find(({joint}) => joint === wanted)?.y;
        return [y(10), y(3)];  // head and foot
        """,
        video(*frames),
    )
    assert seen[0] is None or seen[0] < seen[1]


@pytest.mark.parametrize("z", [1e7, 1e9, 1e12])
def test_the_floor_has_few_lines_at_any_distance(visit, z):
    seen = visit(
        """
        let count = 0;
        const draw = drawLines;
        drawLines = (context, lines, style) => { count += lines.length; draw(context, lines, style); };
        drawFloor(blank(body.canvas), makeCamera(ground.radius, ground.radius), ground.radius, ground.radius);
        return count;
        """,
        photo(person(1), person(2, x=100, root=(0, 0, z))),
    )
    assert 4 < seen < 80


def test_the_page_tells_that_a_video_cannot_be_played_even_without_people(visit):
    assert visit('await frames(20); return isVisible("#unplayable");', video([], []), video=b"broken")


def test_a_paused_video_shows_the_skeleton_of_its_picture(visit, film):
    times = [number / 30 for number in range(7)]
    seen = visit(
        """
        await settled();
        const seen = [];
        for (let time = 0; time < 20; time++) {
          await press(" ");
          await new Promise((resolve) => setTimeout(resolve, 30 + 7 * time));
          await press(" ");
          await settled();
          seen.push([picture(), state.number]);
        }
        return seen;
        """,
        video(*[[person()]] * 7, times=times, fps=30.0),
        video=film(times),
    )
    assert not [pair for pair in seen if pair[0] != pair[1]]
