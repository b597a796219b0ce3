"""Tests of the page that estimates poses: in Chromium, against Python's numbers, with photos and with a camera."""

import base64
import json
import re

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pose_tf import cropping, geometry, images
from pose_tf.errors import UserError
from pose_tf.geometry import Crop
from pose_tf.predict.backends import ModelFile
from pose_tf.predict.camera import CameraOptions
from pose_tf.predict.model import PoseModel
from pose_tf.web import page
from tests.conftest import ROOT
from tests.predict import browser
from tests.skeletons import BODY_14, PERMUTED

PHOTO = ROOT / "docs" / "basketball1.png"
BOX, LOOSE_BOX = (50, 90, 96, 360), (20, 40, 170, 430)
RUNTIME = {"index.js", "wasm-utils.js", "litert_wasm_internal.js", "litert_wasm_internal.wasm"}

# Reports what an async function `act` returns, what the page complains of, and what its policy has forbidden.
VISIT = """
const forbidden = [];
document.addEventListener("securitypolicyviolation", ({blockedURI}) => forbidden.push(blockedURI));
const text = (selector) => document.querySelector(selector).textContent;
const problem = () => (find("#problem").hidden ? null : text("#problem"));
const tell = (seen) => fetch("seen", {method: "POST", body: JSON.stringify({seen, forbidden, problem: problem()})});
const wait = async (is) => { while (!await is()) await new Promise((resolve) => setTimeout(resolve, 20)); };
const fetched = async (name) => new File([await (await fetch(name)).blob()], name);
const point = (kind, x, y, canvas = overlay.canvas) => {
  const {left, top} = canvas.getBoundingClientRect();
  canvas.setPointerCapture = () => {};  // the pointer is not real
  canvas.dispatchEvent(new PointerEvent(kind, {pointerId: 1, isPrimary: true, clientX: left + x, clientY: top + y}));
};
const drag = (box) => {  // in pixels of the image
  const {scale, left, top} = placeOfImage();
  point("pointerdown", left + scale * box[0], top + scale * box[1]);
  point("pointermove", left + scale * (box[0] + box[2]), top + scale * (box[1] + box[3]));
  point("pointerup", left + scale * (box[0] + box[2]), top + scale * (box[1] + box[3]));
};
const act = async () => { %s };
act().then(tell, (error) => tell(`failed: ${error.stack}`));
"""


def test_a_page_needs_joints_that_cover_the_body():
    page.check_joints(PERMUTED)
    with pytest.raises(UserError, match=r"but the skeleton body_14 \(14 joints\) lacks Head, and so does not cover"):
        page.check_joints(BODY_14)


@pytest.fixture
def visit(folder, tmp_path):
    """Function that opens the page below some address, runs JavaScript there, and returns what it reports."""

    def call(javascript, *, without=(), first="", flags=(), requested=None):
        files = {f"/some/place/{path.relative_to(folder)}": path for path in folder.rglob("*") if path.is_file()}
        files = {name: path.read_bytes() for name, path in files.items() if path.name not in without}
        files["/some/place/photo.png"] = PHOTO.read_bytes()
        files["/some/place/test.js"] = (VISIT % javascript).encode()
        files["/some/place/first.js"] = first.encode() or b"//"
        html = files.pop("/some/place/index.html").decode()
        html = html.replace('<script src="page.js">', '<script src="first.js"></script><script src="page.js">')
        html = html.replace("</body>", '<script src="test.js"></script></body>')
        where = {"path": "/some/place/", "flags": flags, "requested": requested, "time_s": 180}
        seen = browser.visit(html, f"{tmp_path}/profile", files, **where)
        assert not str(seen.get("seen")).startswith("failed"), seen["seen"]
        return seen

    return call


@pytest.fixture(scope="module")
def photo():
    return np.asarray(Image.open(PHOTO).convert("RGB"))


CROPS = {
    "inside": (100.3, 60.7, 251.4),
    "partly outside": (-75.2, 300.4, 333.3),
    "wider than the image": (-400, -300, 1500.5),
    "huge": (-6000, -5000, 12000),
    "tiny": (310.4, 200.1, 5.3),
    "of one pixel": (63.2, 90.6, 1.0),
    "at the corner": (639.2, 479.3, 40),
    "beside the image": (700, 10, 100),
    "above the image": (10, -300, 200),
    "with the pixels of the image": (192, 112, 256),
}


