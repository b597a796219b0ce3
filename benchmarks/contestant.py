"""Scripts that work on demand in processes of their own: two frameworks, or two versions of one, take turns."""

import json
import os
import subprocess
import tempfile

from pose_tf.errors import UserError


class Contestant:
    """A script that calls `serve` of `on_demand.py` in the end.

    Args:
        python: the interpreter.
        script: path.
        arguments: a dict is sent as JSON.

    Raises:
        UserError: there is no such interpreter.
    """

    def __init__(self, python, script, *arguments):
        arguments = [json.dumps(value) if isinstance(value, dict) else str(value) for value in arguments]
        self._command = [str(python), str(script), *arguments]
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                env=os.environ | {"TF_FORCE_GPU_ALLOW_GROWTH": "true"},  # several share a GPU
            )
        except OSError as error:
            raise UserError(f"{python} cannot be run: {error.strerror}") from None

    def __call__(self, calls: int) -> float:
        """Makes some calls; seconds.

        Raises:
            UserError: the process has died, with the last thing that it said.
        """
        try:
            print(calls, file=self._process.stdin, flush=True)
            return float(self._process.stdout.readline())
        except (BrokenPipeError, ValueError):
            self._process.wait()
            self._errors.seek(0)
            last = (self._errors.read().strip().splitlines() or ["no reason given"])[-1]
            raise UserError(f"{' '.join(self._command)} has failed: {last}") from None

    def close(self):
        self._process.stdin.close()
        self._process.wait()
