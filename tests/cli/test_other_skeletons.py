"""The commands with the 16 joints of the public SemGCN code, from Human3.6M's records to the poses of a photo."""

import json

import numpy as np
import pytest

from tests.cli.conftest import ROOT
from tests.skeletons import H36M_16

SMALL = ("--config.skeleton=h36m_16", "--config.data.batch_size=8", "--config.train.epochs=0.5")


@pytest.fixture(scope="module")
def runs(train_detector, train_lifter, tmp_path_factory):
    """Flags that name a detector and a lifter of 16 joints, which were trained for a few steps."""
    folder = tmp_path_factory.mktemp("runs")
    train_detector(folder / "detector", *SMALL)
    train_lifter(folder / "lifter", *SMALL)
    return f"--detector={folder}/detector", f"--lifter={folder}/lifter"


def test_runs_of_16_joints_are_evaluated(runs, run_tool, fails, sample_data, tmp_path):
    done = run_tool(
        "evaluate",
        *runs,
        f"--data_dir={sample_data}/test",
        f"--output={tmp_path}/report.json",
        f"--preview={tmp_path}/sheet.png",
        f"--detections={tmp_path}/detections.npz",
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["detected_2d"]["joints"]) == list(H36M_16.joints) and "Neck/Nose" not in done.stdout
    with np.load(tmp_path / "detections.npz") as file:
        assert file["joints"].tolist() == list(H36M_16.joints) and file["detected"].shape == (6, 16, 2)
    message = fails("evaluate", *runs[:1], f"--data_dir={sample_data}/test", "--protocol=pckh")
    expected = "--protocol=pckh measures Neck/Nose, which the skeleton h36m_16 (16 joints) of the run lacks"
    assert message == f"error: {expected}"
    records = f"--records={sample_data}/test_set.tfrecords"
    message = fails("submit", *runs, records, f"--output={tmp_path}/submission.csv")
    assert "a submission has the joints of h36m (17 joints), but" in message and "h36m_16 (16 joints)" in message
    assert not (tmp_path / "submission.csv").exists()


def test_an_export_of_16_joints_predicts_a_photo(runs, run_tool, fails, sample_data, tmp_path):
    run_tool("export", *runs, f"--output_dir={tmp_path}/model")
    photo = f"--input={sample_data}/photos/person0.png"
    run_tool("predict", f"--model={tmp_path}/model", photo, f"--output_dir={tmp_path}/poses", "--box=whole")
    result = json.loads((tmp_path / "poses" / "person0.json").read_text())
    assert result["joints"] == list(H36M_16.joints)
    assert np.shape(result["frames"][0]["people"][0]["pose3d_mm"]) == (16, 3)
    message = fails("motion", f"--input={tmp_path}/poses/person0.json", f"--output_dir={tmp_path}/motion")
    assert "its poses lack Neck/Nose; motions need the joints of Human3.6M" in message


def test_a_skeleton_that_does_not_exist_is_refused(fails, sample_data, tmp_path):
    flags = (f"--config={ROOT}/configs/quickstart_lifter.py", f"--config.data.poses={sample_data}/poses.npz")
    message = fails("train", *flags, f"--workdir={tmp_path}/lifter", "--config.skeleton=centaur")
    assert message.startswith("error: config.skeleton=centaur does not exist; give a JSON file or one of the skeletons")
