"""Brings a PyTorch checkpoint into a workdir, which every other tool takes like one that was trained here.

    python tools/import_torch.py --arch=hrnet_w32 --checkpoint=pose_hrnet_w32_256x256.pth --map_joints=mpii \\
        --workdir=runs/imported
    python tools/train.py --config=configs/hrnet_w32.py --config.init_from=runs/imported --data_dir=DATA \\
        --workdir=runs/detector

Reads official HRNet pose checkpoints and ImageNet classifiers, mmpose's HRNet, the public SemGCN code's SemGCN and
linear model, and the networks of the paper's released code, as torch.save or safetensors wrote them. No PyTorch is
needed, and nothing in the file is run. Every weight has to fit; what is not taken is named.

The public code's lifters were trained on 2D joints normalized by the whole image. Here lifters get them normalized by
the crop of the person, so these have to be fine-tuned before they are of use: tools/train.py --config.init_from.
"""

import gc
import sys

import _checkout  # noqa: F401
from absl import flags

from pose_tf import cli

_ARCH = flags.DEFINE_string(
    "arch", None, "hrnet_w<width>, sem_gcn, feed_forward, released_sem_gcn or released_feed_forward."
)
_CHECKPOINT = flags.DEFINE_string("checkpoint", None, "File that torch.save or safetensors wrote.")
_STATE_DICT = flags.DEFINE_string(
    "state_dict", None, "Which weights of the file, such as ema_state_dict or teacher.model; by default the plain ones."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Directory to make.")
_MAP_JOINTS = flags.DEFINE_enum(
    "map_joints", None, ["mpii", "coco", "h36m"], "Skeleton of an HRNet checkpoint; fills the joints that ours shares."
)
_POSE_MEAN = flags.DEFINE_string("pose_mean", None, "An .npy [17, 3]: mean pose in mm of a lifter's training.")
_POSE_STD = flags.DEFINE_string("pose_std", None, "An .npy [17, 3]: standard deviation in mm.")
flags.mark_flags_as_required(["arch", "checkpoint", "workdir"])


def main():
    gc.disable()  # building HRNet's thousand layers makes no garbage, and looking for it takes a quarter of the time
    from pose_tf.training.torch_import import import_torch
    from pose_tf.workdir import Workdir

    loaded = import_torch(
        _ARCH.value,
        _CHECKPOINT.value,
        _WORKDIR.value,
        map_joints=_MAP_JOINTS.value,
        mean=_POSE_MEAN.value,
        std=_POSE_STD.value,
        state_dict=_STATE_DICT.value,
    )
    if loaded.others:
        taken = f"under '{loaded.state_dict}'" if loaded.state_dict else "that lie in the file by themselves"
        others = ", ".join(f"'{key}'" for key in loaded.others)
        print(f"took the weights {taken}; --state_dict chooses others of the file: {others}")
    if loaded.skipped:
        print(f"skipped {len(loaded.skipped)} weights of the file: {loaded.skipped[0]} … {loaded.skipped[-1]}")
    if loaded.initialized:
        print(f"not in the file, and random: {', '.join(loaded.initialized)}")
    for warning in Workdir(_WORKDIR.value).warnings():
        print(f"warning: {warning}", file=sys.stderr)
    print(f"model {_WORKDIR.value}/best.keras")


if __name__ == "__main__":
    cli.run(main)