def test_a_photograph_gives_the_numbers_of_python_without_other_hosts(visit, folder, starter_file, photo):
    requested = []
    rng = np.random.default_rng(0)
    pose, hip, size = rng.normal(0, 300, (17, 3)).round(1), (500.2, 40.5), {"width": 640, "height": 480}
    given = {"box": BOX, "loose": LOOSE_BOX, "crops": list(CROPS.values()), "pose": pose.tolist(), "hip": hip, **size}
    seen = visit(
        f"const given = {json.dumps(given)};"
        + """
        await wait(() => isLoaded);
        const file = await fetched("photo.png"), bitmap = await createImageBitmap(file);
        const seen = {inBox: await estimateInBox(bitmap, given.box), fitted: await estimatePerson(bitmap, given.loose)};
        seen.crops = given.crops.map(([x, y, side]) =>
          btoa(Array.from(squareCrop(bitmap, {x, y, side}), (byte) => String.fromCharCode(byte)).join("")));
        seen.camera = toCamera(given.pose, given.hip, given);
        find("details").open = true;
        await openPhoto(file);  // without a box: searches
        await new Promise(requestAnimationFrame);
        Object.assign(seen, {found: people, facts: text("#facts"), rate: text("#rate"), caption: text("caption")});
        seen.knee = [...find("tbody").rows[2].cells].map((cell) => cell.textContent);
        drag([30, 70, 140, 390]);
        await wait(() => isSearched);
        drag([380, 10, 250, 460]);
        await wait(() => people.length === 2 && isSearched);
        await new Promise(requestAnimationFrame);
        Object.assign(seen, {drawn, both: people, placing: text("#placing")});
        await openPhoto(new File(["text"], "a.txt"));
        seen.noImage = problem();
        find("#camera").click();
        await wait(() => problem() !== seen.noImage && problem());
        seen.noCamera = problem();
        complain("");
        await fetch("http://127.0.0.1:1/").catch(() => {});
        await import("http://127.0.0.1:1/a.js").catch(() => {});
        return seen;
        """,
        requested=requested,
    )
    assert seen["problem"] is None
    assert len(seen["forbidden"]) == 2 and all(uri.startswith("http://127.0.0.1:1") for uri in seen["forbidden"])
    there = {"", "page.css", "problem.js", "page.js", "first.js", "test.js", "photo.png", "model_float16.tflite"}
    assert set(requested) == {f"/some/place/{name}" for name in there | {f"litert/{name}" for name in RUNTIME}}

    seen = seen["seen"]
    model = PoseModel(ModelFile(starter_file))
    camera = CameraOptions().camera(640, 480)
    (expected,) = model.people(photo, boxes=[BOX])
    ((fitted,),) = model.estimate([(photo, np.float32([LOOSE_BOX]))], [camera], fit=True)
    assert np.abs(np.float32(fitted.box) - LOOSE_BOX).max() > 10
    for name, person in (("inBox", expected), ("fitted", fitted)):
        np.testing.assert_allclose(seen[name]["box_px"], person.box, atol=0.5)
        assert np.abs(np.float32(seen[name]["pose2d_px"]) - person.pose2d).max() < 1
        assert np.abs(np.float32(seen[name]["pose3d_mm"]) - person.pose3d).max() < 5
        np.testing.assert_allclose(seen[name]["confidence"], person.confidence, atol=0.02)

    for (name, (x, y, side)), data in zip(CROPS.items(), seen["crops"], strict=True):
        pixels = np.frombuffer(base64.b64decode(data), np.uint8).reshape(256, 256, 3)
        there = cropping.square_crop(photo, Crop(tf.constant([x, y], tf.float32), tf.constant(side, tf.float32)))
        assert np.abs(np.int32(pixels) - np.int32(there)).max() <= 1, name
        there = images.square_crop(photo, Crop(np.float32([x, y]), np.float32(side)))
        assert np.mean(pixels != there) < 1e-3, name  # the same sums in the same order
    turned = geometry.to_camera(pose, np.float64([hip]), np.float64(camera.intrinsics), "sight")
    np.testing.assert_allclose(seen["camera"], turned, atol=0.01)

    (found,) = seen["found"]
    assert np.abs(np.float32(found["pose2d_px"]) - fitted.pose2d).max() < 10  # the person on the left
    assert seen["facts"] == f"float16 model, {seen_size(folder)} MB. Pictures stay on this device."
    assert re.fullmatch(r"\d+ ms per estimate", seen["rate"])
    assert seen["caption"] == "Person 1" and seen["knee"][0] == "RKnee"
    assert float(seen["knee"][1]) == pytest.approx(found["pose2d_px"][2][0], abs=0.06)
    np.testing.assert_allclose(seen["drawn"], [[30, 70, 140, 390], [380, 10, 250, 460]], atol=1.5)
    left, right = seen["both"]
    assert [left["number"], right["number"]] == [1, 2]
    assert left["pose2d_px"][0][0] < 160 and right["pose2d_px"][0][0] > 400
    assert seen["placing"] == "People are placed side by side."
    assert seen["noImage"] == "a.txt is not an image that the browser can read."
    assert re.search("camera", seen["noCamera"])


