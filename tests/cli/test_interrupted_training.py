"""Tests of runs that are killed, stopped, damaged and watched, as processes."""

import json
import pathlib
import random
import shutil
import signal
import time

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pose_tf.data import records
from tests.cli.processes import assert_same_state, newest, wait_for_step

ROOT = pathlib.Path(__file__).parents[2]


def test_a_training_that_is_killed_five_times_ends_as_if_it_had_not_been(start_tool, detector_flags, tmp_path):
    whole = start_tool(*detector_flags("whole"))
    draw = random.Random(time.time_ns())
    points = [draw.randint(first, first + 6) for first in (1, 8, 15, 22, 29)]
    print("killed after steps", points)
    for point in points:
        process = start_tool(*detector_flags("killed"))
        wait_for_step(process, tmp_path / "killed", point)
        time.sleep(draw.uniform(0, 0.1))
        process.kill()
        process.wait()
    process = start_tool(*detector_flags("killed"))
    assert process.wait() == 0, process.errors.read_text()
    assert whole.wait() == 0, whole.errors.read_text()
    assert newest(tmp_path / "killed") == 40
    assert_same_state(tmp_path / "killed", tmp_path / "whole")
    lines = [json.loads(line) for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    for split, steps in (("train", range(4, 41, 4)), ("validation", (16, 32, 40))):
        assert [line["step"] for line in lines if line["split"] == split] == list(steps)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_training_that_is_asked_to_stop_leaves_a_checkpoint_of_its_last_step(
    start_tool, detector_flags, tmp_path, number
):
    process = start_tool(
        *detector_flags("run"),
        "--config.train.epochs=100000.0",
        "--config.train.steps_per_call=100000",
        "--config.train.report_every_steps=100000",
        "--config.train.validate_every_epochs=100000.0",
        "--config.train.checkpoint_every_minutes=100.0",
        "--config.profile_steps=(1,2)",  # when it is written, a call of 100,000 steps begins
    )
    while not list(tmp_path.glob("run/tensorboard/plugins/profile/*/*.xplane.pb")):
        assert process.poll() is None, process.errors.read_text()
        time.sleep(0.1)
    time.sleep(1)
    assert not newest(tmp_path / "run")
    process.send_signal(number)
    assert process.wait(20) == 0, process.errors.read_text()
    step = newest(tmp_path / "run")
    assert 2 < step < 10000
    assert f"stopped at step {step}; the same command resumes from there" in process.errors.read_text()


@pytest.mark.parametrize("lost", [0, 1])
def test_two_workers_of_which_one_is_killed_end_as_if_it_had_not_been(start_workers, tmp_path, lost):
    for name in ("whole", "killed"):
        workers, start = start_workers(name)
        if name == "killed":
            wait_for_step(workers[0], tmp_path / name, 20)
            workers[lost].kill()
            workers[lost].wait()
            workers[lost] = start(lost)
        for worker in workers:
            assert worker.wait(100) == 0, worker.errors.read_text()
        assert newest(tmp_path / name) == 120
    assert_same_state(tmp_path / "killed", tmp_path / "whole")
    assert "the connection to another worker was lost" in workers[1 - lost].errors.read_text()


def test_all_workers_stop_when_one_is_asked_to(start_workers, tmp_path):
    workers, _ = start_workers("run", "--config.train.epochs=100000.0", "--config.train.validate_every_epochs=100000.0")
    wait_for_step(workers[0], tmp_path / "run", 20)
    workers[1].send_signal(signal.SIGTERM)
    for worker in workers:
        assert worker.wait(30) == 0, worker.errors.read_text()
    assert f"stopped at step {newest(tmp_path / 'run')};" in workers[0].errors.read_text()


def test_damaged_records_are_counted_and_named_or_stop_the_training(run_tool, fails, shards, detector_flags, tmp_path):
    samples = list(records.read(f"{shards}/h36/3.tfrecord", records.H36M))
    samples[2] = samples[2] | {"pose3d": samples[2]["pose3d"] * np.float32(np.nan)}
    damaged = tmp_path / "data" / "h36"
    shutil.copytree(shards / "h36", damaged)
    records.write(f"{damaged}/3.tfrecord", samples, records.H36M)
    flags = ("--config.train.epochs=2.0", f"--data_dir={damaged.parent}")
    message = fails(*detector_flags("stop", *flags))
    assert f"{damaged}/3.tfrecord record 2" in message

    done = run_tool(*detector_flags("skip", *flags, "--config.data.on_damage=skip"))
    assert f'{damaged}/3.tfrecord" record 2' in done.stderr
    lines = [json.loads(line) for line in (tmp_path / "skip" / "metrics.jsonl").read_text().splitlines()]
    assert sum(line.get("skipped_records", 0) for line in lines) in (1, 2)  # the last batch may not reach it again
    (events,) = (tmp_path / "skip" / "tensorboard").glob("events*")
    assert "train/skipped_records" in EventAccumulator(str(events)).Reload().Tags()["tensors"]


def test_a_record_that_goes_bad_after_the_start_is_named(fails, run_tool, shards, detector_flags, tmp_path):
    """The index was made before the damage, so the run meets the damage later."""
    shutil.copytree(shards, tmp_path / "data")
    flags = detector_flags("run", f"--data_dir={tmp_path}/data")
    run_tool(*flags, "--config.train.epochs=1.0")
    shard = tmp_path / "data" / "h36" / "5.tfrecord"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0xFF
    shard.write_bytes(data)
    message = fails(*detector_flags("again", f"--data_dir={tmp_path}/data"))
    assert f"{shard} record " in message
