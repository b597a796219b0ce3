"""Measures how far joints that are derived from their neighbors are from measured ones, in a file of poses.

    python benchmarks/derived_joints.py --poses=POSES.npz

The file has Human3.6M's 17 joints. Each of `pose_tf.skeleton.DERIVED` is derived from the joints that are left without
it, and then all from those that are left without any. The distances are in mm.
"""

import numpy as np
from absl import flags

from pose_tf import cli

_POSES = flags.DEFINE_string("poses", None, "An .npz with pose2d_crop, pose3d in mm, and subject.")
flags.mark_flags_as_required(["poses"])


def main():
    cli.start_tensorflow()
    from pose_tf.data.poses import read_pose_file
    from pose_tf.skeleton import DERIVED, H36M, Skeleton

    pose3d = np.float64(read_pose_file(_POSES.value).pose3d)

    def distances(joint, missing):
        """Of a joint from where it is derived if some joints are missing: [N] mm."""
        kept = [name for name in H36M.joints if name not in missing]
        own = Skeleton("others", tuple(kept), ())
        derived = own.convert(pose3d[:, [H36M.index(name) for name in kept]], H36M)
        number = H36M.index(joint)
        return np.linalg.norm(derived[:, number] - pose3d[:, number], axis=-1)

    print(f"{len(pose3d)} poses")
    print(f"{'joint':10s}{'between':28s}{'mean':>8s}{'median':>8s}{'95 %':>8s}{'all derived':>14s}")
    for joint, rule in DERIVED.items():
        alone, together = distances(joint, {joint}), distances(joint, DERIVED)
        figures = f"{alone.mean():8.1f}{np.median(alone):8.1f}{np.percentile(alone, 95):8.1f}{together.mean():14.1f}"
        print(f"{joint:10s}{' and '.join(rule.between):28s}{figures}")


if __name__ == "__main__":
    cli.run(main)
