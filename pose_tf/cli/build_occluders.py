"""Cuts objects out of Pascal VOC, which the occlusion augmentation pastes over people.

    pose-tf build-occluders --voc_dir=VOCdevkit/VOC2012 --output=occluders.npz --preview=occluders.png
    pose-tf build-occluders --tfds --output=occluders.npz

The second form downloads VOC 2012 (2 GB) through TensorFlow Datasets, or reads the archive in --manual_dir. The command
takes segmented objects of at least 500 pixels that are not people and not marked as difficult or truncated. It reports
images that cannot be used and skips them.
"""

from absl import flags

from pose_tf.cli import start_tensorflow
from pose_tf.errors import UserError

_VOC_DIR = flags.DEFINE_string("voc_dir", None, "Directory with Annotations, JPEGImages and SegmentationObject.")
_TFDS = flags.DEFINE_bool("tfds", False, "Get VOC 2012 through TensorFlow Datasets, instead of --voc_dir.")
_TFDS_DIR = flags.DEFINE_string("tfds_dir", None, "Data directory of TensorFlow Datasets; default: its own.")
_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "Directory with the archive of VOC 2012, instead of a download.")
_OUTPUT = flags.DEFINE_string("output", None, "File to write, .npz.")
_PREVIEW = flags.DEFINE_string("preview", None, "PNG to write, with some of the objects.")
flags.mark_flags_as_required(["output"])


def main():
    if (_VOC_DIR.value is None) != _TFDS.value:
        raise UserError("give one of --voc_dir and --tfds")
    start_tensorflow()
    from pose_tf import images, viz
    from pose_tf.data.occluders import OccluderBank

    if _TFDS.value:
        bank = OccluderBank.from_tfds(_TFDS_DIR.value, _MANUAL_DIR.value)
    else:
        bank = OccluderBank.from_voc(_VOC_DIR.value)
    bank.save(_OUTPUT.value)
    if _PREVIEW.value:
        images.write_png(_PREVIEW.value, viz.sheet_of_objects(bank.objects))
    print(f"{len(bank)} objects in {_OUTPUT.value}")
