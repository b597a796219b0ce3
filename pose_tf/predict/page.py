"""Results as one page for the browser: frames with their skeletons, and bodies that can be turned and played."""

import base64
import dataclasses
import importlib.resources
import json
import os

from pose_tf import files, viz
from pose_tf.predict.results import Digits, Poses, frame_json, header_json

SOURCES = ("page.html", "page.css", "page.js", "page_draw.js")
IN_PAGE = Digits(time_s=3, box_px=1, pose2d_px=1, pose3d_mm=0, confidence=2)


def write_page(path: str, poses: Poses, images: dict[int, bytes]) -> None:
    """Writes an HTML page that needs nothing else, neither files nor a network.

    Args:
        path: of the page.
        poses: what was found. Of `source`, only the file's name gets into the page.
        images: JPEGs by the number of their frame, from 0: the shape of the original frames, but any size. Where a
            frame has none, the page shows the nearest earlier one.

    Raises:
        UserError: the page cannot be written.
    """
    source = importlib.resources.files("pose_tf.predict")
    page, style, script, drawing = (source.joinpath(name).read_text("utf-8") for name in SOURCES)
    # In JSON, `<` occurs only within strings; escaped, none of them can end the element that holds the data.
    data = json.dumps(_data(poses, images), separators=(",", ":"), allow_nan=False).replace("<", r"\u003c")
    parts = {"style": style, "script": script, "drawing": drawing, "poses": data}
    for name, text in parts.items():  # the data last: it may name the others
        page = page.replace("{{" + name + "}}", text)
    with files.replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(page)


def _data(poses, images):
    """What the page holds: the JSON of the result file in fewer digits, colors, and the images."""
    return header_json(dataclasses.replace(poses, source=os.path.basename(poses.source))) | {
        "colors": {"right": viz.RIGHT, "left": viz.LEFT, "middle": viz.MIDDLE},
        "frames": [_short(frame_json(number, frame, IN_PAGE)) for number, frame in enumerate(poses.frames)],
        "images": {number: base64.b64encode(image).decode() for number, image in sorted(images.items())},
    }


def _short(value):
    """JSON whose whole numbers are integers: `-200` in place of `-200.0`."""
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
