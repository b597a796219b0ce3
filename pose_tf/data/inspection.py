"""Checks and counts all records of a data directory."""

import collections
import dataclasses
import os
from collections.abc import Iterator

import numpy as np
import tqdm

from pose_tf import skeleton
from pose_tf.data import records
from pose_tf.data.poses import check_units
from pose_tf.data.sources import Source, source_of
from pose_tf.errors import UserError
from pose_tf.geometry import Crop, inside_crop, project
from pose_tf.skeleton import Skeleton

PREVIEW_SAMPLES = 32
POSES_MEASURED = 20_000
"""The number of poses from which their unit is determined."""
REPROJECTION_TOLERANCE_PX = 1.0
LENS = np.array([0.4, 0.5, 0.1, 0.004, 0.004])
"""The largest coefficients of lens distortion: k1, k2, k3, p1, p2. Twice those of Human3.6M's cameras."""


@dataclasses.dataclass
class Inspection:
    """The result of an inspection.

    Attributes:
        samples: count by kind of record: `h36`, `test_set`, `mpii`.
        subjects: count of labeled samples by subject.
        actions: count of labeled samples by action number.
        in_files: numbers of subjects and of actions in each file of labeled samples.
        joints_outside: count of labeled samples with a joint outside the crop. It is not a fault: crops may cut limbs.
        faults: one sentence for each damaged record or file.
        preview: some labeled samples of every file, for `viz.sheet_of_samples`.
        skeletons: of the records that have their own joints, by kind.
    """

    samples: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    subjects: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    actions: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    in_files: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    joints_outside: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)
    preview: list[dict] = dataclasses.field(default_factory=list)
    skeletons: dict[str, Skeleton] = dataclasses.field(default_factory=dict)


def inspect(data_dir: str) -> Inspection:
    """Checks every record of `DIR/h36/*`, `DIR/test_set.tfrecords` and `DIR/mpii/*`. Each part is optional.

    Each record must have all keys, in the right sizes, with finite values. In labeled records, the 3D joints must
    project to the 2D joints, and these must map to the joints in the crop, within 1 px apart from lens distortion, in
    the units of training.

    Raises:
        UserError: all three parts are missing, or a file that names the joints of records is damaged.
    """
    folders = [kind for kind in records.KINDS if os.path.isdir(os.path.join(data_dir, kind))]
    sources = {kind: source_of(data_dir, kind) for kind in folders}
    files = _files(data_dir, sources)
    own = {kind: records.skeleton_of(os.path.join(data_dir, kind)) for kind in sources}
    found = Inspection(skeletons={kind: one for kind, one in own.items() if one != records.SKELETONS[kind]})
    labeled = collections.Counter(kind for _, kind, _ in files if kind in sources)
    shown_per_kind = PREVIEW_SAMPLES // max(len(labeled), 1)
    all_shown = collections.Counter()
    pose2d, pose3d = [], []
    with tqdm.tqdm(unit=" records", desc=f"inspecting {data_dir}") as bar:
        for path, kind, schema in files:
            shown, subjects, actions = 0, set(), set()
            for sample, where in _decoded(path, schema, found.faults):
                found.samples[kind] += 1
                bar.update()
                if shown * labeled[kind] < shown_per_kind and all_shown[kind] < shown_per_kind and kind in sources:
                    shown += 1
                    all_shown[kind] += 1
                    found.preview.append(_shown(sample, sources[kind]))
                if kind != "h36":
                    continue
                found.faults += [f"{where}: {problem}" for problem in problems(sample)]
                found.subjects[int(sample["subject"])] += 1
                found.actions[int(sample["action"])] += 1
                subjects.add(int(sample["subject"]))
                actions.add(int(sample["action"]))
                if len(pose3d) < POSES_MEASURED:
                    pose2d.append(sample["pose2d_crop"])
                    pose3d.append(sample["pose3d"])
                found.joints_outside += joints_outside(sample) > 0
            if kind == "h36":
                found.in_files.append((len(subjects), len(actions)))
    if pose3d:
        try:
            folder = os.path.join(data_dir, "h36")
            check_units(np.stack(pose2d), np.stack(pose3d), folder, skeleton=sources["h36"].skeleton)
        except UserError as error:
            found.faults.append(str(error))
    return found


def _shown(sample, source: Source):
    """A sample as training sees it, for the preview."""
    if not source.has_pose3d:
        parsed = source.parse(records.encode(sample, source.schema))
        sample = {key: value.numpy() for key, value in parsed.items()}
    return sample | {"skeleton": source.skeleton}


def _files(data_dir, sources):
    files = []
    for kind, source in sources.items():
        files += [(path, kind, source.schema) for path in records.list_shards(data_dir, kind)]
    test_set = os.path.join(data_dir, "test_set.tfrecords")
    if os.path.exists(test_set):
        files.append((test_set, "test_set", records.H36M_TEST))
    if not files:
        raise UserError(f"{data_dir} contains neither h36/ nor test_set.tfrecords nor mpii/")
    return files


