"""Evaluation reports, for the terminal and as an image."""

import numpy as np

from pose_tf import metrics, skeleton, viz

IN_MM = ("mpjpe", "pa_mpjpe", "n_mpjpe", "bone_length_error", "bone_symmetry_error")
"""Metrics that are lengths; others are shares."""
COLUMNS = {
    "mpjpe": "MPJPE", "pa_mpjpe": "PA-MPJPE", "n_mpjpe": "N-MPJPE", "pck3d": "PCK@150mm", "auc3d": "AUC",
    "bone_length_error": "bones", "bone_symmetry_error": "left/right",
}  # fmt: skip
LIMBS = tuple(skeleton.H36M.joints[joint] for joint in metrics.LIMBS)
LIMB_NAMES = {
    "Foot": "ankle", "Knee": "knee", "Hip": "hip", "Wrist": "wrist", "Elbow": "elbow", "Shoulder": "shoulder",
}  # fmt: skip
PARTS = {"detected_2d": "detected 2D", "true_2d": "true 2D", "mean_pose": "mean training pose"}


def format_report(report: dict) -> str:
    """A report of `evaluator` as a table for the terminal."""
    whose = f"samples of subject {', '.join(map(str, report['subjects']))}" if "subjects" in report else "photographs"
    lines = [f"{report['samples']} {whose}", ""]
    if "pose2d" in report:
        lines += [*_format_2d(report["pose2d"]), ""]
    parts = {name: title for name, title in PARTS.items() if name in report}
    for name, title in parts.items():
        lines += [*_format_3d(report[name], title, with_actions=name != "mean_pose"), ""]
    depth = {name: error for name, error in report.get("depth", {}).items() if error is not None}
    if depth:
        errors = ", ".join(f"{PARTS[name]} {error:.1%}" for name, error in depth.items())
        lines += [f"distance from the camera, median error: {errors}", ""]
    for name, title in list(parts.items())[:1]:
        lines += _format_joints(report[name]["joints"], title)
    for key, what in (
        ("trained_on", "was trained on: these errors say little about other people."),
        ("selected_on", "also chose the best weights during training: these errors are optimistic."),
    ):
        if report.get(key):
            lines += ["", f"Subject {', '.join(map(str, report[key]))} {what}"]
    while lines[-1] == "":
        lines.pop()
    if report.get("trained_on_photos"):
        lines += ["", "Training has read these files: the errors say little about other photographs."]
    if report.get("selected_on_photos"):
        lines += ["", "These photographs also chose the best weights during training: the errors are optimistic."]
    return "\n".join(lines)


def _format_2d(part):
    """Lines about 2D joints: mean errors, and shares of correct joints of arms and legs."""
    total = part["total"]
    outside = f"(without {part['joints_outside']} joints outside the crop)"
    if total["pixel_error"] is None:
        yield f"2D joints: no joint is inside its crop {outside}"
        return
    shares = {"PCK@0.2 torso": total["pck2d"], "PCKh@0.5": total.get("pckh")}
    errors = [f"mean error {total['pixel_error']:.2f} px", f"median {total['pixel_error_median']:.2f} px"]
    errors += [f"{name} {100 * share:.1f} %" for name, share in shares.items() if share is not None]
    yield f"2D joints: {', '.join(errors)} {outside}"
    each = {name: part["pck2d_joints"][name] for name in LIMBS}
    pairs = {LIMB_NAMES[name[1:]]: [each[side + name[1:]] for side in "LR"] for name in LIMBS if name[0] == "L"}
    if total["pck2d_limbs"] is not None:
        columns = {"limbs": [total["pck2d_limbs"]]} | pairs
        yield ""
        yield f"{'':22s}" + "".join(f"{name:>11s}" for name in columns)
        yield f"{'PCK@0.2 torso':22s}" + "".join(f"{_percent(values):>11s}" for values in columns.values())


def _percent(values):
    """The mean of shares as text; those that are None do not count."""
    known = [value for value in values if value is not None]
    return f"{100 * sum(known) / len(known):.1f}%" if known else "-"


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
        arrays: the arrays returned by `evaluator.evaluate_images`, or `evaluate_photos`, which has no 3D poses.
    """
    if "pose3d" not in arrays:
        truth = arrays["true_pose2d_crop"][: len(arrays["image"])]
        return viz.sheet_2d(arrays["image"], arrays["pose2d"], viz.only_labeled(truth))
    keys = ("image", "pose2d", "pose3d", "true_pose2d_crop", "true_pose3d")
    return viz.grid([viz.panel(*row) for row in zip(*(arrays[key] for key in keys))], columns=1)
