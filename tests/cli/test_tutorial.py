"""The notebook of docs/ runs, on small stand-ins for the quickstart's files."""

import json
import sys

from tests.cli import forked
from tests.cli.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


def test_the_tutorial_runs(sample_data, detector, lifter, run_tool, tmp_path):
    quickstart = tmp_path / "quickstart"
    quickstart.mkdir()
    (quickstart / "data").symlink_to(sample_data)
    (quickstart / "detector").symlink_to(detector)
    run_tool("export", f"--detector={detector}", f"--lifter={lifter}", f"--output_dir={quickstart}/model")
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    source = "\n".join("".join(cell["source"]) for cell in cells)
    smaller = source.replace("batch_size = 128", "batch_size = 8").replace("channels = 64", "channels = 8")
    assert smaller != source
    (tmp_path / "tutorial.py").write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{smaller}")
    done = forked.run([sys.executable, str(tmp_path / "tutorial.py")], tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "\nPA-MPJPE " in done.stdout and "difference to the quickstart's lifter" in done.stdout
    assert (quickstart / "tutorial_lifter" / "best.keras").exists()
