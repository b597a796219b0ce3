"""Tests of the figures of published protocols, computed once more with NumPy."""

import numpy as np
import pytest

from pose_tf.errors import UserError
from pose_tf.evaluation import evaluator
from pose_tf.evaluation.protocol_scores import score
from pose_tf.evaluation.protocols import PROTOCOLS
from pose_tf.evaluation.report import format_report
from pose_tf.geometry import UNLABELED_PX
from tests.cli.scores import scores

NUMBERS = {
    "Direct.": 2, "Discuss.": 3, "Eat": 4, "Greet": 5, "Phone": 6, "Photo": 12, "Pose": 7, "Purch.": 8, "Sit": 9,
    "SitD.": 10, "Smoke": 11, "Wait": 13, "WalkD.": 15, "Walk": 14, "WalkT.": 16,
}  # fmt: skip
"""Human3.6M's actions in the order of papers, by their numbers in the records."""
HEAD, NECK, THORAX = 10, 9, 8
GROUPS = {"Shoulder": (11, 14), "Elbow": (12, 15), "Wrist": (13, 16), "Hip": (4, 1), "Knee": (5, 2), "Ankle": (6, 3)}


@pytest.fixture
def poses(rng):
    """40 true poses of 15 actions, and predictions from detected and from true joints."""
    action = np.concatenate([np.arange(2, 17), rng.integers(2, 17, 25)])
    target = np.float32(rng.normal(0, 300, (40, 17, 3)))
    errors = np.float32(rng.normal(0, 60, (2, 40, 17, 3)))
    return {"action": action, "target": target, "detected 2D": target + errors[0], "true 2D": target + errors[1] / 2}


def report_of(poses):
    return {
        "samples": 40,
        "subjects": [9, 11],
        "detected_2d": evaluator.report_3d(poses["detected 2D"], poses["target"], poses["action"]),
        "true_2d": evaluator.report_3d(poses["true 2D"], poses["target"], poses["action"]),
    }


@pytest.mark.parametrize(("name", "number"), [("h36m_1", 0), ("h36m_2", 1)])
def test_human36m_has_a_column_for_each_action_and_both_means(poses, name, number):
    part = score(PROTOCOLS[name], report_of(poses), {})
    assert list(part["rows"]) == ["detected 2D", "true 2D"]
    for label, row in part["rows"].items():
        assert list(row) == [*NUMBERS, "Avg.", "Samples"]

        def error(chosen, label=label):
            return scores(poses[label][chosen], poses["target"][chosen])[number]

        by_action = {column: error(poses["action"] == action) for column, action in NUMBERS.items()}
        for column, expected in by_action.items():
            assert row[column] == pytest.approx(expected, abs=0.01), column
        assert row["Avg."] == pytest.approx(np.mean(list(by_action.values())), abs=0.01)
        assert row["Samples"] == pytest.approx(error(slice(None)), abs=0.01)
        assert abs(row["Avg."] - row["Samples"]) > 0.05
    assert len(part["notes"]) == 1


def test_actions_that_the_data_lacks_have_no_figure(poses):
    poses["action"][:] = np.where(poses["action"] == 9, 10, poses["action"])
    part = score(PROTOCOLS["h36m_1"], report_of(poses), {})
    assert part["rows"]["true 2D"]["Sit"] is None and part["rows"]["true 2D"]["SitD."] > 0
    assert part["notes"][1] == "The data lacks 1 of the 15 actions."
    (row,) = (line for line in format_report({"protocol": part}).splitlines() if line.startswith("true 2D"))
    assert row.split()[2:][list(NUMBERS).index("Sit")] == "-"
    poses["action"][:] = -1
    part = score(PROTOCOLS["h36m_1"], report_of(poses), {})
    assert part["rows"]["true 2D"]["Avg."] is None and part["rows"]["true 2D"]["Samples"] > 0
    assert part["notes"][1] == "The data does not say which actions it shows."


def test_other_actions_count_for_the_samples_only(poses):
    expected = score(PROTOCOLS["h36m_1"], report_of(poses), {})["rows"]["true 2D"]["Avg."]
    more = {key: np.concatenate([values, values[:5]]) for key, values in poses.items()}
    more["action"][40:], more["true 2D"][40:] = 99, 0
    part = score(PROTOCOLS["h36m_1"], report_of(more), {})
    assert part["rows"]["true 2D"]["Avg."] == pytest.approx(expected)
    assert part["rows"]["true 2D"]["Samples"] > expected + 5
    assert part["notes"][1] == "Of other actions, which only Samples counts, it has 1."


