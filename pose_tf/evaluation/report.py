"""Evaluation reports: for the terminal, in Markdown, LaTeX and JSON, and as an image."""

import json

import numpy as np

from pose_tf import viz
from pose_tf.evaluation.tables import Table, as_latex, as_markdown, as_text
from pose_tf.skeleton import H36M, LIMBS, Skeleton

IN_MM = ("mpjpe", "pa_mpjpe", "n_mpjpe", "bone_length_error", "bone_symmetry_error")
"""Metrics that are lengths; others are shares."""
COLUMNS = {
    "mpjpe": "MPJPE", "pa_mpjpe": "PA-MPJPE", "n_mpjpe": "N-MPJPE", "pck3d": "PCK@150mm", "auc3d": "AUC",
    "bone_length_error": "bones", "bone_symmetry_error": "left/right",
}  # fmt: skip
LIMB_NAMES = {
    "Hip": "hip", "Knee": "knee", "Foot": "ankle", "Shoulder": "shoulder", "Elbow": "elbow", "Wrist": "wrist",
}  # fmt: skip
PARTS = {"detected_2d": "detected 2D", "true_2d": "true 2D", "mean_pose": "mean training pose"}


def format_report(report: dict, form: str = "text") -> str:
    """A report of `evaluator` for people, or as JSON.

    Args:
        report: the report. Of one with figures of a protocol, the table of the protocol is shown, and nothing else.
        form: one of `pose_tf.choices.FORMATS`. LaTeX needs the package booktabs; what is not a table becomes comments.
    """
    if form == "json":
        return json.dumps(report, indent=1)
    blocks = _protocol_blocks(report["protocol"]) if "protocol" in report else _blocks(report)
    render, sentence = RENDERERS[form]
    blocks = [*blocks, *_warnings(report)]
    return "\n\n".join(render(block) if isinstance(block, Table) else sentence(block) for block in blocks)


RENDERERS = {
    "text": (as_text, str),
    "markdown": (as_markdown, str),
    "latex": (as_latex, lambda text: f"% {text}"),
}
"""Functions of tables and of sentences, by format."""


def _protocol_blocks(part):
    """The table of a protocol, its title and its notes. See `protocol_scores.part`."""
    yield part["title"]
    columns = tuple(next(iter(part["rows"].values())))
    rows = ((label, *(_number(values[column]) for column in columns)) for label, values in part["rows"].items())
    yield Table(("", *columns), tuple(rows))
    yield from part["notes"]


def _number(value):
    return "-" if value is None else f"{value:.1f}"


def _blocks(report):
    """The sentences and tables of a report."""
    whose = f"samples of subject {', '.join(map(str, report['subjects']))}" if "subjects" in report else "photographs"
    yield f"{report['samples']} {whose}"
    if "pose2d" in report:
        yield from _blocks_2d(report["pose2d"])
    parts = {name: title for name, title in PARTS.items() if name in report}
    for name, title in parts.items():
        yield _table_3d(report[name], title, with_actions=name != "mean_pose")
    depth = {name: error for name, error in report.get("depth", {}).items() if error is not None}
    if depth:
        errors = ", ".join(f"{PARTS[name]} {error:.1%}" for name, error in depth.items())
        yield f"distance from the camera, median error: {errors}"
    for name, title in list(parts.items())[:1]:
        yield _table_of_joints(report[name]["joints"], title)


def _warnings(report):
    """Sentences about what training has seen, see `evaluator.seen_in_training`."""
    for key, what in (
        ("trained_on", "was trained on: these errors say little about other people."),
        ("selected_on", "also chose the best weights during training: these errors are optimistic."),
    ):
        if report.get(key):
            yield f"Subject {', '.join(map(str, report[key]))} {what}"
    if report.get("trained_on_photos"):
        yield "Training has read these files: the errors say little about other photographs."
    if report.get("selected_on_photos"):
        yield "These photographs also chose the best weights during training: the errors are optimistic."


def _blocks_2d(part):
    """A sentence about 2D joints, and a table of shares of correct joints of arms and legs."""
    total = part["total"]
    outside = f"(without {part['joints_outside']} joints outside the crop)"
    if total["pixel_error"] is None:
        yield f"2D joints: no joint is inside its crop {outside}"
        return
    correct = {"PCK@0.2 torso": total.get("pck2d"), "PCKh@0.5": total.get("pckh")}
    errors = [f"mean error {total['pixel_error']:.2f} px", f"median {total['pixel_error_median']:.2f} px"]
    errors += [f"{name} {100 * share:.1f} %" for name, share in correct.items() if share is not None]
    yield f"2D joints: {', '.join(errors)} {outside}"
    shares = ((name, share) for joint, share in part["pck2d_joints"].items() for name in joint.split("/"))
    each = {name: share for name, share in shares if name in LIMBS}
    pairs = {column: [each[side + part] for side in "LR"] for part, column in LIMB_NAMES.items() if f"L{part}" in each}
    if total["pck2d_limbs"] is not None:
        columns = {"limbs": [total["pck2d_limbs"]]} | pairs
        yield Table(("", *columns), (("PCK@0.2 torso", *map(_percent, columns.values())),))


def _percent(values):
    """The mean of shares as text; those that are None do not count."""
    known = [value for value in values if value is not None]
    return f"{100 * sum(known) / len(known):.1f}%" if known else "-"


def _table_3d(part, title, with_actions):
    """A table of 3D errors: in total, as the mean over the actions, and by action."""
    rows = {title: part["total"]}
    columns = {name: column for name, column in COLUMNS.items() if name in part["total"]}
    if part["action_mean"]:
        rows["  mean of the actions"] = part["action_mean"]
    if with_actions:
        rows |= {f"  {action}": values for action, values in part["actions"].items()}
    cells = [
        (label, *(f"{values[n]:.2f}" if n in IN_MM else f"{100 * values[n]:.1f}%" for n in columns))
        for label, values in rows.items()
    ]
    return Table(("", *columns.values()), tuple(cells))


def _table_of_joints(joints, title):
    """A table of 3D errors by joint."""
    rows = ((f"  {joint}", f"{values['mpjpe']:.2f}", f"{values['pa_mpjpe']:.2f}") for joint, values in joints.items())
    return Table((f"joint ({title})", "MPJPE", "PA-MPJPE"), tuple(rows))


def preview(arrays: dict[str, np.ndarray], skeleton: Skeleton = H36M) -> np.ndarray:
    """A sheet of samples: image, predicted and true 2D joints, predicted and true 3D pose from three sides.

    Args:
        arrays: the arrays returned by `evaluator.evaluate_images`, or `evaluate_photos`, which has no 3D poses.
        skeleton: of the poses.
    """
    if "pose3d" not in arrays:
        truth = arrays["true_pose2d_crop"][: len(arrays["image"])]
        return viz.sheet_2d(arrays["image"], arrays["pose2d"], viz.only_labeled(truth), skeleton=skeleton)
    keys = ("image", "pose2d", "pose3d", "true_pose2d_crop", "true_pose3d")
    rows = zip(*(arrays[key] for key in keys))
    return viz.grid([viz.panel(*row, skeleton=skeleton) for row in rows], columns=1)
