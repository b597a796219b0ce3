"""Names of result files, and the check that they replace no other files."""

import hashlib
import logging
import os

from pose_tf.predict.media import MediaError, is_video
from pose_tf.predict.results import is_result

ENDINGS = {
    "overlay": ".png",  # the photo with skeletons; VIDEO_ENDING for a video
    "views": ".views.png",  # the overlay with 3D views beside it
    "page": ".html",  # interactive
    "json": ".json",
    "csv": ".csv",
    "npz": ".npz",
    "coco": ".coco.json",  # only on request
}
"""Endings of the names of result files, by output."""
VIDEO_ENDING = ".mp4"
OUTPUTS = tuple(ENDINGS)
DEFAULT_OUTPUTS = tuple(output for output in OUTPUTS if output != "coco")
LONGEST_NAME = 255
"""Most bytes of a file name that file systems accept."""

logger = logging.getLogger(__name__)


def result_files(base: str, video: bool, outputs: tuple[str, ...]) -> dict[str, str]:
    """Paths of the result files of a photo or a video, by output. `base` is their path without the ending."""
    endings = ENDINGS | ({"overlay": VIDEO_ENDING} if video else {})
    return {output: base + endings[output] for output in outputs}


def name_results(paths: list[str], output_dir: str) -> dict[str, str]:
    """Paths of results without ending, by input: named like the input without its suffix, or with it if names clash."""
    for name_of in (lambda path: os.path.splitext(os.path.basename(path))[0], os.path.basename):
        names = {path: _short(name_of(path)) for path in paths}
        files = [file for path, name in names.items() for file in result_files(name, is_video(path), OUTPUTS).values()]
        if len(set(files)) == len(files):
            break
    for path, name in names.items():
        if not os.path.basename(path).startswith(name):
            logger.warning("%s: this name is too long for result files; they are named %s.*", path, name)
    return {path: os.path.join(output_dir, name) for path, name in names.items()}


def _short(name):
    """A name that leaves room for the longest ending: unchanged, or its beginning and a hash of the whole."""
    data = os.fsencode(name)
    room = LONGEST_NAME - max(map(len, ENDINGS.values()))
    if len(data) <= room:
        return name
    mark = hashlib.sha256(data).hexdigest()[:8]
    beginning = data[: room - len(mark) - 1].decode("utf-8", "ignore")  # drops a character that is cut
    return os.fsdecode(f"{beginning}-{mark}".encode())


def check_results(source: str, files: dict[str, str], inputs: set[str]) -> None:
    """Raises `MediaError` if results would replace an input, or a file that is not a result of an earlier run."""
    for file in files.values():
        if os.path.lexists(file) and (os.path.realpath(file) in inputs or not is_result(file)):
            raise MediaError(f"{source}: results would replace {file}; choose another output directory")


def readable(path: str) -> str:
    """A path as result files contain it: UTF-8 in any locale, with escapes such as \\xff for bytes that are not."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
