"""The figures of published protocols, from the reports and the arrays of `evaluator`."""

from collections.abc import Sequence

import numpy as np

from pose_tf import geometry, metrics
from pose_tf.errors import UserError
from pose_tf.evaluation.protocols import ACTION_MEAN, AUC, H36M_COLUMNS, MEAN, MPJPE, PCK, SAMPLE_MEAN, Protocol
from pose_tf.skeleton import H36M, LIMBS, Skeleton

PREDICTIONS = {"detected 2D": "pose3d", "true 2D": "lifted"}
"""Arrays of 3D poses by the 2D joints that were lifted."""
PHOTO_ALPHAS = {"pckh": metrics.PCKH_ALPHA, "pck2d": metrics.PCK_ALPHA}


def check_joints(protocol: Protocol, skeleton: Skeleton) -> None:
    """Checks that a skeleton has the joints that a protocol measures.

    Raises:
        UserError: names those that it lacks.
    """
    names = dict.fromkeys(name for group in protocol.groups.values() for name in group)
    if protocol.data == "mpii":
        known = {part for name in names for part in name.split("/")}
        names |= dict.fromkeys(name for name in metrics.SEGMENTS[protocol.metric] if name not in known)
    if protocol.data == "coco":
        names = LIMBS
    if missing := skeleton.missing(*names):
        raise UserError(
            f"--protocol={protocol.name} measures {', '.join(missing)}, which the skeleton {skeleton} of the run lacks"
        )


def score(
    protocol: Protocol,
    report: dict,
    arrays: dict[str, np.ndarray],
    notes: Sequence[str] = (),
    skeleton: Skeleton = H36M,
) -> dict:
    """Measures predictions as a protocol says.

    Args:
        protocol: one that is about records or pose files.
        report: the report of `evaluator`.
        arrays: the arrays that belong to it.
        notes: what else a reader of the table has to know.
        skeleton: of the predictions. A note says so if errors are means over other joints than published ones.

    Returns:
        See `part`.

    Raises:
        UserError: the skeleton lacks joints of the protocol, or no photograph labels what the protocol measures by.
    """
    check_joints(protocol, skeleton)
    if protocol.data == "h36":
        notes = (*_other_joints(skeleton), *notes)
    if protocol.action_mean:
        rows, about = _by_action(protocol, report)
        notes = (*about, *notes)
    elif protocol.data == "mpii":
        rows = {"detected 2D": _figures_2d(protocol, arrays, skeleton)}
    else:
        rows = _by_subject(protocol, arrays, skeleton)
    return part(protocol, rows, notes)


def _other_joints(skeleton):
    """A note if the joints of a skeleton are not the 17 over which published errors of 3D poses are means."""
    lacks = skeleton.missing(*H36M.joints)
    adds = [joint for joint in skeleton.joints if H36M.find(joint) is None]
    if not lacks and not adds:
        return ()
    changes = [f"{word} {', '.join(joints)}" for word, joints in (("without", lacks), ("with", adds)) if joints]
    return (
        f"Mean errors count the {len(skeleton.joints)} joints of {skeleton.name}, {' and '.join(changes)}; published "
        f"ones mostly count Human3.6M's {len(H36M.joints)}.",
    )


def part(protocol: Protocol, rows: dict[str, dict], notes: Sequence[str] = ()) -> dict:
    """What a report says under "protocol": {"name", "title", "rows": {label: {column: figure}}, "notes"}.

    Figures have the unit of the title, mm or %; None where the data has nothing to measure.
    """
    rows = {label: {column: values.get(column) for column in protocol.columns} for label, values in rows.items()}
    return {"name": protocol.name, "title": protocol.title, "rows": rows, "notes": [*protocol.notes, *notes]}


def _by_action(protocol, report):
    """Rows of an error by action, and notes about actions that the data lacks."""
    rows, known, others = {}, set(), set()
    for key, label in (("detected_2d", "detected 2D"), ("true_2d", "true 2D")):
        if key in report:
            errors = report[key]
            known = set(errors["actions"]) & set(H36M_COLUMNS.values())
            others = set(errors["actions"]) - known
            actions = {column: errors["actions"][name] for column, name in H36M_COLUMNS.items() if name in known}
            figures = {column: action[protocol.metric] for column, action in actions.items()}
            mean = float(np.mean(list(figures.values()))) if figures else None
            rows[label] = figures | {ACTION_MEAN: mean, SAMPLE_MEAN: errors["total"][protocol.metric]}
    if not known:
        return rows, ["The data does not say which actions it shows."]
    missing, notes = len(H36M_COLUMNS) - len(known), []
    if missing:
        notes.append(f"The data lacks {missing} of the {len(H36M_COLUMNS)} actions.")
    if others:
        notes.append(f"Of other actions, which only {SAMPLE_MEAN} counts, it has {len(others)}.")
    return rows, notes


def _by_subject(protocol, arrays, skeleton):
    """Rows of PCK by group of joints, AUC and MPJPE: of everyone, and of each subject if there are several."""
    rows = {}
    subjects = np.unique(arrays["true_subject"]).tolist()
    for label, key in PREDICTIONS.items():
        if key in arrays:
            predicted, target = arrays[key], arrays["true_pose3d"]
            rows[label] = _figures_3d(protocol, predicted, target, skeleton)
            for subject in subjects if len(subjects) > 1 else ():
                of_subject = arrays["true_subject"] == subject
                rows[f"{label}, S{subject}"] = _figures_3d(
                    protocol, predicted[of_subject], target[of_subject], skeleton
                )
    return rows


def _figures_3d(protocol, predicted, target, skeleton):
    groups = _indices(protocol, skeleton)
    joints = [joint for group in groups.values() for joint in group]
    shares = {column: metrics.pck3d(predicted, target, joints=group) for column, group in groups.items()}
    shares |= {PCK: metrics.pck3d(predicted, target, joints=joints), AUC: metrics.auc3d(predicted, target, joints)}
    figures = {column: 100 * float(np.mean(values)) for column, values in shares.items()}
    return figures | {MPJPE: float(np.mean(metrics.mpjpe(predicted, target)))}


def _indices(protocol, skeleton):
    """The indices of the joints of each column."""
    return {column: [skeleton.find(name) for name in names] for column, names in protocol.groups.items()}


def _figures_2d(protocol, arrays, skeleton):
    """Shares of correct 2D joints by group, in %. A joint counts if it and the joints of the segment are labeled."""
    predicted, target = arrays["pose2d"], arrays["true_pose2d_crop"]
    segment = metrics.segment(protocol.metric, skeleton)
    correct = metrics.correct_joints(predicted, target, segment, PHOTO_ALPHAS[protocol.metric]).numpy()
    counted = geometry.labeled(target).numpy() > 0
    counted &= counted[:, list(segment)].all(axis=1, keepdims=True)
    if not counted.any():
        ends = " and ".join(skeleton.joints[joint] for joint in segment)
        raise UserError(f"--protocol={protocol.name}: no photograph labels both {ends}, which it measures by")
    groups = _indices(protocol, skeleton)
    each = {joint: correct[counted[:, joint], joint] for group in groups.values() for joint in group}
    means = {joint: float(values.mean()) for joint, values in each.items() if len(values)}
    figures = {}
    for column, group in groups.items():
        known = [means[joint] for joint in group if joint in means]
        figures[column] = 100 * float(np.mean(known)) if known else None
    everything = np.concatenate(list(each.values()))
    return figures | {MEAN: 100 * float(everything.mean())}
