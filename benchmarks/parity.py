"""Compares models, metrics and occlusion to the recorded outputs of the public PyTorch and OpenCV code.

    python benchmarks/parity.py --reference_dir=DIR

DIR contains checkpoints of the public code (random weights) and its inputs and outputs: `NAME.pth` and `NAME_io.npz`.
Exits with status 1 if a difference exceeds its limit. Limits are relative to the largest output for models, in mm for
metrics, and in gray levels for occlusion.
"""

import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from absl import flags

from pose_tf import cli
from pose_tf.errors import UserError

_REFERENCE_DIR = flags.DEFINE_string("reference_dir", None, "Directory of the reference checkpoints and outputs.")
flags.mark_flags_as_required(["reference_dir"])


def main():
    cli.start_tensorflow()
    rows = list(comparisons(_REFERENCE_DIR.value))
    print(f"{'what':40s}{'reference':44s}{'difference':>12s}{'limit':>10s}")
    for what, reference, difference, limit in rows:
        print(f"{what:40s}{reference:44s}{difference:12.2e}{limit:10.1e}")
    far = [what for what, _, difference, limit in rows if not difference <= limit]
    if far:
        raise UserError(f"differences above the limit: {', '.join(far)}")


def comparisons(folder):
    """Yields comparisons: (subject, reference, largest difference, limit)."""
    import numpy as np

    from pose_tf import metrics
    from pose_tf.augment.occlusion import paste_occluders
    from pose_tf.data.occluders import OccluderBank
    from pose_tf.models import FeedForward, HRNet, SemGCN
    from pose_tf.models.estimator import normalize_images
    from pose_tf.models.torch_weights import load_torch_weights

    def arrays(name):
        path = os.path.join(folder, f"{name}_io.npz")
        try:
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}") from None

    def of_largest(output, expected):
        return np.abs(output - expected).max() / np.abs(expected).max()

    def load(model, name):
        load_torch_weights(model, os.path.join(folder, f"{name}.pth"))
        return model, arrays(name)

    model, io = load(HRNet(8), "pose_hrnet_w8")
    heatmaps = model(normalize_images(io["image"]))
    yield "HRNet-W8, heatmaps", "pose_hrnet (Sun et al.)", of_largest(heatmaps, io["heatmaps"]), 1e-3

    model, io = load(SemGCN(non_local=False), "semgcn_17")
    yield "SemGCN, 17 joints, plain", "SemGCN (Zhao et al.)", of_largest(model(io["input"]), io["output"]), 1e-4

    io = arrays("semgcn_nonlocal_16")
    model, _ = load(SemGCN(16, edges=io["edges"], groups=io["nodes_group"]), "semgcn_nonlocal_16")
    yield "SemGCN, 16 joints, non-local", "SemGCN (Zhao et al.)", of_largest(model(io["input"]), io["output"]), 1e-4

    model, io = load(FeedForward(16, units=256), "martinez_16")
    output = model(io["input"].reshape(-1, 16, 2)).numpy()
    expected = np.pad(io["output"].reshape(-1, 15, 3), ((0, 0), (1, 0), (0, 0)))
    yield (
        "FeedForward, 16 joints, 256 units",
        "linear model (Martinez et al., SemGCN code)",
        of_largest(output, expected),
        1e-4,
    )

    model, io = load(FeedForward(share_blocks=True), "released_feed_forward")
    output = model(io["input"].reshape(-1, 17, 2)).numpy().reshape(-1, 51)
    yield "FeedForward, shared blocks", "the paper's released network", of_largest(output, io["output"]), 1e-4

    io = arrays("metrics")
    predicted, target = io["pred"].astype(np.float32), io["target"].astype(np.float32)
    each = metrics.pa_mpjpe(predicted, target)
    yield "PA-MPJPE, each of 64 poses", "NumPy", np.abs(each - io["pa_mpjpe_each"]).max(), 1e-3
    for name in ("mpjpe", "pa_mpjpe", "n_mpjpe"):
        mean = np.mean(getattr(metrics, name)(predicted, target), dtype=np.float64)
        yield f"{name}, mean", "NumPy", abs(mean - io[name]), 1e-3

    io = arrays("occlusion")
    ends = np.cumsum(io["occluder_shapes"].prod(axis=1))
    parts = np.split(io["occluder_pixels"], ends[:-1])
    bank = OccluderBank(tuple(part.reshape(*shape, 4) for part, shape in zip(parts, io["occluder_shapes"])))
    pastes = [io["pastes"][io["pastes"][:, 0] == number, 1:] for number in range(len(io["image"]))]
    table = np.full((len(pastes), max(map(len, pastes)), 4), -1.0)
    for row, own in zip(table, pastes):
        row[: len(own)] = own
    pasted = paste_occluders(io["image"], bank, table[..., 0].astype(int), table[..., 1], table[..., 2:])
    difference = np.abs(pasted.numpy().astype(int) - io["occluded"])
    changed = (io["occluded"] != io["image"]).any(axis=-1)
    yield "paste_occluders, mean of changed pixels", "OpenCV (Sarandi et al.)", difference[changed].mean(), 1.5
    far = np.mean(difference.max(axis=-1) > 12)
    yield "paste_occluders, share above 12", "OpenCV (Sarandi et al.)", far, 1e-2


if __name__ == "__main__":
    cli.run(main)
