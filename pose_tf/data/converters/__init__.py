"""Converts data sets in the forms in which people have them to records and pose files."""

import collections
import hashlib
import inspect
import os

import numpy as np

from pose_tf import files
from pose_tf.data import records
from pose_tf.data.converters import coco, h36m, h36m_fetch, lsp, mpi_inf_3dhp, mpii, videopose3d
from pose_tf.data.converters.people import Clip, Frames, pose_arrays
from pose_tf.data.converters.writing import describe, write_records
from pose_tf.data.poses import read_pose_file
from pose_tf.errors import UserError
from pose_tf.skeleton import Skeleton

READERS = {
    "coco": coco.read,
    "mpii": mpii.read,
    "lsp": lsp.read,
    "h36m": h36m.read,
    "h36m_fetch": h36m_fetch.read,
    "mpi_inf_3dhp": mpi_inf_3dhp.read,
    "videopose3d": videopose3d.read,
}
"""The functions that read each format."""
PHOTOGRAPHS = ("coco", "mpii", "lsp")
"""The formats of photographs with 2D joints."""


def convert(
    source: str,
    output_dir: str,
    name: str | None = None,
    people_per_file: int = 1000,
    skeleton: Skeleton | None = None,
    **options,
) -> tuple[str, int, collections.Counter]:
    """Converts a data set.

    Formats with images become records in `output_dir/mpii` or `output_dir/h36`, and poses without images a pose file.

    Args:
        source: a key of `READERS`.
        output_dir: directory to write; it may have other records.
        name: beginning of the names of the files; default: the format's.
        people_per_file: people in a file of records.
        skeleton: the joints to write; default: MPII's 16 for photographs, else Human3.6M's 17. Joints that the data set
            neither has nor lets derive are not labeled in photographs, and refused elsewhere.
        options: arguments of the format's reader.

    Returns:
        The folder or the file that has been written, the number of people in it, and of those left out by reason.

    Raises:
        UserError: the input is missing, damaged or of another format, or lacks joints, an option is missing or unknown,
            or the result cannot be written.
    """
    kind = "mpii" if source in PHOTOGRAPHS else "h36"
    skeleton = skeleton or records.SKELETONS[kind]
    options, name = _check_options(source, options), name or source
    if "/" in name or name.startswith("."):
        raise UserError(f"--name={name} must be the beginning of a file's name, without a folder")
    found = READERS[source](**options, joints=skeleton)
    people, left_out = found[0], found[-1]
    if isinstance(people[0] if people else None, Clip):
        if source == "videopose3d" or (source == "h36m" and not options["images"]):
            path = os.path.join(output_dir, f"{name}.npz")
            detected = found[1] if len(found) == 3 else None
            return path, _write_poses(path, options["annotations"], people, skeleton, detected), left_out
        people = Frames(people)
    if not len(people):
        raise UserError(
            f"{options['annotations']} has no person that can be used: {describe(left_out) or 'it is empty'}"
        )
    description = {"from": source, "people": len(people), **_describe(options, people)}
    if skeleton != records.SKELETONS[kind]:
        description["skeleton"] = skeleton.to_json()
    count, left_out = write_records(people, left_out, output_dir, name, people_per_file, description, skeleton)
    return os.path.join(output_dir, kind), count, left_out


def _check_options(source, options):
    """Options without those that are None and that the format does not have; the others must fit."""
    parameters = dict(inspect.signature(READERS[source]).parameters)
    del parameters["joints"]
    chosen = {}
    for key, value in options.items():
        if key in parameters:
            chosen[key] = value
        elif value is not None:
            raise UserError(f"--{key} is not an option of --from={source}; its options are --{', --'.join(parameters)}")
    for key, parameter in parameters.items():
        optional = "None" in str(parameter.annotation)
        if chosen.get(key) is None and not optional:
            raise UserError(f"--from={source} needs --{key}")
        chosen.setdefault(key, None)
    return chosen


def _write_poses(path, source, clips, skeleton, detected):
    arrays = pose_arrays(clips, skeleton, detected)
    with files.replacing(path) as temporary:
        np.savez_compressed(temporary, **arrays)
        try:
            read_pose_file(temporary, skeleton)  # checks units
        except UserError as error:
            raise UserError(str(error).replace(temporary, source)) from None
    return len(arrays["subject"])


def _describe(options, people):
    """Options for JSON: absolute paths, and a checksum of all joints."""
    described = {key: os.path.abspath(value) if isinstance(value, str) else value for key, value in options.items()}
    checksum = hashlib.sha256()
    for part in people.clips if isinstance(people, Frames) else people:
        for array in (part.pose2d, getattr(part, "pose3d", None), getattr(part, "box", None)):
            if array is not None:
                checksum.update(np.ascontiguousarray(array, np.float32))
    return described | {"sha256": checksum.hexdigest()}
