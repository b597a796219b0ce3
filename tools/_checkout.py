"""Runs a command of `pose-tf` from a checkout that is not installed."""

import os
import sys

TOOLS = {"serve-client": "serving_client", "inspect": "inspect_records", "make-sample": "make_sample_data"}


def run(command: str) -> None:
    """Runs a command with the flags in `sys.argv`."""
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    try:
        from pose_tf import cli
    except ModuleNotFoundError as error:
        sys.exit(f"error: {error}; BUILD.md lists the required packages")
    except ImportError as error:  # Keras 3
        sys.exit(f"error: {' '.join(str(error).split())}")
    cli.run_command(command, lambda other: f"python tools/{TOOLS.get(other, other.replace('-', '_'))}.py")
