"""The course's submission file."""

import gzip
import io

import numpy as np

from pose_tf import files, geometry
from pose_tf.skeleton import H36M


def write_submission(path: str, pose3d: np.ndarray) -> None:
    """Writes `submission.csv.gz`: a header, then for each record its Id (from 1) and 51 hip-relative values in mm.

    Args:
        path: file to write. It is compressed if the name ends in .gz.
        pose3d: float [N, 17, 3] mm, in record order.
    """
    header = ",".join(["Id"] + [f"{joint}_{axis}" for joint in H36M.joints for axis in "xyz"])
    rows = geometry.hip_relative(pose3d).reshape(len(pose3d), -1)
    table = np.column_stack([np.arange(1, len(rows) + 1), rows])
    text = io.StringIO()
    np.savetxt(text, table, fmt=["%d"] + ["%.4f"] * rows.shape[1], delimiter=",", header=header, comments="")
    data = text.getvalue().encode()
    if path.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    files.write_bytes(path, data)
