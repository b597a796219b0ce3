"""Tests of the Slurm job in the documentation, run by bash with replacements for Slurm's commands and for the run."""

import pathlib
import re
import signal
import subprocess
import time

import pytest

from pose_tf.training.cluster import Cluster, read_tf_config

ROOT = pathlib.Path(__file__).parents[1]

SCONTROL = """
echo "$@" >> scontrol.txt
if [ "$1" = show ]; then echo node7; echo node9; fi
"""
SRUN = """
while [[ "$1" == --* ]]; do shift; done
SLURM_PROCID=1 exec "$@"
"""
TRAINING = {
    "runs on and stops when asked to": "trap 'echo checkpoint > stopped; exit 0' TERM; echo > started",
    "runs on and fails when asked to stop": "trap 'exit 1' TERM; echo > started",
    "is finished": "exit 0",
    "fails": "exit 1",
    "is killed": "kill -KILL $$",
}
TRAINING = {
    name: f'echo "$TF_CONFIG" > tf_config.txt\n{text}\nwhile :; do sleep 0.05; done' for name, text in TRAINING.items()
}


@pytest.fixture
def start_job(tmp_path):
    """A function that starts the job with a given run in `tmp_path`."""
    page = (ROOT / "docs/training.md").read_text()
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH .*?)```", page, re.DOTALL)
    started = []

    def start(training):
        (tmp_path / "job.sh").write_text(script)
        programs = {"bin/scontrol": SCONTROL, "bin/srun": SRUN, ".venv/bin/python": TRAINING[training]}
        for name, text in programs.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"#!/bin/bash\n{text}")
            path.chmod(0o755)
        environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "SLURM_JOB_ID": "42", "SLURM_JOB_NODELIST": "node[7,9]"}
        process = subprocess.Popen(["bash", "job.sh"], cwd=tmp_path, env=environment)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def end_time(process, tmp_path):
    """Sends the signal that Slurm sends 300 seconds before the end."""
    deadline = time.monotonic() + 30
    while not (tmp_path / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)


def requeued(tmp_path):
    return (tmp_path / "scontrol.txt").read_text().splitlines()[1:]


def test_the_job_names_every_worker_its_place(start_job, tmp_path, monkeypatch):
    assert start_job("is finished").wait(30) == 0
    monkeypatch.setenv("TF_CONFIG", (tmp_path / "tf_config.txt").read_text())
    assert read_tf_config() == Cluster(("node7:12345", "node9:12345"), 1)


def test_a_job_whose_time_is_up_is_stopped_and_queued_again_once(start_job, tmp_path):
    job = start_job("runs on and stops when asked to")
    end_time(job, tmp_path)
    assert job.wait(30) == 0
    assert (tmp_path / "stopped").read_text() == "checkpoint\n"
    assert requeued(tmp_path) == ["requeue 42"]


@pytest.mark.parametrize(("training", "status"), [("is finished", 0), ("fails", 1), ("is killed", 137)])
def test_a_job_that_ends_before_its_time_is_not_queued_again(start_job, tmp_path, training, status):
    assert start_job(training).wait(30) == status
    assert requeued(tmp_path) == []


def test_a_job_that_fails_when_its_time_is_up_is_not_queued_again(start_job, tmp_path):
    job = start_job("runs on and fails when asked to stop")
    end_time(job, tmp_path)
    assert job.wait(30) == 1
    assert requeued(tmp_path) == []
