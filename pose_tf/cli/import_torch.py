"""Converts a PyTorch checkpoint into a workdir, which every other command accepts like that of a run.

    pose-tf import-torch --arch=hrnet_w32 --checkpoint=pose_hrnet_w32_256x256.pth --map_joints=mpii \\
        --workdir=runs/imported
    pose-tf train --config=hrnet_w32 --config.init_from=runs/imported --data_dir=DATA --workdir=runs/detector

Supports official HRNet pose checkpoints and ImageNet classifiers, HRNet from mmpose, ImageNet classifiers of
EfficientNet-Lite, SemGCN and the linear model of the public SemGCN code, and the networks of the paper's released code,
written by torch.save or safetensors. PyTorch is not needed, and nothing in the file is executed. Every weight must fit;
the command says how many weights of the file it skips, and which layers it initializes at random.

Lifters of the public code were trained on 2D joints normalized by the whole image. Here lifters get 2D joints
normalized by the crop of the person, so fine-tune them before use: pose-tf train --config.init_from.
"""

import sys

from absl import flags

from pose_tf.cli import start_tensorflow

_ARCH = flags.DEFINE_string(
    "arch",
    None,
    "hrnet_w<width>, efficientnet_lite0 to efficientnet_lite4, sem_gcn, feed_forward, released_sem_gcn or "
    "released_feed_forward.",
)
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "File that torch.save or safetensors wrote.")
_STATE_DICT = flags.DEFINE_string(
    "state_dict", None, "Key of the weights, such as ema_state_dict or teacher.model; default: the regular weights."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory to write.")
_MAP_JOINTS = flags.DEFINE_enum(
    "map_joints",
    None,
    ["mpii", "coco", "h36m"],
    "Skeleton of an HRNet checkpoint; the joints that it shares with ours are copied.",
)
_SKELETON = flags.DEFINE_string(
    "skeleton",
    "h36m",
    "Joints of the checkpoint, in its order, or with --map_joints those of the run: a name such as h36m_16, or a JSON "
    "file.",
)
_POSE_MEAN = flags.DEFINE_string("pose_mean", None, "An .npy [J, 3]: mean pose in mm of the lifter's training data.")
_POSE_STD = flags.DEFINE_string("pose_std", None, "An .npy [J, 3]: standard deviation in mm of the same data.")
flags.mark_flags_as_required(["arch", "checkpoint", "workdir"])


def main():
    start_tensorflow()
    from pose_tf.skeleton import H36M, find_skeleton
    from pose_tf.training.torch_import import import_torch
    from pose_tf.workdir import Workdir

    skeleton = find_skeleton(_SKELETON.value, "--skeleton")
    loaded = import_torch(
        _ARCH.value,
        _CHECKPOINT.value,
        _WORKDIR.value,
        map_joints=_MAP_JOINTS.value,
        mean=_POSE_MEAN.value,
        std=_POSE_STD.value,
        state_dict=_STATE_DICT.value,
        skeleton=skeleton,
    )
    takes_head = _ARCH.value.startswith("hrnet_") and "final_layer" not in loaded.initialized_layers
    if takes_head and skeleton != H36M and not _MAP_JOINTS.value:
        print(
            f"warning: the heatmaps of {_CHECKPOINT.value} are taken for those of {', '.join(skeleton.joints)}, in "
            "this order; if the file has MPII's or COCO's joints, give --map_joints",
            file=sys.stderr,
        )
    if loaded.others:
        taken = f"under '{loaded.state_dict}'" if loaded.state_dict else "at the top level of the file"
        others = ", ".join(f"'{key}'" for key in loaded.others)
        print(f"read the weights {taken}; --state_dict selects others in the file: {others}")
    if loaded.skipped:
        print(f"skipped {len(loaded.skipped)} weights of the file: {loaded.skipped[0]} … {loaded.skipped[-1]}")
    if loaded.initialized:
        print(f"not in the file, initialized at random: {', '.join(loaded.initialized_layers)}")
    for warning in Workdir(_WORKDIR.value).warnings():
        print(f"warning: {warning}", file=sys.stderr)
    print(f"model {_WORKDIR.value}/best.keras")
