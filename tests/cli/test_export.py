"""Tests of simultaneous exports."""

import json


def test_two_exports_into_one_directory_give_two_versions(start_tool, detector, lifter, tmp_path):
    flags = (f"--detector={detector}", f"--lifter={lifter}", f"--output_dir={tmp_path}/model")
    processes = [start_tool("export", *flags) for _ in range(2)]
    outputs = []
    for process in processes:
        status = process.wait(timeout=600)
        outputs.append(process.errors.read_text())
        assert status == 0, outputs[-1]
    assert {output.split()[-1] for output in outputs} == {f"{tmp_path}/model/1", f"{tmp_path}/model/2"}
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["1", "2"]
    for version in (1, 2):
        card = json.loads((tmp_path / "model" / str(version) / "assets.extra" / "model_card.json").read_text())
        assert card["version"] == version
