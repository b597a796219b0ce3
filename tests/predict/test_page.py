"""Tests of the result page: its content, its safety, and its behavior in a browser."""

import base64
import html.parser
import json
import shutil
import subprocess

import cv2
import numpy as np
import pytest

from pose_tf.errors import UserError
from pose_tf.predict.camera import CameraOptions
from pose_tf.predict.page import write_page
from pose_tf.predict.results import Frame, Person, Poses

CAMERA = CameraOptions().camera(400, 240)

JOINTS_2D = [[150, 120], [130, 120], [130, 160], [130, 200], [170, 120], [170, 160], [170, 200], [150, 95], [150, 70]]
JOINTS_2D += [[150, 60], [150, 40], [175, 70], [190, 95], [200, 115], [125, 70], [110, 95], [100, 115]]


def person(number=1, x=0.0, confidence=0.9):
    """A person 160 px tall who faces the camera, with the hip at (150 + x, 120)."""
    pose2d = np.float32(JOINTS_2D) + np.float32([x, 0])
    pose3d = np.concatenate([(pose2d - pose2d[0]) * 10, np.zeros([17, 1])], -1)
    return Person(
        np.float32([100 + x, 40, 100, 160]),
        pose2d,
        pose3d,
        np.full(17, confidence, np.float32),
        number,
        np.float32([0, 0, 4000]),
    )


def photo(*people, source="photo.jpg"):
    return Poses(source, 400, 240, None, CAMERA, (Frame(0.0, people),))


def video(*frames):
    return Poses(
        "videos/street.mp4",
        400,
        240,
        25.0,
        CAMERA,
        tuple(Frame(i / 25, people) for i, people in enumerate(frames)),
    )


def jpeg(red, green, blue):
    """An image of one color, half the size of the original."""
    return cv2.imencode(".jpg", np.full((120, 200, 3), (blue, green, red), np.uint8))[1].tobytes()


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

    def call(poses, images=None):
        write_page(f"{tmp_path}/page.html", poses, images or {})
        page = Parser((tmp_path / "page.html").read_text("utf-8"))
        ((_, data),) = page.find("script", id="poses")
        return page, json.loads(data, parse_constant=pytest.fail)

    return call


def test_poses_and_images_are_all_in_the_page(write):
    image = jpeg(200, 0, 0)
    _, data = write(video([person()], [person(), person(7, x=100.26, confidence=0.256)], []), {0: image, 2: b"\0"})
    assert [data[key] for key in ("source", "width", "height", "fps")] == ["street.mp4", 400, 240, 25]
    assert data["joints"][:4] == ["Hip", "RHip", "RKnee", "RFoot"]
    assert data["bones"][:2] == [[1, 0], [2, 1]]
    assert data["colors"] == {"right": [255, 140, 30], "left": [60, 150, 255], "middle": [225, 225, 225]}
    assert [frame["time_s"] for frame in data["frames"]] == [0, 0.04, 0.08]
    assert [[one["person"] for one in frame["people"]] for frame in data["frames"]] == [[1], [1, 7], []]
    one = data["frames"][1]["people"][1]
    assert one["box_px"] == [200.3, 40, 100, 160]
    assert one["pose2d_px"][:3] == [[250.3, 120], [230.3, 120], [230.3, 160]]
    assert one["pose3d_mm"][13] == [500, -50, 0]
    assert one["confidence"] == [0.26] * 17
    assert {number: base64.b64decode(data) for number, data in data["images"].items()} == {"0": image, "2": b"\0"}


def test_numbers_are_written_short(write, tmp_path):
    one = person()
    one.pose3d[:] = [-0.3, 1234.567, -200]
    write(photo(one))
    assert '"pose3d_mm":[[0,1235,-200],[0,1235,-200],' in (tmp_path / "page.html").read_text()


