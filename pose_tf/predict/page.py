"""Results as one interactive HTML page: frames with skeletons, and 3D poses that can be rotated and played."""

import base64
import dataclasses
import importlib.resources
import json
import os

from pose_tf import files, viz
from pose_tf.predict.results import Digits, Poses, frame_json, header_json

SOURCES = ("page.html", "page.css", "page_problem.js", "page_view.js", "page_draw.js", "page.js")
COLORS = {"right": viz.RIGHT, "left": viz.LEFT, "middle": viz.MIDDLE}
IN_PAGE = Digits(time_s=3, box_px=1, pose2d_px=1, pose3d_mm=0, confidence=2)


def write_page(path: str, poses: Poses, photo: bytes = b"", video: bytes = b"") -> None:
    """Writes a page, see `make_page`.

    Raises:
        UserError: the page cannot be written.
    """
    with files.replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(make_page(poses, photo, video))


def make_page(poses: Poses, photo: bytes = b"", video: bytes = b"") -> str:
    """A self-contained HTML page, which loads no other files and needs no network.

    Args:
        poses: people and their poses. The page contains the file name of `source`, not its folder.
        photo: a JPEG of the photo, of any size.
        video: an MP4 of the video, of any size, with the time stamps of the frames.
    """
    source = importlib.resources.files("pose_tf.predict")
    page, style, problem, *scripts = (source.joinpath(name).read_text("utf-8") for name in SOURCES)
    data = in_script(_data(poses, photo, video))
    parts = {"style": style, "problem": problem, "script": "\n".join(scripts), "poses": data}
    for name, text in parts.items():  # the data last: it may contain the other placeholders
        page = page.replace("{{" + name + "}}", text)
    return page


def in_script(values: dict) -> str:
    """Values as JSON in a `script` element. There, `<` occurs only in strings; escaping it keeps them from closing the
    element.
    """
    return json.dumps(values, separators=(",", ":"), allow_nan=False).replace("<", r"\u003c")


def _data(poses, photo, video):
    """The data of the page: the JSON of the result file with fewer digits, colors, and the photo or the video."""
    return header_json(dataclasses.replace(poses, source=os.path.basename(poses.source))) | {
        "colors": COLORS,
        "frames": [_short(frame_json(number, frame, IN_PAGE)) for number, frame in enumerate(poses.frames)],
        "photo": base64.b64encode(photo).decode(),
        "video": base64.b64encode(video).decode(),
    }


def _short(value):
    """Replaces whole floats by integers: `-200` instead of `-200.0`."""
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
