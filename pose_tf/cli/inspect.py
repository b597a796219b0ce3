"""Checks every record of a data directory and reports what it holds.

    pose-tf inspect --data_dir=DATA --preview=sheet.png

Counts samples by kind, subject and action. Finds damaged files, missing keys, wrong sizes, values that are not finite,
and poses whose 3D joints do not project to their 2D joints within 1 px. Exits with status 1 if anything is wrong.
"""

import sys

from absl import flags

from pose_tf.cli import start_tensorflow

_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Directory with h36/*, test_set.tfrecords or mpii/*, or several of them."
)
_PREVIEW = flags.DEFINE_string("preview", None, "PNG to write, with labeled images and their skeletons.")
flags.mark_flags_as_required(["data_dir"])


def main():
    start_tensorflow()
    from pose_tf import images, viz
    from pose_tf.data import inspection

    found = inspection.inspect(_DATA_DIR.value)
    print(inspection.format_inspection(found))
    if _PREVIEW.value and found.preview:
        images.write_png(_PREVIEW.value, viz.sheet_of_samples(found.preview))
        print(f"preview {_PREVIEW.value}")
    if found.faults:
        sys.exit(1)