def _decoded(path, schema, faults) -> Iterator[tuple[dict, str]]:
    """Yields each readable sample of a file and its place, and appends a sentence to `faults` for any other."""
    try:
        for number, serialized in enumerate(records.read_serialized(path, schema)):
            where = f"{path} record {number}"
            try:
                sample = records.decode(serialized, schema, where)
            except UserError as error:
                faults.append(str(error))
            else:
                yield sample, where
    except UserError as error:  # the rest of the file cannot be read
        faults.append(str(error))


def problems(sample: dict[str, np.ndarray]) -> list[str]:
    """Contradictions between the poses of a decoded labeled sample: projection errors above 1 px.

    Differences between pose3d and pose2d that lens distortion explains do not count: the cameras of Human3.6M distort
    by some pixels near the border, which the linear projection here ignores.

    Returns:
        Phrases such as "pose3d projects 3.20 px away from pose2d"; empty for a consistent sample.
    """
    if np.any(sample["pose3d"][:, 2] <= 0):
        return ["pose3d has joints behind the camera"]
    x, y, z = sample["pose3d"].T
    fx, _, fy, _ = sample["intrinsics"][0]
    projected = project(sample["pose3d"], sample["intrinsics"][0])
    cropped = Crop.from_offset_scale(sample["offset"], sample["scale"]).to_crop(sample["pose2d"])
    steps = [("pose3d projects", projected, "pose2d"), ("pose2d crops to", cropped, "pose2d_crop")]
    found = []
    for what, pose, key in steps:
        error = np.abs(pose - sample[key]).max()
        if key == "pose2d" and error > REPROJECTION_TOLERANCE_PX:
            left = _without_distortion(sample[key] - projected, x / z, y / z, np.array([fx, fy]))
            error = error if np.abs(left).max() > REPROJECTION_TOLERANCE_PX else 0.0
        if error > REPROJECTION_TOLERANCE_PX:
            found.append(f"{what} {error:.2f} px away from {key}")
    return found


def _without_distortion(offset, x, y, focal):
    """The part of offsets [J, 2] px that lens distortion does not explain.

    The joints are at x, y [J], in focal lengths from the middle of the image.

    The distortion is radial and tangential (Brown, 1966; the camera model of Human3.6M). The coefficients k1, k2, k3,
    p1 and p2 are the best fit within the limits of a real lens, so they explain little near the middle.
    """
    r2 = x**2 + y**2
    radial = [np.stack([x * r2**power, y * r2**power], axis=-1) for power in (1, 2, 3)]
    tangential = [np.stack([x * y, y**2 + r2], axis=-1), np.stack([x**2 + r2, x * y], axis=-1)]
    effects = np.stack([effect * focal for effect in radial + tangential], axis=-1).reshape(-1, len(LENS))
    # Least squares with a prior, because the joints of a small person hardly determine five numbers.
    prior = np.diag(REPROJECTION_TOLERANCE_PX / 4 / (LENS / 2))
    equations = np.concatenate([effects, prior])
    values = np.concatenate([offset.ravel(), np.zeros(len(LENS))])
    coefficients = np.clip(np.linalg.lstsq(equations, values, rcond=None)[0], -LENS, LENS)
    return offset - (effects @ coefficients).reshape(offset.shape)


def joints_outside(sample: dict[str, np.ndarray]) -> int:
    """The number of joints of a labeled sample outside the crop."""
    return int(np.sum(1 - inside_crop(sample["pose2d_crop"])))


def format_inspection(found: Inspection) -> str:
    """The result as a table for the terminal, with the first 20 faults."""
    joints = {kind: f" of the skeleton {own}" for kind, own in found.skeletons.items()}
    lines = [f"{kind:9s} {count:8,d} samples{joints.get(kind, '')}" for kind, count in sorted(found.samples.items())]
    if found.subjects:
        lines += ["", "subject   samples"] + [f"{s:7d}{n:10,d}" for s, n in sorted(found.subjects.items())]
        lines += ["", "action               samples"]
        lines += [f"{a:3d} {skeleton.ACTIONS.get(a, '?'):14s}{n:10,d}" for a, n in sorted(found.actions.items())]
        subjects, actions = np.mean(found.in_files, axis=0)
        lines += [
            "",
            f"{len(found.in_files)} files; on average, one holds {subjects:.1f} of {len(found.subjects)} subjects and "
            f"{actions:.1f} of {len(found.actions)} actions",
        ]
        lines += ["", f"{found.joints_outside:,d} labeled samples have joints outside the crop (not a fault)"]
    lines += ["", f"{len(found.faults):,d} faults" if found.faults else "no faults"]
    lines += [f"  {fault}" for fault in found.faults[:20]]
    if len(found.faults) > 20:
        lines.append(f"  and {len(found.faults) - 20:,d} more")
    return "\n".join(lines)