def test_mpi_inf_3dhp_counts_14_joints_and_mpjpe_17(poses):
    subject = np.arange(40) % 2 + 3
    arrays = {"true_pose3d": poses["target"], "true_subject": subject, "lifted": poses["true 2D"]}
    arrays["pose3d"] = poses["detected 2D"]
    rows = score(PROTOCOLS["mpi_inf_3dhp"], {}, arrays)["rows"]
    assert list(rows) == [f"{what}{whose}" for what in ("detected 2D", "true 2D") for whose in ("", ", S3", ", S4")]
    for label, row in rows.items():
        what, _, whose = label.partition(", S")
        chosen = subject == int(whose) if whose else np.full(40, True)
        relative = [array - array[:, :1] for array in (poses[what][chosen], poses["target"][chosen])]
        errors = np.linalg.norm(relative[0] - relative[1], axis=-1)
        counted = errors[:, [HEAD, THORAX, *(joint for pair in GROUPS.values() for joint in pair)]]
        assert counted.shape[1] == 14
        assert row["MPJPE"] == pytest.approx(errors.mean(), abs=0.01)
        assert row["PCK"] == pytest.approx(100 * (counted <= 150).mean(), abs=1e-3)
        auc = 100 * np.mean([(counted <= threshold).mean() for threshold in range(0, 151, 5)])
        assert row["AUC"] == pytest.approx(auc, abs=1e-3)
        groups = {"Head": (HEAD,), "Neck": (THORAX,)} | GROUPS
        for column, joints in groups.items():
            assert row[column] == pytest.approx(100 * (errors[:, joints] <= 150).mean(), abs=1e-3), column


@pytest.fixture
def photos(rng):
    """50 photos whose joints miss by up to 30 px, some of them outside of the crop, and some without a label."""
    target = np.float32(rng.uniform(20, 236, (50, 17, 2)))
    target[:, NECK] = target[:, HEAD] + np.float32([0, 30])
    target[:, 1] = target[:, 11] + np.float32([60, 0])  # right hip and left shoulder
    target[3, 13] = (300, 100)
    predicted = target + np.float32(rng.uniform(-20, 20, target.shape))
    target[rng.uniform(size=(50, 17)) < 0.1] = UNLABELED_PX
    return {"pose2d": predicted, "true_pose2d_crop": target}


@pytest.mark.parametrize(
    ("name", "segment", "alpha", "head"),
    [("pckh", (HEAD, NECK), 0.5, (HEAD, NECK)), ("lsp", (11, 1), 0.2, (HEAD, THORAX))],
)
def test_photographs_have_a_column_for_each_pair_of_joints(photos, name, segment, alpha, head):
    (row,) = score(PROTOCOLS[name], {}, photos)["rows"].values()
    assert list(row) == ["Head", *GROUPS, "Mean"]
    predicted, target = photos["pose2d"], photos["true_pose2d_crop"]
    shares, hits = {}, []
    for column, joints in ({"Head": head} | GROUPS).items():
        of_joints = []
        for joint in joints:
            counted = [
                np.hypot(*(p[joint] - t[joint])) <= alpha * np.hypot(*(t[segment[0]] - t[segment[1]]))
                for p, t in zip(predicted, target)
                if all(t[i, 0] != UNLABELED_PX for i in (joint, *segment))
            ]
            of_joints.append(np.mean(counted))
            hits += counted
        shares[column] = 100 * np.mean(of_joints)
    for column, expected in shares.items():
        assert 0 < expected < 100 and row[column] == pytest.approx(expected, abs=1e-3), column
    assert row["Mean"] == pytest.approx(100 * np.mean(hits), abs=1e-3)


def test_photographs_without_the_labels_that_a_protocol_needs_are_refused(photos):
    photos["true_pose2d_crop"][:, NECK] = UNLABELED_PX
    with pytest.raises(UserError, match="^--protocol=pckh: no photograph labels both Head and Neck/Nose, which it mea"):
        score(PROTOCOLS["pckh"], {}, photos)
    photos["true_pose2d_crop"][:, 13] = UNLABELED_PX
    photos["true_pose2d_crop"][:, 16] = UNLABELED_PX
    assert score(PROTOCOLS["lsp"], {}, photos)["rows"]["detected 2D"]["Wrist"] is None


def test_the_note_of_pckh_says_how_its_head_differs():
    assert any("0.6 times the diagonal" in note for note in PROTOCOLS["pckh"].notes)
    assert any("not comparable with published AP" in note for note in PROTOCOLS["coco"].notes)


def test_a_report_with_a_protocol_shows_its_table_and_what_training_has_seen(poses):
    report = report_of(poses) | {"trained_on": [9]}
    report["protocol"] = score(PROTOCOLS["h36m_2"], report, {}, ["A note."])
    title, table, *notes = format_report(report, "latex").split("\n\n")
    assert title == "% Human3.6M, protocol 2: PA-MPJPE [mm], subjects 9 and 11"
    assert table.startswith(r"\begin{tabular}{l" + 17 * "r" + "}\n")
    assert table.count("&") == 17 * 3 and table.count(r"\\") == 3
    assert notes[-2:] == [
        "% A note.",
        "% Subject 9 was trained on: these errors say little about other people.",
    ]
    assert format_report(report, "markdown").count("|") == 19 * 4


def test_a_report_without_a_protocol_has_its_tables_in_every_format(poses):
    report = report_of(poses)
    text, markdown, latex = (format_report(report, form) for form in ("text", "markdown", "latex"))
    value = f"{report['true_2d']['actions']['Sitting Down']['pa_mpjpe']:.2f}"
    assert all(value in form for form in (text, markdown, latex))
    assert latex.count(r"\toprule") == 3 and markdown.count("| --- |") == 3
    assert all(line.startswith(("%", "\\", " ", "joint", "detected", "true")) for line in latex.splitlines() if line)
    assert r"\quad Sitting Down &" in latex and r"PCK@150mm & AUC & bones & left/right \\" in latex
