"""Measures how much memory an exported model needs for a request."""

import os
import pickle
import subprocess
import sys

import pytest

reports_memory = pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="the operating system does not report memory"
)

MEASURE = """
import pickle, sys, threading
import tensorflow as tf
tf.config.threading.set_inter_op_parallelism_threads(12)  # as a machine of 12 cores
tf.config.threading.set_intra_op_parallelism_threads(1)
estimate = tf.saved_model.load(sys.argv[1]).signatures[sys.argv[2]]
first, request = (
    {key: tf.constant(value) for key, value in inputs.items()} for inputs in pickle.load(sys.stdin.buffer)
)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4 / 1024

estimate(**first)
before, done, peak = resident(), threading.Event(), 0
asked = threading.Thread(target=lambda: (estimate(**request), done.set()))
asked.start()
while not done.wait(0.002) and asked.is_alive():
    peak = max(peak, resident())
assert done.is_set()
print(peak - before)
"""


def memory_of_request(exported, signature, first, request):
    """MiB that a process without this package needs at most for a request, beyond what it has after a first one.

    Args:
        exported: directory of the exported model.
        signature: name of the signature.
        first, request: {name: input} of the two requests.
    """
    command = [sys.executable, "-I", "-c", MEASURE, exported, signature]
    done = subprocess.run(command, input=pickle.dumps((first, request)), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return float(done.stdout)
