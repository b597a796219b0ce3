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
from pose_tf.data.occluders import OccluderBank
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


def run_twice(start, tmp_path, lost, kill_at):
    """Runs a cluster in the directories `whole` and `killed`, where a worker is killed after a step and restarted.

    Args:
        start: starts the workers in a directory of that name.

    Returns:
        The workers of the second run.
    """
    for name in ("whole", "killed"):
        workers, restart = start(name)
        if name == "killed":
            wait_for_step(workers[0], tmp_path / name, kill_at)
            workers[lost].kill()
            workers[lost].wait()
            killed, workers[lost] = workers[lost], restart(lost)
        for worker in workers:
            assert worker.wait(200) == 0, worker.errors.read_text()
    assert_same_state(tmp_path / "killed", tmp_path / "whole")
    assert "the connection to another worker was lost" in workers[1 - lost].errors.read_text()
    return [killed, *workers]


def test_two_workers_of_which_the_first_is_killed_end_as_if_it_had_not_been(start_workers, tmp_path):
    run_twice(start_workers, tmp_path, lost=0, kill_at=20)
    assert newest(tmp_path / "whole") == 120


TWO_CPUS = """
import runpy, sys
sys.path[:0] = [{root!r}, {root!r} + "/tools"]
import pose_tf
import tensorflow as tf
from tensorflow.python.distribute.collective_all_reduce_strategy import CollectiveAllReduceExtended
from pose_tf.training import detector_stage, trainer
from pose_tf.training.monitor import Monitor

trainer.check_values = lambda _: None  # the network is smaller than recipes allow
Monitor.draw_curves = lambda _: None  # drawing takes longer than the steps
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
CollectiveAllReduceExtended._initialize_local_devices = lambda self, resolver, worker: (
    tuple(worker + "/device:CPU:" + str(i) for i in range(2)), "CPU")

def make(**options):
    layer = original(**options)
    copies = tf.distribute.get_strategy().experimental_local_results(layer.bank.atlas.cells)
    print("occluders on", *(copy.device.split("replica:0/")[1] for copy in copies), file=sys.stderr)
    return layer

original, detector_stage.OcclusionAugmenter = detector_stage.OcclusionAugmenter, make
runpy.run_path({root!r} + "/tools/train.py", run_name="__main__")
"""


def validation_errors(workdir):
    """The detector's errors in pixels by step."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["pixel_error"] for line in lines if line["split"] == "validation"}


def test_an_occluded_detector_on_two_workers_of_two_devices_ends_as_if_none_had_been_killed(
    start_cluster, detector_flags, tmp_path
):
    (tmp_path / "two_cpus.py").write_text(TWO_CPUS.format(root=str(ROOT)))
    OccluderBank((np.full((90, 60, 4), 200, np.uint8),)).save(f"{tmp_path}/bank.npz")
    flags = (
        f"--config.occlusion.bank={tmp_path}/bank.npz",
        "--config.occlusion.probability=1.0",
        "--config.data.batch_size=8",
        "--config.data.replica_batch_size=2",
        "--config.batch_norm=synchronized",
        "--config.model.modules=(0,0,1)",
        "--config.model.blocks=0",
        "--config.flip_test=False",
        "--config.train.epochs=2.0",
        "--config.train.validate_every_epochs=1.0",
    )

    def start(name):
        return start_cluster(*detector_flags(name, *flags), program=tmp_path / "two_cpus.py")

    killed, *workers = run_twice(start, tmp_path, lost=1, kill_at=3)
    assert newest(tmp_path / "whole") == 8
    whole, resumed = (validation_errors(tmp_path / name) for name in ("whole", "killed"))
    assert whole == resumed and whole.keys() == {4, 8}
    for process, task, starts in ((workers[0], 0, 2), (killed, 1, 1), (workers[1], 1, 1)):
        lines = [line for line in process.errors.read_text().splitlines() if line.startswith("occluders on")]
        assert lines == [f"occluders on task:{task}/device:CPU:0 task:{task}/device:CPU:1"] * starts


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
