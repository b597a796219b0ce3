"""tools/predict.py without a model: all joints are in the middle of what is white. Tests run it as a process."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

import _checkout  # noqa: E402, F401
import _pictures  # noqa: E402

from pose_tf import cli  # noqa: E402


def main():
    from pose_tf.predict.predictor import predict
    from tests.predict.marks import MARKS

    predict(MARKS, _pictures.INPUT.value, _pictures.options())


if __name__ == "__main__":
    cli.run(main)