def test_a_photo_has_no_rate(write):
    _, data = write(photo(person()))
    assert data["fps"] is None
    assert len(data["frames"]) == 1


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
    page, _ = write(photo(person()), {0: jpeg(0, 0, 0)})
    text = (tmp_path / "page.html").read_text()
    assert not any(scheme in text for scheme in ("http:", "https:", "ws:", "wss:", "url(", "@import", "fetch("))
    for _, attributes, _ in page.elements:
        assert not {"src", "href", "srcset", "action", "data", "onload"} & attributes.keys()
    ((policy, _),) = page.find("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"] == (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def test_a_page_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/page.html cannot be written"):
        write_page(f"{tmp_path}/file/page.html", photo(person()), {})


# Virtual time runs past the frames of the real screen.
CLOCK = "<script>window.requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 16);</script>"

# Helpers for visitors. `pixels` counts the pixels of a canvas that have nearly the given color, on black.
VISIT = """<script>
const frames = async (count) => { while (count--) await new Promise(requestAnimationFrame); };
const press = async (key, options) => {
  document.body.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true, ...options}));
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
const text = (selector) => document.querySelector(selector).textContent;
const joint = (row) => [...document.querySelectorAll("tbody tr")[row].cells].map((cell) => cell.textContent);
const isVisible = (selector) => document.querySelector(selector).checkVisibility();
const act = async () => { %s };
(async () => {
  await frames(5);
  body.canvas.toDataURL();  // the browser draws a canvas by other means, slightly differently, once it has been read
  redraw();
  await frames(5);
  document.body.dataset.seen = JSON.stringify(await act());
})().catch(reportError);
</script>"""


@pytest.fixture
def visit(write, tmp_path):
    """Function that opens a page in a browser, runs JavaScript there and passes on its `return` value."""
    browser = shutil.which("chromium")
    if not browser:
        pytest.skip("chromium is not installed")

    def call(javascript, poses, images=None):
        write(poses, images)
        page = tmp_path / "page.html"
        page.write_text(page.read_text("utf-8").replace("<style>", f"{CLOCK}<style>") + VISIT % javascript, "utf-8")
        flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
        flags += " --disable-component-update --disable-sync --window-size=1200,800 --virtual-time-budget=20000"
        command = [browser, *flags.split(), f"--user-data-dir={tmp_path}/profile", "--dump-dom", page.as_uri()]
        done = subprocess.run(command, capture_output=True, timeout=120, check=True)
        dom = Parser(done.stdout.decode())
        ((problem, message),) = dom.find("p", id="problem")
        assert "hidden" in problem, message
        ((body, _),) = dom.find("body")
        assert "data-seen" in body, "the visit has not come to its end"
        return json.loads(body["data-seen"])

    return call


def test_a_browser_shows_a_photo(visit):
    seen = visit(
        """return {
            title: document.title, facts: text("#facts"), player: isVisible("#player"), chooser: isVisible("#person"),
            knee: joint(2), caption: text("caption"), nobody: isVisible("#nobody"),
            green: pixels(overlay.canvas, 0, 200, 0), width: document.documentElement.scrollWidth,
            colors: [overlay, body].map(({canvas}) => [pixels(canvas, 255, 140, 30), pixels(canvas, 60, 150, 255)]),
        };""",
        photo(person(), source="a & b.jpg"),
        {0: jpeg(0, 200, 0)},
    )
    assert seen["title"] == "a & b.jpg"
    assert seen["facts"] == "400 × 240 pixels, 1 person"
    assert not (seen["player"] or seen["chooser"] or seen["nobody"])
    assert seen["caption"] == "Person 1"
    assert seen["knee"] == ["RKnee", "130.0", "160.0", "−200", "400", "0", "0.90"]
    assert seen["green"] > 100_000
    assert min(sum(seen["colors"], [])) > 500
    assert seen["width"] <= 1200


def test_a_browser_plays_a_video(visit):
    frames = [[person()], [person(), person(7, x=100)], [person(7, x=90)]]
    seen = visit(
        """
        const now = () => [text("#readout"), text("caption"), pixels(overlay.canvas, 200, 0, 0) > 9e4, text("#behind")];
        const seen = [now()];
        for (const key of ["ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"]) {
          await press(key);
          seen.push(now());
        }
        document.querySelector("#person").value = 7;
        document.querySelector("#person").dispatchEvent(new Event("change"));
        await press("ArrowLeft");
        seen.push(now());
        const times = new Set();
        await press(" ");
        for (let i = 0; i < 30; i++) {
          await frames(1);
          times.add(state.number);
        }
        await press(" ");
        return {seen, isPlaying: state.playing, times: [...times].sort(), player: isVisible("#player")};
        """,
        video(*frames),
        {0: jpeg(200, 0, 0), 2: jpeg(0, 0, 200)},
    )
    assert seen["seen"] == [
        ["0:00.00 / 0:00.12, frame 1 / 3", "Person 1 at 0:00.00", True, ""],
        ["0:00.04 / 0:00.12, frame 2 / 3", "Person 1 at 0:00.04", True, "image from 0:00.00"],
        ["0:00.08 / 0:00.12, frame 3 / 3", "Person 7 at 0:00.08", False, ""],
        ["0:00.08 / 0:00.12, frame 3 / 3", "Person 7 at 0:00.08", False, ""],
        ["0:00.04 / 0:00.12, frame 2 / 3", "Person 1 at 0:00.04", True, "image from 0:00.00"],
        ["0:00.00 / 0:00.12, frame 1 / 3", "Person 7 at 0:00.00: not in this frame", True, ""],
    ]
    assert seen["times"] == [0, 1, 2]
    assert seen["player"] and not seen["isPlaying"]


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
