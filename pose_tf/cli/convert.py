"""Converts data sets in the forms in which people have them to records and pose files for training and evaluation.

    pose-tf convert --from=coco --annotations=person_keypoints_train2017.json --images=train2017 --output_dir=DATA
    pose-tf convert --from=mpii --annotations=mpii_human_pose_v1_u12_1.mat --images=images --output_dir=DATA
    pose-tf convert --from=lsp --annotations=joints.mat --images=images --output_dir=DATA
    pose-tf convert --from=videopose3d --annotations=data_3d_h36m.npz --poses2d=data_2d_h36m_gt.npz --output_dir=DATA
    pose-tf convert --from=h36m_fetch --annotations=processed --output_dir=DATA
    pose-tf convert --from=h36m --annotations=H36M [--images=H36M] --output_dir=DATA
    pose-tf convert --from=mpi_inf_3dhp --annotations=MPI_INF_3DHP --output_dir=DATA

Photographs with 2D joints become records in DATA/mpii, images with 3D joints records in DATA/h36, and poses without
images a file DATA/NAME.npz. The command works on all cores and prints who was left out, and why. After an
interruption, the same command resumes. mpii also takes the JSON files of HRNet's users, and lsp the extended
training set. mpii, lsp, mpi_inf_3dhp, h36m and videopose3d need: pip install 'pose_tf[convert]'.

--skeleton=mpi_inf_3dhp_28 and the like write other joints than Human3.6M's 17 (for photographs, MPII's 16). They map by
name, and DATA/h36/skeleton.json or DATA/mpii/skeleton.json names them for the commands that read the records.
"""

from absl import flags

from pose_tf.cli import start_tensorflow

FORMATS = ("coco", "mpii", "lsp", "h36m", "h36m_fetch", "mpi_inf_3dhp", "videopose3d")
VIDEO_FORMATS = ("h36m", "h36m_fetch", "mpi_inf_3dhp", "videopose3d")

_FROM = flags.DEFINE_enum("from", None, FORMATS, "Format of the data set.")
_ANNOTATIONS = flags.DEFINE_string("annotations", None, "File of the labels, or for videos the directory of them.")
_IMAGES = flags.DEFINE_string("images", None, "Directory of the images, or, for h36m, of S1/Videos and so on.")
_POSES2D = flags.DEFINE_string("poses2d", None, "For videopose3d: file of true or detected 2D joints.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Directory to write.")
_NAME = flags.DEFINE_string("name", None, "Beginning of the names of the files; default: the format's.")
_EVERY = flags.DEFINE_integer("every", None, "Of videos: take one frame out of this many; default 1.", lower_bound=1)
_MIN_JOINTS = flags.DEFINE_integer(
    "min_joints", None, "Of photographs: leave out people with fewer labeled joints; default 6.", lower_bound=1
)
_MIN_SIDE = flags.DEFINE_float(
    "min_side", None, "Of photographs: leave out people smaller than this, in px; default 48.", lower_bound=0
)
_SKELETON = flags.DEFINE_string(
    "skeleton",
    None,
    "Joints to write: a skeleton's name, such as coco_19, or file; default: Human3.6M's 17, MPII's 16 for photographs.",
)
_PEOPLE_PER_FILE = flags.DEFINE_integer("people_per_file", 1000, "People in a file of records.", lower_bound=1)
flags.mark_flags_as_required(["from", "annotations", "output_dir"])


def main():
    start_tensorflow()
    from pose_tf.data import converters
    from pose_tf.data.converters.writing import describe
    from pose_tf.skeleton import find_skeleton

    defaults = {"every": 1} if _FROM.value in VIDEO_FORMATS else {"min_joints": 6, "min_side": 48.0}
    given = {
        "annotations": _ANNOTATIONS.value,
        "images": _IMAGES.value,
        "poses2d": _POSES2D.value,
        "every": _EVERY.value,
        "min_joints": _MIN_JOINTS.value,
        "min_side": _MIN_SIDE.value,
    }
    options = defaults | {key: value for key, value in given.items() if value is not None}
    skeleton = find_skeleton(_SKELETON.value, "--skeleton") if _SKELETON.value else None
    path, count, left_out = converters.convert(
        _FROM.value, _OUTPUT_DIR.value, _NAME.value, _PEOPLE_PER_FILE.value, skeleton, **options
    )
    if left_out:
        print(f"left out: {describe(left_out)}")
    print(f"{count} people in {path}")
