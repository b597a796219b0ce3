"""Writes records once more in random order, for data sets whose few large files hold one video after the other.

    pose-tf shuffle --data_dir=DATA --output_dir=SHUFFLED

Training mixes all files, but keeps the order inside a file. With few large files, a batch then shows few videos. The
command copies the records of DATA/h36 and DATA/mpii, unchanged, to SHUFFLED/h36 and SHUFFLED/mpii, with the files that
name their joints. It uses all cores. It needs space for 1.2 times the data and 1.2 GiB more, which it checks first.
The folders appear when they are complete. After an interruption, the same command starts again, or resumes if all
records have been read. The same seed gives the same files.
"""

from absl import flags

from pose_tf.cli import start_tensorflow

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory with h36/*, mpii/*, or both.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Directory to write, without records.")
_SHARDS = flags.DEFINE_integer(
    "shards", None, "Number of files of each kind; default: files of up to 256 MiB, at least one for each core.", 1
)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of the order.", lower_bound=0)
flags.mark_flags_as_required(["data_dir", "output_dir"])


def main():
    start_tensorflow()
    from pose_tf.data.shuffling import shuffle_records

    for kind, count in shuffle_records(_DATA_DIR.value, _OUTPUT_DIR.value, _SHARDS.value, _SEED.value).items():
        print(f"{count} records in {_OUTPUT_DIR.value}/{kind}")
