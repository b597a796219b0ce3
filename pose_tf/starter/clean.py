"""Cleans the joint labels of photographs with a second opinion, that of BlazePose.

    python -m pose_tf.starter.clean --data_dir=DATA --trusted='lsp_*' --detector=starter \\
        --blazepose=pose_landmark_heavy.tflite --output_dir=CLEAN

Reads DATA/mpii and writes CLEAN/mpii, in files of the same names. Labels in trusted files stay as they are. If another
label is near BlazePose's joint, the middle of both replaces it. If it is on the person's other side, it is swapped. If
the detector agrees with one of the two, that one wins. Otherwise, BlazePose's joint counts if it is visible, and none
if not. BlazePose sees each person turned upright, as the labels or the detector's joints say, because it was made for
upright people. Its model is in npm's package @mediapipe/pose (Apache-2.0).
"""

import fnmatch
import os

import numpy as np
from absl import flags

from pose_tf import cli
from pose_tf.cli import _flags

_DATA_DIR = flags.DEFINE_string("data_dir", None, "Directory with mpii/*.")
_TRUSTED = flags.DEFINE_string("trusted", "", "Pattern of file names in mpii/ whose labels stay as they are.")
_DETECTOR = _flags.detector()
_BLAZEPOSE = flags.DEFINE_string("blazepose", None, "Path of pose_landmark_heavy.tflite.")
_OUTPUT_DIR = flags.DEFINE_string("output_dir", None, "Directory to write to.")
flags.mark_flags_as_required(["data_dir", "detector", "blazepose", "output_dir"])


def main():
    cli.start_tensorflow()
    from pose_tf.data import records
    from pose_tf.errors import UserError
    from pose_tf.evaluation.loading import load_detector
    from pose_tf.starter.labels import OUTCOMES, BlazePose, Offsets, estimate_joints, merge, relabeled

    shards = records.list_shards(_DATA_DIR.value, "mpii")
    folder = os.path.join(_OUTPUT_DIR.value, "mpii")
    if os.path.realpath(folder) == os.path.realpath(os.path.dirname(shards[0])):
        raise UserError("--output_dir is the directory of the data; give another one")
    trusted = [fnmatch.fnmatch(os.path.basename(shard), _TRUSTED.value) for shard in shards]
    if _TRUSTED.value and not any(trusted):
        raise UserError(f"--trusted={_TRUSTED.value}: no file in {os.path.dirname(shards[0])} has such a name")
    detect = load_detector(_DETECTOR.value, flip_test=True)
    labels, detected, joints, visibility, lengths = estimate_joints(shards, detect, BlazePose(_BLAZEPOSE.value))

    from_trusted = np.repeat(trusted, lengths)
    careful = from_trusted if any(trusted) else np.ones_like(from_trusted)
    joints = Offsets(joints[careful], labels[careful])(joints)
    merged, outcomes = merge(labels, detected, joints, visibility)
    os.makedirs(folder, exist_ok=True)
    poses = iter(merged)
    for shard, keep in zip(shards, trusted):
        samples = (
            sample if keep else relabeled(sample, pose)
            for sample, pose in zip(records.read(shard, records.MPII), poses)
        )
        records.write(os.path.join(folder, os.path.basename(shard)), samples, records.MPII)
    changed = outcomes[~from_trusted]
    for number, name in enumerate(OUTCOMES):
        print(f"{name:10s}{100 * np.mean(changed == number):5.1f} %" if changed.size else name)
    print(f"{len(changed)} photographs cleaned, {from_trusted.sum()} kept; results in {folder}")


if __name__ == "__main__":
    cli.run(main)
