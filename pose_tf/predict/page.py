"""Results as one page for the browser: pictures with their skeletons, and bodies that can be turned and played."""

import base64
import importlib.resources
import json
import os

import numpy as np

from pose_tf import files, skeleton, viz
from pose_tf.predict.results import Poses

PLACE_OF_DATA = "{{poses}}"


def write_page(path: str, poses: Poses, pictures: dict[int, bytes]) -> None:
    """Writes an HTML page that needs nothing else, neither files nor a network.

    Args:
        path: of the page.
        poses: what was found. Of `source`, only the file's name gets into the page.
        pictures: JPEGs by the number of their frame, from 0: the shape of the original pictures, but any size. Where a
            frame has none, the page shows the nearest earlier one.

    Raises:
        UserError: the page cannot be written.
    """
    template = importlib.resources.files("pose_tf.serving").joinpath("page.html").read_text("utf-8")
    data = json.dumps(_as_json(poses, pictures), separators=(",", ":"), allow_nan=False)
    # In JSON, `<` occurs only within strings; escaped, none of them can end the element that holds the data.
    page = template.replace(PLACE_OF_DATA, data.replace("<", r"\u003c"))
    with files.replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(page)


def _as_json(poses, pictures):
    return {
        "source": os.path.basename(poses.source),
        "width": poses.width,
        "height": poses.height,
        "fps": poses.fps,
        "joints": skeleton.H36M.joints,
        "bones": skeleton.H36M.bones,
        "colors": {"right": viz.RIGHT, "left": viz.LEFT, "middle": viz.MIDDLE},
        "frames": [
            {
                "time": round(frame.time, 3),
                "people": [
                    {
                        "number": person.number,
                        "box": _rounded(np.nan_to_num(person.box), 1),
                        "pose2d": [_rounded(joint, 1) for joint in person.pose2d],
                        "pose3d": [_rounded(joint, 0) for joint in person.pose3d],
                        "confidence": _rounded(np.nan_to_num(person.confidence), 2),
                    }
                    for person in frame.people
                ],
            }
            for frame in poses.frames
        ],
        "pictures": {number: base64.b64encode(picture).decode() for number, picture in sorted(pictures.items())},
    }


def _rounded(values, digits):
    """Numbers as JSON writes them shortest; None if any is not finite, which the page does not draw."""
    if not np.isfinite(values).all():
        return None
    numbers = np.round(np.asarray(values, np.float64), digits).tolist()
    return [int(number) if number.is_integer() else number for number in numbers]
