"""`pose-tf predict` without a model: puts all joints at the center of the white pixels. Tests run it as a process."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from pose_tf import cli  # noqa: E402
from pose_tf.cli import _photos  # noqa: E402


def main():
    cli.start_tensorflow()
    from pose_tf.predict.predictor import predict
    from tests.predict.marks import MARKS

    predict(MARKS, _photos.INPUT.value, _photos.options())


if __name__ == "__main__":
    cli.run(main)
