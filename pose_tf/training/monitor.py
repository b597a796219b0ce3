"""Progress reports of a run: TensorBoard, a progress bar, and training curves as an image."""

import contextlib
import json
import os

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import tensorflow as tf
import tqdm
from tensorboard.plugins.hparams import api as hparams_api
from tensorboard.plugins.mesh import summary_v2 as mesh_summary

from pose_tf import files, viz
from pose_tf.errors import UserError, reason
from pose_tf.skeleton import H36M, Skeleton
from pose_tf.training.recipe import flatten

GRAPH_COLUMNS = 3
VALIDATION_TAGS = ("validation", "poses")  # prefixes of the tags of validation events
SHOWN = ("loss", "pixel_error", "mpjpe", "pa_mpjpe")


class Monitor:
    """Reports to `metrics.jsonl`, `curves.png`, `tensorboard/` and the terminal. Use it as a context manager.

    Args:
        workdir: the run's `Workdir`.
        start_step: the step to start from. Training reports of later steps, which a killed run left, are dropped.
        validated_step: step of the last validation before that. Reports of later validations are dropped.
        total_steps: steps of the whole run.
        worker: number of this process among the workers of the run; only worker 0 reports.

    Raises:
        UserError: a file cannot be written; every method may raise it. TensorFlow does not notice all failures to write
            its events.
    """

    def __init__(self, workdir, start_step: int, validated_step: int, total_steps: int, worker: int = 0):
        self._workdir = workdir
        self._silent = worker > 0
        self._bar = tqdm.tqdm(
            total=total_steps, initial=start_step, unit=" steps", dynamic_ncols=True, disable=self._silent
        )
        self._shown = {}
        self._start_interval()
        if self._silent:
            self._writer = tf.summary.create_noop_writer()
            return
        last = {"train": start_step, "validation": validated_step}
        self._lines = [line for line in self._workdir.reports() if line["step"] <= last[line["split"]]]
        with files.replacing(self._path) as temporary, open(temporary, "w") as file:
            file.writelines(json.dumps(line) + "\n" for line in self._lines)
        folder = workdir.file("tensorboard")
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            path = os.path.join(folder, name)
            if "tfevents" in name and os.path.isfile(path):
                try:
                    _drop_lost_events(path, start_step, validated_step)
                except (OSError, tf.errors.OpError) as error:
                    why = reason(error) if isinstance(error, tf.errors.OpError) else error.strerror
                    raise UserError(f"{path} cannot be read: {why}") from None
        with self._named_errors():
            self._writer = tf.summary.create_file_writer(folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._bar.close()
        with self._named_errors():
            self._writer.close()

    @property
    def _path(self):
        return self._workdir.file("metrics.jsonl")

    def _start_interval(self):
        self._steps, self._sums, self._waited, self._seconds = 0, {}, 0.0, 0.0

    def advance(self, step: int, steps: int, sums: dict, waited: float, seconds: float) -> None:
        """Adds the results of the steps since the last call, and moves the progress bar.

        Args:
            step: the training step.
            steps: number of steps since the last call.
            sums: values by name, added up over these steps.
            waited: seconds spent waiting for input.
            seconds: duration of these steps.
        """
        self._seconds += seconds
        self._steps += steps
        self._waited += waited
        self._sums = {name: self._sums.get(name, 0.0) + float(value) for name, value in sums.items()}
        self._bar.update(step - self._bar.n)

    def report_training(self, step: int, batch_size: int, learning_rate: float, counters=()) -> None:
        """Reports means over the steps since the last report, and their speed.

        Args:
            step: the training step.
            batch_size: samples of a step, over all replicas.
            learning_rate: learning rate of the last step.
            counters: names of values to report as sums instead of means.
        """
        values = {name: value / self._steps for name, value in self._sums.items() if name != "stop_requested"}
        values |= {name: self._sums[name] for name in counters}
        values["learning_rate"] = learning_rate
        values["samples_per_second"] = self._steps * batch_size / self._seconds
        values["input_wait"] = self._waited / self._seconds  # share of the time
        self.report(step, "train", values)
        self._start_interval()

    def report(self, step: int, split: str, values: dict[str, float]) -> None:
        """Writes scalars.

        Args:
            step: the training step.
            split: `train` or `validation`.
            values: scalars by name.
        """
        if self._silent:
            return
        line = {"step": step, "split": split, **values}
        self._lines.append(line)
        try:
            with open(self._path, "a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise UserError(f"{self._path} cannot be written: {error.strerror}") from None
        with self._events(step):
            for name, value in values.items():
                tf.summary.scalar(f"{split}/{name}", value)
        self._shown |= {f"{split[:3]} {name}": f"{value:.4g}" for name, value in values.items() if name in SHOWN}
        self._bar.set_postfix(self._shown)

    def image(self, step: int, name: str, image) -> None:
        """Shows an image, uint8 [H, W, 3], in TensorBoard."""
        with self._events(step):
            tf.summary.image(name, image[None])

    def poses(self, step: int, name: str, pose3d, skeleton: Skeleton = H36M) -> None:
        """Shows 3D poses, float [N, J, 3] mm, as rotatable meshes in TensorBoard."""
        vertices, colors, faces = viz.mesh(pose3d, skeleton)
        with self._events(step):
            mesh_summary.mesh(name, vertices[None], faces=faces[None], colors=colors[None], step=step)

    def recipe(self, config) -> None:
        """Shows the recipe in TensorBoard, as text and as hyperparameters for comparing runs."""
        with self._events(0):
            tf.summary.text("config", f"```\n{config}\n```")
            if not self._silent:
                hparams_api.hparams(_settings(config), trial_id=os.path.abspath(self._workdir.path))

    @contextlib.contextmanager
    def _events(self, step):
        """Writes the summaries of the body as events of a step, and flushes them."""
        with self._named_errors():
            with self._writer.as_default(step):
                yield
            self._writer.flush()

    @contextlib.contextmanager
    def _named_errors(self):
        try:
            yield
        except tf.errors.OpError as error:
            raise UserError(f"{self._workdir.file('tensorboard')} cannot be written: {reason(error)}") from None

    def draw_curves(self) -> None:
        """Plots every metric against the step, training and validation in one plot, to `curves.png`."""
        if self._silent:
            return
        names = sorted({name for line in self._lines for name in line} - {"step", "split"})
        rows = -(-len(names) // GRAPH_COLUMNS)
        figure, axes = plt.subplots(rows, GRAPH_COLUMNS, figsize=(4.5 * GRAPH_COLUMNS, 3 * rows), squeeze=False)
        for axis in axes.flat[len(names) :]:
            axis.set_axis_off()
        for name, axis in zip(names, axes.flat):
            for split in ("train", "validation"):
                points = [(line["step"], line[name]) for line in self._lines if line["split"] == split and name in line]
                if points:
                    axis.plot(*zip(*points), label=split, marker="." if len(points) < 30 else None)
            axis.set(title=name, xlabel="step")
            axis.grid(alpha=0.3)
            axis.legend()
        figure.tight_layout()
        with files.replacing(self._workdir.file("curves.png")) as temporary:
            figure.savefig(temporary, dpi=90)
        plt.close(figure)


def _settings(config):
    """{"section.key": number, string or bool}."""
    flat = flatten(config.to_dict())
    return {key: value if isinstance(value, bool | int | float | str) else str(value) for key, value in flat.items()}


def _drop_lost_events(path, start_step, validated_step):
    """Removes the events from a file that a killed run will write again after it is resumed.

    A run that restarts at step 0 writes every event again, so the file is removed.
    """
    if not start_step:
        os.remove(path)
        return

    def is_kept(serialized):
        event = tf.compat.v1.Event.FromString(serialized)
        of_validation = any(value.tag.startswith(VALIDATION_TAGS) for value in event.summary.value)
        return event.step <= (validated_step if of_validation else start_step)

    if all(map(is_kept, _read_events(path))):
        return
    with files.replacing(path) as temporary, tf.io.TFRecordWriter(temporary) as writer:
        for serialized in filter(is_kept, _read_events(path)):
            writer.write(serialized)


def _read_events(path):
    with contextlib.suppress(tf.errors.DataLossError):  # the process was killed while it wrote the last event
        yield from tf.data.TFRecordDataset(path).as_numpy_iterator()
