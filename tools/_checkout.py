"""Lets the tools run from a checkout that is not installed, and keeps libraries' messages off the terminal."""

import contextlib
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OPENCV_LOG_LEVEL", "OFF")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
while (_spare := os.open(os.devnull, os.O_RDWR)) <= 2:  # in place of standard streams that are closed
    pass
os.close(_spare)


@contextlib.contextmanager
def _without_messages():
    """Later versions of TensorFlow than 2.15 tell of the machine before they look at TF_CPP_MIN_LOG_LEVEL."""
    with tempfile.TemporaryFile() as messages:
        terminal = os.dup(2)
        os.dup2(messages.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            messages.seek(0)
            for line in messages:
                if not line.startswith((b"I0000 ", b"WARNING: All log messages before absl::InitializeLog()")):
                    os.write(2, line)


try:
    with contextlib.nullcontext() if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0" else _without_messages():
        import pose_tf  # noqa: F401
except ModuleNotFoundError as error:
    sys.exit(f"error: {error}; BUILD.md says what has to be installed")
except ImportError as error:
    sys.exit(f"error: {' '.join(str(error).split())}")
