"""Writes the motions in a video's result as files for animation, biomechanics and spreadsheets.

    pose-tf predict --input=walk.mp4
    pose-tf motion --input=poses/walk.json --formats=bvh,trc,c3d,angles

The input is a JSON file of pose-tf predict. For walk.json, the command writes to the output directory

    walk.trc               all people's joints for OpenSim: mm
    walk.c3d               the same for Vicon, Visual3D, Mokka and others; needs pip install 'pose_tf[motion]'
    walk.1.bvh, …          each person's skeleton for Blender, Unity, MotionBuilder: meters, bones of constant length
    walk.1.angles.csv, …   each person's joint angles in degrees

y points up, z toward the camera, and the frame rate is constant. Existing files are kept unless --overwrite is given.
"""

import os

from absl import flags

from pose_tf.errors import UserError

FORMATS = ("bvh", "trc", "c3d", "angles")

_INPUT = flags.DEFINE_string("input", None, "JSON file of pose-tf predict.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Directory of the files; default: that of the input.")
_FORMATS = flags.DEFINE_list("formats", "bvh,trc,angles", f"Files to write, from {', '.join(FORMATS)}.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace files that exist.")
_FPS = flags.DEFINE_float("fps", None, "Frames per second; default: the median rate of the video.")


def main():
    if not _INPUT.value:
        raise UserError("--input is missing; see --help")
    if unknown := sorted(set(_FORMATS.value) - set(FORMATS)):
        raise UserError(f"--formats has '{unknown[0]}'; it can have {', '.join(FORMATS)}")
    if _FPS.value is not None and not 1 <= _FPS.value <= 1000:
        raise UserError(f"--fps={_FPS.value:g} must be 1 to 1000")
    from pose_tf.predict import angles, bvh, motion

    if "c3d" in _FORMATS.value:
        motion.import_c3d()
    motions = motion.read_motions(_INPUT.value, _FPS.value)
    folder, name = os.path.split(os.path.abspath(_INPUT.value))
    base = os.path.join(_OUTPUT_DIR.value or folder, os.path.splitext(name)[0])
    jobs = {}
    for kind, write in (("trc", motion.write_trc), ("c3d", motion.write_c3d)):
        if kind in _FORMATS.value:
            jobs[f"{base}.{kind}"] = write, motions
    for kind, ending, write in (("bvh", "bvh", bvh.write_bvh), ("angles", "angles.csv", angles.write_angles)):
        for one in motions if kind in _FORMATS.value else ():
            jobs[f"{base}.{one.person}.{ending}"] = write, one
    existing = [path for path in jobs if os.path.lexists(path)]
    if existing and not _OVERWRITE.value:
        raise UserError(f"{existing[0]} exists; give --overwrite or another --output_dir")
    for path, (write, content) in jobs.items():
        write(path, content)
        print(path)
