"""Cuts the objects out of Pascal VOC that the occlusion augmentation pastes over people.

    python tools/build_occluders.py --voc_dir=VOCdevkit/VOC2012 --output=occluders.npz --preview=occluders.png

Takes objects that are segmented, no person, not difficult, not truncated and at least 500 pixels large. Images that
cannot be used are named and skipped.
"""

import _checkout  # noqa: F401
from absl import flags

from pose_tf import cli

_VOC_DIR = flags.DEFINE_string("voc_dir", None, "Directory with Annotations, JPEGImages and SegmentationObject.")
_OUTPUT = flags.DEFINE_string("output", None, "File to write, .npz.")
_PREVIEW = flags.DEFINE_string("preview", None, "Picture of some of the objects to write.")
flags.mark_flags_as_required(["voc_dir", "output"])


def main():
    from pose_tf import viz
    from pose_tf.data.occluders import OccluderBank

    bank = OccluderBank.from_voc(_VOC_DIR.value)
    bank.save(_OUTPUT.value)
    if _PREVIEW.value:
        viz.write_png(_PREVIEW.value, viz.sheet_of_objects(bank.objects))
    print(f"{len(bank)} objects in {_OUTPUT.value}")


if __name__ == "__main__":
    cli.run(main)
