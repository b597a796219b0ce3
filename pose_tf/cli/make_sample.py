"""Writes a sample data set: images of procedural people in the course's record format, with exact 2D and 3D joints.

    pose-tf make-sample --output_dir=sample --num_train=3000 --num_test=300

The command downloads nothing, and the same flags give the same images. The directory has the layout of the real data:
h36/, test_set.tfrecords and mpii/. In addition, test/h36/ holds the images of the test set with their poses, photos/
holds some photos, and poses.npz holds poses without images for a lifter. Like motion capture, these cost less than
images.
"""

from absl import flags

from pose_tf.cli import start_tensorflow

_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Directory to write.")
_NUM_TRAIN = flags.DEFINE_integer("num_train", 3000, "Training images.", lower_bound=1)
_NUM_TEST = flags.DEFINE_integer("num_test", 300, "Images of the test subject.", lower_bound=1)
_NUM_POSES = flags.DEFINE_integer("num_poses", 2000, "Poses without images.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Random seed.", lower_bound=0)
flags.mark_flags_as_required(["output_dir"])


def main():
    start_tensorflow()
    from pose_tf.synthetic.sample_data import write_sample_data

    write_sample_data(_OUTPUT_DIR.value, _NUM_TRAIN.value, _NUM_TEST.value, _NUM_POSES.value, _SEED.value)
    print(f"{_NUM_TRAIN.value} training and {_NUM_TEST.value} test images in {_OUTPUT_DIR.value}")
