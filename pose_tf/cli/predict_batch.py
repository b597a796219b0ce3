"""Estimates the poses of people in many images with Apache Beam, and writes them as tables in Parquet files.

    pose-tf predict-batch --input='photos/*.jpg' --output_dir=poses
    pose-tf predict-batch --model=model --boxes=boxes.csv --output_dir=poses -- --direct_num_workers=4 \\
        --direct_running_mode=multi_processing
    pose-tf predict-batch --records='DATA/h36/*' --output_dir=poses

Give one of --input, --boxes and --records. Paths and patterns can be on any file system that Beam reads, such as
gs://bucket/photos/*.jpg. Quote patterns, so that the shell leaves them alone. Without --model, the command uses the
starter, the model that comes with the package.

What follows -- are options of Beam and of its runner. Without any, Beam's direct runner uses this process.

The command writes to the output directory

    people-*.parquet  one row for each person: file, box, joints, confidences
    errors-*.parquet  one row for each input that could not be used: file, reason
    inputs-*.parquet  one row for each input: file, number of people

Each file is complete. The same command leaves out the inputs that earlier runs have done, so run it again after a
crash, or when there are more images. Let one command at a time write to a directory.

It needs Apache Beam: python -m pip install -r requirements-beam.txt
"""

import logging

from absl import flags

from pose_tf.cli import start_tensorflow
from pose_tf.errors import UserError, argument

_INPUT = flags.DEFINE_multi_string("input", None, "Pattern of image files; people are found. Repeat it for others.")
_BOXES = flags.DEFINE_multi_string(
    "boxes", None, "CSV or Parquet file with one row per person: file,x,y,width,height; or a pattern of such files."
)
_RECORDS = flags.DEFINE_multi_string("records", None, "Pattern of TFRecord files of Human3.6M or MPII.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Directory of the tables.", required=True)
_MODEL = flags.DEFINE_string("model", None, "Model directory that pose-tf export wrote; default: the starter.")
_MIN_SCORE = flags.DEFINE_float(
    "min_score", None, "Minimum score of a person; lower finds more people and more false positives."
)
_FOV = flags.DEFINE_float(
    "fov", None, "Angle in degrees that the longer side of an image covers. Default: EXIF data, else 55."
)
_CHUNK_SIZE = flags.DEFINE_integer(
    "chunk_size", 256, "Images per file of the tables. A crash loses at most this many for each worker.", lower_bound=1
)


def main(beam_options):
    given = {flag.name: flag.value for flag in (_INPUT, _BOXES, _RECORDS) if flag.value}
    if len(given) != 1:
        raise UserError("give one of --input, --boxes and --records; see --help")
    ((kind, patterns),) = given.items()
    logging.getLogger().setLevel(logging.CRITICAL)  # Beam logs tracebacks of errors that this command explains
    logging.getLogger("pose_tf").setLevel(logging.WARNING)
    # Before TensorFlow, which takes longer to import: Beam may be missing.
    import apache_beam  # noqa: F401

    start_tensorflow()
    from pose_tf.batch.pipeline import Options, predict_batch
    from pose_tf.predict.media import InputError

    options = Options(
        kind, tuple(patterns), _OUTPUT_DIR.value, _MODEL.value, _MIN_SCORE.value, _FOV.value, _CHUNK_SIZE.value
    )
    with argument(f"--{kind}", InputError):
        done = predict_batch(options, beam_options)
    print(
        f"{done.people} people in {done.inputs} inputs, {done.errors} of which could not be used: {options.output_dir}"
    )
