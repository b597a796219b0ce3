"""Writes the folder of a page that estimates poses in the browser."""

import importlib.resources
import os

from pose_tf import files, model_files
from pose_tf.errors import UserError
from pose_tf.predict.page import COLORS, in_script
from pose_tf.skeleton import ENDS, Skeleton

OURS, SHARED = "pose_tf.web", "pose_tf.predict"
SCRIPTS = ((SHARED, "page_view.js"), (SHARED, "page_draw.js"), (OURS, "estimate.js"), (OURS, "web.js"))
PROBLEM = ((SHARED, "page_problem.js"), (OURS, "problem.js"))
STYLES = ((SHARED, "page.css"), (OURS, "web.css"))
LOADER, LOADER_HERE = b'"@litertjs/wasm-utils"', b'"./wasm-utils.js"'
RUNTIME = {
    "index.js": "@litertjs/core/dist/index.js",
    "wasm-utils.js": "@litertjs/wasm-utils/dist/index.js",
    **{
        f"litert_wasm{kind}_internal.{ending}": f"@litertjs/core/wasm/litert_wasm{kind}_internal.{ending}"
        for kind in ("", "_compat")
        for ending in ("js", "wasm")
    },
}
"""The runtime's files in the folder `litert`, and where they come from."""
OF_MODEL = ("precision", "crop_margin", "frame")
"""Entries of the model's card that the page needs."""
NOTICE = """\
The page, its style and its scripts are part of pose_tf, Apache License 2.0 (see LICENSE).

litert/
    LiteRT for the web by Google, @litertjs/core and @litertjs/wasm-utils of npm, Apache License 2.0 (see LICENSE),
    https://github.com/google-ai-edge/LiteRT. Changed: index.js imports wasm-utils.js by the name of the file.

{model}
    {origin}
"""


def check_joints(skeleton: Skeleton) -> None:
    """Raises UserError if a skeleton does not cover the body, since the page finds people by their joints."""
    if missing := skeleton.missing(*ENDS):
        raise UserError(
            f"a page finds people by their joints, but the skeleton {skeleton} lacks {', '.join(missing)}, and so does "
            "not cover the body; leave web out of the formats"
        )


def write(folder: str, model: str, runtime: dict[str, bytes]) -> str:
    """Writes a page with its model and its runtime. Any server of files can serve the folder, at any address.

    Args:
        folder: directory of the page. Files of an earlier page are replaced, each at once; others stay.
        model: a .tflite file that `pose-tf export` wrote. It may be in the folder already.
        runtime: the files of the runtime, see `pose_tf.web.runtime.read`.

    Returns:
        Path of the page, `index.html`.

    Raises:
        UserError: the model cannot be read, or the folder cannot be written.
    """
    card, _ = model_files.read(model)
    name = os.path.basename(model)
    with open(model, "rb") as file:
        content = file.read()
    values = {
        "joints": card["joints"],
        "bones": card["bones"],
        "colors": COLORS,
        "model": {"file": name, "bytes": len(content), **{key: card[key] for key in OF_MODEL}},
    }
    sources = card.get("starter", {}).get("data", ())
    origin = [f"Trained on {source['name']}: {source['terms']}." for source in sources] or ["See its card."]
    parts = {
        name: content,
        **{f"litert/{there}": runtime[source] for there, source in RUNTIME.items()},
        "LICENSE": _source(OURS, "LICENSE"),
        "NOTICE": NOTICE.format(model=name, origin="\n    ".join(origin)).encode(),
        "page.css": b"".join(_source(*part) for part in STYLES),
        "problem.js": b"".join(_source(*part) for part in PROBLEM),
        "page.js": b"\n".join(_source(*part) for part in SCRIPTS),
        "index.html": _source(OURS, "index.html").replace(b"{{poses}}", in_script(values).encode()),  # the last
    }
    parts["litert/index.js"] = parts["litert/index.js"].replace(LOADER, LOADER_HERE)
    for part, content in parts.items():
        files.write_bytes(os.path.join(folder, part), content)
    return os.path.join(folder, "index.html")


def _source(package, name):
    return importlib.resources.files(package).joinpath(name).read_bytes()