def seen_size(folder):
    return f"{(folder / 'model_float16.tflite').stat().st_size / 1e6:.1f}"


def write_y4m(path, images):
    """A video of cameras that are not there: uint8 [N, H, W, 3] at 30 frames a second."""
    with open(path, "wb") as file:
        file.write(b"YUV4MPEG2 W%d H%d F30:1 Ip A1:1 C420jpeg\n" % images[0].shape[1::-1])
        for image in images:
            file.write(b"FRAME\n" + cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420).tobytes())


def test_a_skeleton_follows_a_person_before_the_camera(visit, photo, tmp_path):
    person = cv2.resize(photo, (320, 240), interpolation=cv2.INTER_AREA)[:, :90]
    frames = np.full((40, 240, 320, 3), 90, np.uint8)
    for frame, step in zip(frames, 2 * np.abs(np.arange(-20, 20)), strict=True):  # to the left and back
        frame[:, 90 + step : 180 + step] = person
    write_y4m(tmp_path / "camera.y4m", frames)
    seen = visit(
        """
        await wait(() => isLoaded);
        const {Tensor} = litert, {delete: free} = Tensor.prototype;
        let freed = 0, estimated = 0;
        Tensor.prototype.delete = function () { freed += !this.deleted; return free.call(this); };
        const run = model.run.bind(model);
        model.run = (inputs) => { estimated++; return run(inputs); };
        find("#camera").click();
        const seen = {hips: []}, label = () => find("#camera").textContent;
        const memory = () => litert.getGlobalLiteRt().liteRtWasm.HEAPU8.length;
        await wait(() => people.length);
        seen.memory = [memory()];
        while (seen.hips.length < 30) {
          await wait(() => people.length && people[0].pose2d_px[0][0] !== seen.hips.at(-1));
          seen.hips.push(people[0].pose2d_px[0][0]);
        }
        seen.memory.push(memory());
        Object.assign(seen, {rate: text("#rate"), labels: [label()], size: [image.width, image.height]});
        find("#camera").click();
        await new Promise((resolve) => setTimeout(resolve, 200));
        seen.tensors = [freed, estimated];
        Object.assign(seen, {isOff: !stream && !film.srcObject});
        seen.labels.push(label());
        drag([80, 15, 160, 220]);  // on the frame that is left
        await wait(() => isSearched);
        seen.people = people.length;
        return seen;
        """,
        flags=(
            *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
            f"--use-file-for-fake-video-capture={tmp_path}/camera.y4m",
        ),
    )
    assert seen["problem"] is None
    seen = seen["seen"]
    assert 20 < np.ptp(seen["hips"]) < 60, "the skeleton does not move with the person"
    assert re.fullmatch(r"\d+ frames a second, \d+ ms per estimate", seen["rate"])
    assert seen["labels"] == ["Stop camera", "Start camera"]
    assert seen["isOff"]
    freed, estimated = seen["tensors"]
    assert estimated >= 30 and freed == 4 * estimated  # the crop and three outputs
    assert seen["memory"][0] == seen["memory"][1]
    assert seen["people"] == 1


@pytest.mark.parametrize(
    ("without", "first", "words"),
    [
        (("model_float16.tflite",), "", r"The model model_float16.tflite cannot be loaded: .*: 404 Not Found\."),
        ((), "delete globalThis.WebAssembly;", "cannot be loaded: this browser lacks WebAssembly, or forbids it"),
    ],
)
def test_what_is_missing_is_named(visit, without, first, words):
    seen = visit("await isLoaded; return [await isLoaded, find('#loading').hidden];", without=without, first=first)
    assert seen["seen"] == [False, True]
    assert re.search(words, seen["problem"])


def test_the_folder_holds_all_that_the_page_needs_and_the_licenses(folder):
    html = (folder / "index.html").read_text("utf-8")
    names = {f"litert/litert_wasm{kind}_internal.{ending}" for kind in ("", "_compat") for ending in ("js", "wasm")}
    names |= {"litert/index.js", "litert/wasm-utils.js", "model_float16.tflite", "LICENSE", "NOTICE"}
    names |= {"index.html", "page.css", "page.js", "problem.js"}
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == names
    assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert "photographs of Flickr users" in (folder / "NOTICE").read_text()
    assert b"@litertjs/wasm-utils" not in (folder / "litert" / "index.js").read_bytes()
    assert "{{" not in html
    for link in re.findall(r'(?:src|href)="([^"]+)"', html):
        assert link in names | {"data:,"}
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy == (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
