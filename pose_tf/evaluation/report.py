"""Evaluation reports, for the terminal and as an image."""

import numpy as np

from pose_tf import viz

IN_MM = ("mpjpe", "pa_mpjpe", "n_mpjpe")
"""Metrics that are lengths; others are shares."""
COLUMNS = {"mpjpe": "MPJPE", "pa_mpjpe": "PA-MPJPE", "n_mpjpe": "N-MPJPE", "pck3d": "PCK@150mm", "auc3d": "AUC"}
PARTS = {"detected_2d": "detected 2D", "true_2d": "true 2D", "mean_pose": "mean training pose"}


def format_report(report: dict) -> str:
    """The report of `evaluator.evaluate_images` or `evaluate_poses` as a table for the terminal."""
    lines = [f"{report['samples']} samples of subject {', '.join(map(str, report['subjects']))}", ""]
    if "pose2d" in report:
        lines += [_format_2d(report["pose2d"]), ""]
    parts = {name: title for name, title in PARTS.items() if name in report}
    for name, title in parts.items():
        lines += [*_format_3d(report[name], title, with_actions=name != "mean_pose"), ""]
    name, title = next(iter(parts.items()))
    lines += _format_joints(report[name]["joints"], title)
    for key, what in (
        ("trained_on", "was trained on: these errors say little about other people."),
        ("selected_on", "also chose the best weights during training: these errors are optimistic."),
    ):
        if report.get(key):
            lines += ["", f"Subject {', '.join(map(str, report[key]))} {what}"]
    return "\n".join(lines)


def _format_2d(part):
    """One line about 2D joints."""
    total = part["total"]
    if total["pixel_error"] is None:
        errors = "no joint is inside its crop"
    else:
        errors = (
            f"mean error {total['pixel_error']:.2f} px, median {total['pixel_error_median']:.2f} px, "
            f"PCK@0.2 torso {100 * total['pck2d']:.1f} %"
        )
    return f"2D joints: {errors} (without {part['joints_outside']} joints outside the crop)"


def _format_3d(part, title, with_actions):
    """A table of 3D errors: in total, as the mean over the actions, and by action."""
    rows = {title: part["total"]}
    if part["action_mean"]:
        rows["  mean of the actions"] = part["action_mean"]
    if with_actions:
        rows |= {f"  {action}": values for action, values in part["actions"].items()}
    yield f"{'':22s}" + "".join(f"{title:>11s}" for title in COLUMNS.values())
    for row, values in rows.items():
        cells = [f"{values[n]:11.2f}" if n in IN_MM else f"{100 * values[n]:10.1f}%" for n in COLUMNS]
        yield f"{row:22s}" + "".join(cells)


def _format_joints(joints, title):
    """A table of 3D errors by joint."""
    yield f"{'joint (' + title + ')':22s}{'MPJPE':>11s}{'PA-MPJPE':>11s}"
    for joint, values in joints.items():
        yield f"  {joint:20s}{values['mpjpe']:11.2f}{values['pa_mpjpe']:11.2f}"


def preview(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """A sheet of samples: image, predicted and true 2D joints, predicted and true 3D pose from three sides.

    Args:
        arrays: the arrays returned by `evaluator.evaluate_images`.
    """
    keys = ("image", "pose2d", "pose3d", "true_pose2d_crop", "true_pose3d")
    return viz.grid([viz.panel(*row) for row in zip(*(arrays[key] for key in keys))], columns=1)
